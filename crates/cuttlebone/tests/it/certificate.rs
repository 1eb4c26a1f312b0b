//! T41: the certificate changes while the program runs.

use std::path::{Path, PathBuf};
use std::time::Duration;

use cuttlebone_client::{Endpoint, Trust, raw};
use tokio::time::Instant;

use crate::program::{Running, file, file_with_mode, program, run, stderr};

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
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
    runtime.block_on(raw::Stream::open(&endpoint)).is_ok()
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
