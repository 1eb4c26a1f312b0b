//! T41: the certificate changes while the program runs.

use std::path::{Path, PathBuf};
use std::time::Duration;

use cuttlebone_client::{ClientCertificate, Endpoint, Trust, raw};
use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, IsCa, KeyPair, KeyUsagePurpose};
use tokio::runtime::Runtime;
use tokio::time::error::Elapsed;
use tokio::time::{Instant, timeout};

use crate::program::{Running, file, file_with_mode, program, run, stderr};

const PATIENCE: Duration = Duration::from_secs(5);

/// Writes another pair of files, and gives their paths.
fn pair(name: &str) -> (String, String) {
    let made = rcgen::generate_simple_self_signed(["localhost".to_owned()]).expect("a certificate");
    let cert = file(&format!("{name}-cert.pem"), &made.cert.pem());
    (cert, file_with_mode(&format!("{name}-key.pem"), &made.signing_key.serialize_pem(), 0o600))
}

/// The program with such a pair, the address and the fingerprint that it prints.
fn serve(name: &str) -> (Running, String, String) {
    let (cert, key) = pair(name);
    let config = file(&format!("{name}.toml"), "[log]\nformat = \"json\"\n");
    let args = ["--config", &config, "--tls-cert", &cert, "--tls-key", &key, "--listen", "127.0.0.1:0"];
    let mut running = Running::start(program(&[&["serve", "--metrics-listen", ""], &args[..]].concat()));
    let url = running.line().replacen("listening on https", "wss", 1);
    let fingerprint = running.line().rsplit(' ').next().expect("words").to_owned();
    (running, url, fingerprint)
}

/// Whether a handshake with that certificate comes about.
fn has(url: &str, fingerprint: &str) -> bool {
    let trust = Trust::fingerprint(fingerprint).expect("a fingerprint");
    let endpoint = Endpoint::parse(url).and_then(|it| it.with_trust(trust)).expect("an address");
    runtime().block_on(raw::Stream::open(&endpoint)).is_ok()
}

fn runtime() -> Runtime {
    tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime")
}

#[test]
fn t41_hangup_takes_the_new_certificate_within_a_second_and_keeps_the_old_where_it_is_bad() {
    let (mut running, url, old) = serve("hangup");
    assert!(has(&url, &old));
    pair("hangup");
    let begun = Instant::now();
    running.signal("-HUP");
    running.log_line("another certificate is in use");
    let took = begun.elapsed();
    assert!(!has(&url, &old));
    assert!(took < Duration::from_secs(1), "{took:?}");
    // The other half of the configuration has a fault: that is no reason to keep a certificate until it has expired.
    file("hangup.toml", "[log]\nlevel = \"loud\"\n");
    pair("hangup");
    running.signal("-HUP");
    let log = running.log_until("another certificate is in use");
    assert!(log.contains("kept the old configuration"), "{log}");
    file("hangup-cert.pem", "nonsense");
    running.signal("-HUP");
    let line = running.log_line("kept the old certificate");
    assert!(line.contains("hangup-cert.pem has no certificate in it"), "{line}");
}

#[test]
fn t41_files_that_change_are_noticed() {
    let (mut running, url, old) = serve("watched");
    pair("watched");
    running.log_line("another certificate is in use");
    assert!(!has(&url, &old));
}

#[test]
fn key_that_others_may_read_is_a_fault() {
    let (cert, key) = pair("open");
    let key = file_with_mode("open-key.pem", &std::fs::read_to_string(key).expect("reads"), 0o644);
    let refused = run(&["check-config", "--tls-cert", &cert, "--tls-key", &key]);
    assert_eq!(refused.status.code(), Some(78));
    let text = stderr(&refused);
    assert!(text.contains("tls.key_file: ") && text.contains("mode 644") && text.contains("chmod 600"), "{text}");
}

