//! A device as the HTTP API shows it.

use cuttlebone_hub::{DeviceSummary, Registry};
use serde::{Deserialize, Serialize};

/// How many entries are written before other tasks get a turn.
const AT_ONCE: usize = 256;

/// One entry of `/devices`. Fields that nobody told the server about are empty, as in the published API.
#[derive(Debug, Serialize)]
pub(crate) struct Entry<'a> {
    device_id: &'a str,
    group_name: &'static str,
    owner: &'static str,
    name: &'static str,
    adb_port: u16,
    cuttlebone_viewers: usize,
    cuttlebone_registered_at_ms: u64,
    /// Only there while the device's connection is broken.
    #[serde(skip_serializing_if = "Option::is_none")]
    cuttlebone_away: Option<bool>,
}

impl<'a> Entry<'a> {
    pub(crate) fn of(device: &'a DeviceSummary) -> Self {
        Self {
            device_id: device.device_id.as_str(),
            group_name: "",
            owner: "",
            name: "",
            adb_port: adb_port(&device.info),
            cuttlebone_viewers: device.viewers,
            cuttlebone_registered_at_ms: device.registered_at_ms,
            cuttlebone_away: device.away.then_some(true),
        }
    }
}

/// The entry and `registration_info`, which is what the device registered with, byte for byte.
pub(crate) fn detail(device: &DeviceSummary) -> String {
    let mut text = serde_json::to_string(&Entry::of(device)).unwrap_or_default();
    text.pop();
    text.push_str(",\"registration_info\":");
    text.push_str(&device.info);
    text.push('}');
    text
}

/// All devices as an array, in the order of their ids.
pub(crate) async fn list(registry: &Registry) -> String {
    let mut text = String::from("[");
    for (index, device) in registry.list().iter().enumerate() {
        if index > 0 {
            text.push(',');
        }
        text.push_str(&serde_json::to_string(&Entry::of(device)).unwrap_or_default());
        if index % AT_ONCE == AT_ONCE - 1 {
            tokio::task::yield_now().await;
        }
    }
    text.push(']');
    text
}

/// `adb_port` of a `device_info`, if it is one; 0 if not. A device may register with any JSON value at all.
fn adb_port(info: &str) -> u16 {
    #[derive(Deserialize)]
    struct Info {
        adb_port: u16,
    }
    // A struct is also read from an array, by position.
    if !info.trim_start().starts_with('{') {
        return 0;
    }
    serde_json::from_str::<Info>(info).map_or(0, |info| info.adb_port)
}

#[cfg(test)]
mod tests {
    use super::*;
    use cuttlebone_proto::DeviceId;

    fn device(info: &str) -> DeviceSummary {
        DeviceSummary {
            device_id: DeviceId::new("cvd-1").expect("valid"),
            info: info.into(),
            viewers: 3,
            registered_at_ms: 17,
            away: false,
        }
    }

    #[test]
    fn entry_has_the_published_fields_and_ours() {
        let device = device(r#"{"adb_port":6520}"#);
        let expected = r#"{"device_id":"cvd-1","group_name":"","owner":"","name":"","adb_port":6520,"cuttlebone_viewers":3,"cuttlebone_registered_at_ms":17}"#;
        assert_eq!(serde_json::to_string(&Entry::of(&device)).expect("json"), expected);
    }

    #[test]
    fn detail_repeats_device_info_byte_for_byte() {
        let info = "{ \"b\":1e999,\"a\" : \"\\ud800\", \"a\":123456789012345678901234567890 }";
        let text = detail(&device(info));
        assert!(
            text.ends_with(&format!("\"cuttlebone_registered_at_ms\":17,\"registration_info\":{info}}}")),
            "{text}"
        );
    }

    #[test]
    fn adb_port_is_0_unless_it_is_a_port() {
        for info in [
            "7",
            "null",
            "[6520]",
            "\"x\"",
            "{}",
            r#"{"adb_port":1.5}"#,
            r#"{"adb_port":"6520"}"#,
            r#"{"adb_port":-1}"#,
        ] {
            assert_eq!(adb_port(info), 0, "{info}");
        }
        assert_eq!(adb_port(" {\"displays\":[],\"adb_port\":6521}"), 6521);
    }
}
