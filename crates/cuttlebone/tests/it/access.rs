//! Who is let in: the program, its files, and peers with and without a token.

use std::fs;
use std::io::{Read, Write};
use std::net::TcpStream;
use std::os::unix::fs::PermissionsExt;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use ring::hmac;

use crate::program::{Running, file, file_with_mode, program, run, stderr, stdout};

const PATIENCE: Duration = Duration::from_secs(20);
const UPGRADE: &str = "upgrade: websocket\r\nconnection: upgrade\r\nsec-websocket-version: 13\r\n\
    sec-websocket-key: dGhlIHNhbXBsZSBub25jZQ==\r\n";
/// A secret that a test looks for where it must not be.
const SECRET: &str = "CANARY-7f3kQ9zX2mV5bN8cR1tY4uW6pL0";

fn serve(config: &str) -> (Running, String) {
    serve_with(config, &[])
}

fn serve_with(config: &str, more: &[&str]) -> (Running, String) {
    let args = ["serve", "--config", config, "--listen", "127.0.0.1:0", "--metrics-listen", "", "--log-format", "json"];
    let mut running = Running::start(program(&[&args[..], more].concat()));
    let line = running.line();
    let address = line.strip_prefix("listening on http://").unwrap_or_else(|| panic!("{line:?}")).to_owned();
    (running, address)
}

/// The configuration `name` with a file of tokens; the paths of both. The file has the lines of `tokens`.
pub(crate) fn config_with(name: &str, tokens: &str) -> (String, String) {
    let tokens = file_with_mode(&format!("{name}.tokens"), tokens, 0o600);
    let config = file(&format!("{name}.toml"), &format!("[access]\ntokens_file = {tokens:?}\n"));
    (config, tokens)
}

/// Makes a token, and appends its line to a file.
pub(crate) fn token(name: &str, role: &str, tokens: &str) -> String {
    let args = ["token", "new", "--name", name, "--role", role, "--devices", "*", "--append-to", tokens];
    let output = run(&args);
    assert!(output.status.success(), "{}", stderr(&output));
    stdout(&output).trim_end().to_owned()
}

/// Sends the head of a request, with these header lines.
pub(crate) fn request(address: &str, path: &str, headers: &str) -> TcpStream {
    let mut stream = TcpStream::connect(address).expect("accepts");
    stream.set_read_timeout(Some(PATIENCE)).expect("set");
    write!(stream, "GET {path} HTTP/1.1\r\nhost: {address}\r\n{headers}\r\n").expect("writes");
    stream
}

pub(crate) fn bearer(token: &str) -> String {
    format!("authorization: Bearer {token}\r\n")
}

/// The status of a listing that is asked for with these header lines.
pub(crate) fn listing(address: &str, headers: &str) -> String {
    let mut answer = String::new();
    let mut stream = request(address, "/devices", &format!("connection: close\r\n{headers}"));
    stream.read_to_string(&mut answer).expect("answers");
    answer.split(' ').nth(1).expect("a status").to_owned()
}

/// A device that has the upgrade behind it, or what it was told instead.
pub(crate) fn device(address: &str, headers: &str) -> Result<TcpStream, String> {
    let mut stream = request(address, "/register_device", &format!("{UPGRADE}{headers}"));
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        let mut byte = [0];
        stream.read_exact(&mut byte).expect("answers");
        head.extend(byte);
    }
    let head = String::from_utf8(head).expect("text");
    let status = head.split(' ').nth(1).expect("a status");
    if status == "101" { Ok(stream) } else { Err(status.to_owned()) }
}

fn without_line_of(name: &str, tokens: &str) {
    let text = fs::read_to_string(tokens).expect("reads");
    let rest: Vec<&str> = text.lines().filter(|line| !line.contains(&format!("name={name} "))).collect();
    fs::write(tokens, rest.join("\n")).expect("writes");
}

/// A token with these claims, as an issuer that shares a secret makes it.
pub(crate) fn signed(secret: &str, claims: &str) -> String {
    let part = |text: &str| URL_SAFE_NO_PAD.encode(text);
    let message = format!("{}.{}", part(r#"{"alg":"HS256","typ":"JWT"}"#), part(claims));
    let key = hmac::Key::new(hmac::HMAC_SHA256, secret.as_bytes());
    format!("{message}.{}", URL_SAFE_NO_PAD.encode(hmac::sign(&key, message.as_bytes())))
}

#[expect(clippy::disallowed_methods, reason = "a real token for a real server expires in real time")]
pub(crate) fn in_an_hour() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).expect("after 1970").as_secs() + 3600
}

