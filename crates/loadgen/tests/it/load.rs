use std::time::Duration;

use cuttlebone_client::Endpoint;
use cuttlebone_loadgen::scenario::pairs::{self, Report};
use cuttlebone_loadgen::{Meter, Rate, Shape, Target, total};

use crate::fake::{FakeServer, Fate, shape};

async fn run(fate: Fate, shape: Shape) -> Report {
    let server = FakeServer::start(fate).await;
    let options = pairs::Options {
        target: server.target(),
        shape,
        warmup: Duration::from_millis(20),
        duration: Duration::from_millis(300),
        meter: Some(Meter::new(std::process::id()).unwrap()),
    };
    pairs::run(&options).await.unwrap()
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
    assert!(report.memory.unwrap().before_bytes > 0);
}

#[tokio::test]
async fn a_rate_is_kept() {
    let shape = Shape { rate: Rate::PerSecond(200.0), ..shape(4, 8) };
    let report = run(Fate::PassedOn, shape).await;
    assert_eq!(total(&report.faults), 0, "{report}");
    let most = 200.0 * report.window.seconds + 8.0;
    let trips = report.window.round_trips as f64;
    assert!(trips > 0.0 && trips <= most, "{report}");
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
    for shape in [shape(0, 1), shape(1, 0), Shape { payload: 10, ..shape(1, 1) }] {
        let options = pairs::Options {
            target: server.target(),
            shape,
            warmup: Duration::ZERO,
            duration: Duration::ZERO,
            meter: None,
        };
        assert!(pairs::run(&options).await.is_err(), "{shape:?}");
    }
}
