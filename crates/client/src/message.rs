//! The messages of the protocol, as one reads and writes them from outside (protocol.md, section 1).
//!
//! Payloads are spliced in and cut out as raw text, so that every byte survives.

use std::borrow::Cow;

use cuttlebone_proto::{ClientId, IceServer};
use serde::{Deserialize, Deserializer, Serialize};
use serde_json::value::RawValue;

use crate::resume::Ask;

/// What a server says, to either role.
#[derive(Debug)]
pub(crate) enum ServerMessage {
    Config {
        ice_servers: Vec<IceServer>,
        /// Whether a client is asked to use nothing but relays.
        relay_only: bool,
    },
    ClientMessage(ClientId, Box<RawValue>),
    ClientDisconnected(ClientId),
    DeviceInfo {
        info: Box<RawValue>,
        /// What can resume the session.
        token: Option<String>,
        /// How many forwards the server has taken, if it knows.
        taken: Option<u64>,
    },
    DeviceMessage(Box<RawValue>),
    /// The last message before a restart, with the number of forwards taken.
    Draining(u64),
    Error {
        text: String,
        code: Option<String>,
    },
    /// A type from a later version of the protocol: to be ignored.
    Unknown,
}

#[derive(Deserialize)]
struct Envelope<'a> {
    #[serde(default, borrow)]
    message_type: Option<Cow<'a, str>>,
    #[serde(default, borrow)]
    error: Option<Cow<'a, str>>,
    #[serde(default, borrow)]
    cuttlebone_code: Option<Cow<'a, str>>,
    #[serde(default)]
    client_id: Option<u32>,
    #[serde(default, borrow, deserialize_with = "present")]
    payload: Option<&'a RawValue>,
    #[serde(default, borrow, deserialize_with = "present")]
    device_info: Option<&'a RawValue>,
    #[serde(default, borrow)]
    cuttlebone_resume: Option<Cow<'a, str>>,
    #[serde(default)]
    cuttlebone_received: Option<u64>,
    #[serde(default, borrow)]
    ice_servers: Vec<&'a RawValue>,
    #[serde(default, borrow)]
    cuttlebone_ice_transport_policy: Option<Cow<'a, str>>,
}

/// Tells `null` from nothing: `null` is a payload.
fn present<'de, D>(deserializer: D) -> Result<Option<&'de RawValue>, D::Error>
where
    D: Deserializer<'de>,
{
    <&RawValue>::deserialize(deserializer).map(Some)
}

impl ServerMessage {
    /// Reads one text message; `None` when it is none of the protocol's.
    pub(crate) fn parse(text: &str) -> Option<Self> {
        if !text.trim_start().starts_with('{') {
            return None;
        }
        let envelope: Envelope<'_> = serde_json::from_str(text).ok()?;
        envelope.into_message()
    }
}

impl Envelope<'_> {
    fn into_message(self) -> Option<ServerMessage> {
        let Some(kind) = self.message_type else {
            let text = self.error?.into_owned();
            let code = self.cuttlebone_code.map(Cow::into_owned);
            return Some(ServerMessage::Error { text, code });
        };
        let client_id = self.client_id.and_then(ClientId::new);
        let payload = self.payload.map(ToOwned::to_owned);
        Some(match kind.as_ref() {
            "config" => ServerMessage::Config {
                ice_servers: ice_servers(&self.ice_servers),
                relay_only: self.cuttlebone_ice_transport_policy.as_deref() == Some("relay"),
            },
            "client_msg" => ServerMessage::ClientMessage(client_id?, payload?),
            "client_disconnected" => ServerMessage::ClientDisconnected(client_id?),
            "device_info" => ServerMessage::DeviceInfo {
                info: self.device_info.unwrap_or(RawValue::NULL).to_owned(),
                token: self.cuttlebone_resume.map(Cow::into_owned),
                taken: self.cuttlebone_received,
            },
            "device_msg" => ServerMessage::DeviceMessage(payload?),
            "cuttlebone_draining" => ServerMessage::Draining(self.cuttlebone_received?),
            _ => ServerMessage::Unknown,
        })
    }
}

