//! How long the server waits for a peer that is slow on purpose.

use std::time::Duration;

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpSocket, TcpStream};
use tokio::time::{Instant, interval, timeout};

use crate::frames::RawWs;
use crate::support::{LARGE_INFO, PATIENCE, Peer, Running, large_info};

const SHORT: Duration = Duration::from_millis(300);

#[tokio::test]
async fn half_a_request_is_waited_for_until_the_deadline_however_it_trickles() {
    let server = Running::with(|settings| settings.timeouts.handshake = SHORT);
    let mut peer = Peer::connect(server.addr).await;
    peer.send("GET / HTTP/1.1\r\nhost: localhost\r\n").await;
    let begun = Instant::now();
    let mut trickle = interval(SHORT / 10);
    while peer.socket.write_all(b"x-slow: 1\r\n").await.is_ok() {
        assert!(begun.elapsed() < PATIENCE, "still served");
        trickle.tick().await;
    }
    assert!(begun.elapsed() >= SHORT - SHORT / 10, "closed before its time");
    server.until_metric(r#"cuttlebone_timeouts_total{which="handshake"}"#, |count| count == 1).await;
}

#[tokio::test]
async fn silent_peers_are_closed_and_others_are_served_meanwhile() {
    let server = Running::with(|settings| settings.timeouts.handshake = SHORT);
    let mut silent = Vec::new();
    for _ in 0..100 {
        silent.push(Peer::connect(server.addr).await);
    }
    assert_eq!(server.get("/livez").await.status, 200);
    for peer in &mut silent {
        assert!(peer.is_closed().await);
    }
    server.until_metric(r#"cuttlebone_timeouts_total{which="handshake"}"#, |count| count == 100).await;
}

#[tokio::test]
async fn a_kept_connection_without_a_next_request_is_closed() {
    let server = Running::with(|settings| settings.timeouts.handshake = SHORT);
    let mut peer = Peer::connect(server.addr).await;
    peer.send("GET /livez HTTP/1.1\r\nhost: localhost\r\n\r\n").await;
    assert_eq!(peer.answer().await.status, 200);
    assert!(peer.is_closed().await);
    server.until_metric(r#"cuttlebone_timeouts_total{which="next_request"}"#, |count| count == 1).await;
    assert_eq!(server.metric(r#"cuttlebone_timeouts_total{which="handshake"}"#).await, 0);
}

#[tokio::test]
async fn an_upgraded_connection_outlives_the_deadline_of_the_handshake() {
    let server = Running::with(|settings| settings.timeouts.handshake = SHORT);
    let mut device = server.device("steady", "1").await;
    assert!(timeout(SHORT * 3, device.next()).await.is_err(), "nothing happens");
    assert_eq!(server.get("/devices/steady").await.status, 200);
}

#[tokio::test]
async fn a_stream_of_events_outlives_the_deadline_of_the_handshake() {
    let server = Running::with(|settings| settings.timeouts.handshake = SHORT);
    let mut watcher = Peer::connect(server.addr).await;
    watcher.send("GET /api/v1/devices/events HTTP/1.1\r\nhost: localhost\r\n\r\n").await;
    watcher.until("event: snapshot").await;
    assert!(timeout(SHORT * 3, watcher.until("never")).await.is_err(), "nothing happens");
    let _device = server.device("late", "1").await;
    watcher.until("event: registered").await;
}

#[tokio::test]
async fn a_peer_that_asks_and_never_reads_loses_its_place() {
    let server = Running::with(|settings| {
        settings.messages.limits.device_info_bytes = LARGE_INFO;
        settings.timeouts.write = SHORT;
    });
    let info = large_info();
    let _device = server.device("large", &info).await;
    let mut greedy = Peer::connect(server.addr).await;
    greedy.send(&"GET /devices/large HTTP/1.1\r\nhost: localhost\r\n\r\n".repeat(100)).await;
    server.until_metric(r#"cuttlebone_timeouts_total{which="write"}"#, |count| count == 1).await;
    // The one that asks for the metrics is not counted yet.
    server.until_metric(r#"cuttlebone_connections{role="http"}"#, |open| open <= 1).await;
}

#[tokio::test]
async fn what_is_written_and_not_read_is_bounded_and_given_back() {
    const EIGHTH: u64 = 32 * 1024 * 1024 / 8;
    let server = Running::with(|settings| {
        settings.messages.limits.device_info_bytes = LARGE_INFO;
        settings.memory.limit = Some(100 * 32 * 1024 * 1024);
        settings.memory.lists_percent = 1;
        settings.connections.send_buffer = 4096;
    });
    let _device = server.device("large", &large_info()).await;
    let mut unread = Vec::new();
    let refused = r#"cuttlebone_refused_connections_total{reason="lists_full"}"#;
    while server.metric(refused).await == 0 {
        assert!(unread.len() <= EIGHTH as usize / LARGE_INFO, "more than there is room for");
        let socket = TcpSocket::new_v4().expect("a socket");
        socket.set_recv_buffer_size(4096).expect("set");
        let mut peer = Peer::from(socket.connect(server.addr).await.expect("accepted"));
        peer.send("GET /devices/large HTTP/1.1\r\nhost: localhost\r\n\r\n").await;
        peer.until("HTTP/1.1 ").await;
        unread.push(peer);
    }
    let taken = server.metric("cuttlebone_list_bytes").await;
    assert!(taken <= EIGHTH && taken > EIGHTH - LARGE_INFO as u64 - 1000, "{taken}");
    for path in ["/devices/large", "/devices"] {
        let answer = server.get(path).await;
        // The list is short: for that there is room.
        assert_eq!(answer.status, if path == "/devices" { 200 } else { 503 }, "{path}");
        assert!(answer.status == 200 || answer.text().contains("too_many_lists"), "{answer:?}");
    }
    drop(unread);
    server.until_metric("cuttlebone_list_bytes", |bytes| bytes < LARGE_INFO as u64).await;
    assert_eq!(server.get("/devices/large").await.status, 200);
}

/// Reads a little at a time, steadily, until the server closes or `mark` has come.
async fn drip(peer: &mut TcpStream, mark: &[u8]) -> Vec<u8> {
    let mut tick = interval(Duration::from_millis(2));
    let mut all = Vec::new();
    while !all.ends_with(mark) {
        tick.tick().await;
        let mut some = [0; 256];
        match peer.read(&mut some).await {
            Ok(read) if read > 0 => all.extend_from_slice(&some[..read]),
            _ => break,
        }
    }
    all
}

/// A server that gives a response little time, and a peer for which the system keeps little.
async fn in_a_hurry() -> (Running, TcpStream) {
    let server = Running::with(|settings| {
        settings.messages.limits.device_info_bytes = LARGE_INFO;
        settings.timeouts.response = SHORT;
        settings.connections.send_buffer = 4096;
    });
    let socket = TcpSocket::new_v4().expect("a socket");
    socket.set_recv_buffer_size(4096).expect("set");
    let peer = socket.connect(server.addr).await.expect("accepted");
    (server, peer)
}

#[tokio::test]
async fn a_peer_that_reads_a_response_byte_by_byte_loses_its_place() {
    let (server, mut peer) = in_a_hurry().await;
    let info = large_info();
    let _device = server.device("large", &info).await;
    peer.write_all(b"GET /devices/large HTTP/1.1\r\nhost: localhost\r\n\r\n").await.expect("sent");
    let read = drip(&mut peer, b"xx\"}").await.len();
    assert!(read < LARGE_INFO, "all of it came");
    assert_eq!(server.metric(r#"cuttlebone_timeouts_total{which="write"}"#).await, 1);
}

#[tokio::test]
async fn what_may_take_long_on_a_socket_is_its_stream_of_events_and_no_response_after_it() {
    let (server, mut peer) = in_a_hurry().await;
    let info = large_info();
    let _device = server.device("large", &info).await;
    peer.write_all(b"HEAD /api/v1/devices/events HTTP/1.1\r\nhost: localhost\r\n\r\n").await.expect("sent");
    let head = drip(&mut peer, b"\r\n\r\n").await;
    assert!(head.starts_with(b"HTTP/1.1 200"), "{}", String::from_utf8_lossy(&head));
    peer.write_all(b"GET /devices/large HTTP/1.1\r\nhost: localhost\r\n\r\n").await.expect("sent");
    let read = drip(&mut peer, b"xx\"}").await.len();
    assert!(read < LARGE_INFO, "all of it came");
    assert_eq!(server.metric(r#"cuttlebone_timeouts_total{which="write"}"#).await, 1);
}

#[tokio::test]
async fn a_peer_that_says_nothing_once_it_is_upgraded_is_closed() {
    let server = Running::with(|settings| settings.timeouts.first_message = SHORT);
    for (path, count) in [("/register_device", 1), ("/connect_client", 2)] {
        let mut silent = RawWs::open(&server, path).await;
        silent.expect_refused("no_first_message", 1008).await;
        let series = r#"cuttlebone_timeouts_total{which="first_message"}"#;
        server.until_metric(series, |late| late == count).await;
    }
}

#[tokio::test]
async fn a_stream_of_events_may_be_read_slowly() {
    let (server, mut peer) = in_a_hurry().await;
    let mut devices = Vec::new();
    for index in 0..200 {
        devices.push(server.device(&format!("{index:03}{}", "x".repeat(250)), "1").await);
    }
    peer.write_all(b"GET /api/v1/devices/events HTTP/1.1\r\nhost: localhost\r\n\r\n").await.expect("sent");
    let read = timeout(PATIENCE, drip(&mut peer, b"}]\n\n\r\n")).await.expect("all in time");
    assert!(read.len() > 70_000 && read.ends_with(b"}]\n\n\r\n"), "cut after {}", read.len());
}
