//! The envelope of a message: the keys that the protocol knows, as slices of the text.

use std::borrow::Cow;

use crate::ids::{ClientId, DeviceId};
use crate::json::{Fault, Scanner, unescape};
use crate::limits::{RESUME_TOKEN_BYTES, TOP_LEVEL_KEYS};
use crate::number::whole_number;
use crate::reject::Reject;
use crate::resume::Resume;

/// One message, borrowed from the text it came in. Values stay as they were written.
///
/// Keys may come in any order and with escapes; unknown keys are ignored; one of these keys twice is an error.
/// Source: protocol.md 2.1.
#[derive(Debug, PartialEq, Eq)]
pub struct Envelope<'a> {
    /// `message_type`, its escapes resolved (a lone surrogate becomes U+FFFD).
    pub message_type: Cow<'a, str>,
    /// The text of `payload`.
    pub payload: Option<&'a str>,
    /// The text of `device_info`.
    pub device_info: Option<&'a str>,
    device_id: Option<&'a str>,
    client_id: Option<&'a str>,
    resume: Option<&'a str>,
    received: Option<&'a str>,
    ice: Option<&'a str>,
}

/// What stands under `device_id`.
#[derive(Debug, PartialEq, Eq)]
pub enum DeviceIdField {
    /// A usable id.
    Valid(DeviceId),
    /// No such key, not a string, or an empty one.
    Missing,
    /// A string that is no device id.
    Invalid,
}

impl<'a> Envelope<'a> {
    /// Reads `text`; the value of each key may nest up to `depth` levels.
    ///
    /// # Errors
    /// [`Reject::InvalidJson`], [`Reject::NestedTooDeep`] or [`Reject::InvalidMessage`].
    pub fn parse(text: &'a str, depth: usize) -> Result<Self, Reject> {
        let mut scanner = Scanner::new(text);
        let mut fields = Fields::default();
        let is_object = scanner.peek() == Some(b'{');
        let scanned = if is_object {
            // The envelope is a level of its own: the bound is of the values in it.
            scanner.object(depth + 1, |scanner, key, depth| {
                let value = scanner.value(depth)?;
                fields.keep(key, value);
                Ok(())
            })
        } else {
            scanner.value(depth).map(drop)
        };
        match scanned {
            Err(Fault::Syntax) => return Err(Reject::InvalidJson),
            Err(Fault::TooDeep) => return Err(Reject::NestedTooDeep),
            Ok(()) if scanner.peek().is_some() => return Err(Reject::InvalidJson),
            Ok(()) if !is_object || fields.twice || fields.count > TOP_LEVEL_KEYS => {
                return Err(Reject::InvalidMessage);
            }
            Ok(()) => {}
        }
        let message_type = fields.message_type.and_then(string).ok_or(Reject::InvalidMessage)?;
        Ok(Self {
            message_type: unescape(message_type).0,
            payload: fields.payload,
            device_info: fields.device_info,
            device_id: fields.device_id,
            client_id: fields.client_id,
            resume: fields.resume,
            received: fields.received,
            ice: fields.ice,
        })
    }

    /// The `device_id`.
    #[must_use]
    pub fn device_id(&self) -> DeviceIdField {
        let Some(raw) = self.device_id.and_then(string).filter(|raw| !raw.is_empty()) else {
            return DeviceIdField::Missing;
        };
        match unescape(raw) {
            (text, false) => DeviceId::new(&text).map_or(DeviceIdField::Invalid, DeviceIdField::Valid),
            (_, true) => DeviceIdField::Invalid,
        }
    }

    /// The `client_id`, if it is a number equal to a positive integer below 2^31.
    #[must_use]
    pub fn client_id(&self) -> Option<ClientId> {
        whole_number(self.client_id?).and_then(ClientId::new)
    }

    /// What `cuttlebone_resume` and `cuttlebone_received` ask for. Anything but `true` and a string asks for nothing.
    #[must_use]
    pub fn resume(&self) -> Resume {
        match self.resume {
            Some("true") => Resume::New,
            Some(value) => string(value).map_or(Resume::NotAsked, |raw| self.session(raw)),
            None => Resume::NotAsked,
        }
    }

    /// Whether `cuttlebone_ice` asks to be told which paths to use. Anything but `true` does not.
    #[must_use]
    pub fn asks_ice_policy(&self) -> bool {
        self.ice == Some("true")
    }

    /// A token that is too long can't be ours; an empty one is as good.
    fn session(&self, raw: &str) -> Resume {
        let token = if raw.len() > RESUME_TOKEN_BYTES { "".into() } else { unescape(raw).0 };
        Resume::Session { token: token.as_ref().into(), received: self.received.and_then(whole_number) }
    }
}

/// The raw text between the quotes, if `value` is a string.
fn string(value: &str) -> Option<&str> {
    value.strip_prefix('"')?.strip_suffix('"')
}

#[derive(Default)]
struct Fields<'a> {
    message_type: Option<&'a str>,
    device_id: Option<&'a str>,
    device_info: Option<&'a str>,
    client_id: Option<&'a str>,
    payload: Option<&'a str>,
    resume: Option<&'a str>,
    received: Option<&'a str>,
    ice: Option<&'a str>,
    count: usize,
    twice: bool,
}

