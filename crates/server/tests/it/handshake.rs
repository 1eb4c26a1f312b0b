//! The upgrade to a WebSocket.

use tokio::io::AsyncWriteExt as _;

use crate::support::{Answer, Peer, Running, request};

const PATHS: [&str; 2] = ["/register_device", "/connect_client"];

/// An upgrade with one header changed; an empty value leaves it out.
fn upgrade(path: &str, name: &str, value: &str) -> String {
    let mut text = format!("GET {path} HTTP/1.1\r\n");
    let mut headers = vec![
        ("host", "localhost"),
        ("upgrade", "websocket"),
        ("connection", "Upgrade"),
        ("sec-websocket-version", "13"),
        ("sec-websocket-key", "dGhlIHNhbXBsZSBub25jZQ=="),
    ];
    headers.retain(|(known, _)| *known != name);
    headers.push((name, value));
    for (name, value) in headers.iter().filter(|(_, value)| !value.is_empty()) {
        text.push_str(&format!("{name}: {value}\r\n"));
    }
    text + "\r\n"
}

async fn answer(server: &Running, text: &str) -> Answer {
    let mut peer = Peer::connect(server.addr).await;
    peer.send(text).await;
    peer.head().await
}

#[tokio::test]
async fn good_upgrade_is_101_without_an_extension() {
    let server = Running::start();
    for path in PATHS {
        let answer = answer(&server, &upgrade(path, "sec-websocket-extensions", "permessage-deflate")).await;
        assert_eq!(answer.status, 101, "{path}");
        assert_eq!(answer.header("sec-websocket-accept"), "s3pPLMBiTxaQ9kYGzzhZRbK+xOo=");
        assert!(answer.headers.get("sec-websocket-extensions").is_none());
        assert!(answer.headers.get("sec-websocket-protocol").is_none());
    }
}

#[tokio::test]
async fn first_subprotocol_is_echoed_unless_it_is_a_credential() {
    let server = Running::start();
    for (offered, echoed) in [
        ("webrtc-operator", "webrtc-operator"),
        ("cf-webrtc-device, other", "cf-webrtc-device"),
        ("bearer.CANARY, webrtc-operator", "webrtc-operator"),
        ("bearer.CANARY", ""),
    ] {
        let answer = answer(&server, &upgrade(PATHS[0], "sec-websocket-protocol", offered)).await;
        assert_eq!((answer.status, answer.header("sec-websocket-protocol")), (101, echoed), "{offered}");
    }
}

#[tokio::test]
async fn a_plain_request_is_426_and_told_what_to_do() {
    let server = Running::start();
    for path in PATHS {
        let answer = server.get(path).await;
        assert_eq!((answer.status, answer.header("upgrade")), (426, "websocket"), "{path}");
        assert!(answer.text().starts_with(r#"{"error":""#), "{}", answer.text());
    }
}

#[tokio::test]
async fn another_version_is_426_with_ours() {
    let server = Running::start();
    for version in ["12", "", "8, 13", "x"] {
        let answer = request(server.addr, &upgrade(PATHS[1], "sec-websocket-version", version)).await;
        assert_eq!((answer.status, answer.header("sec-websocket-version")), (426, "13"), "{version:?}");
    }
    assert_eq!(server.metric(r#"cuttlebone_rejects_total{reason="handshake_version"}"#).await, 4);
}

#[tokio::test]
async fn a_bad_key_is_400() {
    let server = Running::start();
    for key in ["", "x", "dGhlIHNhbXBsZSBub25jZQ", "dGhlIHNhbXBsZSBub25jZSB0b28gbG9uZw=="] {
        let answer = request(server.addr, &upgrade(PATHS[0], "sec-websocket-key", key)).await;
        assert_eq!(answer.status, 400, "{key:?}");
    }
}

#[tokio::test]
async fn post_is_405_and_http_1_0_is_400() {
    let server = Running::start();
    for path in PATHS {
        let good = upgrade(path, "host", "localhost");
        assert_eq!(request(server.addr, &good.replace("GET", "POST")).await.status, 405, "{path}");
        assert_eq!(request(server.addr, &good.replace("HTTP/1.1", "HTTP/1.0")).await.status, 400, "{path}");
    }
}

#[tokio::test]
async fn a_body_before_the_upgrade_is_refused() {
    let server = Running::start();
    let mut peer = Peer::connect(server.addr).await;
    peer.send(&upgrade(PATHS[1], "content-length", "30")).await;
    peer.send("GET /livez HTTP/1.1\r\nhost: localhost\r\n").await;
    assert_eq!(peer.answer().await.status, 413);
    assert!(peer.is_closed().await);
}

#[tokio::test]
async fn a_message_sent_with_the_upgrade_is_not_lost() {
    let server = Running::start();
    let message = br#"{"message_type":"register","device_id":"quick"}"#;
    let length = u8::try_from(message.len()).expect("short");
    // A text frame, masked with zeros.
    let mut bytes = upgrade(PATHS[0], "host", "localhost").into_bytes();
    bytes.extend([0x81, 0x80 | length, 0, 0, 0, 0]);
    bytes.extend(message);
    let mut peer = Peer::connect(server.addr).await;
    peer.socket.write_all(&bytes).await.expect("sent");
    assert_eq!(peer.head().await.status, 101);
    peer.until(r#""message_type":"config""#).await;
    assert_eq!(server.get("/devices/quick").await.status, 200);
}
