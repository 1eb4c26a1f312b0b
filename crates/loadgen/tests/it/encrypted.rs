//! Against the real server, with TLS.

use std::fs::Permissions;
use std::os::unix::fs::PermissionsExt;
use std::path::PathBuf;
use std::time::Duration;

use cuttlebone_client::{Endpoint, Trust};
use cuttlebone_loadgen::scenario::{idle, pairs};
use cuttlebone_loadgen::{Shape, Sizes, Target, total};
use cuttlebone_server::{Settings, TlsSettings};
use cuttlebone_testkit::{Authority, TestServer, local_settings};

use crate::fake::shape;

/// A server, and the authority that must be trusted.
fn encrypted(name: &str) -> (TestServer, Authority) {
    let folder = PathBuf::from(env!("CARGO_TARGET_TMPDIR")).join(name);
    std::fs::create_dir_all(&folder).unwrap();
    let authority = Authority::new("loadgen tests").unwrap();
    let pair = authority.server(&["127.0.0.1"]).unwrap();
    let (cert_file, key_file) = (folder.join("cert.pem"), folder.join("key.pem"));
    std::fs::write(&cert_file, pair.certificate).unwrap();
    std::fs::write(&key_file, pair.key).unwrap();
    std::fs::set_permissions(&key_file, Permissions::from_mode(0o600)).unwrap();
    let settings = Settings { tls: Some(TlsSettings::Files { cert_file, key_file }), ..local_settings() };
    (TestServer::start(settings).unwrap(), authority)
}

fn options(endpoint: Endpoint) -> pairs::Options {
    pairs::Options {
        target: Target::Server { endpoint, prefix: "tls".into() },
        shape: Shape { sizes: Sizes::Session, ..shape(2, 4) },
        warmup: Duration::ZERO,
        duration: Duration::from_millis(200),
        meter: None,
    }
}

#[tokio::test]
async fn pairs_work_with_a_given_root_with_none_and_not_with_the_public_ones() {
    let (server, authority) = encrypted("pairs");
    let endpoint = Endpoint::parse(server.url().as_str()).unwrap();
    for trust in [Trust::Pem(authority.certificate()), Trust::Insecure] {
        let report = pairs::run(&options(endpoint.clone().with_trust(trust).unwrap())).await.unwrap();
        assert_eq!(total(&report.faults), 0, "{report}");
        assert!(report.window.round_trips > 10, "{report}");
    }
    let error = pairs::run(&options(endpoint)).await.unwrap_err().to_string();
    assert!(error.contains("no pair could be connected") && error.contains("certificate"), "{error}");
    server.stop().await;
}

#[tokio::test]
async fn idle_connections_stay_open_with_tls() {
    let (server, _) = encrypted("idle");
    let endpoint = Endpoint::parse(server.url().as_str()).unwrap().with_trust(Trust::Insecure).unwrap();
    let report = idle::run(&idle::Options {
        endpoint,
        prefix: "idle".into(),
        connections: 20,
        relay: true,
        connect_rate: 1000.0,
        settle: Duration::from_millis(20),
        meter: None,
    })
    .await
    .unwrap();
    assert_eq!((report.connections, total(&report.faults), report.tls), (20, 0, true), "{report}");
    server.stop().await;
}
