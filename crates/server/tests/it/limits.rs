//! How many, and how large.

use std::collections::BTreeSet;
use std::net::SocketAddr;
use std::time::Duration;

use cuttlebone_client::raw::RawEvent;
use cuttlebone_server::Rate;
use tokio::io::AsyncWriteExt as _;
use tokio::net::TcpSocket;
use tokio::time::{Instant, timeout};

use crate::support::{Answer, PATIENCE, Peer, Running, expect_type, request};

/// When the answer says to come back, in seconds.
fn retry_after(answer: &Answer) -> u64 {
    answer.header("retry-after").parse().expect("seconds")
}

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
    assert_eq!(answer.status, 503);
    assert!((3..=9).contains(&retry_after(&answer)), "{answer:?}");
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
        peer.send("GET /livez HTTP/1.1\r\nhost: localhost\r\n\r\n").await;
        assert_eq!(peer.answer().await.status, 200);
    }
    assert_eq!(from("127.0.0.2", &server).await.answer().await.status, 429);
    let mut other = from("127.0.0.3", &server).await;
    other.send("GET /livez HTTP/1.1\r\nhost: localhost\r\n\r\n").await;
    assert_eq!(other.answer().await.status, 200);
    assert_eq!(server.metric(r#"cuttlebone_refused_connections_total{reason="address_full"}"#).await, 1);
}

#[tokio::test]
async fn headers_are_bounded_in_bytes_and_in_number() {
    let server = Running::with(|settings| {
        settings.http.max_header_bytes = 8192;
        settings.http.max_headers = 16;
    });
    let large = format!("GET / HTTP/1.1\r\nhost: localhost\r\nx: {}\r\n\r\n", "x".repeat(16_000));
    let answer = request(server.addr, &large).await;
    assert_eq!(answer.status, 431);
    for header in ["cross-origin-resource-policy", "cross-origin-opener-policy"] {
        assert_eq!(answer.header(header), "same-origin", "a page learns nothing of it");
    }
    let with = |count: usize| format!("GET /livez HTTP/1.1\r\nhost: localhost\r\n{}\r\n", "x: y\r\n".repeat(count - 1));
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

#[tokio::test]
async fn connections_over_the_rate_are_told_503_at_once_and_to_come_back_at_different_times() {
    let server = Running::with(|settings| settings.connections.rate = Rate { per_second: 1, burst: 10 });
    let (mut served, mut moments, mut took) = (0, BTreeSet::new(), Vec::new());
    for _ in 0..40 {
        let begun = Instant::now();
        let mut peer = Peer::connect(server.addr).await;
        peer.socket.write_all(b"GET /livez HTTP/1.1\r\nhost: localhost\r\n\r\n").await.expect("sent");
        let answer = peer.answer().await;
        if answer.status == 200 {
            served += 1;
        } else {
            assert_eq!(answer.status, 503);
            took.push(begun.elapsed());
            assert!(answer.text().contains(r#""cuttlebone_code":"overloaded""#), "{}", answer.text());
            moments.insert(retry_after(&answer));
        }
    }
    assert!((10..=14).contains(&served), "{served}");
    took.sort_unstable();
    assert!(took[took.len() / 2] < Duration::from_millis(100), "{took:?}");
    assert!(moments.len() > 2 && moments.iter().all(|seconds| (3..=9).contains(seconds)), "{moments:?}");
    assert!(server.metric(r#"cuttlebone_refused_connections_total{reason="rate"}"#).await >= 26);
}

#[tokio::test]
async fn connections_of_one_address_over_its_rate_are_told_429_and_others_are_served() {
    let server = Running::with(|settings| settings.connections.rate_per_address = Rate { per_second: 1, burst: 2 });
    let mut refused = 0;
    for _ in 0..10 {
        let mut peer = from("127.0.0.2", &server).await;
        peer.send("GET /livez HTTP/1.1\r\nhost: localhost\r\nconnection: close\r\n\r\n").await;
        let answer = peer.answer().await;
        refused += u64::from(answer.status == 429);
        if answer.status == 429 {
            assert!((3..=9).contains(&retry_after(&answer)));
            assert!(answer.text().contains(r#""cuttlebone_code":"rate_limited""#), "{}", answer.text());
        }
    }
    assert!((6..=8).contains(&refused), "{refused}");
    assert_eq!(server.get("/livez").await.status, 200);
    assert_eq!(server.metric(r#"cuttlebone_refused_connections_total{reason="address_rate"}"#).await, refused);
}

#[tokio::test]
async fn connections_without_a_response_are_bounded_and_those_that_had_one_are_not_among_them() {
    let server = Running::with(|settings| {
        settings.connections.pending = 3;
        settings.connections.pending_per_address = Some(2);
    });
    // Each of these has had its answer.
    let mut settled = vec![];
    for _ in 0..5 {
        let mut peer = from("127.0.0.2", &server).await;
        peer.send("GET /livez HTTP/1.1\r\nhost: localhost\r\n\r\n").await;
        assert_eq!(peer.answer().await.status, 200);
        settled.push(peer);
    }
    let upgraded = server.websocket("/connect_client").await;
    let mut silent = vec![from("127.0.0.2", &server).await, from("127.0.0.2", &server).await];
    assert_eq!(from("127.0.0.2", &server).await.answer().await.status, 429);
    silent.push(from("127.0.0.3", &server).await);
    assert_eq!(from("127.0.0.4", &server).await.answer().await.status, 503);
    for reason in ["pending_full", "address_pending_full"] {
        let series = format!(r#"cuttlebone_refused_connections_total{{reason="{reason}"}}"#);
        assert_eq!(server.metric(&series).await, 1, "{reason}");
    }
    silent.clear();
    server.until_metric(r#"cuttlebone_connections{role="http"}"#, |open| open <= 6).await;
    assert_eq!(server.get("/livez").await.status, 200);
    drop(upgraded);
}

#[tokio::test]
async fn when_memory_runs_out_nobody_new_is_served_and_those_that_wait_are_let_go() {
    const MORE: u64 = 300 << 20;
    let resident = Running::start().metric("cuttlebone_process_resident_memory_bytes").await;
    let server = Running::with(|settings| settings.memory.limit = Some(resident + MORE));
    let mut device = server.device("d", "1").await;
    let mut attached = server.client("d").await;
    let mut waiting = server.websocket("/connect_client").await;
    waiting.send_text(r#"{"message_type":"connect","device_id":"later"}"#).await.expect("sent");
    expect_type(&mut waiting, "config").await;
    server.until_metric("cuttlebone_waiting_clients", |waiting| waiting == 1).await;

    let ballast = vec![1_u8; MORE as usize];
    let told = timeout(PATIENCE, waiting.next()).await.expect("told in time");
    assert!(matches!(told, Some(RawEvent::Text(text)) if text.contains(r#""cuttlebone_code":"overloaded""#)));
    let told = timeout(PATIENCE, waiting.next()).await.expect("told in time");
    assert!(matches!(told, Some(RawEvent::Close(Some(1013), _))), "{told:?}");
    assert_eq!(Peer::connect(server.addr).await.answer().await.status, 503);
    assert_eq!(server.metric("cuttlebone_let_go_clients_total").await, 1);
    assert_eq!(server.metric(r#"cuttlebone_refused_connections_total{reason="memory"}"#).await, 1);
    // Who is attached goes on.
    attached.send_text(r#"{"message_type":"forward","payload":1}"#).await.expect("sent");
    expect_type(&mut device, "client_msg").await;
    drop(ballast);
}
