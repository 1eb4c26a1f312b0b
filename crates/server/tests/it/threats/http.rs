//! Before the upgrade.

use std::collections::BTreeSet;
use std::time::Duration;

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio::time::{Instant, interval, timeout};

use crate::frames::RawWs;
use crate::support::{PATIENCE, Peer, Running, get, request};

#[tokio::test]
async fn t03_a_thousand_half_requests_are_closed_at_the_deadline_and_others_are_served() {
    let limit = Duration::from_secs(4);
    let server = Running::with(|settings| settings.timeouts.handshake = limit);
    let mut slow = Vec::new();
    let begun = Instant::now();
    for _ in 0..1000 {
        let mut peer = Peer::connect(server.addr).await;
        peer.send("GET / HTTP/1.1\r\nhost: localhost\r\n").await;
        slow.push((peer, Instant::now()));
    }
    let mut took = Vec::new();
    let mut tick = interval(Duration::from_millis(50));
    while took.len() < 4 || begun.elapsed() < limit / 2 {
        tick.tick().await;
        // They are not silent: a header now and then.
        for (peer, _) in slow.iter_mut().step_by(50) {
            let _ = peer.socket.write_all(b"x: y\r\n").await;
        }
        let asked = Instant::now();
        assert_eq!(server.get("/livez").await.status, 200);
        let _upgraded = RawWs::open(&server, "/connect_client").await;
        took.push(asked.elapsed());
    }
    for (peer, opened) in &mut slow {
        peer.drain().await;
        assert!(opened.elapsed() < limit + Duration::from_secs(2), "{:?}", opened.elapsed());
    }
    took.sort_unstable();
    // How fast on a quiet machine is for the benchmarks: here it is that they do not wait for the slow ones.
    assert!(took[took.len() / 2] < limit / 4, "{took:?}");
    server.until_metric(r#"cuttlebone_timeouts_total{which="handshake"}"#, |count| count == 1000).await;
}

/// All that an error may say; the ids are those that were asked for.
const FIXED: [&str; 12] = [
    r#"{"error":"Not found","cuttlebone_code":"not_found"}"#,
    r#"{"error":"Method not allowed","cuttlebone_code":"method_not_allowed"}"#,
    r#"{"error":"A request needs one Host header","cuttlebone_code":"bad_host"}"#,
    r#"{"error":"This listener is asked by address or as localhost","cuttlebone_code":"misdirected"}"#,
    r#"{"error":"No request body is accepted here","cuttlebone_code":"body_not_accepted"}"#,
    r#"{"error":"A WebSocket is opened with GET","cuttlebone_code":"method_not_allowed"}"#,
    r#"{"error":"A WebSocket is opened with HTTP/1.1","cuttlebone_code":"handshake_http_version"}"#,
    r#"{"error":"This is a WebSocket endpoint","cuttlebone_code":"handshake_not_upgrade"}"#,
    r#"{"error":"Only WebSocket version 13 is spoken here","cuttlebone_code":"handshake_version"}"#,
    r#"{"error":"Sec-WebSocket-Key must be 16 bytes in base64","cuttlebone_code":"handshake_key"}"#,
    r#"{"error":"Device not found: '\u0000'","cuttlebone_code":"device_not_found"}"#,
    r#"{"error":"Device not found: 'none'","cuttlebone_code":"device_not_found"}"#,
];

/// Random bytes from a seed.
struct Dice(u64);

impl Dice {
    fn next(&mut self, below: u64) -> u64 {
        self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (self.0 >> 33) % below
    }

    fn pick<'a>(&mut self, from: &[&'a str]) -> &'a str {
        from[self.next(from.len() as u64) as usize]
    }

    /// A request of pieces that are good by themselves, now and then with a byte changed.
    fn request(&mut self) -> Vec<u8> {
        let method = self.pick(&["GET", "POST", "HEAD", "OPTIONS", "TRACE", "CONNECT", "get", "PUT", "\0", ""]);
        let path = self.pick(&[
            "/",
            "/devices",
            "/devices/%00",
            "/devices/none",
            "/register_device",
            "/connect_client",
            "/..%2f..%2fetc/passwd",
            "/metrics",
            "*",
            "http://other/",
            "/x?%ff",
            "",
        ]);
        let version = self.pick(&["HTTP/1.1", "HTTP/1.0", "HTTP/2.0", "HTTP/9", ""]);
        let mut bytes = format!("{method} {path} {version}\r\n").into_bytes();
        if self.next(8) > 0 {
            bytes.extend(b"host: localhost\r\n");
        }
        if self.next(3) == 0 {
            bytes.extend(b"upgrade: websocket\r\nconnection: upgrade\r\n");
        }
        for _ in 0..self.next(4) {
            let header = self.pick(&[
                "host: \u{ff}",
                "content-length: 5",
                "content-length: -1",
                "transfer-encoding: chunked",
                "upgrade: websocket",
                "connection: upgrade",
                "sec-websocket-version: 13",
                "sec-websocket-key: x",
                "expect: 100-continue",
                "\u{1}: x",
                " folded",
            ]);
            bytes.extend(header.as_bytes());
            bytes.extend(b"\r\n");
        }
        bytes.extend(b"\r\n");
        if self.next(3) == 0 {
            let at = self.next(bytes.len() as u64) as usize;
            bytes[at] = self.next(256) as u8;
        }
        bytes
    }
}

