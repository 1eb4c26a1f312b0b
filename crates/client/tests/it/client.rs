use cuttlebone_client::{ClientEvent, SendError, client};

use crate::fake::{CONFIG, DEVICE_INFO, FakeServer};

#[tokio::test]
async fn connects_and_carries_payloads_both_ways() {
    let server = FakeServer::start().await;
    let (handle, mut events) = client(server.client());
    let mut peer = server.accept().await;
    assert_eq!(peer.path, "/pre/connect_client");
    assert_eq!(
        peer.text().await,
        r#"{"message_type":"connect","device_id":"dev","cuttlebone_ice":true,"cuttlebone_resume":true}"#
    );
    peer.send(CONFIG).await;
    let event = events.next().await;
    assert!(matches!(event, Some(ClientEvent::Config { .. })), "{event:?}");

    peer.send(DEVICE_INFO).await;
    let Some(ClientEvent::DeviceInfo(info)) = events.next().await else {
        panic!("no device_info");
    };
    assert_eq!(info.get(), r#"{ "a":1, "a":1e999 }"#);

    handle.forward(&info).await.unwrap();
    assert_eq!(peer.text().await, r#"{"message_type":"forward","payload":{ "a":1, "a":1e999 }}"#);
    peer.send(r#"{"message_type":"device_msg","payload": null }"#).await;
    let event = events.next().await;
    assert!(matches!(&event, Some(ClientEvent::Message(payload)) if payload.get() == "null"), "{event:?}");
}

#[tokio::test]
async fn nothing_is_sent_before_the_device_is_there() {
    let server = FakeServer::start().await;
    let (handle, mut events) = client(server.client());
    let mut peer = server.greet(&[CONFIG]).await;
    events.next().await;
    let early = handle.forward(&"early").await;
    assert!(matches!(early, Err(SendError::NotConnected)), "{early:?}");
    peer.send(DEVICE_INFO).await;
    events.next().await;
    handle.forward(&"in time").await.unwrap();
    assert!(peer.text().await.contains("in time"));
}

#[tokio::test]
async fn what_waits_when_a_session_is_lost_is_not_sent_in_the_next() {
    let server = FakeServer::start().await;
    let (handle, mut events) = client(server.client());
    let peer = server.greet(&[CONFIG, DEVICE_INFO]).await;
    events.next().await;
    events.next().await;
    // The server does not read, so in the end the queue is full when the connection is cut.
    let old = "old".repeat(20_000);
    while handle.try_forward(&old).is_ok() {
        tokio::task::yield_now().await;
    }
    drop(peer);
    let mut peer = server.greet(&[CONFIG, DEVICE_INFO]).await;
    loop {
        match events.next().await {
            Some(ClientEvent::DeviceInfo(_)) => break,
            Some(_) => {}
            None => panic!("gave up"),
        }
    }
    handle.forward(&"new").await.unwrap();
    assert!(peer.text().await.ends_with(r#""payload":"new"}"#));
}

#[tokio::test]
async fn errors_are_told_and_it_tries_again() {
    let server = FakeServer::start().await;
    let (_handle, mut events) = client(server.client());
    let error = r#"{"error":"Device disconnected","cuttlebone_code":"device_disconnected"}"#;
    let mut peer = server.greet(&[CONFIG, DEVICE_INFO, error]).await;
    peer.send_close(1001).await;
    events.next().await;
    events.next().await;
    let event = events.next().await;
    assert!(
        matches!(&event, Some(ClientEvent::ServerError { text, code: Some(code) })
            if text == "Device disconnected" && code == "device_disconnected"),
        "{event:?}"
    );
    let Some(ClientEvent::Lost { reason, retry_in }) = events.next().await else {
        panic!("not lost");
    };
    assert_eq!(reason, "the server closed the connection (1001: why)");
    assert!(retry_in.is_some());
    server.greet(&[CONFIG]).await;
}

#[tokio::test]
async fn a_server_that_speaks_another_language_is_left() {
    for nonsense in ["hello", "[]", r#"{"message_type":"device_msg"}"#] {
        let server = FakeServer::start().await;
        let (_handle, mut events) = client(server.client());
        let _peer = server.greet(&[nonsense]).await;
        let Some(ClientEvent::Lost { reason, .. }) = events.next().await else {
            panic!("{nonsense} was taken");
        };
        assert_eq!(reason, "the server sent what is not of the protocol");
    }
}
