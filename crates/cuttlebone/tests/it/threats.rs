//! The attacks of docs/SECURITY_TESTS.md that are about the whole process, by their numbers.

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::process::{Command, Stdio};
use std::time::Duration;

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::task::JoinSet;
use tokio::time::{Instant, interval, timeout};

use crate::program::{Running, file, program};

const SECOND: Duration = Duration::from_secs(1);
const PATIENCE: Duration = Duration::from_secs(20);
const UPGRADE: &[u8] = b" HTTP/1.1\r\nhost: localhost\r\nupgrade: websocket\r\nconnection: upgrade\r\n\
    sec-websocket-version: 13\r\nsec-websocket-key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n";
const SERVE: [&str; 5] = ["serve", "--listen", "127.0.0.1:0", "--metrics-listen", "127.0.0.1:0"];

/// The program as a server, its log on a pipe.
pub(crate) struct Server {
    pub(crate) running: Running,
    pub(crate) public: SocketAddr,
    pub(crate) metrics: SocketAddr,
}

impl Server {
    fn start(variables: &[(&str, &str)]) -> Self {
        let mut command = program(&SERVE);
        command.envs(variables.iter().copied());
        Self::from(command)
    }

    pub(crate) fn from(command: Command) -> Self {
        let mut running = Running::start(command);
        let line = running.line();
        let public = line.strip_prefix("listening on http://").unwrap_or_else(|| panic!("{line:?}"));
        let log = running.log_line("serving /metrics");
        let port = log.rsplit("127.0.0.1:").next().expect("an address");
        let port: u16 = port.chars().take_while(char::is_ascii_digit).collect::<String>().parse().expect("a port");
        Self { running, public: public.parse().expect("an address"), metrics: ([127, 0, 0, 1], port).into() }
    }

    /// The value of one line of `/metrics`.
    fn metric(&self, series: &str) -> u64 {
        let page = get(self.metrics, "/metrics");
        let value = page.lines().find_map(|line| line.strip_prefix(series)?.trim().parse().ok());
        value.unwrap_or_else(|| panic!("{series} is not in\n{page}"))
    }

    fn resident(&self) -> u64 {
        self.metric("cuttlebone_process_resident_memory_bytes")
    }

    /// Processor time so far, in hundredths of a second.
    fn ticks(&self) -> u64 {
        let stat = std::fs::read_to_string(format!("/proc/{}/stat", self.running.id())).expect("it runs");
        let fields: Vec<&str> = stat.rsplit(") ").next().expect("fields").split(' ').collect();
        fields[11..=12].iter().map(|ticks| ticks.parse::<u64>().expect("ticks")).sum()
    }
}

fn connect(address: SocketAddr) -> TcpStream {
    let stream = TcpStream::connect(address).expect("accepted");
    stream.set_read_timeout(Some(PATIENCE)).expect("set");
    stream.set_write_timeout(Some(PATIENCE)).expect("set");
    stream
}

/// One answer, or what came of it.
pub(crate) fn get(address: SocketAddr, path: &str) -> String {
    let mut stream = connect(address);
    // A server that is full may have hung up already.
    let _ = write!(stream, "GET {path} HTTP/1.1\r\nhost: {address}\r\nconnection: close\r\n\r\n");
    let mut answer = Vec::new();
    let _ = stream.read_to_end(&mut answer);
    String::from_utf8_lossy(&answer).into_owned()
}

/// An upgraded connection; nothing if the server turned it away.
fn try_websocket(address: SocketAddr, path: &str) -> Option<TcpStream> {
    let mut stream = TcpStream::connect(address).ok()?;
    stream.set_read_timeout(Some(PATIENCE)).expect("set");
    stream.set_write_timeout(Some(PATIENCE)).expect("set");
    stream.write_all(&[b"GET ", path.as_bytes(), UPGRADE].concat()).ok()?;
    let head = until(&mut stream, b"\r\n\r\n")?;
    head.starts_with("HTTP/1.1 101").then_some(stream)
}

pub(crate) fn websocket(server: &Server, path: &str) -> TcpStream {
    try_websocket(server.public, path).expect("upgraded")
}

