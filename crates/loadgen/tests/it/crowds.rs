use std::time::Duration;

use cuttlebone_loadgen::scenario::{churn, idle, memory, register, storm};
use cuttlebone_loadgen::{Arrivals, Memory, Meter, Sizes, total};

use crate::charts::draw;
use crate::fake::{FakeServer, Fate, Refusal, shape};

#[tokio::test]
async fn idle_connections_stay_open() {
    let server = FakeServer::start(Fate::PassedOn).await;
    for relay in [false, true] {
        let report = idle::run(&idle::Options {
            endpoint: server.endpoint(),
            prefix: format!("idle-{relay}"),
            connections: 20,
            relay,
            connect_rate: 1000.0,
            settle: Duration::from_millis(20),
            meter: Some(Meter::new(std::process::id()).unwrap()),
        })
        .await
        .unwrap();
        assert_eq!(report.connections, 20, "{report}");
        assert_eq!(total(&report.faults), 0, "{report}");
        draw(&report);
        assert!(report.bytes_per_connection.is_some());
    }
}

#[tokio::test]
async fn devices_register_while_pairs_go_on() {
    let server = FakeServer::start(Fate::PassedOn).await;
    let report = register::run(&register::Options {
        target: server.target(),
        devices: 100,
        at_once: 16,
        beside: shape(2, 1),
        quiet: Duration::from_millis(50),
        meter: None,
    })
    .await
    .unwrap();
    assert_eq!(report.devices, 100, "{report}");
    draw(&report);
    assert!(report.seconds > 0.0 && report.quiet.round_trips > 0, "{report}");
    assert_eq!(total(&report.device_faults) + total(&report.pair_faults), 0, "{report}");
}

#[tokio::test]
async fn a_fault_of_a_pair_is_told_beside_the_devices() {
    let server = FakeServer::start(Fate::Altered).await;
    let report = register::run(&register::Options {
        target: server.target(),
        devices: 10,
        at_once: 16,
        beside: shape(2, 1),
        quiet: Duration::from_millis(50),
        meter: None,
    })
    .await
    .unwrap();
    assert_eq!(total(&report.device_faults), 0, "{report}");
    assert_eq!(report.pair_faults["altered"].count, 2, "{report}");
}

fn storm(server: &FakeServer, devices: usize, again: bool) -> storm::Options {
    storm::Options {
        endpoint: server.endpoint(),
        prefix: "storm".into(),
        devices,
        at_once: 16,
        again,
        patience: Duration::from_secs(30),
        beside: None,
        quiet: Duration::ZERO,
        meter: Some(Meter::new(std::process::id()).unwrap()),
    }
}

#[tokio::test]
async fn who_is_refused_in_a_storm_comes_again_and_what_it_heard_is_told() {
    for (refusal, kind) in [(Refusal::Busy, "http_503"), (Refusal::Limited, "error_rate_limited")] {
        let server = FakeServer::refusing(refusal, 7).await;
        let report = storm::run(&storm(&server, 40, true)).await.unwrap();
        assert_eq!((report.registered.came, report.registered.missing()), (40, 0), "{report}");
        assert_eq!((report.refused[kind].count, total(&report.refused)), (7, 7), "{report}");
        assert_eq!((report.registration.count, report.refusal.count, report.attempts), (40, 7, 47), "{report}");
        assert_eq!((total(&report.lost), server.refusals_left()), (0, 0), "{report}");
        draw(&report);
        assert!(report.registered.all_seconds >= report.registered.p95_seconds, "{report}");
    }
}

#[tokio::test]
async fn who_is_refused_once_stays_away_if_told_so() {
    let server = FakeServer::refusing(Refusal::Busy, 7).await;
    let report = storm::run(&storm(&server, 40, false)).await.unwrap();
    assert_eq!((report.registered.came, report.registered.all_seconds), (33, None), "{report}");
    assert_eq!(report.refused["http_503"].count, 7, "{report}");
}

#[tokio::test]
async fn pairs_are_looked_at_before_a_storm_and_meanwhile() {
    let server = FakeServer::start(Fate::PassedOn).await;
    let quiet = Duration::from_millis(50);
    let report = storm::run(&storm::Options { beside: Some(shape(2, 1)), quiet, ..storm(&server, 200, true) }).await;
    let report = report.unwrap();
    assert!(report.quiet.as_ref().unwrap().round_trips > 0 && report.meanwhile.is_some(), "{report}");
    assert_eq!(total(&report.pair_faults) + total(&report.lost), 0, "{report}");
}

#[tokio::test]
async fn memory_is_read_before_at_most_and_after() {
    let server = FakeServer::start(Fate::PassedOn).await;
    let report = memory::run(&memory::Options {
        endpoint: server.endpoint(),
        prefix: "memory".into(),
        connections: 30,
        waves: 2,
        at_once: 8,
        recover: Duration::from_millis(10),
        meter: Meter::new(std::process::id()).unwrap(),
    })
    .await
    .unwrap();
    assert_eq!((report.connections, total(&report.faults)), (60, 0), "{report}");
    draw(&report);
    let Memory { before_bytes, peak_bytes, after_bytes } = report.memory;
    assert!(peak_bytes >= before_bytes && report.memory_ratio > 0.0, "{report}");
    assert!((report.memory_ratio - after_bytes as f64 / before_bytes as f64).abs() < 1e-9);
}

#[tokio::test]
async fn sessions_come_talk_and_go() {
    let server = FakeServer::start(Fate::PassedOn).await;
    for cut in [false, true] {
        let report = churn::run(&churn::Options {
            target: server.target(),
            per_second: 100.0,
            arrivals: Arrivals::Poisson,
            messages: 3,
            sizes: Sizes::Session,
            cut,
            at_once: 4,
            duration: Duration::from_millis(300),
            meter: Some(Meter::new(std::process::id()).unwrap()),
        })
        .await
        .unwrap();
        assert!(report.begun > 0 && report.begun == report.completed, "{report}");
        draw(&report);
        assert_eq!((report.setup.count, report.round_trip.count), (report.begun, 3 * report.begun), "{report}");
        assert_eq!(total(&report.faults), 0, "{report}");
    }
}

#[tokio::test]
async fn sessions_that_are_refused_are_faults_by_kind() {
    let server = FakeServer::refusing(Refusal::Limited, 1).await;
    let report = churn::run(&churn::Options {
        target: server.target(),
        per_second: 100.0,
        arrivals: Arrivals::Constant,
        messages: 1,
        sizes: Sizes::Fixed(100),
        cut: false,
        at_once: 4,
        duration: Duration::from_millis(50),
        meter: None,
    })
    .await
    .unwrap();
    assert_eq!(report.begun, report.completed + 1, "{report}");
    assert_eq!(report.faults["error_rate_limited"].count, 1, "{report}");
}