/// An `RTCIceServer` as the W3C allows it: more than our own server writes.
#[derive(Deserialize)]
struct AnyIceServer {
    urls: OneOrMany,
    username: Option<String>,
    credential: Option<String>,
}

#[derive(Deserialize)]
#[serde(untagged)]
enum OneOrMany {
    One(String),
    Many(Vec<String>),
}

impl From<AnyIceServer> for IceServer {
    fn from(any: AnyIceServer) -> Self {
        Self {
            urls: match any.urls {
                OneOrMany::One(url) => vec![url],
                OneOrMany::Many(urls) => urls,
            },
            username: any.username,
            credential: any.credential,
        }
    }
}

/// An entry that can't be used is left out: the others are still good.
fn ice_servers(entries: &[&RawValue]) -> Vec<IceServer> {
    entries
        .iter()
        .filter_map(|entry| serde_json::from_str::<AnyIceServer>(entry.get()).ok())
        .map(IceServer::from)
        .collect()
}

/// `register`, with `device_info` byte for byte.
pub(crate) fn register(device_id: &str, device_info: &RawValue) -> String {
    let id = quoted(device_id);
    format!(r#"{{"message_type":"register","device_id":{id},"device_info":{device_info}}}"#)
}

/// `connect`: asks which paths to use, and what is asked about resuming.
pub(crate) fn connect(device_id: &str, ask: &Ask<'_>) -> String {
    let id = quoted(device_id);
    let resume = match ask {
        Ask::Nothing => String::new(),
        Ask::New => r#","cuttlebone_resume":true"#.into(),
        Ask::Session { token, received } => {
            let token = quoted(token);
            format!(r#","cuttlebone_resume":{token},"cuttlebone_received":{received}"#)
        }
    };
    format!(r#"{{"message_type":"connect","device_id":{id},"cuttlebone_ice":true{resume}}}"#)
}

/// A device's `forward`.
pub(crate) fn forward_to<P>(client_id: ClientId, payload: &P) -> serde_json::Result<String>
where
    P: Serialize + ?Sized,
{
    let id = client_id.value();
    let payload = serde_json::to_string(payload)?;
    Ok(format!(r#"{{"message_type":"forward","client_id":{id},"payload":{payload}}}"#))
}

/// A client's `forward`.
pub(crate) fn forward<P: Serialize + ?Sized>(payload: &P) -> serde_json::Result<String> {
    let payload = serde_json::to_string(payload)?;
    Ok(format!(r#"{{"message_type":"forward","payload":{payload}}}"#))
}

fn quoted(text: &str) -> String {
    serde_json::Value::from(text).to_string()
}

#[cfg(test)]
mod tests {
    use super::*;

    const ODD: &str = "{ \"b\":1,\n\"a\" : [1e999, 123456789012345678901234567890], \"b\": \"\\u0041\" }";

    #[test]
    fn payloads_are_cut_out_byte_for_byte() {
        let text = format!(r#"{{"payload":{ODD},"message_type":"device_msg"}}"#);
        let Some(ServerMessage::DeviceMessage(payload)) = ServerMessage::parse(&text) else {
            panic!("not read");
        };
        assert_eq!(payload.get(), ODD);
    }

    #[test]
    fn payloads_are_spliced_in_byte_for_byte() {
        let raw = RawValue::from_string(ODD.into()).unwrap();
        let id = ClientId::new(7).unwrap();
        let text = forward_to(id, &raw).unwrap();
        let expected = format!(r#"{{"message_type":"forward","client_id":7,"payload":{ODD}}}"#);
        assert_eq!(text, expected);
        let expected = format!(r#"{{"message_type":"forward","payload":{ODD}}}"#);
        assert_eq!(forward(&raw).unwrap(), expected);
    }

    #[test]
    fn null_is_a_payload_and_nothing_is_not() {
        let null = r#"{"message_type":"device_msg","payload":null}"#;
        let Some(ServerMessage::DeviceMessage(payload)) = ServerMessage::parse(null) else {
            panic!("not read");
        };
        assert_eq!(payload.get(), "null");
        assert!(ServerMessage::parse(r#"{"message_type":"device_msg"}"#).is_none());
    }

    #[test]
    fn a_bad_ice_server_does_not_spoil_the_good_ones() {
        let text = r#"{"message_type":"config","ice_servers":[{"urls":7},{"urls":"stun:a","x":1}]}"#;
        let Some(ServerMessage::Config { ice_servers, relay_only }) = ServerMessage::parse(text) else {
            panic!("not read");
        };
        assert_eq!(ice_servers.len(), 1);
        assert_eq!((ice_servers[0].urls[0].as_str(), relay_only), ("stun:a", false));
    }

    #[test]
    fn only_the_word_relay_asks_for_relays() {
        for (word, expected) in [("relay", true), ("all", false), ("other", false)] {
            let text =
                format!(r#"{{"message_type":"config","ice_servers":[],"cuttlebone_ice_transport_policy":"{word}"}}"#);
            let Some(ServerMessage::Config { relay_only, .. }) = ServerMessage::parse(&text) else {
                panic!("not read");
            };
            assert_eq!(relay_only, expected, "{word}");
        }
    }

    #[test]
    fn errors_carry_their_code() {
        let text = r#"{"error":"Device id already taken: x","cuttlebone_code":"device_id_taken"}"#;
        let Some(ServerMessage::Error { text, code }) = ServerMessage::parse(text) else {
            panic!("not read");
        };
        assert_eq!(text, "Device id already taken: x");
        assert_eq!(code.as_deref(), Some("device_id_taken"));
    }

    #[test]
    fn ids_are_escaped() {
        let expected = "{\"message_type\":\"connect\",\"device_id\":\"a\\\"b\u{1F600}\\n\",\"cuttlebone_ice\":true}";
        assert_eq!(connect("a\"b\u{1F600}\n", &Ask::Nothing), expected);
    }

    #[test]
    fn connect_asks_for_a_new_session_or_for_the_old_one() {
        let expected = r#"{"message_type":"connect","device_id":"d","cuttlebone_ice":true,"cuttlebone_resume":true}"#;
        assert_eq!(connect("d", &Ask::New), expected);
        let session = Ask::Session { token: "a\"b", received: 7 };
        let expected = r#"{"message_type":"connect","device_id":"d","cuttlebone_ice":true,"cuttlebone_resume":"a\"b","cuttlebone_received":7}"#;
        assert_eq!(connect("d", &session), expected);
    }

    #[test]
    fn what_is_said_about_resuming_is_read() {
        let text = r#"{"message_type":"device_info","device_info":1,"cuttlebone_resume":"t","cuttlebone_received":0}"#;
        let Some(ServerMessage::DeviceInfo { token, taken, .. }) = ServerMessage::parse(text) else {
            panic!("not read");
        };
        assert_eq!((token.as_deref(), taken), (Some("t"), Some(0)));
        let draining = r#"{"message_type":"cuttlebone_draining","cuttlebone_received":7}"#;
        assert!(matches!(ServerMessage::parse(draining), Some(ServerMessage::Draining(7))));
    }

    #[test]
    fn what_is_not_of_the_protocol_is_told_from_what_is_unknown() {
        let draining_without_count = r#"{"message_type":"cuttlebone_draining"}"#;
        for text in ["", "[]", "{}", "null", r#"["config",[]]"#, r#"{"message_type":7}"#, draining_without_count] {
            assert!(ServerMessage::parse(text).is_none(), "{text}");
        }
        let later = r#"{"message_type":"cuttlebone_later"}"#;
        assert!(matches!(ServerMessage::parse(later), Some(ServerMessage::Unknown)));
    }
}
