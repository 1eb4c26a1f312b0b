//! How long the server waits for a peer that is slow on purpose.

use std::time::Duration;

use tokio::io::AsyncWriteExt as _;
use tokio::time::{Instant, interval, timeout};

use crate::support::{PATIENCE, Peer, Running};

const SHORT: Duration = Duration::from_millis(300);

#[tokio::test]
async fn half_a_request_is_waited_for_until_the_deadline_however_it_trickles() {
    let server = Running::with(|settings| settings.timeouts.handshake = SHORT);
    let mut peer = Peer::connect(server.addr).await;
    peer.send("GET / HTTP/1.1\r\nhost: x\r\n").await;
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
    peer.send("GET /livez HTTP/1.1\r\nhost: x\r\n\r\n").await;
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
    watcher.send("GET /api/v1/devices/events HTTP/1.1\r\nhost: x\r\n\r\n").await;
    watcher.until("event: snapshot").await;
    assert!(timeout(SHORT * 3, watcher.until("never")).await.is_err(), "nothing happens");
    let _device = server.device("late", "1").await;
    watcher.until("event: registered").await;
}

#[tokio::test]
async fn a_peer_that_asks_and_never_reads_loses_its_place() {
    let server = Running::with(|settings| settings.timeouts.write = SHORT);
    let info = format!("\"{}\"", "x".repeat(200_000));
    let _device = server.device("large", &info).await;
    let mut greedy = Peer::connect(server.addr).await;
    greedy.send(&"GET /devices/large HTTP/1.1\r\nhost: x\r\n\r\n".repeat(100)).await;
    server.until_metric(r#"cuttlebone_timeouts_total{which="write"}"#, |count| count == 1).await;
    // The one that asks for the metrics is not counted yet.
    server.until_metric(r#"cuttlebone_connections{role="http"}"#, |open| open <= 1).await;
}