/// What comes up to the end of `mark`.
pub(crate) fn until(stream: &mut TcpStream, mark: &[u8]) -> Option<String> {
    let mut seen = Vec::new();
    let mut byte = [0];
    while !seen.ends_with(mark) {
        if stream.read(&mut byte).ok()? == 0 {
            return None;
        }
        seen.push(byte[0]);
    }
    Some(String::from_utf8_lossy(&seen).into_owned())
}

/// A masked frame with a key of zeros.
pub(crate) fn frame(first: u8, payload: &[u8]) -> Vec<u8> {
    let mut bytes = vec![first];
    match u8::try_from(payload.len()) {
        Ok(short @ ..=125) => bytes.push(0x80 | short),
        _ => {
            bytes.push(0x80 | 126);
            bytes.extend(u16::try_from(payload.len()).expect("short").to_be_bytes());
        }
    }
    bytes.extend([0; 4]);
    bytes.extend(payload);
    bytes
}

pub(crate) fn text(text: &str) -> Vec<u8> {
    frame(0x81, text.as_bytes())
}

/// Everything that still comes, to the end.
fn rest(mut stream: TcpStream) -> Vec<u8> {
    let mut seen = Vec::new();
    let _ = stream.read_to_end(&mut seen);
    seen
}

#[test]
fn t06_flood_of_pings_costs_no_memory() {
    let server = Server::start(&[]);
    let attack = || {
        let mut client = websocket(&server, "/connect_client");
        let begun = Instant::now();
        let _ = client.write_all(&frame(0x89, &[7; 125]).repeat(100_000));
        let seen = rest(client);
        assert!(begun.elapsed() < 2 * SECOND, "{:?}", begun.elapsed());
        assert!(seen.windows(23).any(|window| window == b"too_many_control_frames"), "{seen:?}");
    };
    // What the process needs once, and each of its threads, it has after the first.
    (0..3).for_each(|_| attack());
    let before = server.resident();
    (0..5).for_each(|_| attack());
    let grown = server.resident().saturating_sub(before);
    // An answer to each ping would be 60 MB.
    assert!(grown < 1 << 20, "{grown}");
}

#[test]
fn t08_announcement_of_a_huge_frame_costs_no_memory() {
    let server = Server::start(&[]);
    let attack = || {
        let mut client = websocket(&server, "/connect_client");
        client.write_all(&[vec![0x81, 0xff], (1_u64 << 62).to_be_bytes().into(), vec![0; 4]].concat()).expect("sent");
        let seen = rest(client);
        assert!(seen.ends_with(b"\x88\x02\x03\xf1"), "a close with 1009: {seen:?}");
    };
    // Each thread has its own share of memory, and the first attack may have been seen by one of them.
    (0..10).for_each(|_| attack());
    let before = server.resident();
    (0..20).for_each(|_| attack());
    let grown = server.resident().saturating_sub(before);
    assert!(grown < 256 << 10, "{grown}");
}

/// R4: fragments without an end cost no more than the longest message.
#[test]
fn r4_fragments_without_an_end_are_closed_at_the_limit_and_cost_no_more() {
    const LIMIT: u64 = 256 << 10;
    let server = Server::start(&[("CUTTLEBONE__LIMITS__CLIENT_BYTES_PER_SECOND", "0")]);
    let attack = || {
        let mut client = websocket(&server, "/connect_client");
        // Of 1 KiB each, 256 are as long as a message may be, and as many as there may be: the next is too many of either.
        client.write_all(&frame(0x01, &[b'['; 2048])).expect("sent");
        let _ = client.write_all(&frame(0x00, &[b'['; 2048]).repeat(10_000));
        let seen = rest(client);
        assert!(seen.windows(17).any(|window| window == b"message_too_large"), "{}", String::from_utf8_lossy(&seen));
        assert!(seen.ends_with(b"\x88\x02\x03\xf1"), "a close with 1009");
    };
    (0..10).for_each(|_| attack());
    let before = server.resident();
    (0..40).for_each(|_| attack());
    let grown = server.resident().saturating_sub(before);
    // The allocator keeps, for each of its threads, what one message took while it grew: up to 1.2 MiB in all, and then no more.
    assert!(grown <= 8 * LIMIT, "{grown}");
}

