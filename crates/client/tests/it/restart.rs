//! A planned restart of the server, as a device sees it: nothing is lost.

use std::time::Duration;

use cuttlebone_client::{ClientId, DeviceEvent, DeviceEvents, device};

use crate::fake::{CONFIG, FakeServer};

fn id(n: u32) -> ClientId {
    ClientId::new(n).unwrap()
}

fn client_msg(n: usize) -> String {
    format!(r#"{{"message_type":"client_msg","client_id":1,"payload":{n}}}"#)
}

async fn registered(events: &mut DeviceEvents) {
    let event = events.next().await;
    assert!(matches!(event, Some(DeviceEvent::Registered { .. })), "{event:?}");
}

#[tokio::test]
async fn everything_before_the_close_is_read_though_the_application_is_slow() {
    let server = FakeServer::start().await;
    let (_handle, mut events) = device(server.device());
    let mut peer = server.greet(&[CONFIG]).await;
    for n in 0..1000 {
        peer.send(&client_msg(n)).await;
    }
    peer.send_close(1012).await;
    registered(&mut events).await;
    for n in 0..1000 {
        let Some(DeviceEvent::ClientMessage { payload, .. }) = events.next().await else {
            panic!("message {n} is missing");
        };
        assert_eq!(payload.get(), n.to_string());
    }
    assert_eq!(peer.close_code().await, Some(1012));
}

#[tokio::test]
async fn what_the_application_sends_meanwhile_arrives_before_the_answer_to_the_close_or_in_the_next_session() {
    let server = FakeServer::start().await;
    let (handle, mut events) = device(server.device());
    let mut peer = server.greet(&[CONFIG]).await;
    registered(&mut events).await;
    let count = 5_000;
    let sending = async {
        for n in 0..count {
            handle.forward(id(1), &n).await.unwrap();
        }
    };
    let receiving = async {
        let (mut arrived, mut restarts) = (0, 0);
        while arrived < count {
            let message = peer.next().await.expect("an answer to the close before the end");
            if message.is_close() {
                peer = server.greet(&[CONFIG]).await;
                restarts += 1;
                continue;
            }
            let text = message.as_text().expect("a text");
            assert!(text.ends_with(&format!(r#""payload":{arrived}}}"#)), "{text} is not number {arrived}");
            arrived += 1;
            if arrived % 1_000 == 500 {
                peer.send_close(1012).await;
            }
        }
        restarts
    };
    let ((), restarts) = tokio::join!(sending, receiving);
    assert!(restarts >= 4, "{restarts}");
}

#[tokio::test]
async fn what_waits_when_the_server_closes_is_sent_in_the_next_session() {
    let server = FakeServer::start().await;
    let (handle, mut events) = device(server.device());
    let mut peer = server.greet(&[CONFIG]).await;
    registered(&mut events).await;
    let mut sent = 0;
    // The server does not read, so in the end the queue is full.
    let padding = "x".repeat(20_000);
    while handle.try_forward(id(1), &(&padding, sent)).is_ok() {
        sent += 1;
        tokio::task::yield_now().await;
    }
    peer.send_close(1012).await;
    let (mut arrived, mut left) = (0, 0);
    while arrived < sent {
        let message = peer.next().await.expect("an answer to the close before the end");
        if message.is_close() {
            left = sent - arrived;
            peer = server.greet(&[CONFIG]).await;
            continue;
        }
        let text = message.as_text().expect("a text");
        assert!(text.ends_with(&format!(",{arrived}]}}")), "not number {arrived}");
        arrived += 1;
    }
    assert!(left > 0, "nothing waited");
}

#[tokio::test]
async fn device_is_back_soon_however_long_its_pauses() {
    let server = FakeServer::start().await;
    let mut options = server.device();
    let hour = Duration::from_secs(3600);
    (options.backoff.first, options.backoff.cap, options.backoff.stable) = (hour, hour, hour);
    let (handle, mut events) = device(options);
    let mut peer = server.greet(&[CONFIG]).await;
    registered(&mut events).await;
    peer.send_close(1012).await;
    let Some(DeviceEvent::Lost { retry_in: Some(pause), .. }) = events.next().await else {
        panic!("not lost");
    };
    assert!(pause <= Duration::from_millis(500), "{pause:?}");
    handle.forward(id(1), &"meanwhile").await.unwrap();
    let mut peer = server.greet(&[CONFIG]).await;
    assert!(peer.text().await.contains("meanwhile"));
}
