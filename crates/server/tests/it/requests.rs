//! HTTP as such: methods, bodies, kept connections, headers of all answers.

use tokio::io::AsyncWriteExt as _;

use crate::support::{Peer, Running, get, request};

#[tokio::test]
async fn unknown_paths_are_404_with_json() {
    let server = Running::start();
    for path in ["/nothing", "/metrics", "/debug", "/admin", "/devices/", "/api/v1", "/register_device/x"] {
        let answer = server.get(path).await;
        assert_eq!((answer.status, answer.header("content-type")), (404, "application/json"), "{path}");
        assert!(answer.text().starts_with(r#"{"error":""#), "{path}: {}", answer.text());
    }
}

#[tokio::test]
async fn other_methods_are_405_and_say_what_is_allowed() {
    let server = Running::start();
    for path in ["/devices", "/infra_config", "/livez", "/register_device", "/connect_client", "/index.html"] {
        let answer = request(server.addr, &format!("DELETE {path} HTTP/1.1\r\nhost: localhost\r\n\r\n")).await;
        assert_eq!(answer.status, 405, "{path}");
        assert!(answer.header("allow").contains("GET"), "{path}: {:?}", answer.headers);
        assert_eq!(answer.text(), r#"{"error":"Method not allowed","cuttlebone_code":"method_not_allowed"}"#);
    }
}

#[tokio::test]
async fn every_answer_carries_the_security_headers_and_no_name_of_the_server() {
    let server = Running::start();
    for (addr, path) in [
        (server.addr, "/"),
        (server.addr, "/devices"),
        (server.addr, "/nothing"),
        (server.addr, "/devices/none"),
        (server.addr, "/register_device"),
        (server.metrics, "/metrics"),
    ] {
        let answer = get(addr, path).await;
        let policy = answer.header("content-security-policy");
        assert!(policy.starts_with("default-src 'none'; script-src 'self';"), "{path}: {policy}");
        assert!(policy.contains("media-src 'self' blob:") && policy.contains("frame-ancestors 'none'"), "{policy}");
        assert!(!policy.contains("unsafe"), "{policy}");
        assert_eq!(answer.header("x-content-type-options"), "nosniff", "{path}");
        assert_eq!(answer.header("referrer-policy"), "no-referrer", "{path}");
        for name in ["cross-origin-opener-policy", "cross-origin-resource-policy"] {
            assert_eq!(answer.header(name), "same-origin", "{path}: {name}");
        }
        assert!(answer.headers.get("server").is_none(), "{path}");
    }
}

#[tokio::test]
async fn a_body_is_refused_and_never_read_as_a_request() {
    let server = Running::start();
    let smuggled = "GET /livez HTTP/1.1\r\nhost: localhost\r\n\r\n";
    let length = smuggled.len();
    for (request, status) in [
        (format!("GET /devices HTTP/1.1\r\nhost: localhost\r\ncontent-length: {length}\r\n\r\n{smuggled}"), 413),
        (format!("POST /devices HTTP/1.1\r\nhost: localhost\r\ncontent-length: {length}\r\n\r\n{smuggled}"), 413),
        (
            "GET /devices HTTP/1.1\r\nhost: localhost\r\ntransfer-encoding: chunked\r\n\r\n1\r\nx\r\n0\r\n\r\n".into(),
            413,
        ),
    ] {
        let mut peer = Peer::connect(server.addr).await;
        peer.send(&request).await;
        let answer = peer.answer().await;
        assert_eq!((answer.status, answer.header("connection")), (status, "close"), "{request}");
        assert!(peer.is_closed().await, "one answer only");
    }
}

#[tokio::test]
async fn ambiguous_requests_are_400() {
    let server = Running::start();
    for head in [
        "GET / HTTP/1.1\r\ncontent-length: 5\r\ntransfer-encoding: xchunked",
        "GET / HTTP/1.1\r\nhost: localhost\r\n folded: x",
        "GET / HTTP/1.1\r\nhost : x",
        "GET / HTTP/1.1\r\ncontent-length: 1\r\ncontent-length: 2",
        "\u{16}\u{3}\u{1}",
    ] {
        let answer = request(server.addr, &format!("{head}\r\n\r\n")).await;
        assert_eq!(answer.status, 400, "{head}");
    }
}

#[tokio::test]
async fn a_connection_is_kept_for_more_requests() {
    let server = Running::start();
    let mut peer = Peer::connect(server.addr).await;
    for _ in 0..3 {
        peer.send("GET /livez HTTP/1.1\r\nhost: localhost\r\n\r\n").await;
        assert_eq!(peer.answer().await.text(), "ok\n");
    }
}

#[tokio::test]
async fn a_peer_that_ends_its_side_after_the_request_gets_its_answer() {
    let server = Running::start();
    let mut peer = Peer::connect(server.addr).await;
    peer.send("GET /viewer.html HTTP/1.1\r\nhost: localhost\r\n\r\n").await;
    peer.socket.shutdown().await.expect("half closed");
    assert_eq!(peer.answer().await.status, 200);
    assert!(peer.is_closed().await);
}

#[tokio::test]
async fn head_has_no_body() {
    let server = Running::start();
    let mut peer = Peer::connect(server.addr).await;
    peer.send("HEAD /devices HTTP/1.1\r\nhost: localhost\r\nconnection: close\r\n\r\n").await;
    assert_eq!(peer.head().await.status, 200);
    assert!(peer.is_closed().await);
}

#[tokio::test]
async fn alive_and_ready() {
    let server = Running::start();
    for path in ["/livez", "/readyz"] {
        assert_eq!(server.get(path).await.text(), "ok\n", "{path}");
    }
}

#[tokio::test]
async fn a_request_names_its_host_once() {
    let server = Running::start();
    for addr in [server.addr, server.metrics] {
        for hosts in ["", "host: localhost\r\nhost: localhost\r\n", "host: a@localhost\r\n"] {
            let answer = request(addr, &format!("GET /livez HTTP/1.1\r\n{hosts}\r\n")).await;
            let expected = r#"{"error":"A request needs one Host header","cuttlebone_code":"bad_host"}"#;
            assert_eq!((answer.status, answer.text().as_str()), (400, expected), "{hosts}");
        }
        assert_eq!(request(addr, "GET /livez HTTP/1.0\r\n\r\n").await.status, 200);
    }
    assert_eq!(request(server.addr, "GET /livez HTTP/1.1\r\nhost:\r\n\r\n").await.status, 200);
}
