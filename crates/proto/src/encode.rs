//! What the server writes: flat JSON objects, keys in the order of protocol.md 1. Payloads are spliced in as they came.

use crate::ice_server::IceServer;
use crate::ids::ClientId;
use crate::reject::Reject;

const DEVICE_INFO: &str = r#"{"message_type":"device_info","device_info":"#;

/// `client_msg`: what a client forwarded, for its device.
#[must_use]
pub fn client_msg(client_id: ClientId, payload: &str) -> String {
    const HEAD: &str = r#"{"message_type":"client_msg","client_id":"#;
    const MIDDLE: &str = r#","payload":"#;
    // An id has at most 10 digits; the closing brace is the 11th byte.
    let mut text = String::with_capacity(HEAD.len() + MIDDLE.len() + payload.len() + 11);
    text.push_str(HEAD);
    push_number(&mut text, client_id.value());
    text.push_str(MIDDLE);
    text.push_str(payload);
    text.push('}');
    text
}

/// `device_msg`: what a device forwarded, for its client.
#[must_use]
pub fn device_msg(payload: &str) -> String {
    splice(r#"{"message_type":"device_msg","payload":"#, payload)
}

/// `device_info`: what the device registered with.
#[must_use]
pub fn device_info(info: &str) -> String {
    splice(DEVICE_INFO, info)
}

/// `device_info` of a session that can be resumed: with its token, and, where the counts are known, the number of
/// `forward` that the server took. Source: protocol.md 2.6.
#[must_use]
pub fn resumable_device_info(info: &str, token: &str, received: Option<u32>) -> String {
    let received = received.map_or_else(String::new, |received| format!(r#","cuttlebone_received":{received}"#));
    let token = json(&token);
    // Its capacity is its length: it waits like that, once for each client.
    [DEVICE_INFO, info, r#","cuttlebone_resume":"#, &token, &received, "}"].concat()
}

/// `cuttlebone_draining`: the last message before a planned close, with the number of `forward` that the server took.
/// Source: protocol.md 2.6.
#[must_use]
pub fn draining(received: u32) -> String {
    let mut text = String::from(r#"{"message_type":"cuttlebone_draining","cuttlebone_received":"#);
    push_number(&mut text, received);
    text.push('}');
    text
}

/// `client_disconnected`.
#[must_use]
pub fn client_disconnected(client_id: ClientId) -> String {
    let mut text = String::from(r#"{"message_type":"client_disconnected","client_id":"#);
    push_number(&mut text, client_id.value());
    text.push('}');
    text
}

/// `config`: the ICE servers.
#[must_use]
pub fn config(ice_servers: &[IceServer]) -> String {
    splice(r#"{"message_type":"config","ice_servers":"#, &json(&ice_servers))
}

/// `config` for a client that asked which paths it should use: a word of `RTCConfiguration.iceTransportPolicy`.
/// Source: PROTOCOL.md 2.7.
#[must_use]
pub fn config_with_policy(ice_servers: &[IceServer], policy: &str) -> String {
    let mut text = config(ice_servers);
    text.pop();
    text.push_str(r#","cuttlebone_ice_transport_policy":"#);
    text.push_str(&json(&policy));
    text.push('}');
    text
}

/// An error and its stable word.
#[must_use]
pub fn error(reject: &Reject) -> String {
    format!(r#"{{"error":{},"cuttlebone_code":"{}"}}"#, json_text(&reject.text()), reject.code())
}

/// `text` as a JSON string that is safe to show: control characters and those that turn the direction of writing
/// around are escaped as well.
#[must_use]
pub fn json_text(text: &str) -> String {
    let quoted = json(&text);
    if !quoted.contains(is_deceptive) {
        return quoted;
    }
    let escape = |char: char| if is_deceptive(char) { format!("\\u{:04x}", u32::from(char)) } else { char.into() };
    quoted.chars().map(escape).collect()
}

/// DEL, C1, line separators, and the marks of direction.
fn is_deceptive(char: char) -> bool {
    matches!(char, '\u{7f}'..='\u{9f}' | '\u{200e}' | '\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2066}'..='\u{2069}' | '\u{61c}')
}

fn splice(head: &str, value: &str) -> String {
    let mut text = String::with_capacity(head.len() + value.len() + 1);
    text.push_str(head);
    text.push_str(value);
    text.push('}');
    text
}

fn push_number(text: &mut String, mut value: u32) {
    let mut digits = [0_u8; 10];
    let mut at = digits.len();
    loop {
        at -= 1;
        digits[at] = b'0' + (value % 10) as u8;
        value /= 10;
        if value == 0 {
            break;
        }
    }
    text.extend(digits[at..].iter().copied().map(char::from));
}

/// JSON of a value that can't fail to serialize: strings and lists of them.
fn json(value: &impl serde::Serialize) -> String {
    serde_json::to_string(value).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ids::DeviceId;

    fn id(value: u32) -> ClientId {
        ClientId::new(value).expect("valid")
    }

    #[test]
    fn messages_are_flat_and_in_the_order_of_the_protocol() {
        assert_eq!(
            client_msg(id(2_147_483_647), "{ \"a\":1 }"),
            r#"{"message_type":"client_msg","client_id":2147483647,"payload":{ "a":1 }}"#
        );
        assert_eq!(device_msg("null"), r#"{"message_type":"device_msg","payload":null}"#);
        assert_eq!(device_info("[1 ]"), r#"{"message_type":"device_info","device_info":[1 ]}"#);
        assert_eq!(
            resumable_device_info("{}", "a-b", Some(0)),
            r#"{"message_type":"device_info","device_info":{},"cuttlebone_resume":"a-b","cuttlebone_received":0}"#
        );
        assert_eq!(
            resumable_device_info("{}", "a-b", None),
            r#"{"message_type":"device_info","device_info":{},"cuttlebone_resume":"a-b"}"#
        );
        assert_eq!(draining(17), r#"{"message_type":"cuttlebone_draining","cuttlebone_received":17}"#);
        assert_eq!(client_disconnected(id(10)), r#"{"message_type":"client_disconnected","client_id":10}"#);
    }

    #[test]
    fn a_client_msg_is_allocated_once() {
        let text = client_msg(id(ClientId::MAX), "\"payload\"");
        assert_eq!(text.capacity(), text.len());
    }

    #[test]
    fn config_always_has_an_array_of_urls() {
        let plain = IceServer { urls: vec!["stun:s".into()], username: None, credential: None };
        let turn = IceServer { urls: vec!["turn:t".into()], username: Some("u".into()), credential: Some("c".into()) };
        assert_eq!(config(&[]), r#"{"message_type":"config","ice_servers":[]}"#);
        assert_eq!(
            config_with_policy(&[], "relay"),
            r#"{"message_type":"config","ice_servers":[],"cuttlebone_ice_transport_policy":"relay"}"#
        );
        assert_eq!(
            config(&[plain, turn]),
            r#"{"message_type":"config","ice_servers":[{"urls":["stun:s"]},{"urls":["turn:t"],"username":"u","credential":"c"}]}"#
        );
    }

    #[test]
    fn what_could_deceive_a_reader_is_escaped() {
        let text = "a\u{7f}\u{9b}\u{202e}\u{2066}\u{2028}\u{1f980}\u{e9}";
        let written = json_text(text);
        assert_eq!(written, "\"a\\u007f\\u009b\\u202e\\u2066\\u2028\u{1f980}\u{e9}\"");
        assert_eq!(serde_json::from_str::<String>(&written).expect("JSON"), text);
    }

    #[test]
    fn an_id_can_not_break_out_of_an_error() {
        let id = DeviceId::new(r#"x","message_type":"config"#).expect("valid");
        assert_eq!(
            error(&Reject::DeviceNotFound(id)),
            r#"{"error":"Connection failed: Device not found: 'x\",\"message_type\":\"config'","cuttlebone_code":"device_not_found"}"#
        );
    }
}
