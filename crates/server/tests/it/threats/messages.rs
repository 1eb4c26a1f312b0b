//! What messages say.

use std::time::Duration;

use cuttlebone_server::LimitSettings;
use serde_json::{Value, json};
use tokio::time::{Instant, timeout};

use crate::frames::{RawWs, Sent, TEXT, frame};
use crate::support::Running;

const REGISTER: &str = r#"{"message_type":"register","device_id":"x"}"#;
const CONNECT: &str = r#"{"message_type":"connect","device_id":"d"}"#;
const TO_DEVICE: &str = r#"{"message_type":"forward","payload":1}"#;

fn nested(levels: usize) -> String {
    format!(r#"{{"message_type":"forward","payload":{}{}}}"#, "[".repeat(levels), "]".repeat(levels))
}

/// The id under which a device knows the client that sent it this.
fn client_id(message: &str) -> u64 {
    let message: Value = serde_json::from_str(message).expect("JSON");
    message["client_id"].as_u64().expect("an id")
}

/// A device and its one client, and the client's id.
async fn pair(server: &Running, id: &str) -> (RawWs, RawWs, u64) {
    let mut device = RawWs::device(server, id).await;
    let mut client = RawWs::client(server, id).await;
    client.text(TO_DEVICE).await;
    let id = client_id(&device.expect_type("client_msg").await);
    (device, client, id)
}

#[tokio::test]
async fn t10_nesting_is_counted_and_a_bomb_costs_nothing() {
    let server = Running::start();
    let (mut device, mut client, id) = pair(&server, "d").await;
    client.text(&nested(64)).await;
    let expected =
        format!(r#"{{"message_type":"client_msg","client_id":{id},"payload":{}{}}}"#, "[".repeat(64), "]".repeat(64));
    assert_eq!(device.next_text().await, expected);
    client.text(&nested(65)).await;
    client.expect_refused("nested_too_deep", 1008).await;
    let mut bomb = RawWs::open(&server, "/connect_client").await;
    let begun = Instant::now();
    bomb.text(&"[".repeat(125 * 1024)).await;
    bomb.expect_refused("nested_too_deep", 1008).await;
    assert!(begun.elapsed() < Duration::from_millis(500), "{:?}", begun.elapsed());
}

#[tokio::test]
async fn t11_a_key_twice_is_an_error_in_the_envelope_and_nothing_in_a_payload() {
    let server = Running::start();
    let (mut device, mut client, id) = pair(&server, "d").await;
    client.text(r#"{"message_type":"forward","payload":{"a":1,"a":2}}"#).await;
    let expected = format!(r#"{{"message_type":"client_msg","client_id":{id},"payload":{{"a":1,"a":2}}}}"#);
    assert_eq!(device.next_text().await, expected);
    for (path, text) in [
        ("/register_device", r#"{"message_type":"register","message_type":"forward","device_id":"x"}"#),
        ("/register_device", r#"{"message_type":"register","device_id":"x","device_id":"y"}"#),
        ("/connect_client", r#"{"message_type":"connect","device_id":"x","device_\u0069d":"y"}"#),
    ] {
        let mut peer = RawWs::open(&server, path).await;
        peer.text(text).await;
        peer.expect_refused("invalid_message", 1008).await;
    }
}

#[tokio::test]
async fn t12_a_nul_is_refused_in_an_id_and_passes_in_a_payload() {
    let server = Running::start();
    let mut device = RawWs::open(&server, "/register_device").await;
    device.text(r#"{"message_type":"register","device_id":"a\u0000"}"#).await;
    device.expect_refused("invalid_device_id", 1008).await;
    let (mut device, mut client, _) = pair(&server, "d").await;
    client.text(r#"{"message_type":"forward","payload":"\u0000"}"#).await;
    assert!(device.next_text().await.ends_with(r#""payload":"\u0000"}"#));
}

#[tokio::test]
async fn t15_messages_are_objects() {
    let server = Running::start();
    for path in ["/connect_client", "/register_device"] {
        for text in [
            r#"["forward",{"x":1}]"#,
            r#"[{"message_type":"register"}]"#,
            r#"["connect","d"]"#,
            "[]",
            "1",
            "\"a\"",
            "null",
            "true",
        ] {
            let mut peer = RawWs::open(&server, path).await;
            peer.text(text).await;
            peer.expect_refused("invalid_message", 1008).await;
        }
    }
}

#[tokio::test]
async fn t16_client_id_is_a_positive_integer_below_2_31() {
    let server = Running::start();
    for bad in ["0", "-1", "1.5", "\"1\"", "2147483648", "null", "1e400", "[1]"] {
        let mut device = RawWs::device(&server, "d").await;
        device.text(&format!(r#"{{"message_type":"forward","client_id":{bad},"payload":1}}"#)).await;
        device.expect_refused("invalid_client_id", 1008).await;
    }
    let mut device = RawWs::device(&server, "other").await;
    for unknown in [42, 1, 2_147_483_647] {
        device.text(&format!(r#"{{"message_type":"forward","client_id":{unknown},"payload":1}}"#)).await;
        let gone = format!(r#"{{"message_type":"client_disconnected","client_id":{unknown}}}"#);
        assert_eq!(device.next_text().await, gone);
    }
    // 1000, written in another way.
    device.text(r#"{"message_type":"forward","client_id":1e3,"payload":1}"#).await;
    assert!(device.next_text().await.contains("1000"));
}

#[tokio::test]
async fn t17_messages_out_of_turn_are_refused_and_leave_nothing_behind() {
    let server = Running::start();
    let _device = RawWs::device(&server, "d").await;
    for (path, texts, word) in [
        ("/register_device", [r#"{"message_type":"forward","client_id":1,"payload":1}"#, REGISTER], "not_registered"),
        ("/register_device", [REGISTER, REGISTER], "already_registered"),
        ("/connect_client", [TO_DEVICE, CONNECT], "not_connected"),
        ("/connect_client", [CONNECT, CONNECT], "second_connect"),
    ] {
        let mut peer = RawWs::open(&server, path).await;
        peer.send(&texts.map(|text| frame(TEXT, text.as_bytes())).concat()).await;
        peer.expect_refused(word, 1008).await;
    }
    for (path, text) in [("/register_device", CONNECT), ("/connect_client", REGISTER)] {
        let mut peer = RawWs::open(&server, path).await;
        peer.text(text).await;
        assert!(peer.next_text().await.contains("Unknown message type"), "{path}");
    }
    server.until_metric("cuttlebone_clients", |clients| clients == 0).await;
    assert_eq!(server.metric("cuttlebone_waiting_clients").await, 0);
}

#[tokio::test]
async fn t22_no_device_reaches_another_ones_client() {
    let server = Running::with(|settings| settings.limits = LimitSettings::OFF);
    let (_own, mut client, id) = pair(&server, "own").await;
    let mut other = RawWs::device(&server, "other").await;
    let ids: Vec<u64> = (1..=10_000).chain(id - 5..=id + 5).collect();
    for chunk in ids.chunks(50) {
        let texts = chunk.iter().map(|id| format!(r#"{{"message_type":"forward","client_id":{id},"payload":1}}"#));
        other.send(&texts.flat_map(|text| frame(TEXT, text.as_bytes())).collect::<Vec<u8>>()).await;
        for id in chunk {
            let gone = format!(r#"{{"message_type":"client_disconnected","client_id":{id}}}"#);
            assert_eq!(other.next_text().await, gone);
        }
    }
    assert!(timeout(Duration::from_millis(100), client.next()).await.is_err(), "nothing came");
}

#[tokio::test]
async fn t22_id_of_a_client_that_left_is_nobodys() {
    let server = Running::start();
    let (device, client, id) = pair(&server, "d").await;
    drop((device, client));
    server.until_metric(r#"cuttlebone_connections{role="device"}"#, |open| open == 0).await;
    // Another device_info: the device comes back as another one, and so do its clients.
    let mut device = RawWs::open(&server, "/register_device").await;
    device.text(r#"{"message_type":"register","device_id":"d","device_info":2}"#).await;
    device.expect_type("config").await;
    let mut client = RawWs::client(&server, "d").await;
    let gone = format!(r#"{{"message_type":"client_disconnected","client_id":{id}}}"#);
    assert_eq!(device.next_text().await, gone, "the device may have kept its table");
    device.text(&format!(r#"{{"message_type":"forward","client_id":{id},"payload":1}}"#)).await;
    assert_eq!(device.next_text().await, gone);
    assert!(timeout(Duration::from_millis(100), client.next()).await.is_err(), "nothing came");
}

#[tokio::test]
async fn t23_fields_of_a_payload_are_never_the_envelopes() {
    let server = Running::start();
    let (mut device, mut client, id) = pair(&server, "d").await;
    let payload = json!({"message_type": "client_disconnected", "client_id": 7});
    client.text(&format!(r#"{{"client_id":8,"message_type":"forward","error":"x","payload":{payload}}}"#)).await;
    let expected = format!(r#"{{"message_type":"client_msg","client_id":{id},"payload":{payload}}}"#);
    assert_eq!(device.next_text().await, expected);
    device.text(&format!(r#"{{"message_type":"forward","client_id":{id},"error":"x","payload":{payload}}}"#)).await;
    let expected = format!(r#"{{"message_type":"device_msg","payload":{payload}}}"#);
    assert_eq!(client.next().await, Sent::Text(expected));
}
