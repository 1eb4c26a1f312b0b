use std::time::Duration;

use cuttlebone_client::Endpoint;
use cuttlebone_loadgen::scenario::fan_in;
use cuttlebone_loadgen::scenario::pairs::{self, Report};
use cuttlebone_loadgen::{Arrivals, Meter, Rate, Shape, Sizes, Target, total};

use crate::charts::draw;
use crate::fake::{FakeServer, Fate, shape};

/// Between two messages at 500 a second, less what rounding takes.
const INTERVAL_US: f64 = 1990.0;

fn options(server: &FakeServer, shape: Shape) -> pairs::Options {
    pairs::Options {
        target: server.target(),
        shape,
        warmup: Duration::from_millis(20),
        duration: Duration::from_millis(300),
        meter: Some(Meter::new(std::process::id()).unwrap()),
    }
}

async fn run(fate: Fate, shape: Shape) -> Report {
    let server = FakeServer::start(fate).await;
    pairs::run(&options(&server, shape)).await.unwrap()
}

#[tokio::test]
async fn an_honest_server_makes_no_fault() {
    let report = run(Fate::PassedOn, shape(4, 8)).await;
    assert_eq!(total(&report.faults), 0, "{report}");
    assert!(report.window.round_trips > 10, "{report}");
    let latency = &report.window.latency;
    assert!(latency.p50_us > 0.0 && latency.p50_us <= latency.p99_us && latency.p99_us <= latency.max_us, "{report}");
    let expected = 2.0 * report.window.round_trips as f64 / report.window.seconds;
    assert!((report.window.forwards_per_second - expected).abs() < 1e-6);
    assert!(report.memory.unwrap().before_bytes > 0 && report.window.open_loop.is_none());
}

#[tokio::test]
async fn messages_of_sessions_come_back_as_they_were() {
    let report = run(Fate::PassedOn, Shape { sizes: Sizes::Session, ..shape(4, 8) }).await;
    assert_eq!(total(&report.faults), 0, "{report}");
    assert!(report.window.round_trips > 22, "{report}");
}

#[tokio::test]
async fn every_planned_message_of_an_open_loop_is_sent_and_measured() {
    for arrivals in [Arrivals::Constant, Arrivals::Poisson] {
        let shape = Shape { rate: Rate::PerSecond(200.0, arrivals), ..shape(4, 1) };
        let report = run(Fate::PassedOn, shape).await;
        assert_eq!(total(&report.faults), 0, "{report}");
        let open = report.window.open_loop.as_ref().unwrap();
        let planned = 200.0 * report.window.seconds;
        // Equal distances: each of the four may have one more or less in the window.
        let slack = if arrivals == Arrivals::Constant { 5.0 } else { planned };
        let measured = report.window.latency.count as f64;
        assert!((measured - planned).abs() <= slack, "{measured} of {planned}: {report}");
        assert_eq!((open.lateness.count, open.unanswered), (report.window.latency.count, 0), "{report}");
        assert!(draw(&report).contains(">sent late by<"));
        assert!(open.lateness.max_us <= report.window.latency.max_us, "a message is late before it is answered");
    }
}

/// The server holds the tenth message back until 50 are there. A closed loop with one message in flight would never send
/// the eleventh; an open loop that measured from the sending would not be stalled, but the first of the 50 has waited for
/// 49 intervals, the second for 48, however fast the machine is.
#[tokio::test]
async fn a_stall_is_measured_for_all_who_would_have_come_meanwhile() {
    let shape = Shape { rate: Rate::PerSecond(500.0, Arrivals::Constant), ..shape(1, 1) };
    let server = FakeServer::start(Fate::Stalled(50)).await;
    let options =
        pairs::Options { warmup: Duration::ZERO, duration: Duration::from_millis(400), ..options(&server, shape) };
    let report = pairs::run(&options).await.unwrap();
    let latency = &report.window.latency;
    assert!(latency.max_us >= 49.0 * INTERVAL_US, "{report}");
    // 50 of 200 are stalled, the slowest 20 of them for at least 29 intervals.
    assert!(latency.p90_us >= 29.0 * INTERVAL_US, "{report}");
    assert_eq!((total(&report.faults), report.window.open_loop.as_ref().unwrap().unanswered), (0, 0), "{report}");
}

