//! `/infra_config`, `/devices` and `/devices/{id}`.

use std::time::Duration;

use cuttlebone_proto::IceServer;
use futures_util::future::join_all;
use serde_json::Value;

use crate::support::Running;

#[tokio::test]
async fn infra_config_is_the_config_message() {
    let server = Running::with(|settings| {
        let urls = vec!["turn:turn.example:3478".into()];
        settings.ice.servers =
            vec![IceServer { urls, username: Some("u".into()), credential: Some("c".into()) }.into()];
    });
    let answer = server.get("/infra_config").await;
    assert_eq!(answer.header("content-type"), "application/json");
    let expected = concat!(
        r#"{"message_type":"config","ice_servers":[{"urls":["turn:turn.example:3478"],"#,
        r#""username":"u","credential":"c"}]}"#
    );
    assert_eq!(answer.text(), expected);
}

#[tokio::test]
async fn devices_are_listed_in_the_order_of_their_ids() {
    let server = Running::start();
    assert_eq!(server.get("/devices").await.text(), "[]");
    let _b = server.device("cvd-2", "null").await;
    let _a = server.device("cvd-1", r#"{"adb_port":6520}"#).await;
    let _viewer = server.client("cvd-1").await;
    let list: Value = serde_json::from_str(&server.get("/devices").await.text()).expect("json");
    let fields = |index: usize, name: &str| list[index][name].clone();
    assert_eq!((fields(0, "device_id"), fields(1, "device_id")), ("cvd-1".into(), "cvd-2".into()));
    assert_eq!((fields(0, "adb_port"), fields(1, "adb_port")), (6520.into(), 0.into()));
    assert_eq!((fields(0, "cuttlebone_viewers"), fields(1, "cuttlebone_viewers")), (1.into(), 0.into()));
    assert!(fields(0, "cuttlebone_registered_at_ms").as_u64() > Some(1_700_000_000_000));
    for name in ["group_name", "owner", "name"] {
        assert_eq!(fields(0, name), "", "{name}");
    }
}

#[tokio::test]
async fn registration_info_is_device_info_byte_for_byte() {
    let server = Running::start();
    let info = r#"{ "b" : 1e999, "a":"\ud800", "a": 123456789012345678901234567890 }"#;
    let _device = server.device("odd", info).await;
    let text = server.get("/devices/odd").await.text();
    assert!(text.ends_with(&format!(r#","registration_info":{info}}}"#)), "{text}");
}

#[tokio::test]
async fn any_json_may_be_device_info() {
    let server = Running::start();
    for (index, info) in ["7", "[]", "null", r#""x""#, "[6520]", r#"{"adb_port":"x"}"#].iter().enumerate() {
        let _device = server.device(&format!("d{index}"), info).await;
        let answer = server.get(&format!("/devices/d{index}")).await;
        assert_eq!(answer.status, 200, "{info}");
        assert!(answer.text().ends_with(&format!(r#""registration_info":{info}}}"#)), "{}", answer.text());
        assert_eq!(server.get("/devices").await.status, 200, "{info}");
    }
}

#[tokio::test]
async fn ids_are_decoded_once_from_the_path() {
    let server = Running::start();
    let _slash = server.device("a/b?x#y", "1").await;
    let _percent = server.device("100%25", "2").await;
    assert_eq!(server.get("/devices/a%2Fb%3Fx%23y").await.status, 200);
    assert_eq!(server.get("/devices/100%2525").await.status, 200);
    assert_eq!(server.get("/devices/100%25").await.status, 404);
}

#[tokio::test]
async fn unknown_device_is_404_and_its_name_stays_inside_the_string() {
    let server = Running::start();
    let expected = r#"{"error":"Device not found: 'none'","cuttlebone_code":"device_not_found"}"#;
    assert_eq!(server.get("/devices/none").await.text(), expected);
    let answer = server.get("/devices/x%22%2C%22message_type%22%3A%22config").await;
    let value: Value = serde_json::from_str(&answer.text()).expect("json");
    assert_eq!(value.as_object().map(serde_json::Map::len), Some(2), "{value}");
    let answer = server.get(&format!("/devices/{}", "%0A".repeat(300))).await;
    assert!(answer.status == 404 && answer.body.len() < 300, "{}", answer.text());
}

#[tokio::test]
async fn what_could_deceive_a_reader_is_escaped_and_a_long_name_is_cut() {
    let server = Running::start();
    let answer = server.get("/devices/a%7F%C2%9B%E2%80%AE").await;
    let expected = r#"{"error":"Device not found: 'a\u007f\u009b\u202e'","cuttlebone_code":"device_not_found"}"#;
    assert_eq!((answer.status, answer.header("content-type")), (404, "application/json"));
    assert_eq!(answer.text(), expected);
    let answer = server.get(&format!("/devices/{}", "x".repeat(200))).await;
    assert!(answer.text().contains(&format!("'{}'", "x".repeat(64))), "{}", answer.text());
}

#[tokio::test]
async fn a_listing_asked_for_after_a_registration_has_it_however_many_ask() {
    let server = Running::with(|settings| settings.hub.device_grace = Duration::ZERO);
    let mut devices = Vec::new();
    for index in 0..50 {
        let before: [_; 4] = std::array::from_fn(|_| server.get("/devices"));
        let id = format!("d{index}");
        let (_, device) = tokio::join!(join_all(before), server.device(&id, "1"));
        devices.push(device);
        let (list, _) = tokio::join!(server.get("/devices"), server.get("/devices"));
        assert!(list.text().contains(&format!("\"{id}\"")), "{id} is not in {}", list.text());
        if index % 2 == 0 {
            drop(devices.pop());
            server.until_metric("cuttlebone_devices", |there| there == devices.len() as u64).await;
            assert!(!server.get("/devices").await.text().contains(&format!("\"{id}\"")), "{id} is gone");
        }
    }
}
