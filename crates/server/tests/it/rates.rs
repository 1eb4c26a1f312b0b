//! Peers that send more than their rate.

use std::time::Duration;

use cuttlebone_server::{LimitSettings, Rate};
use tokio::net::TcpSocket;
use tokio::time::{Instant, timeout};

use crate::frames::{CLOSE, PING, PONG, RawWs, Sent, TEXT, TEXT_BEGINS, frame};
use crate::support::{Peer, Running};

fn forward(n: usize) -> String {
    format!(r#"{{"message_type":"forward","payload":{n}}}"#)
}

/// Many messages in one write.
fn forwards(count: usize) -> Vec<u8> {
    (0..count).flat_map(|n| frame(TEXT, forward(n).as_bytes())).collect()
}

/// A server with no limit but the one that is tested.
fn limited(change: impl FnOnce(&mut LimitSettings)) -> Running {
    let mut limits = LimitSettings::OFF;
    change(&mut limits);
    Running::with(|settings| settings.limits = limits)
}

#[tokio::test]
async fn client_over_its_rate_is_slowed_and_loses_nothing_and_nobody_else_waits() {
    let server = limited(|limits| limits.client.messages = Rate { per_second: 20, burst: 10 });
    let mut device = RawWs::device(&server, "d").await;
    let mut busy = RawWs::client(&server, "d").await;
    let mut calm = RawWs::client(&server, "d").await;
    let begun = Instant::now();
    // Its connect was one of the ten.
    busy.send(&forwards(29)).await;
    let mut seen = 0;
    let mut calm_id = None;
    while seen < 29 {
        let message = device.expect_type("client_msg").await;
        if message.contains(r#""payload":"calm""#) {
            calm_id = Some(seen);
        } else {
            assert!(message.ends_with(&format!(r#""payload":{seen}}}"#)), "{message}");
            seen += 1;
        }
        if seen == 9 && calm_id.is_none() {
            calm.text(r#"{"message_type":"forward","payload":"calm"}"#).await;
        }
    }
    let took = begun.elapsed();
    assert!(took >= Duration::from_millis(950), "20 of them at 20 a second took {took:?}");
    assert!(calm_id.is_some_and(|at| at < 20), "the calm client came after {calm_id:?} of the busy one's");
    assert!(server.metric(r#"cuttlebone_rate_pauses_total{bucket="messages"}"#).await >= 15);
    assert_eq!(server.metric(r#"cuttlebone_rejects_total{reason="rate_limited"}"#).await, 0);
}

#[tokio::test]
async fn client_that_never_catches_up_is_closed_after_the_patience() {
    let patience = Duration::from_millis(500);
    let server = limited(|limits| {
        limits.client.messages = Rate { per_second: 20, burst: 10 };
        limits.patience = patience;
    });
    let _device = RawWs::device(&server, "d").await;
    let mut client = RawWs::client(&server, "d").await;
    let begun = Instant::now();
    client.send(&forwards(200)).await;
    client.expect_refused("rate_limited", 4029).await;
    assert!(begun.elapsed() >= patience, "{:?}", begun.elapsed());
    assert_eq!(server.metric(r#"cuttlebone_rejects_total{reason="rate_limited"}"#).await, 1);
    assert_eq!(server.metric(r#"cuttlebone_closes_total{code="4029"}"#).await, 1);
}

/// Without a bound Linux keeps 128 KiB from the start, and tens of MiB for a peer that was read fast before.
#[tokio::test]
async fn system_keeps_little_of_what_a_peer_sends_that_is_not_read() {
    let server = Running::with(|settings| {
        settings.limits = LimitSettings::OFF;
        settings.limits.client.messages = Rate { per_second: 10, burst: 10 };
        settings.connections.receive_buffer = 4096;
    });
    let _device = RawWs::device(&server, "d").await;
    let socket = TcpSocket::new_v4().expect("a socket");
    socket.set_send_buffer_size(4096).expect("set");
    let socket = socket.connect(server.addr).await.expect("accepted");
    let mut client = RawWs::over(Peer::from(socket), "/connect_client").await;
    client.text(r#"{"message_type":"connect","device_id":"d"}"#).await;
    let message = format!(r#"{{"message_type":"forward","payload":"{}"}}"#, "x".repeat(1000));
    let mut sent = 0;
    while timeout(Duration::from_millis(200), client.text(&message)).await.is_ok() {
        sent += 1;
        assert!(sent < 100, "messages of a KiB");
    }
    assert!(sent > 10, "{sent}");
}

#[tokio::test]
async fn device_over_its_rate_is_slowed_and_never_closed() {
    let server = limited(|limits| {
        limits.device.messages = Rate { per_second: 100, burst: 10 };
        limits.patience = Duration::from_millis(100);
    });
    let mut device = RawWs::device(&server, "d").await;
    let mut client = RawWs::client(&server, "d").await;
    client.text(&forward(0)).await;
    let message: serde_json::Value = serde_json::from_str(&device.expect_type("client_msg").await).expect("JSON");
    let id = message["client_id"].as_u64().expect("an id");
    let begun = Instant::now();
    for n in 0..60 {
        device.text(&format!(r#"{{"message_type":"forward","client_id":{id},"payload":{n}}}"#)).await;
    }
    for n in 0..60 {
        let message = client.expect_type("device_msg").await;
        assert!(message.ends_with(&format!(r#""payload":{n}}}"#)), "{message}");
    }
    assert!(begun.elapsed() >= Duration::from_millis(450), "{:?}", begun.elapsed());
    assert_eq!(server.metric(r#"cuttlebone_rejects_total{reason="rate_limited"}"#).await, 0);
}

#[tokio::test]
async fn peer_that_is_not_read_is_neither_silent_nor_late_with_its_message() {
    let server = Running::with(|settings| {
        settings.limits = LimitSettings::OFF;
        settings.limits.client.bytes = Rate { per_second: 4096, burst: 4096 };
        settings.timeouts.ping = Duration::from_millis(200);
        settings.timeouts.idle = Duration::from_millis(600);
        settings.timeouts.message = Duration::from_millis(400);
    });
    let mut device = RawWs::device(&server, "d").await;
    let mut client = RawWs::client(&server, "d").await;
    let text = format!(r#"{{"message_type":"forward","payload":"{}"}}"#, "x".repeat(12_000));
    let (first, second) = text.split_at(11_000);
    let begun = Instant::now();
    client.send(&frame(TEXT_BEGINS, first.as_bytes())).await;
    server.until_metric(r#"cuttlebone_rate_pauses_total{bucket="bytes"}"#, |pauses| pauses == 1).await;
    client.send(&frame(0x80, second.as_bytes())).await;
    // The device has to answer pings, too, to stay.
    loop {
        match device.next().await {
            Sent::Ping => device.send(&frame(PONG, b"")).await,
            Sent::Text(message) => break assert!(message.contains("xxx"), "{message}"),
            other => panic!("{other:?}"),
        }
        assert!(begun.elapsed() < Duration::from_secs(10), "the message never came");
    }
    assert!(begun.elapsed() > Duration::from_secs(1), "{:?}", begun.elapsed());
    assert_eq!(server.metric(r#"cuttlebone_timeouts_total{which="message"}"#).await, 0);
}

#[tokio::test]
async fn peer_that_is_not_read_is_written_to_and_hears_of_a_stop() {
    let server = limited(|limits| limits.client.messages = Rate { per_second: 1, burst: 3 });
    let mut device = RawWs::device(&server, "d").await;
    let mut client = RawWs::client(&server, "d").await;
    client.send(&forwards(50)).await;
    let message: serde_json::Value = serde_json::from_str(&device.expect_type("client_msg").await).expect("JSON");
    device.expect_type("client_msg").await;
    let id = message["client_id"].as_u64().expect("an id");
    let begun = Instant::now();
    device.text(&format!(r#"{{"message_type":"forward","client_id":{id},"payload":"now"}}"#)).await;
    assert!(client.expect_type("device_msg").await.contains("now"));
    server.stop();
    // Its device first, and once that has closed, the client.
    while device.next().await != Sent::Close(1012) {}
    device.send(&frame(CLOSE, &1012_u16.to_be_bytes())).await;
    loop {
        match client.next().await {
            Sent::Close(code) => break assert_eq!(code, 1012),
            Sent::Ping | Sent::Text(_) => {}
            other => panic!("{other:?}"),
        }
    }
    assert!(begun.elapsed() < Duration::from_millis(900), "{:?}", begun.elapsed());
}

#[tokio::test]
async fn frames_and_bytes_have_rates_of_their_own() {
    let server = limited(|limits| {
        limits.client.frames = Rate { per_second: 100, burst: 20 };
        limits.device.bytes = Rate { per_second: 40_000, burst: 40_000 };
    });
    let _device = RawWs::device(&server, "d").await;
    let mut client = RawWs::client(&server, "d").await;
    client.send(&frame(PING, b"").repeat(40)).await;
    server.until_metric(r#"cuttlebone_rate_pauses_total{bucket="frames"}"#, |pauses| pauses >= 1).await;
    let mut other = RawWs::device(&server, "other").await;
    let large = format!(r#"{{"message_type":"nothing","x":"{}"}}"#, "x".repeat(60_000));
    other.text(&large).await;
    assert!(other.next_text().await.contains("Unknown message type"));
    server.until_metric(r#"cuttlebone_rate_pauses_total{bucket="bytes"}"#, |pauses| pauses >= 1).await;
}

#[tokio::test]
async fn control_frames_over_their_rate_are_a_violation_and_their_rate_is_a_setting() {
    let server = limited(|limits| limits.control_frames = Rate { per_second: 1, burst: 5 });
    let mut client = RawWs::open(&server, "/connect_client").await;
    client.send(&frame(PING, b"x").repeat(5)).await;
    while client.next().await != Sent::Pong(b"x".to_vec()) {}
    client.send(&frame(PING, b"x")).await;
    client.expect_refused("too_many_control_frames", 1008).await;
    let server = limited(|_| ());
    let mut client = RawWs::open(&server, "/connect_client").await;
    client.send(&[frame(PING, b"x").repeat(1000), frame(PING, b"last")].concat()).await;
    while client.next().await != Sent::Pong(b"last".to_vec()) {}
}

#[tokio::test]
async fn requests_over_their_rate_wait_on_their_connection_and_all_are_answered() {
    let server = limited(|limits| limits.requests = Rate { per_second: 20, burst: 5 });
    let mut busy = Peer::connect(server.addr).await;
    let begun = Instant::now();
    busy.send(&"GET /livez HTTP/1.1\r\nhost: localhost\r\n\r\n".repeat(15)).await;
    server.until_metric(r#"cuttlebone_rate_pauses_total{bucket="requests"}"#, |pauses| pauses > 0).await;
    assert_eq!(server.get("/livez").await.status, 200);
    for _ in 0..15 {
        assert_eq!(busy.answer().await.text(), "ok\n");
    }
    assert!(begun.elapsed() >= Duration::from_millis(500), "{:?}", begun.elapsed());
}