#[tokio::test]
async fn what_a_window_gets_no_answer_to_counts_with_the_time_it_waited() {
    let shape = Shape { rate: Rate::PerSecond(500.0, Arrivals::Constant), ..shape(1, 1) };
    let server = FakeServer::start(Fate::Stalled(usize::MAX)).await;
    let options =
        pairs::Options { warmup: Duration::ZERO, duration: Duration::from_millis(200), ..options(&server, shape) };
    let report = pairs::run(&options).await.unwrap();
    let (window, open) = (&report.window, report.window.open_loop.as_ref().unwrap());
    assert!(window.latency.count - open.unanswered <= 9 && open.unanswered >= 80, "{report}");
    // Each of them had seconds to be answered after the end of the window.
    assert!(window.latency.p50_us >= 4_000_000.0, "{report}");
    assert!(report.faults["unanswered"].count >= open.unanswered, "{report}");
}

#[tokio::test]
async fn every_misdeed_is_a_fault_of_its_kind() {
    for (fate, kind, in_flight) in [
        (Fate::Altered, "altered", 1),
        (Fate::Doubled, "order", 1),
        (Fate::Swallowed, "order", 4),
        (Fate::Refused, "server_error", 1),
    ] {
        let report = run(fate, shape(1, in_flight)).await;
        assert!(report.faults.contains_key(kind), "{fate:?}: {report}");
        assert_eq!(report.faults[kind].count, 1, "{fate:?}: {report}");
    }
}

#[tokio::test]
async fn what_is_never_answered_is_told_at_the_end() {
    let report = run(Fate::Swallowed, shape(2, 1)).await;
    assert_eq!(report.faults["unanswered"].count, 2, "{report}");
    assert_eq!(total(&report.faults), 2, "{report}");
}

#[tokio::test]
async fn a_device_answers_each_of_its_clients() {
    let server = FakeServer::start(Fate::PassedOn).await;
    let report = fan_in::run(&options(&server, Shape { fan: 5, ..shape(2, 2) })).await.unwrap();
    assert_eq!((total(&report.load.faults), report.clients_per_device), (0, 5), "{report}");
    assert!(draw(&report).contains("2 devices"));
    assert!(report.load.window.round_trips > 10, "{report}");
}

#[tokio::test]
async fn an_answer_that_goes_to_somebody_else_is_seen() {
    let server = FakeServer::start(Fate::Misdelivered).await;
    let report = fan_in::run(&options(&server, Shape { fan: 2, ..shape(1, 1) })).await.unwrap();
    assert!(report.load.faults.contains_key("misdelivered"), "{report}");
}

#[tokio::test]
async fn without_a_server_there_is_an_error() {
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    drop(listener);
    let endpoint = Endpoint::parse(&format!("ws://{address}")).unwrap();
    let options = pairs::Options {
        target: Target::Server { endpoint, prefix: "test".into() },
        shape: shape(2, 1),
        warmup: Duration::ZERO,
        duration: Duration::ZERO,
        meter: None,
    };
    let error = pairs::run(&options).await.unwrap_err().to_string();
    assert!(error.contains("no pair could be connected"), "{error}");
}

#[tokio::test]
async fn a_shape_that_is_impossible_is_refused() {
    let server = FakeServer::start(Fate::PassedOn).await;
    for shape in [
        shape(0, 1),
        shape(1, 0),
        Shape { fan: 0, ..shape(1, 1) },
        Shape { sizes: Sizes::Fixed(10), ..shape(1, 1) },
        Shape { connect_rate: 0.0, ..shape(1, 1) },
    ] {
        assert!(pairs::run(&options(&server, shape)).await.is_err(), "{shape:?}");
    }
}
