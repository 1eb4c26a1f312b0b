use cuttlebone_client::{ClientId, DeviceEvent, SendError, device};
use serde_json::value::RawValue;

use crate::fake::{CONFIG, FakeServer};

const ODD: &str = r#"{ "b":1, "b" : 123456789012345678901234567890 }"#;

fn id(n: u32) -> ClientId {
    ClientId::new(n).unwrap()
}

#[tokio::test]
async fn registers_below_the_prefix_with_its_info_byte_for_byte() {
    let server = FakeServer::start().await;
    let (_handle, mut events) = device(server.device());
    let mut peer = server.accept().await;
    assert_eq!(peer.path, "/pre/register_device");
    assert_eq!(peer.text().await, r#"{"message_type":"register","device_id":"dev","device_info":{ "x": 1.0 }}"#);
    peer.send(CONFIG).await;
    let Some(DeviceEvent::Registered { ice_servers }) = events.next().await else {
        panic!("not registered");
    };
    assert_eq!(ice_servers[0].urls, ["stun:s.example"]);
}

#[tokio::test]
async fn payloads_go_both_ways_byte_for_byte() {
    let server = FakeServer::start().await;
    let (handle, mut events) = device(server.device());
    let mut peer = server.greet(&[CONFIG]).await;
    events.next().await;
    peer.send(&format!(r#"{{"message_type":"client_msg","client_id":7,"payload":{ODD}}}"#)).await;
    let Some(DeviceEvent::ClientMessage { client_id, payload }) = events.next().await else {
        panic!("no message");
    };
    assert_eq!((client_id, payload.get()), (id(7), ODD));
    handle.forward(client_id, &payload).await.unwrap();
    assert_eq!(peer.text().await, format!(r#"{{"message_type":"forward","client_id":7,"payload":{ODD}}}"#));
}

#[tokio::test]
async fn tells_of_later_configs_gone_clients_and_nothing_of_unknown_types() {
    let server = FakeServer::start().await;
    let (_handle, mut events) = device(server.device());
    let mut peer = server.greet(&[CONFIG]).await;
    events.next().await;
    for text in [
        r#"{"message_type":"cuttlebone_later","x":1}"#,
        CONFIG,
        r#"{"message_type":"client_disconnected","client_id":7}"#,
    ] {
        peer.send(text).await;
    }
    let event = events.next().await;
    assert!(matches!(event, Some(DeviceEvent::Config { .. })), "{event:?}");
    let event = events.next().await;
    assert!(matches!(event, Some(DeviceEvent::ClientDisconnected { client_id }) if client_id == id(7)), "{event:?}");
}

#[tokio::test]
async fn close_sends_what_waits_and_then_1000() {
    let server = FakeServer::start().await;
    let (handle, mut events) = device(server.device());
    let mut peer = server.greet(&[CONFIG]).await;
    events.next().await;
    for n in 0..100 {
        handle.forward(id(1), &n).await.unwrap();
    }
    let closing = async {
        handle.close().await;
    };
    let reading = async {
        for n in 0..100 {
            assert!(peer.text().await.ends_with(&format!(r#""payload":{n}}}"#)));
        }
        assert_eq!(peer.close_code().await, Some(1000));
        assert!(peer.next().await.is_none());
    };
    tokio::join!(closing, reading);
    assert!(events.next().await.is_none());
    let refused = handle.forward(id(1), &0).await;
    assert!(matches!(refused, Err(SendError::Closed)), "{refused:?}");
}

#[tokio::test]
async fn close_while_waiting_for_the_next_attempt_returns() {
    let server = FakeServer::start().await;
    let mut options = server.device();
    options.backoff.first = std::time::Duration::from_secs(3600);
    options.backoff.cap = options.backoff.first;
    let (handle, mut events) = device(options);
    server.refuse().await;
    assert!(matches!(events.next().await, Some(DeviceEvent::Lost { .. })));
    handle.close().await;
    assert!(events.next().await.is_none());
}

#[tokio::test]
async fn dropping_handle_and_events_closes_with_1000() {
    let server = FakeServer::start().await;
    let (handle, mut events) = device(server.device());
    let mut peer = server.greet(&[CONFIG]).await;
    events.next().await;
    drop(events);
    handle.forward(id(1), &"still here").await.unwrap();
    assert!(peer.text().await.contains("still here"));
    drop(handle);
    assert_eq!(peer.close_code().await, Some(1000));
}

#[tokio::test]
async fn a_full_event_queue_does_not_stop_sending() {
    let server = FakeServer::start().await;
    let (handle, mut events) = device(server.device());
    let mut peer = server.greet(&[CONFIG]).await;
    events.next().await;
    let count = 2_000;
    for n in 0..count {
        let text = format!(r#"{{"message_type":"client_msg","client_id":1,"payload":{n}}}"#);
        peer.send(&text).await;
    }
    for n in 0..count {
        handle.forward(id(1), &n).await.unwrap();
        assert!(peer.text().await.ends_with(&format!(r#""payload":{n}}}"#)));
    }
    for n in 0..count {
        let Some(DeviceEvent::ClientMessage { payload, .. }) = events.next().await else {
            panic!("message {n} is missing");
        };
        assert_eq!(payload.get(), n.to_string());
    }
}

#[tokio::test]
async fn a_payload_that_is_no_json_is_refused() {
    let server = FakeServer::start().await;
    let (handle, _events) = device(server.device());
    let no_json = std::collections::HashMap::from([(vec![1], 1)]);
    let refused = handle.try_forward(id(1), &no_json);
    assert!(matches!(refused, Err(SendError::Payload(_))), "{refused:?}");
    let raw = RawValue::from_string("1".into()).unwrap();
    while handle.try_forward(id(1), &raw).is_ok() {}
    let full = handle.try_forward(id(1), &raw);
    assert!(matches!(full, Err(SendError::Full)), "{full:?}");
}
