use std::time::Duration;

use cuttlebone_client::Endpoint;
use cuttlebone_loadgen::hostile::{Attack, Orders};
use cuttlebone_loadgen::scenario::hostile;
use cuttlebone_loadgen::{Meter, total};

use crate::charts::draw;
use crate::fake::{FakeServer, Fate, shape};

fn options(endpoint: Endpoint) -> hostile::Options {
    hostile::Options {
        program: env!("CARGO_BIN_EXE_loadgen").into(),
        arguments: Vec::new(),
        orders: Orders {
            endpoint,
            connections: 120,
            duration: Duration::from_secs(1),
            pace: Duration::from_millis(2),
            seed: 7,
        },
        prefix: "honest".into(),
        beside: shape(2, 1),
        quiet: Duration::from_millis(50),
        recover: Duration::from_millis(50),
        meter: Some(Meter::new(std::process::id()).unwrap()),
    }
}

#[tokio::test]
async fn every_attack_is_made_and_honest_pairs_go_on() {
    let server = FakeServer::start(Fate::PassedOn).await;
    let report = hostile::run(&options(server.endpoint())).await.unwrap();
    for attack in Attack::ALL {
        let count = report.attacks.get(attack.name()).copied().unwrap_or_default();
        assert!(count.begun > count.not_connected, "{}: {report}", attack.name());
        assert_eq!(count.begun, count.ended_by_server + count.ended_by_us + count.not_connected);
    }
    assert_eq!(total(&report.pair_faults), 0, "{report}");
    assert!(report.attacked.round_trips > 0 && report.p99_ratio > 0.0, "{report}");
    draw(&report);
    assert!(report.memory.unwrap().peak_bytes > 0);
}

#[tokio::test]
async fn only_this_machine_is_attacked() {
    let elsewhere = Endpoint::parse("ws://192.0.2.1:8080").unwrap();
    let error = hostile::run(&options(elsewhere)).await.unwrap_err().to_string();
    assert!(error.contains("192.0.2.1 is not a loopback address"), "{error}");
}
