//! Certificates of the server that change while it runs.

use std::fs::{self, Permissions};
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};

use cuttlebone_client::raw::{self, RawConn};
use cuttlebone_client::{Endpoint, Trust};
use cuttlebone_server::TlsSettings;
use rcgen::{CertificateParams, KeyPair, date_time_ymd};

use crate::support::{Running, expect_type};

/// A pair of files that is removed when dropped.
pub(crate) struct Pair(PathBuf);

impl Pair {
    pub(crate) fn new(name: &str) -> Self {
        let dir = std::env::temp_dir().join(format!("cuttlebone-pair-{name}-{}", std::process::id()));
        fs::create_dir_all(&dir).expect("makes");
        let pair = Self(dir);
        pair.write(&certificate(2049));
        pair
    }

    pub(crate) fn settings(&self) -> TlsSettings {
        TlsSettings::Files { cert_file: self.0.join("cert.pem"), key_file: self.0.join("key.pem") }
    }

    pub(crate) fn folder(&self) -> &Path {
        &self.0
    }

    pub(crate) fn write(&self, (cert, key): &(String, String)) {
        fs::write(self.0.join("cert.pem"), cert).expect("writes");
        fs::write(self.0.join("key.pem"), key).expect("writes");
        self.set_mode(0o600);
    }

    fn set_mode(&self, mode: u32) {
        fs::set_permissions(self.0.join("key.pem"), Permissions::from_mode(mode)).expect("is ours");
    }

    /// Of the certificate in the file.
    fn fingerprint(&self) -> String {
        self.settings().load().expect("good").fingerprint().expect("there is one").to_string()
    }
}

impl Drop for Pair {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.0);
    }
}

/// A certificate and its key, good until the first day of that year.
fn certificate(until: i32) -> (String, String) {
    certificate_of(2020, until)
}

/// The same, from the first day of one year until that of another.
pub(crate) fn certificate_of(from: i32, until: i32) -> (String, String) {
    let mut params = CertificateParams::new(["localhost".to_owned()]).expect("a name");
    params.not_before = date_time_ymd(from, 1, 1);
    params.not_after = date_time_ymd(until, 1, 1);
    let key = KeyPair::generate().expect("a key");
    (params.self_signed(&key).expect("a certificate").pem(), key.serialize_pem())
}

async fn connect(server: &Running, fingerprint: &str, path: &str) -> Option<RawConn> {
    let trust = Trust::fingerprint(fingerprint).expect("a fingerprint");
    let endpoint = Endpoint::parse(&format!("wss://{}", server.addr)).and_then(|it| it.with_trust(trust));
    raw::connect(&endpoint.expect("good"), path, &[]).await.ok()
}

/// Whether new connections get that certificate.
async fn serves(server: &Running, fingerprint: &str) -> bool {
    connect(server, fingerprint, "/connect_client").await.is_some()
}

/// T41: under 100 live connections the certificate changes, and none of them notices.
#[tokio::test]
async fn t41_another_certificate_is_for_new_connections_and_those_that_are_there_go_on() {
    let pair = Pair::new("swap");
    let server = Running::with(|settings| settings.tls = Some(pair.settings()));
    let old = pair.fingerprint();
    let mut devices = Vec::new();
    for number in 0..100 {
        let mut device = connect(&server, &old, "/register_device").await.expect("upgraded");
        device.send_text(format!(r#"{{"message_type":"register","device_id":"d{number}"}}"#)).await.expect("sent");
        expect_type(&mut device, "config").await;
        devices.push(device);
    }
    pair.write(&certificate(2048));
    assert!(server.handle.reload_tls(&pair.settings(), None).expect("good"), "it is another");
    let new = pair.fingerprint();
    assert_ne!(old, new);
    assert!(serves(&server, &new).await && !serves(&server, &old).await);
    assert_eq!(server.metric("cuttlebone_devices").await, 100);
    for (number, device) in devices.iter_mut().enumerate() {
        let mut client = connect(&server, &new, "/connect_client").await.expect("upgraded");
        client.send_text(format!(r#"{{"message_type":"connect","device_id":"d{number}"}}"#)).await.expect("sent");
        expect_type(&mut client, "config").await;
        expect_type(&mut client, "device_info").await;
        client.send_text(r#"{"message_type":"forward","payload":1}"#).await.expect("sent");
        expect_type(device, "client_msg").await;
    }
    assert_eq!(server.metric(r#"cuttlebone_certificate_loads_total{outcome="changed"}"#).await, 1);
    assert_eq!(server.metric("cuttlebone_certificate_end_seconds").await, 2_461_449_600);
}

/// T41: what can't be used takes the place of nothing.
#[tokio::test]
async fn t41_bad_files_keep_the_old_certificate_and_are_counted() {
    let pair = Pair::new("bad");
    let good = certificate(2049);
    pair.write(&good);
    let server = Running::with(|settings| settings.tls = Some(pair.settings()));
    let old = pair.fingerprint();
    let (other, expired) = (certificate(2049), certificate(2021));
    let faults = [
        ("nonsense".to_owned(), good.1.clone(), "has no certificate"),
        (good.0.clone(), "nonsense".to_owned(), "has no private key"),
        (good.0.clone(), other.1.clone(), "cannot use the certificate"),
        (expired.0, expired.1, "has expired"),
    ];
    for (count, (cert, key, expected)) in faults.into_iter().enumerate() {
        pair.write(&(cert, key));
        let error = server.handle.reload_tls(&pair.settings(), None).expect_err(expected).to_string();
        assert!(error.contains(expected) && error.contains(".pem"), "{error}");
        assert!(serves(&server, &old).await, "{expected}");
        let failed = server.metric(r#"cuttlebone_certificate_loads_total{outcome="failed"}"#).await;
        assert_eq!(failed, count as u64 + 1);
    }
    pair.write(&good);
    assert!(!server.handle.reload_tls(&pair.settings(), None).expect("good"), "it is the same");
    pair.set_mode(0o644);
    let error = server.handle.reload_tls(&pair.settings(), None).expect_err("others may read it").to_string();
    assert!(error.contains("(mode 644)") && error.contains("chmod 600"), "{error}");
}

#[tokio::test]
async fn certificate_that_has_expired_makes_way_for_any_other() {
    let pair = Pair::new("expired");
    pair.write(&certificate(2021));
    let server = Running::with(|settings| settings.tls = Some(pair.settings()));
    pair.write(&certificate(2022));
    assert!(server.handle.reload_tls(&pair.settings(), None).expect("taken"));
    assert!(serves(&server, &pair.fingerprint()).await);
}
