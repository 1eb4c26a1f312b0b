//! T47 and T57: one run in which everything secret and everything that peers say to each other is marked, at the level that tells
//! most; then the marks are looked for in everything that the program shows to anybody else.

use std::fs;
use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};

use crate::access::{bearer, config_with, in_an_hour, request, signed, token};
use crate::audit;
use crate::program::{file, file_with_mode, program, run, stderr, stdout};
use crate::threats::{Server, frame, get, text, until};

/// The longest line of a log (R11), with the place in the source and the time.
const MOST_LOGGED: usize = 1024;

/// A secret of an issuer, and one that signs resume tokens.
const SHARED: &str = "CANARY-shared-kQ9zX2mV5bN8cR1tY4uW6pL0";
const RESUME: &str = "CANARY-resume-kQ9zX2mV5bN8cR1tY4uW6pL0";

const HEADERS: &str = "user-agent: CANARY-agent\r\ncookie: a=CANARY-cookie\r\nx-forwarded-for: CANARY-for\r\n\
    referer: http://localhost/CANARY-referer\r\nauthorization-x: CANARY-header\r\n";
const UPGRADE: &str = "upgrade: websocket\r\nconnection: upgrade\r\nsec-websocket-version: 13\r\n\
    sec-websocket-key: dGhlIHNhbXBsZSBub25jZQ==\r\n";

/// What was marked, what came of it, and what the program has shown.
struct Run {
    server: Server,
    secrets: Vec<String>,
    shown: String,
}

impl Run {
    fn address(&self) -> String {
        self.server.public.to_string()
    }

    /// An upgraded connection that came with all the headers.
    fn websocket(&self, path: &str, credential: &str) -> TcpStream {
        let protocols = "sec-websocket-protocol: CANARY-protocol\r\n";
        let path = format!("{path}?CANARY-query=1");
        let mut stream = request(&self.address(), &path, &format!("{UPGRADE}{protocols}{HEADERS}{credential}"));
        let head = until(&mut stream, b"\r\n\r\n").expect("an answer");
        assert!(head.starts_with("HTTP/1.1 101"), "{head}");
        stream
    }

    /// What one who is not recognised, or asks for what is not there, is answered.
    fn ask(&mut self, path: &str, headers: &str) {
        let mut answer = String::new();
        let mut stream = request(&self.address(), path, &format!("connection: close\r\n{HEADERS}{headers}"));
        stream.read_to_string(&mut answer).expect("answers");
        self.shown += &answer;
    }

    fn metrics(&mut self, address: SocketAddr) {
        self.shown += &get(address, "/metrics");
    }
}

fn config(name: &str, format: &str, log: &str) -> (String, String) {
    let (_, tokens) = config_with(name, "");
    let shared = file_with_mode(&format!("{name}.secret"), SHARED, 0o600);
    let text = format!(
        "[access]\ntokens_file = {tokens:?}\ntoken_in_query = true\n\
         [[access.jwt]]\nissuer = \"https://login.example\"\nsecret_file = {shared:?}\n\
         [audit]\nfile = {log:?}\nrefusals_per_second = 1000\n\
         [clients]\nresume_key = \"{RESUME}\"\nwait_ms = 0\n\
         [[ice.servers]]\nurls = [\"turn:turn.example\"]\nusername = \"u\"\ncredential = \"CANARY-turn\"\n\
         [log]\nlevel = \"trace\"\nformat = \"{format}\"\n"
    );
    (file(&format!("{name}.toml"), &text), tokens)
}

