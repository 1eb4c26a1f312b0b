//! T42 and T43: requests that two readers may understand in two ways, and paths that lead out.

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio::time::timeout;

use crate::support::{PATIENCE, Running};

/// What is hidden in a request: if it were answered, there would be a second answer.
const HIDDEN: &str = "GET /livez HTTP/1.1\r\nhost: a\r\n\r\n";
const UPGRADE: &str = "host: localhost\r\nupgrade: websocket\r\nconnection: upgrade\r\nsec-websocket-version: 13\r\n\
                       sec-websocket-key: dGhlIHNhbXBsZSBub25jZQ==\r\n";

/// Everything that comes back to these bytes, to the end: the server has to close by itself.
async fn exchange(server: &Running, bytes: &[u8]) -> String {
    let mut socket = TcpStream::connect(server.addr).await.expect("accepted");
    socket.write_all(bytes).await.expect("sent");
    let mut answer = Vec::new();
    // A reset behind the answer is a close as well.
    let _ = timeout(PATIENCE, socket.read_to_end(&mut answer)).await.expect("closed");
    String::from_utf8_lossy(&answer).into_owned()
}

/// The statuses of all answers in it.
fn statuses(answer: &str) -> Vec<u16> {
    let lines = answer.match_indices("HTTP/1.");
    lines.filter_map(|(at, _)| answer.get(at + 9..at + 12)?.parse().ok()).collect()
}

#[tokio::test]
async fn t42_request_hidden_behind_an_upgrade_is_not_answered() {
    let server = Running::start();
    let length = HIDDEN.len();
    for head in [
        format!("GET /connect_client HTTP/1.1\r\n{UPGRADE}content-length: 30\r\n\r\n"),
        format!("GET /connect_client HTTP/1.1\r\n{UPGRADE}content-length: {length}\r\n\r\n"),
        format!("GET /register_device HTTP/1.1\r\n{UPGRADE}transfer-encoding: chunked\r\n\r\n{length:x}\r\n"),
        format!("POST /connect_client HTTP/1.1\r\n{UPGRADE}content-length: {length}\r\n\r\n"),
        // One that fails as an upgrade: what comes next is no WebSocket, but it is no request either.
        format!("GET /connect_client HTTP/1.1\r\nhost: a\r\nupgrade: websocket\r\ncontent-length: {length}\r\n\r\n"),
    ] {
        let answer = exchange(&server, format!("{head}{HIDDEN}").as_bytes()).await;
        let seen = statuses(&answer);
        assert!(seen.len() == 1 && (400..500).contains(&seen[0]), "{head}: {answer}");
        assert!(answer.to_ascii_lowercase().contains("connection: close"), "{head}: {answer}");
    }
    assert_eq!(server.metric("cuttlebone_connections{role=\"client\"}").await, 0);
}

/// What follows a good upgrade at once is frames, whatever it looks like.
#[tokio::test]
async fn t42_request_behind_a_good_upgrade_is_a_broken_frame() {
    let server = Running::start();
    let answer = exchange(&server, format!("GET /connect_client HTTP/1.1\r\n{UPGRADE}\r\n{HIDDEN}").as_bytes()).await;
    assert_eq!(statuses(&answer), [101], "{answer}");
    assert!(!answer.contains("ok\n"), "{answer}");
}

#[tokio::test]
async fn t42_ambiguous_framing_is_refused_and_closed() {
    let server = Running::start();
    for head in [
        "POST /devices HTTP/1.1\r\nhost: a\r\ncontent-length: 4\r\ntransfer-encoding: chunked",
        "POST /devices HTTP/1.1\r\nhost: a\r\ntransfer-encoding: chunked\r\ncontent-length: 4",
        "POST /devices HTTP/1.1\r\nhost: a\r\ntransfer-encoding: xchunked",
        "POST /devices HTTP/1.1\r\nhost: a\r\ntransfer-encoding: chunked, identity",
        "POST /devices HTTP/1.1\r\nhost: a\r\ntransfer-encoding: identity",
        "POST /devices HTTP/1.1\r\nhost: a\r\ntransfer-encoding : chunked",
        "POST /devices HTTP/1.1\r\nhost: a\r\ntransfer-encoding:\u{b}chunked",
        "POST /devices HTTP/1.0\r\nhost: a\r\ntransfer-encoding: chunked",
        "POST /devices HTTP/1.1\r\nhost: a\r\ncontent-length: 4\r\ncontent-length: 5",
        "POST /devices HTTP/1.1\r\nhost: a\r\ncontent-length: 4, 5",
        "POST /devices HTTP/1.1\r\nhost: a\r\ncontent-length: +4",
        "POST /devices HTTP/1.1\r\nhost: a\r\ncontent-length: 0x4",
        "POST /devices HTTP/1.1\r\nhost: a\r\n content-length: 4",
        "GET /devices HTTP/1.1\r\nhost: a\r\nx: y\r\n folded",
        "GET /devices HTTP/1.1\r\nhost: a\r\nx: y\r\n\tfolded",
        "GET /devices HTTP/1.1\r\nhost: a\r\nhost: b",
        "GET /devices HTTP/1.1\r\nhost: a\r\nx\0: y",
        "GET /devices HTTP/1.1\r\nhost: a\r\nx: a\rb",
        "GET /devices HTTP/1.1 \r\nhost: a",
        "GET /devices\tHTTP/1.1\r\nhost: a",
    ] {
        let answer = exchange(&server, format!("{head}\r\n\r\n0\r\n\r\n{HIDDEN}").as_bytes()).await;
        let seen = statuses(&answer);
        assert!(seen.len() == 1 && seen[0] >= 400, "{head:?}: {answer}");
    }
}

