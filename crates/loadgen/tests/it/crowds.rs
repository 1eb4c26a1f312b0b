use std::time::Duration;

use cuttlebone_loadgen::scenario::{idle, register};
use cuttlebone_loadgen::{Meter, total};

use crate::fake::{FakeServer, Fate, shape};

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
