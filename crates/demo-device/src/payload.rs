//! The messages of the Cuttlefish payload convention, as they travel through the signaling server.
//!
//! Viewers nest their ICE candidates, devices send them flat and under other names. Both ways are kept as they are.

use serde::Serialize;
use serde_json::Value;

/// Longer payloads are not read. The default bound of the server on a whole message is the same.
const PAYLOAD_BYTES: usize = 256 * 1024;

/// What a viewer says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum FromViewer {
    /// It wants an offer: the start of every session.
    RequestOffer,
    /// Its answer to our offer.
    Answer(String),
    /// It renegotiates, for its microphone or camera.
    Offer(String),
    /// One of its ICE candidates; `None` at the end of them.
    Candidate(Option<String>),
    /// It could not do something. Nothing is to be done about it here.
    Error,
}

/// What the device says to a viewer.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(tag = "type", rename_all = "kebab-case")]
pub enum ToViewer {
    /// The start of a session.
    Offer {
        /// The session description.
        sdp: String,
    },
    /// The answer to a viewer's offer.
    Answer {
        /// The session description.
        sdp: String,
    },
    /// A way to reach the device.
    IceCandidate {
        /// The media line it belongs to, by name.
        mid: String,
        /// The media line it belongs to, by number.
        #[serde(rename = "mLineIndex")]
        m_line_index: u16,
        /// `candidate:…`
        candidate: String,
    },
    /// Something the device can't do.
    Error {
        /// Why, for a person to read.
        error: &'static str,
    },
}

/// Why a payload is refused.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Refusal {
    Malformed,
    UnknownType,
    NoSession,
    TooManyViewers,
    TooFast,
    NoSocket,
    InvalidSdp,
    UnexpectedAnswer,
    UnexpectedOffer,
}

impl Refusal {
    pub(crate) fn text(self) -> &'static str {
        match self {
            Self::Malformed => "Malformed message",
            Self::UnknownType => "Unknown message type",
            Self::NoSession => "No session: send request-offer first",
            Self::TooManyViewers => "Too many viewers",
            Self::TooFast => "Too many messages",
            Self::NoSocket => "The device can't open a socket",
            Self::InvalidSdp => "Unusable session description",
            Self::UnexpectedAnswer => "Unexpected answer: no offer is open",
            Self::UnexpectedOffer => "Unexpected offer: answer the device's offer first",
        }
    }
}

impl From<Refusal> for ToViewer {
    fn from(refusal: Refusal) -> Self {
        Self::Error { error: refusal.text() }
    }
}

/// Reads a viewer's payload.
pub(crate) fn parse(payload: &str) -> Result<FromViewer, Refusal> {
    if payload.len() > PAYLOAD_BYTES {
        return Err(Refusal::Malformed);
    }
    let value: Value = serde_json::from_str(payload).map_err(|_| Refusal::Malformed)?;
    let text = |name: &str| value.get(name).and_then(Value::as_str).map(str::to_owned).ok_or(Refusal::Malformed);
    match text("type")?.as_str() {
        "request-offer" => Ok(FromViewer::RequestOffer),
        "answer" => text("sdp").map(FromViewer::Answer),
        "offer" => text("sdp").map(FromViewer::Offer),
        "ice-candidate" => candidate(value.get("candidate")).map(FromViewer::Candidate),
        "error" => Ok(FromViewer::Error),
        _ => Err(Refusal::UnknownType),
    }
}

/// The candidate of a viewer: nested, or `null` or an empty string when there are no more. Flat ones are taken too.
fn candidate(value: Option<&Value>) -> Result<Option<String>, Refusal> {
    let text = match value {
        Some(Value::Object(nested)) => nested.get("candidate").and_then(Value::as_str),
        Some(Value::String(flat)) => Some(flat.as_str()),
        Some(Value::Null) => return Ok(None),
        _ => None,
    };
    let text = text.ok_or(Refusal::Malformed)?;
    Ok(Some(text).filter(|text| !text.is_empty()).map(str::to_owned))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_what_viewers_send() {
        let table = [
            (r#"{"type":"request-offer","ice_servers":[{"urls":["stun:x"]}]}"#, FromViewer::RequestOffer),
            (r#"{"type":"answer","sdp":"v=0"}"#, FromViewer::Answer("v=0".to_owned())),
            (r#"{"type":"offer","sdp":"v=0"}"#, FromViewer::Offer("v=0".to_owned())),
            (
                r#"{"type":"ice-candidate","candidate":{"candidate":"candidate:1","sdpMid":"0","sdpMLineIndex":0}}"#,
                FromViewer::Candidate(Some("candidate:1".to_owned())),
            ),
            (
                r#"{"type":"ice-candidate","candidate":"candidate:1","mid":"0","mLineIndex":0}"#,
                FromViewer::Candidate(Some("candidate:1".to_owned())),
            ),
            (r#"{"type":"ice-candidate","candidate":{"candidate":""}}"#, FromViewer::Candidate(None)),
            (r#"{"type":"ice-candidate","candidate":null}"#, FromViewer::Candidate(None)),
            (r#"{"type":"error","error":"no"}"#, FromViewer::Error),
        ];
        for (payload, message) in table {
            assert_eq!(parse(payload), Ok(message), "{payload}");
        }
    }

    #[test]
    fn refuses_the_rest() {
        let long = format!(r#"{{"type":"answer","sdp":"{}"}}"#, "x".repeat(PAYLOAD_BYTES));
        let table = [
            ("null", Refusal::Malformed),
            ("[]", Refusal::Malformed),
            ("{", Refusal::Malformed),
            (r#"{"type":1}"#, Refusal::Malformed),
            (r#"{"type":"answer"}"#, Refusal::Malformed),
            (r#"{"type":"offer","sdp":{}}"#, Refusal::Malformed),
            (r#"{"type":"ice-candidate"}"#, Refusal::Malformed),
            (r#"{"type":"ice-candidate","candidate":7}"#, Refusal::Malformed),
            (r#"{"type":"dance"}"#, Refusal::UnknownType),
            (&long, Refusal::Malformed),
        ];
        for (payload, refusal) in table {
            assert_eq!(parse(payload), Err(refusal), "{payload:.60}");
        }
    }

    #[test]
    fn writes_the_devices_own_names() {
        let candidate =
            ToViewer::IceCandidate { mid: "a".to_owned(), m_line_index: 0, candidate: "candidate:1".to_owned() };
        let table = [
            (ToViewer::Offer { sdp: "v=0".to_owned() }, r#"{"type":"offer","sdp":"v=0"}"#),
            (ToViewer::Answer { sdp: "v=0".to_owned() }, r#"{"type":"answer","sdp":"v=0"}"#),
            (candidate, r#"{"type":"ice-candidate","mid":"a","mLineIndex":0,"candidate":"candidate:1"}"#),
            (Refusal::TooManyViewers.into(), r#"{"type":"error","error":"Too many viewers"}"#),
        ];
        for (message, json) in table {
            assert_eq!(serde_json::to_string(&message).unwrap(), json);
        }
    }
}