#[test]
fn r5_clients_that_come_and_go_leave_nothing_behind() {
    come_and_go(4_000);
}

#[test]
#[ignore = "takes minutes: by hand"]
fn r5_hundred_thousand_clients_that_come_and_go_leave_nothing_behind() {
    come_and_go(100_000);
}

/// R5: who has left leaves nothing behind.
fn come_and_go(clients: usize) {
    // The device says nothing all the while.
    let server = Server::start(&[("CUTTLEBONE__TIMEOUTS__IDLE_MS", "86400000")]);
    let mut device = websocket(&server, "/register_device");
    device.write_all(&text(r#"{"message_type":"register","device_id":"d"}"#)).expect("sent");
    until(&mut device, b"[]}").expect("config");
    let mut visit = |number: usize| {
        let mut client = websocket(&server, "/connect_client");
        let [connect, forward] =
            [r#"{"message_type":"connect","device_id":"d"}"#, r#"{"message_type":"forward","payload":1}"#];
        // With one write: the second of two would wait until the first is acknowledged.
        client.write_all(&[text(connect), text(forward)].concat()).expect("sent");
        let told = until(&mut device, b",\"payload\":1}").expect("told of it");
        let id = told.rsplit("\"client_id\":").next().and_then(|rest| rest.split(',').next()).expect("an id");
        assert!(id.parse::<i32>().is_ok_and(|id| id > 0), "{id} of client {number}");
        client.write_all(&frame(0x88, &1000_u16.to_be_bytes())).expect("sent");
        assert!(until(&mut device, b"}").expect("told").contains("client_disconnected"));
    };
    // What the process needs once, it has after the first ones.
    (0..1_000).for_each(&mut visit);
    let before = server.resident();
    (0..clients).for_each(&mut visit);
    let grown = server.resident().saturating_sub(before);
    assert!(grown < 1 << 20, "{grown} bytes for {clients} clients");
    assert_eq!(server.metric("cuttlebone_clients"), 0);
}

#[test]
fn t24_nothing_that_a_peer_sends_forges_a_log_line() {
    for format in ["json", "text"] {
        let server = Server::start(&[("CUTTLEBONE__LOG__FORMAT", format), ("CUTTLEBONE__LOG__LEVEL", "debug")]);
        let register = |id: &str| {
            let mut device = websocket(&server, "/register_device");
            device.write_all(&text(&format!(r#"{{"message_type":"register","device_id":"{id}"}}"#))).expect("sent");
            let mut head = [0; 40];
            device.read_exact(&mut head).expect("an answer");
            (device, String::from_utf8_lossy(&head).into_owned())
        };
        // The first has control characters, and is refused; the second has none, and steers a terminal all the same.
        let (refused, answer) = register(r"a\n2026 INFO forged\u001b[2J\u009b");
        assert!(answer.contains("Invalid device id"), "{answer}");
        let (registered, answer) = register(r"seen\u202e\u2066\u2028\u200f");
        assert!(answer.contains("config"), "{answer}");
        drop((refused, registered));
        let log = server.running.stop_and_read_log();
        assert!(log.contains("seen"), "the id is logged: {log}");
        assert!(log.contains("invalid_device_id"), "why the other was refused: {log}");
        assert!(!log.contains("forged"), "{log}");
        let bad = log.chars().find(|char| {
            char.is_control() && *char != '\n'
                || matches!(char, '\u{200e}'..='\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2066}'..='\u{2069}')
        });
        assert_eq!(bad, None, "{log:?}");
        if format == "json" {
            assert!(log.lines().all(|line| line.starts_with('{') && line.ends_with('}')), "{log}");
        }
    }
}

#[test]
fn t50_few_descriptors_leave_the_metrics_alone_and_cost_no_time() {
    let mut command = Command::new("sh");
    command.args(["-c", "ulimit -n 64 && exec \"$0\" \"$@\"", env!("CARGO_BIN_EXE_cuttlebone")]).args(SERVE);
    command.env_clear().stdin(Stdio::null());
    let server = Server::from(command);
    // Those that are turned away do not leave by themselves.
    let mut held: Vec<TcpStream> = (0..120).map(|_| connect(server.public)).collect();
    assert!(get(server.metrics, "/readyz").ends_with("ok\n"));
    for stream in &mut held {
        let _ = stream.write_all(&[b"GET /connect_client", UPGRADE].concat());
    }
    assert!(get(server.metrics, "/readyz").ends_with("ok\n"));
    let open = held.iter_mut().filter_map(|stream| until(stream, b"\r\n\r\n"));
    assert_eq!(open.filter(|head| head.starts_with("HTTP/1.1 101")).count(), 32, "as many as half of the limit");
    let (before, begun) = (server.ticks(), Instant::now());
    for _ in 0..20 {
        assert!(get(server.metrics, "/readyz").ends_with("ok\n"));
        assert_eq!(server.metric(r#"cuttlebone_connections{role="client"}"#), 32);
        std::thread::park_timeout(SECOND / 10);
    }
    let share = (server.ticks() - before) as f64 / 100.0 / begun.elapsed().as_secs_f64();
    assert!(share < 0.05, "{share} of a core");
    assert_eq!(server.metric(r#"cuttlebone_accept_errors_total{kind="exhausted"}"#), 0);
    drop(held);
    let freed = Instant::now();
    while try_websocket(server.public, "/connect_client").is_none() {
        assert!(freed.elapsed() < SECOND * 3 / 2, "not back in time");
    }
}

#[test]
fn t51_log_that_nobody_reads_holds_nobody_up() {
    let server = Server::start(&[("CUTTLEBONE__LOG__LEVEL", "trace"), ("CUTTLEBONE__LOG__FORMAT", "json")]);
    let mut slowest = Duration::ZERO;
    let begun = Instant::now();
    while server.metric("cuttlebone_dropped_log_lines_total") < 100 {
        assert!(begun.elapsed() < 3 * PATIENCE, "no line was dropped");
        for _ in 0..50 {
            let asked = Instant::now();
            // A connection is two lines in the log at least; the pipe holds 64 KiB of them.
            let mut client = websocket(&server, "/connect_client");
            client.write_all(&text(r#"{"message_type":"connect","device_id":"nobody"}"#)).expect("sent");
            assert!(client.read(&mut [0; 64]).is_ok_and(|read| read > 0));
            assert!(get(server.public, "/livez").ends_with("ok\n"));
            slowest = slowest.max(asked.elapsed());
        }
    }
    assert!(slowest < SECOND, "{slowest:?}");
    let mut running = server.running;
    let stopped = Instant::now();
    running.signal("-TERM");
    assert_eq!(running.code(), Some(0));
    assert!(stopped.elapsed() < 5 * SECOND, "{:?}", stopped.elapsed());
}

/// The program takes the wall clock from libfaketime, which is told anew by a file; the other clock it has as it is.
#[test]
fn t54_wall_clock_that_jumps_closes_nothing() {
    let offset = file("t54-offset", "+0");
    let mut command = program(&SERVE);
    command.envs([
        ("LD_PRELOAD", "/usr/$LIB/faketime/libfaketimeMT.so.1"),
        ("FAKETIME_TIMESTAMP_FILE", &offset),
        ("FAKETIME_NO_CACHE", "1"),
        ("FAKETIME_DONT_FAKE_MONOTONIC", "1"),
        ("CUTTLEBONE__TIMEOUTS__PING_MS", "200"),
        ("CUTTLEBONE__TIMEOUTS__IDLE_MS", "3000"),
    ]);
    let server = Server::from(command);
    let mut device = websocket(&server, "/register_device");
    device.write_all(&text(r#"{"message_type":"register","device_id":"d"}"#)).expect("sent");
    until(&mut device, b"[]}").expect("config");
    let mut client = websocket(&server, "/connect_client");
    client.write_all(&text(r#"{"message_type":"connect","device_id":"d"}"#)).expect("sent");
    let (start, begun) = (registered_at_ms(&server, "at-first"), Instant::now());
    // An hour ahead, back, an hour behind, and back.
    for (number, hours) in [1_i64, 0, -1, 0].into_iter().enumerate() {
        let seconds = hours * 3600;
        std::fs::write(&offset, format!("{seconds:+}")).expect("writes");
        // Whoever looks at a clock now and then does so in this time.
        std::thread::park_timeout(SECOND * 3 / 2);
        let jumped = registered_at_ms(&server, &format!("at-{number}")) - start - begun.elapsed().as_millis() as i64;
        assert!((jumped - seconds * 1000).abs() < 60_000, "{jumped} ms");
        let forward = |to: &str| text(&format!(r#"{{"message_type":"forward",{to}"payload":{number}}}"#));
        let heard = format!(",\"payload\":{number}}}");
        client.write_all(&forward("")).expect("sent");
        let told = until(&mut device, heard.as_bytes()).expect("the device is connected");
        let (_, id) = told.rsplit_once("\"client_id\":").expect("of whom");
        let id = id.split(',').next().expect("a number");
        device.write_all(&forward(&format!("\"client_id\":{id},"))).expect("sent");
        until(&mut client, heard.as_bytes()).expect("the client is connected");
    }
    assert_eq!(server.metric(r#"cuttlebone_connections{role="client"}"#), 1);
}

/// When a new device registers, by the wall clock of the server.
fn registered_at_ms(server: &Server, id: &str) -> i64 {
    let mut device = websocket(server, "/register_device");
    device.write_all(&text(&format!(r#"{{"message_type":"register","device_id":"{id}"}}"#))).expect("sent");
    until(&mut device, b"[]}").expect("config");
    let answer = get(server.public, &format!("/devices/{id}"));
    let at = answer.split("\"cuttlebone_registered_at_ms\":").nth(1).expect("the field");
    at.chars().take_while(char::is_ascii_digit).collect::<String>().parse().expect("a time")
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn t32_a_thousand_clients_are_back_soon_after_a_kill() {
    const CLIENTS: usize = 1000;
    let server = Server::start(&[]);
    let address = server.public;
    let held: Vec<TcpStream> = (0..CLIENTS).map(|_| websocket(&server, "/connect_client")).collect();
    // Dropping it kills it.
    drop(server);
    let mut command = program(&["serve", "--listen", &address.to_string(), "--metrics-listen", "127.0.0.1:0"]);
    // Few a second, so that most are turned away at first.
    command.envs([
        ("CUTTLEBONE__CONNECTIONS__ACCEPT_PER_SECOND", "200"),
        ("CUTTLEBONE__CONNECTIONS__ACCEPT_BURST", "100"),
    ]);
    let server = Server::from(command);
    let mut herd = JoinSet::new();
    for mut cut in held {
        herd.spawn(async move {
            assert!(!cut.read(&mut [0]).is_ok_and(|read| read > 0), "it was cut without a word");
            come_back(address).await
        });
    }
    let back = timeout(30 * SECOND, herd.join_all()).await.expect("back in time");
    assert_eq!(server.metric(r#"cuttlebone_connections{role="client"}"#), CLIENTS as u64);
    let refused = server.metric(r#"cuttlebone_refused_connections_total{reason="rate"}"#);
    assert_eq!(refused, back.iter().map(|(_, refused)| refused).sum::<u64>());
    assert!(refused > CLIENTS as u64 / 2, "they came at once: {refused}");
}

/// Tries until it is upgraded. Gives how often it was turned away.
async fn come_back(address: SocketAddr) -> (tokio::net::TcpStream, u64) {
    let mut tries = interval(SECOND / 4);
    for refused in 0.. {
        tries.tick().await;
        let Ok(mut stream) = tokio::net::TcpStream::connect(address).await else { continue };
        // Who is turned away may be hung up on at any point.
        let _ = stream.write_all(&[b"GET /connect_client", UPGRADE].concat()).await;
        let mut status = [0; 12];
        if stream.read_exact(&mut status).await.is_ok() && status == *b"HTTP/1.1 101" {
            return (stream, refused);
        }
    }
    unreachable!("it tries for ever")
}