#[tokio::test]
async fn t42_line_ends_with_cr_lf_and_nothing_else() {
    let server = Running::start();
    for text in [
        "GET /livez HTTP/1.1\nhost: localhost\n\n",
        "GET /livez HTTP/1.1\r\nhost: localhost\r\nx: y\nz: z\r\n\r\n",
        "GET /livez HTTP/1.1\r\nhost: localhost\r\nx: y\n\nGET /x HTTP/1.1\r\nhost: localhost\r\n\r\n",
        "GET /livez HTTP/1.1\r\nhost: localhost\r\n\n",
        "\nGET /livez HTTP/1.1\r\nhost: localhost\r\n\r\n",
        "GET /livez HTTP/1.1\rhost: localhost\r\r",
    ] {
        assert_eq!(statuses(&exchange(&server, text.as_bytes()).await), [400], "{text:?}");
    }
    let good = "\r\nGET /livez HTTP/1.1\r\nhost: localhost\r\n\r\n";
    let last = "GET /x HTTP/1.1\r\nhost: localhost\nconnection: close\r\n\r\n";
    assert_eq!(statuses(&exchange(&server, format!("{good}{good}{last}").as_bytes()).await), [200, 200, 400]);
    // What comes after a method that may have a body is not looked at: nothing comes after it.
    let post = "POST /api/v1/session HTTP/1.1\r\nhost: localhost\r\n\r\n";
    assert_eq!(statuses(&exchange(&server, format!("{post}{last}").as_bytes()).await).len(), 1);
}

#[tokio::test]
async fn t43_no_path_leads_out_of_the_embedded_files() {
    let server = Running::start();
    let up = [
        "..%2f",
        "%2e%2e%2f",
        "..%252f",
        "%252e%252e/",
        "..%5c",
        "..\\",
        "../",
        "..;/",
        "....//",
        "..%c0%af",
        "%u002e%u002e/",
    ];
    let mut paths: Vec<String> = up.iter().map(|up| format!("/{}etc/passwd", up.repeat(6))).collect();
    paths.extend(up.iter().map(|up| format!("/js/{}etc/passwd", up.repeat(6))));
    paths.extend(
        [
            "/%00",
            "/index.html%00.css",
            "/%00/etc/passwd",
            "//etc/passwd",
            "/etc/passwd",
            "/js//viewer.js",
            "/./index.html",
        ]
        .map(String::from),
    );
    paths.extend(
        ["/;/", "/index.html;/x", "/js/", "/js", "/.git/config", "/INDEX.HTML", "/index.html/", "/%69ndex.html"]
            .map(String::from),
    );
    for path in paths {
        let request = format!("GET {path} HTTP/1.1\r\nhost: localhost\r\nconnection: close\r\n\r\n");
        let answer = exchange(&server, request.as_bytes()).await;
        let seen = statuses(&answer);
        assert!(seen == [404] || seen == [400], "{path}: {answer}");
        assert!(!answer.contains("root:"), "{path}");
    }
    // An absolute path of another scheme is no file either.
    for target in ["file:///etc/passwd", "http://localhost/../../etc/passwd", "*", "localhost:80"] {
        let request = format!("GET {target} HTTP/1.1\r\nhost: localhost\r\nconnection: close\r\n\r\n");
        let answer = exchange(&server, request.as_bytes()).await;
        assert!(!answer.contains("root:") && statuses(&answer)[0] >= 400, "{target}: {answer}");
    }
}

/// T48: what is for those who run the server is on its own listener, and nothing that is not there is on the public one.
#[tokio::test]
async fn t48_public_listener_has_no_metrics_and_no_debugging() {
    let server = Running::start();
    assert!(server.metrics.ip().is_loopback());
    for path in [
        "/metrics",
        "/metrics/",
        "/debug",
        "/debug/pprof",
        "/debug/vars",
        "/admin",
        "/admin/",
        "/status",
        "/server-status",
        "/actuator",
    ] {
        for method in ["GET", "HEAD", "POST", "PUT", "OPTIONS", "TRACE"] {
            let request = format!("{method} {path} HTTP/1.1\r\nhost: localhost\r\nconnection: close\r\n\r\n");
            assert_eq!(statuses(&exchange(&server, request.as_bytes()).await), [404], "{method} {path}");
        }
    }
    for path in ["/devices", "/connect_client", "/register_device", "/", "/api/v1/whoami"] {
        assert_eq!(crate::support::get(server.metrics, path).await.status, 404, "{path} is none of the metrics'");
    }
}
