//! Addresses that a device names, and protocols that are not spoken.

use std::io::ErrorKind;
use std::net::TcpListener;

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio::time::timeout;

use crate::frames::RawWs;
use crate::support::{PATIENCE, Running, request};

/// R9. Whoever is named hears nothing: the server opens no connection because of what a peer said.
#[tokio::test]
async fn t44_server_connects_to_nothing_that_a_device_names() {
    let named = TcpListener::bind("127.0.0.1:0").expect("a port");
    named.set_nonblocking(true).expect("set");
    let port = named.local_addr().expect("bound").port();
    let server = Running::start();
    let info = format!(
        r#"{{"openwrt_addr":"127.0.0.1:{port}","openwrt_device_id":"127.0.0.1","adb_port":{port},"device_port":{port},
            "url":"http://127.0.0.1:{port}/","ice_servers":[{{"urls":"stun:127.0.0.1:{port}"}}]}}"#
    );
    let mut device = server.device("d", &info).await;
    let mut viewer = server.client("d").await;
    let candidate = format!(r#"{{"candidate":"candidate:1 1 tcp 1 127.0.0.1 {port} typ host tcptype passive"}}"#);
    viewer.send_text(format!(r#"{{"message_type":"forward","payload":{candidate}}}"#)).await.expect("sent");
    crate::support::expect_type(&mut device, "client_msg").await;
    for path in ["/devices", "/devices/d", "/devices/d/files/x", "/devices/d/adb", "/devices/d/openwrt"] {
        server.get(path).await;
    }
    let proxied =
        format!("GET http://127.0.0.1:{port}/ HTTP/1.1\r\nhost: 127.0.0.1:{port}\r\nconnection: close\r\n\r\n");
    request(server.addr, &proxied).await;
    let tunnel = format!("CONNECT 127.0.0.1:{port} HTTP/1.1\r\nhost: 127.0.0.1:{port}\r\n\r\n");
    assert!(request(server.addr, &tunnel).await.status >= 400);
    // A connection would have been made before the last answer came: on loopback it is there at once.
    let error = named.accept().expect_err("nobody came");
    assert_eq!(error.kind(), ErrorKind::WouldBlock);
}

/// The preface of HTTP/2, and the wish to change to it, are answered by HTTP/1.1 or not at all.
#[tokio::test]
async fn t56_http2_is_not_spoken() {
    let server = Running::start();
    let mut socket = TcpStream::connect(server.addr).await.expect("accepted");
    socket.write_all(b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\0\0\0\x04\0\0\0\0\0").await.expect("sent");
    let mut answer = Vec::new();
    let _ = timeout(PATIENCE, socket.read_to_end(&mut answer)).await.expect("closed");
    assert!(answer.is_empty() || answer.starts_with(b"HTTP/1.1 4"), "{answer:?}");
    let upgrade = format!(
        "GET /livez HTTP/1.1\r\nhost: {}\r\nconnection: upgrade, http2-settings, close\r\nupgrade: h2c\r\n\
         http2-settings: AAMAAABkAAQAAP__\r\n\r\n",
        server.addr
    );
    assert_eq!(request(server.addr, &upgrade).await.status, 200);
    let extended = format!(
        "CONNECT /connect_client HTTP/1.1\r\nhost: {}\r\n:protocol: websocket\r\nconnection: close\r\n\r\n",
        server.addr
    );
    assert_eq!(request(server.addr, &extended).await.status, 400);
}

/// Ids are bytes: what looks the same is another device; and where only plain ids are taken it is none.
#[tokio::test]
async fn t60_id_that_looks_like_another_is_another_or_refused() {
    const LOOK_ALIKE: &str = "cvd\u{2011}1";
    let server = Running::with(|settings| settings.hub.client_wait = std::time::Duration::ZERO);
    let _device = RawWs::device(&server, "cvd-1").await;
    for other in [LOOK_ALIKE, "CVD-1", "cvd-1 ", "\u{feff}cvd-1"] {
        let mut viewer = RawWs::open(&server, "/connect_client").await;
        viewer.text(&format!(r#"{{"message_type":"connect","device_id":"{other}"}}"#)).await;
        viewer.expect_type("config").await;
        viewer.expect_refused("device_not_found", 1008).await;
    }
    let _other = RawWs::device(&server, LOOK_ALIKE).await;
    assert_eq!(server.metric("cuttlebone_devices").await, 2);
    let server = Running::with(|settings| settings.id_charset = cuttlebone_server::IdCharset::Plain);
    let mut other = RawWs::open(&server, "/register_device").await;
    other.text(&format!(r#"{{"message_type":"register","device_id":"{LOOK_ALIKE}"}}"#)).await;
    other.expect_refused("invalid_device_id", 1008).await;
    let refused = server.until_audited("register", &[("reason", "invalid_device_id".into())]).await;
    assert_eq!(refused["device_id"], LOOK_ALIKE);
    let _device = RawWs::device(&server, "lab7/cvd-1").await;
}