#[test]
fn hangup_leaves_a_self_signed_certificate_where_it_is() {
    let folder = |name: &str| {
        let folder = PathBuf::from(env!("CARGO_TARGET_TMPDIR")).join(format!("hangup-{name}"));
        drop(std::fs::remove_dir_all(&folder));
        folder
    };
    let (first, second) = (folder("first"), folder("second"));
    let config = |folder: &Path, listen| {
        let text = format!(
            "[server]\nallow_anonymous = true\nlisten = \"{listen}\"\n\
             [tls]\nmode = \"self-signed\"\nstate_dir = {folder:?}\n"
        );
        file("own.toml", &format!("{text}[log]\nformat = \"json\"\n"))
    };
    let config_file = config(&first, "127.0.0.1:0");
    let mut running = Running::start(program(&["serve", "--metrics-listen", "", "--config", &config_file]));
    let url = running.line().replacen("listening on https", "wss", 1);
    let fingerprint = running.line().rsplit(' ').next().expect("words").to_owned();
    // For this address another certificate is made at a start.
    config(&second, "192.0.2.1:0");
    running.signal("-HUP");
    let line = running.log_line("taken with the next start");
    assert!(line.contains("server.listen") && line.contains("tls.state_dir"), "{line}");
    config(&first, "127.0.0.1:0");
    running.signal("-HUP");
    running.log_line("reloaded log.level");
    assert!(has(&url, &fingerprint));
    let log = running.stop_and_read_log();
    assert!(!log.contains("another certificate"), "{log}");
    assert!(first.exists() && !second.exists());
}

/// Vouches for clients.
fn authority() -> CertifiedIssuer<'static, KeyPair> {
    let mut params = CertificateParams::default();
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    params.key_usages = vec![KeyUsagePurpose::KeyCertSign];
    CertifiedIssuer::self_signed(params, KeyPair::generate().expect("a key")).expect("an authority")
}

#[test]
fn t20_who_vouches_for_clients_and_what_their_names_give_changes_with_a_hangup() {
    let (cert, key) = pair("clients");
    let ours = authority();
    let authorities = file("clients-ca.pem", &ours.pem());
    let rule = |name: &str| {
        let tls =
            format!("[tls]\nmode = \"files\"\ncert_file = {cert:?}\nkey_file = {key:?}\nclient_auth = \"optional\"\n");
        let rule = format!("[[access.certificate]]\ndns = {name:?}\nroles = \"device\"\ndevices = [\"{{name}}\"]\n");
        let text = format!("{tls}client_ca_file = {authorities:?}\n{rule}[log]\nformat = \"json\"\n");
        file("clients.toml", &text)
    };
    let config = rule("*.lab");
    let args = ["serve", "--metrics-listen", "", "--listen", "127.0.0.1:0", "--config", &config];
    let mut running = Running::start(program(&args));
    let url = running.line().replacen("listening on https", "wss", 1);
    let trust = Trust::fingerprint(running.line().rsplit(' ').next().expect("words")).expect("a fingerprint");
    let endpoint = Endpoint::parse(&url).and_then(|it| it.with_trust(trust)).expect("an address");
    let own_key = KeyPair::generate().expect("a key");
    let own = CertificateParams::new(["cam.lab".to_owned()]).expect("a name").signed_by(&own_key, &ours);
    let certificate = ClientCertificate::from_pem(&own.expect("signed").pem(), &own_key.serialize_pem());
    let device = endpoint.with_certificate(certificate.expect("a pair")).expect("is TLS");
    let runtime = runtime();
    let connect = || runtime.block_on(raw::connect(&device, "/register_device", &[]));
    let close_code = |mut conn: raw::RawConn| {
        runtime.block_on(async {
            loop {
                if let raw::RawEvent::Close(code, _) = timeout(PATIENCE, conn.next()).await?.expect("a close frame") {
                    return Ok::<_, Elapsed>(code);
                }
            }
        })
    };
    let mut hang_up = || {
        running.signal("-HUP");
        running.log_line("reloaded log.level");
    };
    let by_rule = connect().expect("let in");
    rule("*.other");
    hang_up();
    assert_eq!(close_code(by_rule), Ok(Some(4003)));
    assert!(matches!(connect(), Err(raw::ConnectError::Unauthenticated)));
    rule("*.lab");
    hang_up();
    let by_authority = connect().expect("let in again");
    file("clients-ca.pem", &authority().pem());
    hang_up();
    assert_eq!(close_code(by_authority), Ok(Some(4003)));
    assert!(connect().is_err());
}
