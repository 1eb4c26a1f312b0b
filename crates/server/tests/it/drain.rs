//! Stopping.

use std::time::Duration;

use cuttlebone_client::raw::RawEvent;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio::time::timeout;

use crate::client_certificates::support::{Asking, Authority};
use crate::support::{LARGE_INFO, PATIENCE, Peer, Running, get, large_info};

#[tokio::test]
async fn everybody_is_told_to_reconnect_and_nobody_is_aborted() {
    let server = Running::start();
    let device = server.device("cvd-1", "1").await;
    let client = server.client("cvd-1").await;
    let mut watcher = Peer::connect(server.addr).await;
    watcher.send("GET /api/v1/devices/events HTTP/1.1\r\nhost: localhost\r\n\r\n").await;
    watcher.until("event: snapshot").await;
    let addr = server.addr;
    server.stop();
    for mut conn in [device, client] {
        loop {
            match timeout(PATIENCE, conn.next()).await.expect("told in time") {
                Some(RawEvent::Close(code, _)) => break assert_eq!(code, Some(1012)),
                Some(_) => {}
                None => panic!("cut without a word"),
            }
        }
    }
    watcher.drain().await;
    let summary = server.ended().await;
    assert_eq!((summary.open, summary.aborted), (3, 0));
    assert!(TcpStream::connect(addr).await.is_err(), "nobody listens");
}

#[tokio::test]
async fn a_peer_that_does_not_leave_is_aborted_when_the_time_is_over() {
    let server = Running::with(|settings| {
        settings.messages.limits.device_info_bytes = LARGE_INFO;
        settings.timeouts.drain = Duration::from_millis(200);
        settings.timeouts.write = Duration::from_secs(60);
    });
    let info = large_info();
    let _device = server.device("large", &info).await;
    // Its answer is stuck for good, so that it can't be finished.
    let mut stuck = Peer::connect(server.addr).await;
    stuck.send(&"GET /devices/large HTTP/1.1\r\nhost: localhost\r\n\r\n".repeat(100)).await;
    stuck.head().await;
    server.stop();
    let summary = server.ended().await;
    assert!(summary.aborted >= 1, "{summary:?}");
    assert!(summary.took >= Duration::from_millis(200) && summary.took < Duration::from_secs(5), "{summary:?}");
}

#[tokio::test]
async fn a_stopping_server_is_not_ready_and_says_so_on_the_metrics_listener() {
    let server = Running::with(|settings| {
        settings.messages.limits.device_info_bytes = LARGE_INFO;
        settings.timeouts.write = Duration::from_secs(60);
    });
    let info = large_info();
    let _device = server.device("large", &info).await;
    let mut stuck = Peer::connect(server.addr).await;
    stuck.send(&"GET /devices/large HTTP/1.1\r\nhost: localhost\r\n\r\n".repeat(100)).await;
    stuck.head().await;
    assert_eq!(get(server.metrics, "/readyz").await.status, 200);
    server.stop();
    assert_eq!(get(server.metrics, "/readyz").await.status, 503);
    assert_eq!(get(server.metrics, "/livez").await.status, 200);
    assert_eq!(get(server.metrics, "/metrics").await.status, 200);
    drop(stuck);
    assert_eq!(server.ended().await.aborted, 0);
}

