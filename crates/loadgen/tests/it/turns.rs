use std::net::IpAddr;
use std::time::Duration;

use cuttlebone_client::Endpoint;
use cuttlebone_loadgen::disturb::Kind;
use cuttlebone_loadgen::scenario::{Report as _, churn, curve, isolation, pairs, saturate, storm, versus};
use cuttlebone_loadgen::{Arrivals, Meter, Rate, Shape, Sizes};

use crate::charts::draw;
use crate::fake::{FakeServer, Fate, shape};

const SHORT: Duration = Duration::from_millis(100);

fn program() -> std::path::PathBuf {
    env!("CARGO_BIN_EXE_loadgen").into()
}

fn this_process() -> Meter {
    Meter::new(std::process::id()).unwrap()
}

fn open_loop(pairs: usize, per_second: f64) -> Shape {
    Shape { rate: Rate::PerSecond(per_second, Arrivals::Constant), ..shape(pairs, 1) }
}

#[tokio::test]
async fn saturation_is_found_and_half_of_it_is_measured_beside_the_floor() {
    let server = FakeServer::start(Fate::PassedOn).await;
    let report = saturate::run(&saturate::Options {
        program: program(),
        target: server.target(),
        shape: shape(2, 1),
        arrivals: Arrivals::Constant,
        // Whatever is reached is good enough, and the precision ends the search at the first rate that is not.
        bound: Duration::from_secs(30),
        first: 2000.0,
        precision: 1.0,
        tries: 2,
        warmup: Duration::ZERO,
        step: SHORT,
        duration: SHORT,
        rounds: 2,
        meter: Some(this_process()),
    })
    .await
    .unwrap();
    for side in [&report.server, &report.floor] {
        let best = side.steps.iter().filter(|step| step.verdict.is_empty()).map(|step| step.per_second);
        assert!((best.fold(0.0, f64::max) - side.per_second).abs() < 1e-6, "{report}");
        assert!(side.steps.iter().any(|step| !step.verdict.is_empty()), "{report}");
    }
    assert_eq!(report.rounds.len(), 2);
    for round in &report.rounds {
        assert!((round.server.per_second - report.server.per_second / 2.0).abs() < 1e-6);
        assert!((round.floor_half.per_second - report.floor.per_second / 2.0).abs() < 1e-6);
        assert!((round.floor_same.per_second - round.server.per_second).abs() < 1e-6);
    }
    let ratio = report.rounds[0].server.p99_us / report.rounds[0].floor_same.p99_us;
    assert!(report.p99_ratio_same_rate.min <= ratio && ratio <= report.p99_ratio_same_rate.max, "{report}");
    assert!(draw(&report).contains(">bound<"));
}

#[tokio::test]
async fn nothing_served_in_time_is_an_error() {
    let server = FakeServer::start(Fate::PassedOn).await;
    let options = saturate::Options {
        program: program(),
        target: server.target(),
        shape: shape(1, 1),
        arrivals: Arrivals::Poisson,
        bound: Duration::from_nanos(1),
        first: 100.0,
        precision: 1.0,
        tries: 2,
        warmup: Duration::ZERO,
        step: Duration::from_millis(20),
        duration: SHORT,
        rounds: 1,
        meter: None,
    };
    let error = format!("{:#}", saturate::run(&options).await.unwrap_err());
    assert!(error.contains("not even the lowest rate"), "{error}");
}

#[tokio::test]
async fn a_curve_has_a_point_for_each_number_of_pairs_that_fits() {
    let server = FakeServer::start(Fate::PassedOn).await;
    let report = curve::run(&curve::Options {
        program: program(),
        target: server.target(),
        shape: open_loop(1, 2000.0),
        counts: vec![1, 4, 100_000_000],
        warmup: Duration::ZERO,
        // CPU is counted in steps of 10 ms.
        duration: Duration::from_millis(400),
        rounds: 1,
        meter: this_process(),
    })
    .await
    .unwrap();
    let pairs: Vec<usize> = report.points.iter().map(|point| point.pairs).collect();
    assert_eq!(pairs, [1, 4], "{report}");
    assert!(report.points.iter().all(|point| point.ratio.min > 0.0 && point.reached_per_second > 0.0), "{report}");
    assert_eq!(report.left_out[0].0, 100_000_000);
    assert!(report.left_out[0].1.contains("file descriptors") && report.faults() == 0, "{report}");
    draw(&report);
}

fn isolation(server: &FakeServer, shape: Shape, kind: Kind) -> isolation::Options {
    isolation::Options {
        program: program(),
        arguments: Vec::new(),
        endpoint: server.endpoint(),
        prefix: "honest".into(),
        shape,
        kind,
        duration: SHORT,
        warmup: SHORT,
        rounds: 2,
        meter: None,
    }
}