#[test]
fn who_has_a_token_is_let_in_until_its_line_is_gone() {
    let (config, tokens) = config_with("line", "# of bench 7\n");
    let ours = token("cam-7", "device", &tokens);
    let (mut running, address) = serve(&config);
    assert_eq!(device(&address, "").expect_err("nothing presented"), "401");
    assert_eq!(listing(&address, ""), "401");
    let other = format!("{}{}", &ours[..46], if ours.ends_with('A') { "E" } else { "A" });
    assert_eq!(device(&address, &bearer(&other)).expect_err("another token"), "401");
    let mut socket = device(&address, &bearer(&ours)).expect("let in");
    without_line_of("cam-7", &tokens);
    running.signal("-HUP");
    running.log_line("reloaded log.level");
    let mut last = Vec::new();
    socket.read_to_end(&mut last).expect("closed");
    assert!(last.windows(2).any(|pair| pair == 4003_u16.to_be_bytes()), "{last:?}");
    assert_eq!(device(&address, &bearer(&ours)).expect_err("revoked"), "401");
}

/// Otherwise a relay is of use to whoever is shut out, for as long as its credential is good.
#[test]
fn who_is_shut_out_is_not_told_of_the_relay_that_comes_at_the_same_time() {
    let (_, tokens) = config_with("relay", "");
    let ours = token("cam-7", "device", &tokens);
    let with_relay = |url: &str| {
        let server = format!("[[ice.servers]]\nurls = [\"turn:{url}\"]\nusername = \"u\"\ncredential = \"c\"\n");
        file("relay.toml", &format!("[access]\ntokens_file = {tokens:?}\n{server}"))
    };
    let (mut running, address) = serve(&with_relay("old.example"));
    let mut devices: Vec<TcpStream> = (0..20).map(|_| device(&address, &bearer(&ours)).expect("let in")).collect();
    for (number, device) in devices.iter_mut().enumerate() {
        let text = format!(r#"{{"message_type":"register","device_id":"cam-{number:02}"}}"#);
        device.write_all(&[0x81, 0x80 | text.len() as u8, 0, 0, 0, 0]).expect("writes");
        device.write_all(text.as_bytes()).expect("writes");
        let mut told = Vec::new();
        while !told.ends_with(b"}]}") {
            let mut byte = [0];
            device.read_exact(&mut byte).expect("answers");
            told.extend(byte);
        }
        assert!(String::from_utf8_lossy(&told).contains("turn:old.example"));
    }
    without_line_of("cam-7", &tokens);
    with_relay("new.example");
    running.signal("-HUP");
    running.log_line("reloaded log.level");
    for mut device in devices {
        let mut last = Vec::new();
        device.read_to_end(&mut last).expect("closed");
        assert!(!String::from_utf8_lossy(&last).contains("turn:"), "{}", String::from_utf8_lossy(&last));
    }
}

#[test]
fn file_that_changes_is_read_without_a_signal_and_a_bad_one_keeps_the_old() {
    let (config, tokens) = config_with("watched", "");
    let first = token("first", "client", &tokens);
    let (mut running, address) = serve(&config);
    assert_eq!(listing(&address, &bearer(&first)), "200");
    let second = token("second", "client", &tokens);
    let line = running.log_line("a file of access has changed: reloaded");
    assert!(line.contains("\"tokens\":2"), "{line}");
    assert_eq!(listing(&address, &bearer(&second)), "200");
    fs::write(&tokens, "nonsense\n").expect("writes");
    let line = running.log_line("a file of access has changed: kept the old");
    assert!(line.contains("watched.tokens, line 1"), "{line}");
    assert_eq!(listing(&address, &bearer(&second)), "200");
    fs::remove_file(&tokens).expect("removes");
    assert!(running.log_line("kept the old").contains("cannot read"));
    assert_eq!(listing(&address, &bearer(&first)), "200");
}

#[test]
fn who_is_revoked_is_let_in_no_more_although_a_token_says_so() {
    let (_, tokens) = config_with("revoked", "");
    let ours = token("cam-7", "client", &tokens);
    let revoked = file_with_mode("revoked.list", "", 0o600);
    let config = file("revoked.toml", &format!("[access]\ntokens_file = {tokens:?}\nrevoked_file = {revoked:?}\n"));
    let (mut running, address) = serve(&config);
    assert_eq!(listing(&address, &bearer(&ours)), "200");
    fs::write(&revoked, "token:cam-7\n").expect("writes");
    running.log_line("a file of access has changed: reloaded");
    assert_eq!(listing(&address, &bearer(&ours)), "401");
}

#[test]
fn one_bad_file_keeps_no_revocation_in_another_from_being_taken() {
    let (_, tokens) = config_with("apart", "");
    let [ann, bob] = ["ann", "bob"].map(|name| token(name, "client", &tokens));
    let revoked = file_with_mode("apart.list", "", 0o600);
    let text = format!("[access]\ntokens_file = {tokens:?}\nrevoked_file = {revoked:?}\n");
    let config = file("apart.toml", &text);
    let (mut running, address) = serve(&config);
    fs::write(&tokens, "nonsense\n").expect("writes");
    fs::write(&revoked, "token:ann\n").expect("writes");
    let line = running.log_line("kept the old of each that is faulty");
    assert!(line.contains("apart.tokens, line 1") && line.contains("\"tokens\":2"), "{line}");
    assert_eq!([&ann, &bob].map(|token| listing(&address, &bearer(token))), ["401", "200"]);
    fs::write(&revoked, "token:bob\n").expect("writes");
    running.signal("-HUP");
    running.log_line("kept the old configuration");
    running.log_line("the files of access are read: kept the old of each");
    assert_eq!([&ann, &bob].map(|token| listing(&address, &bearer(token))), ["200", "401"]);
}

#[test]
fn who_has_a_signed_token_of_a_known_issuer_is_let_in() {
    let secret = file_with_mode("jwt.secret", &format!("{SECRET}\n"), 0o600);
    let jwt = "[[access.jwt]]\nissuer = \"https://login.example\"\naudience = [\"cuttlebone\"]\n";
    let config = file("jwt.toml", &format!("{jwt}secret_file = {secret:?}\nroles_claim = \"groups\"\n"));
    let (mut running, address) = serve(&config);
    let claims = |issuer: &str| {
        let exp = in_an_hour();
        format!(
            r#"{{"iss":"{issuer}","sub":"ann","aud":"cuttlebone","exp":{exp},"groups":["client"],"cuttlebone_devices":"*"}}"#
        )
    };
    let ours = signed(SECRET, &claims("https://login.example"));
    assert_eq!(listing(&address, &bearer(&ours)), "200");
    assert_eq!(listing(&address, &bearer(&signed(SECRET, &claims("https://other.example")))), "401");
    assert_eq!(listing(&address, &bearer(&signed(&SECRET.to_lowercase(), &claims("https://login.example")))), "401");
    // The secret is changed: for a while both are good.
    let next = SECRET.to_lowercase();
    fs::write(&secret, format!("{next}\n{SECRET}\n")).expect("writes");
    running.log_line("a file of access has changed: reloaded");
    assert_eq!(listing(&address, &bearer(&ours)), "200");
    assert_eq!(listing(&address, &bearer(&signed(&next, &claims("https://login.example")))), "200");
}

#[test]
fn loopback_without_access_serves_everybody_and_says_so_and_access_is_for_the_next_start() {
    let config = file("none.toml", "[access]\n");
    let (mut running, address) = serve(&config);
    running.log_line("everybody on this machine may connect");
    assert_eq!(listing(&address, ""), "200");
    let (_, tokens) = config_with("later", "");
    let ours = token("ann", "client", &tokens);
    file("none.toml", &format!("[access]\ntokens_file = {tokens:?}\n"));
    running.signal("-HUP");
    running.log_line("whoever comes without a token is served until the next start");
    assert_eq!((listing(&address, ""), listing(&address, &bearer(&ours))), ("200".into(), "200".into()));
    let (_running, address) = serve(&config);
    assert_eq!((listing(&address, ""), listing(&address, &bearer(&ours))), ("401".into(), "200".into()));
}

#[test]
fn allow_anonymous_serves_who_comes_without_a_token_and_refuses_a_bad_one() {
    let (config, tokens) = config_with("both", "");
    let ours = token("ann", "observer", &tokens);
    let (_running, address) = serve_with(&config, &["--allow-anonymous"]);
    assert_eq!(listing(&address, ""), "200");
    assert_eq!(listing(&address, &bearer(&ours)), "200");
    assert_eq!(listing(&address, &bearer("CANARY")), "401");
}

#[test]
fn empty_file_lets_nobody_in_and_the_start_warns() {
    let (config, _) = config_with("empty", "# nobody yet\n");
    let (mut running, address) = serve(&config);
    assert!(running.log_line("there is none that is good").contains("WARN"));
    assert_eq!(listing(&address, ""), "401");
}

#[test]
fn hangup_names_the_keys_that_need_a_restart() {
    let config = file("restart.toml", "");
    let (mut running, _) = serve(&config);
    file("restart.toml", "[timeouts]\nping_ms = 7000\n[log]\nlevel = \"debug\"\n");
    running.signal("-HUP");
    let line = running.log_line("taken with the next start");
    assert!(line.contains("\"keys\":\"timeouts.ping_ms\""), "{line}");
}

#[test]
fn health_says_where_to_ask_when_it_is_asked_for_a_token() {
    let (config, _) = config_with("health", "");
    let (_running, address) = serve(&config);
    let output = run(&["health", "--url", &format!("http://{address}")]);
    assert_eq!(output.status.code(), Some(1));
    assert!(stderr(&output).contains("asks for a token"), "{}", stderr(&output));
}

/// T47: neither what is in a file nor what a peer presents is ever shown.
#[test]
fn t47_no_token_and_no_secret_is_shown_anywhere() {
    let (_, tokens) = config_with("canary", "");
    let ours = token("cam-7", "client", &tokens);
    let secret = file_with_mode("canary.secret", SECRET, 0o600);
    let jwt = format!("[[access.jwt]]\nissuer = \"https://login.example\"\nsecret_file = {secret:?}\n");
    let config = file(
        "canary.toml",
        &format!("[access]\ntokens_file = {tokens:?}\ntoken_in_query = true\n{jwt}[log]\nlevel = \"trace\"\n"),
    );
    let mut shown = String::new();
    for command in ["check-config", "print-config"] {
        let output = run(&[command, "--config", &config]);
        assert!(output.status.success(), "{}", stderr(&output));
        shown += &(stdout(&output) + &stderr(&output));
    }
    let (mut running, address) = serve(&config);
    let unsigned = format!("{}.e30.CANARY", &signed(SECRET, "{}"));
    for token in [ours.as_str(), &signed(SECRET, r#"{"iss":"https://login.example"}"#), &unsigned, "CANARY"] {
        listing(&address, &bearer(token));
        let _ = device(&address, &bearer(token));
        let _ = device(&address, &format!("sec-websocket-protocol: x, bearer.{token}\r\n"));
        let mut answer = String::new();
        let path = format!("/devices?access_token={token}");
        request(&address, &path, "connection: close\r\n").read_to_string(&mut answer).expect("answers");
        shown += &answer;
    }
    running.signal("-HUP");
    shown += &running.log_until("reloaded log.level");
    shown += &running.stop_and_read_log();
    assert!(shown.contains("not recognised"), "the log was read");
    let random = &ours["cbt_".len()..];
    let hash = fs::read_to_string(&tokens).expect("reads")["sha256:".len()..][..64].to_owned();
    for secret in ["CANARY", random, &hash] {
        assert!(!shown.contains(secret), "{secret} is in:\n{shown}");
    }
}

/// T47: a secret that others can read is none.
#[test]
fn t47_files_that_others_may_touch_are_refused_with_what_to_do() {
    let secret = file_with_mode("open.secret", SECRET, 0o644);
    let tokens = file_with_mode("writable.tokens", "", 0o664);
    let jwt = format!("[[access.jwt]]\nissuer = \"https://login.example\"\nsecret_file = {secret:?}\n");
    let config = file("open.toml", &format!("[access]\ntokens_file = {tokens:?}\n\n{jwt}"));
    let output = run(&["check-config", "--config", &config]);
    assert_eq!(output.status.code(), Some(78));
    let text = stderr(&output);
    for part in
        ["access.tokens_file: ", "chmod go-w ", "line 2)", "access.jwt[0].secret_file: ", "chmod go= ", "line 6)"]
    {
        assert!(text.contains(part), "{part} is not in:\n{text}");
    }
    assert!(!text.contains("CANARY"), "{text}");
    fs::set_permissions(&tokens, fs::Permissions::from_mode(0o644)).expect("is ours");
    fs::set_permissions(&secret, fs::Permissions::from_mode(0o400)).expect("is ours");
    let output = run(&["check-config", "--config", &config]);
    assert!(output.status.success(), "{}", stderr(&output));
}
