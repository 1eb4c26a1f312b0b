//! Ids of peers where they might do harm.

use serde_json::Value;

use crate::frames::RawWs;
use crate::support::{Running, get};

const NAMES: [&str; 12] = [
    "__proto__",
    "constructor",
    "toString",
    "../../etc/passwd",
    "a/b?x#y",
    "a.*",
    ">",
    "%00%2f",
    "<img src=x onerror=window.P=1>",
    "cuttlebone_devices 1",
    "a\\\"} 1",
    "\u{202e}gnp.exe",
];

/// Percent-encoded, all of it.
fn encoded(name: &str) -> String {
    name.bytes().map(|byte| format!("%{byte:02x}")).collect()
}

#[tokio::test]
async fn t26_t27_every_name_is_a_name_and_nothing_else() {
    let server = Running::start();
    let mut devices = Vec::new();
    for name in NAMES {
        let quoted = serde_json::to_string(name).expect("JSON");
        let mut device = RawWs::open(&server, "/register_device").await;
        device.text(&format!(r#"{{"message_type":"register","device_id":{quoted},"device_info":{quoted}}}"#)).await;
        device.expect_type("config").await;
        let mut client = RawWs::open(&server, "/connect_client").await;
        client.text(&format!(r#"{{"message_type":"connect","device_id":{quoted}}}"#)).await;
        client.expect_type("config").await;
        assert!(client.expect_type("device_info").await.ends_with(&format!("{quoted}}}")), "{name}");
        client.text(r#"{"message_type":"forward","payload":1}"#).await;
        device.expect_type("client_msg").await;
        let answer = server.get(&format!("/devices/{}", encoded(name))).await;
        assert_eq!(answer.status, 200, "{name}");
        let one: Value = serde_json::from_str(&answer.text()).expect("JSON");
        assert_eq!(one["device_id"], name);
        devices.push((device, client));
    }
    let answer = server.get("/devices").await;
    assert_eq!(answer.header("content-type"), "application/json");
    let list: Value = serde_json::from_str(&answer.text()).expect("JSON");
    assert_eq!(list.as_array().map(Vec::len), Some(NAMES.len()));
    let page = get(server.metrics, "/metrics").await.text();
    for name in NAMES.iter().filter(|name| **name != ">") {
        // The one that looks like a line of ours is there once, as that line.
        let is_alike = **name == *"cuttlebone_devices 1";
        assert!(is_alike || !page.contains(name), "{name} is in {page}");
    }
    assert!(page.lines().any(|line| line == format!("cuttlebone_devices {}", NAMES.len())), "{page}");
}

#[tokio::test]
async fn t28_names_make_no_series() {
    let server = Running::start();
    let _first = server.device("first", "1").await;
    let before = get(server.metrics, "/metrics").await.body.len();
    let mut held = Vec::new();
    for index in 0..2000 {
        let mut device = RawWs::open(&server, "/register_device").await;
        device.text(&format!(r#"{{"message_type":"register","device_id":"device-{index}"}}"#)).await;
        device.expect_type("config").await;
        // Some stay, some go.
        if index % 4 == 0 {
            held.push(device);
        }
    }
    let after = get(server.metrics, "/metrics").await.body.len();
    assert!(after < before + 1024, "{before} and then {after} bytes");
}
