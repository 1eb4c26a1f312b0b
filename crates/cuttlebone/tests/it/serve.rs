use std::io::{Read, Write};
use std::net::TcpStream;
use std::process::{Command, Stdio};
use std::time::Duration;

use crate::program::{Running, file, program, run, stderr, stdout};

const QUIET: [&str; 5] = ["serve", "--listen", "127.0.0.1:0", "--metrics-listen", ""];

fn serve(more: &[&str]) -> (Running, String) {
    let mut running = Running::start(program(&[&QUIET[..], more].concat()));
    let line = running.line();
    let url = line.strip_prefix("listening on ").unwrap_or_else(|| panic!("{line:?}")).to_owned();
    (running, url)
}

fn get(url: &str, path: &str) -> String {
    let host = url.strip_prefix("http://").expect("plain HTTP");
    let mut stream = TcpStream::connect(host).expect("accepts");
    write!(stream, "GET {path} HTTP/1.1\r\nHost: {host}\r\nConnection: close\r\n\r\n").expect("writes");
    let mut answer = String::new();
    stream.read_to_string(&mut answer).expect("reads");
    answer
}

#[test]
fn serves_what_it_prints_and_stops_on_sigterm() {
    let (mut running, url) = serve(&[]);
    assert!(get(&url, "/devices").ends_with("[]"));
    assert!(get(&url, "/").contains("<html"));
    running.signal("-TERM");
    assert_eq!(running.line(), "", "standard output has one line only");
    assert_eq!(running.code(), Some(0));
}

#[test]
fn an_address_that_is_taken_is_named_with_its_key() {
    let (_running, url) = serve(&[]);
    let taken = url.strip_prefix("http://").expect("plain HTTP");
    for (listen, metrics, key) in [(taken, "", "server.listen"), ("127.0.0.1:0", taken, "server.metrics_listen")] {
        let second = run(&["serve", "--listen", listen, "--metrics-listen", metrics]);
        assert!(!second.status.success());
        let expected = format!("can't listen on {taken} ({key}), choose another");
        assert!(stderr(&second).contains(&expected), "{}", stderr(&second));
    }
}

#[test]
fn health_asks_a_running_server() {
    let (running, url) = serve(&[]);
    let ready = run(&["health", "--url", &url]);
    assert!(ready.status.success(), "{}{}", stdout(&ready), stderr(&ready));
    drop(running);
    let gone = run(&["health", "--url", &url]);
    assert_eq!(gone.status.code(), Some(1));
    assert!(stderr(&gone).contains("cannot reach"), "{}", stderr(&gone));
}

/// Whoever answers may be anybody, and what it says would be written to a terminal.
#[test]
fn health_waits_for_an_answer_no_longer_because_it_comes_in_pieces() {
    let listener = std::net::TcpListener::bind("127.0.0.1:0").expect("listens");
    let url = format!("http://{}", listener.local_addr().expect("bound"));
    let asked = program(&["health", "--url", &url]).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn();
    let asked = asked.expect("starts");
    let (mut socket, _) = listener.accept().expect("it asks");
    let mut pieces = 0;
    while socket.write_all(b"H").is_ok() {
        pieces += 1;
        assert!(pieces < 300, "it waits on and on");
        std::thread::sleep(Duration::from_millis(100));
    }
    let output = asked.wait_with_output().expect("ends");
    assert!(!output.status.success() && stderr(&output).contains("did not answer"), "{}", stderr(&output));
}

#[test]
fn health_shows_nothing_of_an_answer_that_is_none() {
    for answer in
        ["HTTP/1.1 \x1b]0;CANARY\x07 no\r\n\r\n", "HTTP/1.1 CANARY\r\n\r\n", "HTTP/1.1 2000 CANARY\r\n\r\n", "CANARY"]
    {
        let listener = std::net::TcpListener::bind("127.0.0.1:0").expect("listens");
        let url = format!("http://{}", listener.local_addr().expect("bound"));
        let asked = program(&["health", "--url", &url]).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn();
        let asked = asked.expect("starts");
        let (mut socket, _) = listener.accept().expect("it asks");
        socket.write_all(answer.as_bytes()).expect("answered");
        socket.shutdown(std::net::Shutdown::Write).expect("that was all");
        socket.read_to_end(&mut Vec::new()).expect("a request, and its end");
        let output = asked.wait_with_output().expect("ends");
        assert_eq!(output.status.code(), Some(1));
        let said = stdout(&output) + &stderr(&output);
        assert!(said.contains("does not answer in HTTP") && !said.contains("CANARY"), "{said}");
    }
}

