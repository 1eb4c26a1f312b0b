//! How many, and how large.

use std::net::SocketAddr;

use tokio::net::TcpSocket;

use crate::support::{Peer, Running, request};

async fn from(address: &str, server: &Running) -> Peer {
    let socket = TcpSocket::new_v4().expect("a socket");
    socket.bind(SocketAddr::new(address.parse().expect("an address"), 0)).expect("bound");
    Peer::from(socket.connect(server.addr).await.expect("accepted"))
}

#[tokio::test]
async fn one_too_many_is_told_503_and_when_to_come_back() {
    let server = Running::with(|settings| settings.connections.max = 2);
    let held = [server.websocket("/connect_client").await, server.websocket("/register_device").await];
    // Both are upgraded, and their places went with them.
    let mut third = Peer::connect(server.addr).await;
    let answer = third.answer().await;
    assert_eq!((answer.status, answer.header("retry-after")), (503, "5"));
    assert!(third.is_closed().await);
    assert_eq!(server.metric(r#"cuttlebone_refused_connections_total{reason="full"}"#).await, 1);
    drop(held);
    server.until_metric(r#"cuttlebone_connections{role="client"}"#, |open| open == 0).await;
    server.until_metric(r#"cuttlebone_connections{role="device"}"#, |open| open == 0).await;
    assert_eq!(server.get("/livez").await.status, 200);
}

#[tokio::test]
async fn a_flood_over_the_limit_is_hung_up_on() {
    let server = Running::with(|settings| settings.connections.max = 1);
    let _held = server.websocket("/connect_client").await;
    let mut flood = Vec::new();
    for _ in 0..200 {
        flood.push(Peer::connect(server.addr).await);
    }
    for peer in &mut flood {
        peer.drain().await;
    }
    assert_eq!(server.metric(r#"cuttlebone_refused_connections_total{reason="full"}"#).await, 200);
}

#[tokio::test]
async fn one_address_leaves_places_for_others() {
    let server = Running::with(|settings| settings.connections.per_address = Some(2));
    let mut own = [from("127.0.0.2", &server).await, from("127.0.0.2", &server).await];
    for peer in &mut own {
        peer.send("GET /livez HTTP/1.1\r\nhost: x\r\n\r\n").await;
        assert_eq!(peer.answer().await.status, 200);
    }
    assert_eq!(from("127.0.0.2", &server).await.answer().await.status, 503);
    let mut other = from("127.0.0.3", &server).await;
    other.send("GET /livez HTTP/1.1\r\nhost: x\r\n\r\n").await;
    assert_eq!(other.answer().await.status, 200);
    assert_eq!(server.metric(r#"cuttlebone_refused_connections_total{reason="address_full"}"#).await, 1);
}

#[tokio::test]
async fn headers_are_bounded_in_bytes_and_in_number() {
    let server = Running::with(|settings| {
        settings.http.max_header_bytes = 8192;
        settings.http.max_headers = 16;
    });
    let large = format!("GET / HTTP/1.1\r\nhost: x\r\nx: {}\r\n\r\n", "x".repeat(16_000));
    assert_eq!(request(server.addr, &large).await.status, 431);
    let with = |count: usize| format!("GET /livez HTTP/1.1\r\nhost: x\r\n{}\r\n", "x: y\r\n".repeat(count - 1));
    assert_eq!(request(server.addr, &with(17)).await.status, 431);
    assert_eq!(request(server.addr, &with(16)).await.status, 200);
    assert_eq!(request(server.addr, &format!("GET /{} HTTP/1.1\r\n\r\n", "x".repeat(16_000))).await.status, 431);
}

#[tokio::test]
async fn sessions_whose_connection_broke_are_bounded_as_connections_are() {
    let server = Running::with(|settings| settings.connections.max = 2);
    for id in ["a", "b", "c"] {
        // Dropped without a close frame: a broken connection, with a grace period if there is a place for it.
        drop(server.device(id, "1").await);
        server.until_metric(r#"cuttlebone_connections{role="device"}"#, |open| open == 0).await;
    }
    server.until_metric(r#"cuttlebone_refused_connections_total{reason="away_full"}"#, |count| count == 1).await;
    server.until_metric("cuttlebone_devices", |devices| devices == 2).await;
}