#[tokio::test]
async fn a_viewer_that_never_reads_is_beside_those_that_do() {
    let server = FakeServer::start(Fate::PassedOn).await;
    let device_id = isolation::Options::disturbed_device("honest");
    let kind = Kind::NeverReads { device_id, per_second: 500.0, payload: 4000 };
    let shape = Shape { fan: 5, ..open_loop(1, 500.0) };
    let report = isolation::run(&isolation(&server, shape, kind)).await.unwrap();
    assert_eq!((report.rounds.len(), report.clients_per_device, report.lost), (2, 5, 0), "{report}");
    assert!(server.unread() > 0, "it read: {report}");
    assert!(report.disturbed.connections >= 2 && report.disturbed.messages > 0, "{report}");
    assert!(report.rounds.iter().all(|round| round.with.round_trips > 0 && round.without.round_trips > 0), "{report}");
    assert_eq!(report.faults(), 0, "{report}");
    draw(&report);
}

#[tokio::test]
async fn a_greedy_address_is_beside_honest_pairs_and_tells_what_it_heard() {
    let server = FakeServer::start(Fate::PassedOn).await;
    let kind = Kind::Greedy {
        source: IpAddr::from([127, 0, 0, 66]),
        clients: 2,
        messages_per_second: 500.0,
        connects_per_second: 200.0,
        payload: 200,
    };
    let report = isolation::run(&isolation(&server, open_loop(3, 300.0), kind)).await.unwrap();
    let addresses = [1, 66].map(|last| IpAddr::from([127, 0, 0, last]));
    assert!(server.sources().into_iter().eq(addresses), "{:?}", server.sources());
    assert!(report.disturbed.connections > 4 && report.disturbed.messages > 10, "{report}");
    assert_eq!((report.lost, report.faults()), (0, 0), "{report}");
}

#[tokio::test]
async fn only_this_machine_is_disturbed() {
    let server = FakeServer::start(Fate::PassedOn).await;
    let kind = Kind::NeverReads { device_id: "x-0".into(), per_second: 1.0, payload: 100 };
    let endpoint = Endpoint::parse("ws://192.0.2.1:8080").unwrap();
    let options = isolation::Options { endpoint, ..isolation(&server, shape(1, 1), kind) };
    let error = isolation::run(&options).await.unwrap_err().to_string();
    assert!(error.contains("192.0.2.1 is not a loopback address"), "{error}");
}

async fn compare(scenario: versus::Scenario, a: &FakeServer, b: &FakeServer) -> versus::Report {
    let server = |fake: &FakeServer| versus::Server { endpoint: fake.endpoint(), meter: Some(this_process()) };
    let options = versus::Options { a: server(a), b: server(b), prefix: "versus".into(), scenario, rounds: 2 };
    versus::run(&options).await.unwrap()
}

#[tokio::test]
async fn two_servers_take_turns_under_each_load() {
    let (a, b) = (FakeServer::start(Fate::PassedOn).await, FakeServer::start(Fate::PassedOn).await);
    let target = a.target();
    let duration = Duration::from_millis(300);
    let pairs = |shape| pairs::Options { target: target.clone(), shape, warmup: Duration::ZERO, duration, meter: None };
    let churn = churn::Options {
        target: target.clone(),
        per_second: 100.0,
        arrivals: Arrivals::Constant,
        messages: 1,
        sizes: Sizes::Fixed(100),
        cut: false,
        at_once: 16,
        duration,
        meter: None,
    };
    let storm = storm::Options {
        endpoint: a.endpoint(),
        prefix: "storm".into(),
        devices: 50,
        at_once: 50,
        again: true,
        patience: Duration::from_secs(30),
        beside: None,
        quiet: Duration::ZERO,
        meter: None,
    };
    for scenario in [
        versus::Scenario::Pairs(pairs(shape(2, 4))),
        versus::Scenario::FanIn(pairs(Shape { fan: 2, ..shape(2, 1) })),
        versus::Scenario::Churn(churn),
        versus::Scenario::Storm(storm),
    ] {
        let report = compare(scenario, &a, &b).await;
        assert_eq!((report.rounds.len(), report.faults()), (2, 0), "{report}");
        assert!((report.a.as_str(), report.b.as_str()) == (&a.url(), &b.url()), "{report}");
        let ratios: Vec<f64> = report.rounds.iter().map(|round| round.b.p99_us / round.a.p99_us).collect();
        let (low, high) = (ratios[0].min(ratios[1]), ratios[0].max(ratios[1]));
        let spread = report.p99_ratio;
        assert!((spread.min, spread.median, spread.max) == (low, f64::midpoint(low, high), high), "{report}");
        assert!(report.rate_ratio.min > 0.0 && report.p50_ratio.min > 0.0, "{report}");
        draw(&report);
    }
}

#[tokio::test]
async fn the_faults_of_either_server_are_told() {
    let (a, b) = (FakeServer::start(Fate::PassedOn).await, FakeServer::start(Fate::Altered).await);
    let options =
        pairs::Options { target: a.target(), shape: shape(1, 1), warmup: Duration::ZERO, duration: SHORT, meter: None };
    let report = compare(versus::Scenario::Pairs(options), &a, &b).await;
    assert!(report.rounds.iter().all(|round| (round.a.faults, round.b.faults) == (0, 1)), "{report}");
}