#[test]
fn hangup_takes_a_new_log_level_and_keeps_the_old_when_the_file_is_bad() {
    let path = file("reload.toml", "[log]\nlevel = \"info\"\nformat = \"json\"\n");
    let (mut running, _) = serve(&["--config", &path]);
    file("reload.toml", "[log]\nlevel = \"debug\"\n");
    running.signal("-HUP");
    assert!(running.log_line("reloaded log.level").contains("debug"));
    file("reload.toml", "[log]\nlevel = \"loud\"\n");
    running.signal("-HUP");
    assert!(running.log_line("kept the old configuration").contains("log.level"));
}

#[test]
fn hangup_takes_new_ice_servers() {
    let path = file("ice.toml", "[ice]\nservers = []\n");
    let (mut running, url) = serve(&["--config", &path, "--log-format", "json"]);
    assert!(get(&url, "/infra_config").contains(r#""ice_servers":[]"#));
    file("ice.toml", "[[ice.servers]]\nurls = [\"stun:stun.example\"]\n");
    running.signal("-HUP");
    running.log_line("reloaded log.level, ice");
    assert!(get(&url, "/infra_config").contains("stun:stun.example"));
}

#[test]
fn a_self_signed_certificate_is_kept_and_its_fingerprint_printed() {
    let dir = format!("{}/certificate", env!("CARGO_TARGET_TMPDIR"));
    let path = file("tls.toml", &format!("[tls]\nstate_dir = {dir:?}\n"));
    let fingerprint = || {
        let (mut running, url) = serve(&["--config", &path, "--tls", "self-signed"]);
        assert!(url.starts_with("https://127.0.0.1:"), "{url}");
        running.line()
    };
    let first = fingerprint();
    assert!(first.starts_with("certificate fingerprint (SHA-256) "), "{first}");
    assert_eq!(first, fingerprint());
}

#[test]
fn a_taken_address_is_said_in_words() {
    let (_running, url) = serve(&[]);
    let output = run(&["serve", "--metrics-listen", "", "--listen", url.trim_start_matches("http://")]);
    assert_eq!(output.status.code(), Some(1));
    assert!(stderr(&output).contains("in use"), "{}", stderr(&output));
}

#[test]
fn what_a_peer_did_wrong_is_logged_for_debugging_with_its_address_and_not_otherwise() {
    let refused = |level: &str| {
        let path = file(&format!("{level}.toml"), &format!("[log]\nlevel = {level:?}\nformat = \"json\"\n"));
        let (running, url) = serve(&["--config", &path]);
        let host = url.strip_prefix("http://").expect("plain HTTP");
        let mut peer = TcpStream::connect(host).expect("accepts");
        write!(
            peer,
            "GET /connect_client HTTP/1.1\r\nHost: {host}\r\nUpgrade: websocket\r\nConnection: upgrade\r\n\
             Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n"
        )
        .expect("writes");
        // A text that is no JSON.
        peer.write_all(&[0x81, 0x81, 0, 0, 0, 0, b'x']).expect("writes");
        peer.read_to_end(&mut Vec::new()).expect("closes");
        let log = running.stop_and_read_log();
        let line = log.lines().find(|line| line.contains("invalid_json")).map(str::to_owned);
        (line, peer.local_addr().expect("an address").to_string())
    };
    let (line, address) = refused("debug");
    let line = line.expect("a line");
    assert!(line.contains("DEBUG") && line.contains(&address), "{line}");
    assert_eq!(refused("info").0, None);
}

#[test]
fn metrics_on_a_network_address_are_warned_of() {
    let mut running = Running::start(program(&["serve", "--listen", "127.0.0.1:0", "--metrics-listen", "0.0.0.0:0"]));
    assert!(running.line().starts_with("listening on"));
    let log = running.stop_and_read_log();
    assert!(log.contains("shown to whoever reaches this address") && log.contains("0.0.0.0:"), "{log}");
}

/// A file system that hangs is as a pipe that nobody writes to.
#[test]
fn reload_that_hangs_keeps_no_signal_from_being_heard() {
    let path = file(&format!("hangs-{}.toml", std::process::id()), "");
    let args = ["serve", "--config", &path, "--listen", "127.0.0.1:0", "--metrics-listen", ""];
    let mut running = Running::start(program(&args));
    running.line();
    std::fs::remove_file(&path).expect("removes");
    assert!(Command::new("mkfifo").arg(&path).status().expect("runs").success());
    running.signal("-HUP");
    // Opening it waits for a reader, so that the reload waits in it from here on.
    let mut writer = std::fs::OpenOptions::new().write(true).open(&path).expect("opens");
    writer.write_all(b"[log]\n").expect("writes");
    running.signal("-TERM");
    assert_eq!(running.code(), Some(0));
    std::fs::remove_file(&path).expect("removes");
}
