//! Pebble, the authority of Let's Encrypt for tests, with a DNS that has every name on this machine.

use std::fs;
use std::net::TcpListener;
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicU16, Ordering};
use std::time::Duration;

use cuttlebone_server::{AcmeChallenge, AcmeSettings, Settings, TlsSettings};
use rcgen::{CertificateParams, KeyPair};
use serde_json::json;
use tokio::net::TcpStream;
use tokio::time::{Instant, interval};

use crate::support::PATIENCE;

pub(super) const NAME: &str = "signal.example.org";

/// A program that ends when dropped.
struct Program(Child);

impl Program {
    fn start(name: &str, args: &[&str]) -> Self {
        let mut command = Command::new(name);
        command.args(args).env("PEBBLE_VA_NOSLEEP", "1").stdout(Stdio::null()).stderr(Stdio::null());
        let missing = "cannot be run: `cargo xtask ci --only tools` installs what the tests need";
        Self(command.spawn().unwrap_or_else(|error| panic!("{name} {missing}: {error}")))
    }
}

impl Drop for Program {
    fn drop(&mut self) {
        drop(self.0.kill());
        drop(self.0.wait());
    }
}

/// An authority, and where it looks for what it is shown.
pub(super) struct Pebble {
    folder: PathBuf,
    port: u16,
    /// Where it asks for files, and for certificates.
    pub(super) http_port: u16,
    pub(super) tls_port: u16,
    pub(super) config: serde_json::Value,
    _dns: Program,
    dns: String,
    running: Option<Program>,
}

/// A port that nobody has now, and nobody is given who asks for any: those are above 32,767.
fn free_port() -> u16 {
    static NEXT: AtomicU16 = AtomicU16::new(0);
    let begin = std::process::id() as u16 % 1_000 * 10;
    let mut ports = std::iter::repeat_with(|| 20_000 + (begin + NEXT.fetch_add(1, Ordering::Relaxed)) % 10_000);
    ports.find(|port| TcpListener::bind(("127.0.0.1", *port)).is_ok()).expect("there are many")
}

impl Pebble {
    /// One that does not run yet, so that its configuration can be changed.
    pub(super) fn new(test: &str) -> Self {
        let folder = std::env::temp_dir().join(format!("cuttlebone-acme-{test}-{}", std::process::id()));
        fs::create_dir_all(&folder).expect("makes");
        let params = CertificateParams::new(["127.0.0.1".to_owned()]).expect("a name");
        let key = KeyPair::generate().expect("a key");
        let certificate = params.self_signed(&key).expect("a certificate");
        fs::write(folder.join("pebble.pem"), certificate.pem()).expect("writes");
        fs::write(folder.join("pebble.key"), key.serialize_pem()).expect("writes");
        let [port, http_port, tls_port, dns_port, management] = [(); 5].map(|()| free_port());
        let dns = format!("127.0.0.1:{dns_port}");
        let management = format!("127.0.0.1:{management}");
        let off = ["-http01", "", "-https01", "", "-tlsalpn01", "", "-defaultIPv6", ""];
        let args = [&off[..], &["-dns01", &dns, "-management", &management]].concat();
        let config = json!({
            "listenAddress": format!("127.0.0.1:{port}"),
            "managementListenAddress": format!("127.0.0.1:{}", free_port()),
            "certificate": folder.join("pebble.pem"),
            "privateKey": folder.join("pebble.key"),
            "httpPort": http_port,
            "tlsPort": tls_port,
        });
        let _dns = Program::start("pebble-challtestsrv", &args);
        Self { folder, port, http_port, tls_port, config, _dns, dns, running: None }
    }

    /// Starts it, or another that knows nothing of the first.
    pub(super) async fn start(&mut self) {
        self.stop();
        let file = self.folder.join("pebble.json");
        fs::write(&file, json!({"pebble": self.config}).to_string()).expect("writes");
        let file = file.to_str().expect("text");
        self.running = Some(Program::start("pebble", &["-config", file, "-dnsserver", &self.dns]));
        let (begun, mut tick) = (Instant::now(), interval(Duration::from_millis(20)));
        while TcpStream::connect(("127.0.0.1", self.port)).await.is_err() {
            assert!(begun.elapsed() < PATIENCE, "pebble does not listen");
            tick.tick().await;
        }
    }

    pub(super) fn stop(&mut self) {
        self.running = None;
    }

    pub(super) fn state(&self, file: &str) -> PathBuf {
        self.folder.join("state").join(file)
    }

    /// What a server needs to ask it.
    pub(super) fn configure(&self, settings: &mut Settings, challenge: AcmeChallenge) {
        let acme = AcmeSettings {
            domains: vec![NAME.to_owned()],
            contact: vec!["mailto:admin@example.org".to_owned()],
            directory_url: format!("https://127.0.0.1:{}/dir", self.port),
            challenge,
            ca_file: Some(self.folder.join("pebble.pem")),
            state_dir: self.folder.join("state"),
            renew_before: Duration::from_secs(30 * 24 * 60 * 60),
            external_account: None,
            retry: Duration::from_millis(100),
            retry_max: Duration::from_secs(1),
        };
        settings.listen = ([127, 0, 0, 1], self.tls_port).into();
        settings.https.redirect_listen = Some(([127, 0, 0, 1], self.http_port).into());
        settings.tls = Some(TlsSettings::Kept { file: acme.certificate_file() });
        settings.acme = Some(acme);
        settings.fetch.allow_private = true;
    }
}

impl Drop for Pebble {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.folder);
    }
}