/// Everything that comes back, our side ended.
async fn exchange(server: &Running, bytes: &[u8]) -> String {
    let mut socket = TcpStream::connect(server.addr).await.expect("accepted");
    let _ = socket.write_all(bytes).await;
    let _ = socket.shutdown().await;
    let mut answer = Vec::new();
    let _ = timeout(PATIENCE, socket.read_to_end(&mut answer)).await.expect("an end");
    String::from_utf8_lossy(&answer).into_owned()
}

#[tokio::test]
async fn t49_no_error_says_more_than_one_of_a_few_fixed_texts() {
    let server = Running::start();
    let mut dice = Dice(7);
    let mut errors = BTreeSet::new();
    for _ in 0..500 {
        let bytes = dice.request();
        let answer = exchange(&server, &bytes).await;
        let (head, body) = answer.split_once("\r\n\r\n").unwrap_or((&answer, ""));
        let head = head.to_ascii_lowercase();
        assert!(!head.contains("\r\nserver:") && !head.contains("x-powered-by"), "{head}");
        assert!(!head.contains(" 500 "), "{head} for {:?}", String::from_utf8_lossy(&bytes));
        let status: u16 = head.split(' ').nth(1).and_then(|status| status.parse().ok()).unwrap_or_default();
        if status >= 400 {
            errors.insert(body.to_owned());
        }
    }
    // Where there is no text, it is hyper that refused.
    errors.remove("");
    let unknown: Vec<_> = errors.iter().filter(|error| !FIXED.contains(&error.as_str())).collect();
    assert!(unknown.is_empty(), "{unknown:?}");
    assert!(errors.len() >= 5, "{errors:?}");
    assert_eq!(server.metric("cuttlebone_panics_total").await, 0);
}

#[tokio::test]
async fn t58_handshakes_that_are_none_are_refused_and_others_have_only_two_paths() {
    let server = Running::start();
    let upgrade = |method: &str, path: &str, version: &str, key: &str| {
        format!(
            "{method} {path} HTTP/1.1\r\nhost: localhost\r\nupgrade: websocket\r\nconnection: upgrade\r\n\
             sec-websocket-version: {version}\r\nsec-websocket-key: {key}\r\n\r\n"
        )
    };
    const KEY: &str = "dGhlIHNhbXBsZSBub25jZQ==";
    for path in ["/register_device", "/connect_client"] {
        assert_eq!(request(server.addr, &upgrade("POST", path, "13", KEY)).await.status, 405);
        let answer = request(server.addr, &upgrade("GET", path, "12", KEY)).await;
        assert_eq!((answer.status, answer.header("sec-websocket-version")), (426, "13"));
        assert_eq!(request(server.addr, &upgrade("GET", path, "13", "c2hvcnQ=")).await.status, 400);
    }
    for path in ["/", "/register_device/", "/connect_client/x", "/Connect_client", "/devices", "//connect_client"] {
        let answer = request(server.addr, &upgrade("GET", path, "13", KEY)).await;
        assert!(answer.status == 404 || answer.status == 200, "{path}: {}", answer.status);
    }
    assert_eq!(get(server.addr, "/connect_client").await.status, 426);
}