/// Everything that can be said: by peers that are let in, and by others.
fn talk(run: &mut Run, device_token: &str, client_token: &str) {
    let mut device = run.websocket("/register_device", &bearer(device_token));
    let info = r#"{"display":"CANARY-info"}"#;
    let register = format!(r#"{{"message_type":"register","device_id":"d","device_info":{info}}}"#);
    device.write_all(&text(&register)).expect("sent");
    until(&mut device, b"]}").expect("config");
    let mut client = run.websocket("/connect_client", &bearer(client_token));
    let connect = r#"{"message_type":"connect","device_id":"d","cuttlebone_resume":true,"x":"CANARY-key"}"#;
    client.write_all(&text(connect)).expect("sent");
    let greeting = until(&mut client, b"\"cuttlebone_resume\":\"").expect("a greeting");
    assert!(greeting.contains("CANARY-info") && greeting.contains("CANARY-turn"), "{greeting}");
    let resume = until(&mut client, b"\"").expect("a token");
    run.secrets.push(resume.trim_end_matches('"').to_owned());
    let offer = r#"{"message_type":"forward","payload":{"sdp":"v=0 CANARY-offer"}}"#;
    client.write_all(&text(offer)).expect("sent");
    let told = until(&mut device, b"CANARY-offer\"}}").expect("passed on");
    let id = told.rsplit("\"client_id\":").next().and_then(|rest| rest.split(',').next()).expect("an id").to_owned();
    let answer = format!(r#"{{"message_type":"forward","client_id":{id},"payload":"CANARY-answer"}}"#);
    device.write_all(&text(&answer)).expect("sent");
    until(&mut client, b"CANARY-answer\"}").expect("passed on");
    client.write_all(&frame(0x89, b"CANARY-ping")).expect("sent");
    until(&mut client, b"CANARY-ping").expect("answered");
    let reason = [&1000_u16.to_be_bytes()[..], b"CANARY-reason"].concat();
    client.write_all(&frame(0x88, &reason)).expect("sent");
    until(&mut device, b"client_disconnected").expect("told");
    for (first, bad) in [
        (0x81, &b"CANARY-nonsense"[..]),
        (0x82, b"CANARY-binary"),
        (0x81, b"\xffCANARY-bytes"),
        (0x83, b"CANARY-opcode"),
        (0x81, br#"{"message_type":"CANARY-type"}"#),
        (0x81, br#"{"message_type":"connect","device_id":"","x":"CANARY-empty"}"#),
        (0x81, br#"{"message_type":"connect","device_id":"none","cuttlebone_resume":"CANARY-resumed"}"#),
        (0x81, br#"{"message_type":"forward","payload":"CANARY-early"}"#),
    ] {
        let mut peer = run.websocket("/connect_client", &bearer(client_token));
        peer.write_all(&[frame(first, bad), frame(0x88, &reason)].concat()).expect("sent");
        let _ = peer.read_to_end(&mut Vec::new());
    }
}

fn knock(run: &mut Run, client_token: &str) {
    let claims = format!(
        r#"{{"iss":"https://login.example","sub":"ann","exp":{},"cuttlebone_roles":"observer"}}"#,
        in_an_hour()
    );
    let good = signed(SHARED, &claims);
    let bad = signed("CANARY-another-secret", &claims);
    for token in [client_token, &good, &bad, "CANARY-token", &format!("cbt_{}", "CANARY".repeat(7))] {
        let signature = token.rsplit('.').next().unwrap_or(token).trim_start_matches("cbt_");
        assert!(signature.len() > 10, "nothing else has it by chance");
        run.secrets.push(signature.to_owned());
        run.ask(&format!("/devices/none?access_token={token}"), "");
        run.ask("/devices/none", &bearer(token));
        run.ask("/devices/none", &format!("cookie: cuttlebone={token}\r\norigin: http://CANARY-origin.example\r\n"));
        run.ask(
            "/connect_client",
            &format!("{UPGRADE}sec-websocket-protocol: bearer.{token}\r\norigin: http://canary\r\n"),
        );
    }
    for path in ["/CANARY-path", "/%43ANARY/..", "/devices?CANARY"] {
        run.ask(path, "");
    }
    // What is no HTTP at all.
    let mut stream = TcpStream::connect(run.server.public).expect("accepted");
    stream.write_all(b"\x16\x03\x01CANARY-tls\r\n\r\n").expect("sent");
    let mut answer = Vec::new();
    let _ = stream.read_to_end(&mut answer);
    run.shown += &String::from_utf8_lossy(&answer);
}

#[test]
fn t47_t57_no_secret_and_nothing_that_peers_say_is_in_any_output() {
    for format in ["json", "text"] {
        let name = format!("canary-{format}");
        let log = file_with_mode(&format!("{name}.jsonl"), "", 0o600);
        let (config, tokens) = config(&name, format, &log);
        let device_token = token("cam-7", "device", &tokens);
        let client_token = token("ann", "client", &tokens);
        let hashes = fs::read_to_string(&tokens).expect("reads");
        let mut shown = String::new();
        for command in ["check-config", "print-config"] {
            let output = run(&[command, "--config", &config]);
            assert!(output.status.success(), "{}", stderr(&output));
            shown += &(stdout(&output) + &stderr(&output));
        }
        let args = ["serve", "--config", &config, "--listen", "127.0.0.1:0", "--metrics-listen", "127.0.0.1:0"];
        let server = Server::from(program(&args));
        let metrics = server.metrics;
        let mut secrets = vec!["CANARY".to_owned(), "canary.example".to_owned()];
        secrets.extend(hashes.split("sha256:").filter_map(|line| Some(line.get(..64)?.to_owned())));
        secrets.push(device_token["cbt_".len()..].to_owned());
        let mut run = Run { server, secrets, shown };
        talk(&mut run, &device_token, &client_token);
        knock(&mut run, &client_token);
        run.server.running.signal("-HUP");
        // A configuration that can't be read, with a secret where it does not belong.
        fs::write(&config, format!("[clients]\nresume_key = \"CANARY\"\n[log]\nCANARY-{SHARED}\n")).expect("writes");
        run.server.running.signal("-HUP");
        run.metrics(metrics);
        let Run { server, secrets, mut shown } = run;
        let mut running = server.running;
        shown += &running.log_until("kept the old configuration");
        running.signal("-TERM");
        shown += &running.rest_of_output();
        let log_text = running.stop_and_read_log();
        shown += &log_text;
        let audited = fs::read_to_string(&log).expect("reads");
        assert!(audit::lines(&audited).len() > 20, "{audited}");
        shown += &audited;
        assert!(shown.contains("not recognised") && shown.contains("device registered"), "the log was read");
        let long =
            shown.lines().filter(|line| line.contains("cuttlebone_server::")).find(|line| line.len() > MOST_LOGGED);
        assert_eq!(long, None, "R11");
        for secret in &secrets {
            let around = shown.lines().find(|line| line.contains(secret.as_str()));
            assert_eq!(around, None, "{secret} is shown ({format})");
        }
    }
}