impl<'a> Fields<'a> {
    fn keep(&mut self, key: &'a str, value: &'a str) {
        self.count += 1;
        let slot = match unescape(key).0.as_ref() {
            "message_type" => &mut self.message_type,
            "device_id" => &mut self.device_id,
            "device_info" => &mut self.device_info,
            "client_id" => &mut self.client_id,
            "payload" => &mut self.payload,
            "cuttlebone_resume" => &mut self.resume,
            "cuttlebone_received" => &mut self.received,
            "cuttlebone_ice" => &mut self.ice,
            _ => return,
        };
        self.twice |= slot.replace(value).is_some();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(text: &str) -> Result<Envelope<'_>, Reject> {
        Envelope::parse(text, 64)
    }

    #[test]
    fn values_keep_every_byte() {
        let envelope =
            parse("{ \"payload\" :\t{ \"b\":1,\"a\": 1e999, \"a\":\"\\ud800\"} , \"message_type\":\"forward\"}");
        let envelope = envelope.expect("valid");
        assert_eq!(envelope.payload, Some("{ \"b\":1,\"a\": 1e999, \"a\":\"\\ud800\"}"));
        assert_eq!(envelope.message_type, "forward");
    }

    #[test]
    fn keys_and_types_may_be_escaped() {
        let envelope = parse(r#"{"m\u0065ssage_type":"forw\u0061rd","payl\u006fad":null}"#).expect("valid");
        assert_eq!(envelope.message_type, "forward");
        assert_eq!(envelope.payload, Some("null"));
    }

    #[test]
    fn what_is_no_message_is_refused() {
        for bad in [
            "[]",
            "1",
            "\"a\"",
            "null",
            "true",
            r#"[{"message_type":"register"}]"#,
            "{}",
            r#"{"message_type":1}"#,
            r#"{"message_type":"a","message_type":"b"}"#,
            r#"{"message_type":"a","payload":1,"payl\u006fad":2}"#,
        ] {
            assert_eq!(parse(bad), Err(Reject::InvalidMessage), "{bad}");
        }
        for bad in ["", "{", "{}x", "{\"message_type\":\"a\"}{}", "\u{feff}{}"] {
            assert_eq!(parse(bad), Err(Reject::InvalidJson), "{bad}");
        }
    }

    #[test]
    fn keys_are_bounded_in_number() {
        let with = |more: usize| {
            let keys: String = (0..more).map(|index| format!(r#","{index}":{{"a":1,"b":2}}"#)).collect();
            format!(r#"{{"message_type":"x"{keys}}}"#)
        };
        assert!(parse(&with(31)).is_ok());
        assert_eq!(parse(&with(32)), Err(Reject::InvalidMessage));
    }

    #[test]
    fn depth_is_counted_in_the_value() {
        let nested = |levels: usize| {
            format!(r#"{{"message_type":"forward","payload":{}{}}}"#, "[".repeat(levels), "]".repeat(levels))
        };
        assert!(parse(&nested(64)).is_ok());
        assert_eq!(parse(&nested(65)), Err(Reject::NestedTooDeep));
    }

    #[test]
    fn device_id_is_missing_invalid_or_valid() {
        let field = |value: &str| {
            let text = format!(r#"{{"message_type":"register","device_id":{value}}}"#);
            parse(&text).expect("valid").device_id()
        };
        assert_eq!(field("1"), DeviceIdField::Missing);
        assert_eq!(field("\"\""), DeviceIdField::Missing);
        assert_eq!(field("null"), DeviceIdField::Missing);
        assert_eq!(field(r#""a\u0000""#), DeviceIdField::Invalid);
        assert_eq!(field(r#""\ud800""#), DeviceIdField::Invalid);
        assert_eq!(field(r#""cvd\u002d1""#), DeviceIdField::Valid(DeviceId::new("cvd-1").expect("valid")));
    }

    #[test]
    fn resuming_is_asked_for_by_true_or_by_a_token() {
        let ask = |fields: &str| {
            let text = format!(r#"{{"message_type":"connect"{fields}}}"#);
            parse(&text).expect("valid").resume()
        };
        let session = |token: &str, received| Resume::Session { token: token.into(), received };
        assert_eq!(ask(""), Resume::NotAsked);
        for nothing in ["false", "null", "1", "{}"] {
            assert_eq!(ask(&format!(r#","cuttlebone_resume":{nothing}"#)), Resume::NotAsked);
        }
        assert_eq!(ask(r#","cuttlebone_resume":true"#), Resume::New);
        assert_eq!(ask(r#","cuttlebone_resume":"a\u0062","cuttlebone_received":7"#), session("ab", Some(7)));
        assert_eq!(ask(r#","cuttlebone_resume":"a","cuttlebone_received":-1"#), session("a", None));
        assert_eq!(ask(&format!(r#","cuttlebone_resume":"{}""#, "a".repeat(257))), session("", None));
        let twice = r#"{"message_type":"connect","cuttlebone_resume":true,"cuttlebone_resume":true}"#;
        assert_eq!(parse(twice), Err(Reject::InvalidMessage));
    }

    #[test]
    fn client_id_is_a_number_equal_to_a_positive_integer() {
        let field = |value: &str| {
            let text = format!(r#"{{"message_type":"forward","client_id":{value}}}"#);
            parse(&text).expect("valid").client_id().map(ClientId::value)
        };
        assert_eq!(field("42"), Some(42));
        assert_eq!(field("1.0"), Some(1));
        assert_eq!(field("1e3"), Some(1000));
        for bad in ["0", "-1", "1.5", "\"1\"", "2147483648", "null", "[1]", "true", "1e400"] {
            assert_eq!(field(bad), None, "{bad}");
        }
    }
}