#[tokio::test]
async fn an_idle_kept_connection_does_not_hold_the_server_up() {
    let server = Running::start();
    let mut idle = Peer::connect(server.addr).await;
    idle.send("GET /livez HTTP/1.1\r\nhost: localhost\r\n\r\n").await;
    assert_eq!(idle.answer().await.status, 200);
    let mut silent = TcpStream::connect(server.addr).await.expect("accepted");
    server.until_metric(r#"cuttlebone_connections{role="http"}"#, |open| open >= 3).await;
    server.stop();
    let summary = server.ended().await;
    assert_eq!(summary.aborted, 0);
    assert!(summary.took < Duration::from_secs(5), "{summary:?}");
    assert_eq!(silent.read(&mut [0]).await.unwrap_or_default(), 0);
}

#[tokio::test]
async fn half_a_request_does_not_hold_the_server_up() {
    let server = Running::start();
    let mut half = Peer::connect(server.addr).await;
    half.send("GET / HTTP/1.1\r\nhost: localhost\r\n").await;
    server.until_metric(r#"cuttlebone_connections{role="http"}"#, |open| open >= 2).await;
    server.stop();
    let summary = server.ended().await;
    assert_eq!(summary.aborted, 0);
    assert!(summary.took < Duration::from_secs(5), "{summary:?}");
}

/// It came before the stop, and its request does a moment later.
#[tokio::test]
async fn a_connection_that_was_taken_and_not_answered_yet_has_its_answer() {
    let server = Running::start();
    let [mut asking, mut upgrading] = [Peer::connect(server.addr).await, Peer::connect(server.addr).await];
    server.until_metric(r#"cuttlebone_connections{role="http"}"#, |open| open >= 3).await;
    server.stop();
    asking.send("GET /livez HTTP/1.1\r\nhost: localhost\r\n\r\n").await;
    let answer = asking.answer().await;
    assert_eq!((answer.status, answer.header("connection")), (200, "close"));
    upgrading
        .send(
            "GET /connect_client HTTP/1.1\r\nhost: localhost\r\nupgrade: websocket\r\nconnection: upgrade\r\n\
             sec-websocket-version: 13\r\nsec-websocket-key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n",
        )
        .await;
    assert_eq!(upgrading.answer().await.status, 503);
    assert_eq!(asking.socket.read(&mut [0]).await.unwrap_or_default(), 0, "that was the last");
    assert_eq!(server.ended().await.aborted, 0);
}

#[tokio::test]
async fn a_handshake_of_tls_that_had_begun_leads_to_an_answer() {
    let authority = Authority::new();
    let asking = Asking::new("drain", &authority, false);
    let peer = authority.client("a.lab.example");
    let tcp = TcpStream::connect(asking.server.addr).await.expect("accepted");
    asking.server.until_metric(r#"cuttlebone_connections{role="http"}"#, |open| open >= 2).await;
    asking.server.stop();
    let mut stream = peer.connect_on(tcp).await.expect("the handshake goes on");
    stream.write_all(b"GET /livez HTTP/1.1\r\nhost: localhost\r\n\r\n").await.expect("sent");
    let mut answer = String::new();
    stream.read_to_string(&mut answer).await.expect("read to its end");
    assert!(answer.starts_with("HTTP/1.1 200"), "{answer}");
}

#[tokio::test]
async fn a_connection_that_nobody_has_taken_yet_is_told_to_come_back() {
    let server = Running::start();
    assert_eq!(server.get("/livez").await.status, 200);
    // Nothing else runs in between: they are in the queue of the listener when the stop comes.
    let queued = [(); 3].map(|()| std::net::TcpStream::connect(server.addr).expect("connected"));
    server.stop();
    for socket in queued {
        socket.set_nonblocking(true).expect("set");
        let mut peer = Peer::from(TcpStream::from_std(socket).expect("a socket"));
        peer.send("GET /livez HTTP/1.1\r\nhost: localhost\r\n\r\n").await;
        let answer = peer.answer().await;
        assert_eq!(answer.status, 503);
        assert!(answer.text().contains(r#""cuttlebone_code":"draining""#), "{}", answer.text());
        assert!(!answer.header("retry-after").is_empty());
    }
    assert_eq!(server.ended().await.aborted, 0);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_device_that_floods_holds_nobody_up() {
    let server = Running::start();
    let mut device = server.device("d", "1").await;
    let mut client = server.client("d").await;
    let payload = "x".repeat(200_000);
    let flood = format!(r#"{{"message_type":"forward","client_id":77,"payload":"{payload}"}}"#);
    let tasks = tokio_util::task::TaskTracker::new();
    let flooding = tasks.spawn(async move { while device.send_text(flood.clone()).await.is_ok() {} });
    server.until_metric(r#"cuttlebone_rate_pauses_total{bucket="bytes"}"#, |pauses| pauses > 0).await;
    server.stop();
    loop {
        match timeout(Duration::from_secs(5), client.next()).await.expect("told in time") {
            Some(RawEvent::Close(code, _)) => break assert_eq!(code, Some(1012)),
            Some(_) => {}
            None => panic!("cut without a word"),
        }
    }
    drop(client);
    assert_eq!(server.ended().await.aborted, 0);
    flooding.abort();
}
