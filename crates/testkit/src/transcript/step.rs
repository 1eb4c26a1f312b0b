//! One line of a transcript.

use std::time::Duration;

use serde::de::{DeserializeOwned, Error as _};
use serde::{Deserialize, Deserializer};
use serde_json::{Error, Map, Value};

use crate::world::{Open, Role};

/// One step. The texts in it are templates.
#[derive(Debug, Clone, PartialEq)]
pub enum Step {
    /// `open`: a peer opens its connection. `chosen` is the subprotocol that the server has to choose, where it matters.
    Open {
        /// The peer.
        peer: String,
        /// How.
        open: Open,
        /// What the server has to answer; `Some(None)` is no subprotocol.
        chosen: Option<Option<String>>,
    },
    /// `send`.
    Send(Send),
    /// `ping` with these bytes.
    Ping(String, Vec<u8>),
    /// `expect`: a text message.
    Expect(Expect),
    /// `expect_until`: a text message, whatever comes before it, except `never`.
    ExpectUntil {
        /// The peer.
        peer: String,
        /// What has to come.
        text: String,
        /// What must not come before it.
        never: String,
    },
    /// `expect_error`.
    ExpectError {
        /// The peer.
        peer: String,
        /// The text of `error`.
        error: String,
        /// The word of `cuttlebone_code`.
        code: String,
        /// In this time.
        within: Option<Duration>,
    },
    /// `expect_close`: a close frame with this code, and then the end of the connection.
    ExpectClose(String, u16, Option<Duration>),
    /// `expect_end`: the end of the connection itself, whatever comes before it.
    ExpectEnd(String),
    /// `expect_nothing` for a time.
    ExpectNothing(String, Duration),
    /// `expect_ping`.
    ExpectPing(String),
    /// `expect_pong` with these bytes.
    ExpectPong(String, Vec<u8>),
    /// `close`: a clean close with this code.
    Close(String, u16),
    /// `break`: a connection ends without a close frame.
    Break(String),
    /// `advance`: time passes.
    Advance(Duration),
    /// `same`: these are equal.
    Same(Vec<String>),
    /// `distinct`: no two of these are equal.
    Distinct(Vec<String>),
    /// `scattered`: these numbers are neither a row nor close together.
    Scattered(Vec<String>),
}

/// Something a peer sends.
#[derive(Debug, Clone, PartialEq)]
pub struct Send {
    /// The peer.
    pub peer: String,
    /// What.
    pub body: SendBody,
    /// How often; `$N` counts from 0.
    pub repeat: u32,
    /// What `$FILL` is made of.
    pub fill: String,
    /// `$FILL` is made as long as it takes for `of` to have this many bytes.
    pub size: Option<usize>,
    /// The text whose size counts, if it is not what is sent.
    pub of: Option<String>,
}

/// The content of a [`Send`].
#[derive(Debug, Clone, PartialEq)]
pub enum SendBody {
    /// One text frame.
    Text(String),
    /// A text in this many frames.
    Pieces(String, usize),
    /// A text frame of these bytes.
    TextBytes(Vec<u8>),
    /// A binary frame.
    Binary(Vec<u8>),
    /// Frames, one by one.
    Fragments(Fragments),
    /// Bytes on the socket.
    Raw(Vec<u8>),
}

/// A message in frames that the transcript cuts itself.
#[derive(Debug, Clone, PartialEq)]
pub struct Fragments {
    /// The text of each.
    pub parts: Vec<String>,
    /// The first one goes on with an unfinished message.
    pub continues: bool,
    /// The last one is not the end.
    pub unfinished: bool,
}

/// A text message that has to come.
#[derive(Debug, Clone, PartialEq)]
pub struct Expect {
    /// The peer.
    pub peer: String,
    /// The text.
    pub text: String,
    /// How many of them; `$N` counts from 0.
    pub repeat: u32,
    /// In this time.
    pub within: Option<Duration>,
}

impl Step {
    pub(super) fn parse(line: &str) -> Result<Self, Error> {
        let fields: Map<String, Value> = serde_json::from_str(line)?;
        let read = Reader(fields);
        let verb = VERBS.iter().find(|(verb, _)| read.0.contains_key(*verb));
        let (_, parse) = verb.ok_or_else(|| Error::custom("no known step"))?;
        parse(read)
    }

    /// Whether the step can fail because of what the server does.
    #[must_use]
    pub const fn expects(&self) -> bool {
        matches!(
            self,
            Self::Expect(_)
                | Self::ExpectUntil { .. }
                | Self::ExpectError { .. }
                | Self::ExpectClose(..)
                | Self::ExpectEnd(_)
                | Self::ExpectPong(..)
        )
    }
}

type Parse = fn(Reader) -> Result<Step, Error>;

const VERBS: &[(&str, Parse)] = &[
    ("open", |read| read.all::<OpenLine>().map(OpenLine::step)),
    ("send", |read| read.all::<SendLine>().and_then(SendLine::step)),
    ("ping", |read| read.all::<PingLine>().map(|line| Step::Ping(line.peer, line.bytes.0))),
    ("expect", |read| read.all::<ExpectLine>().map(ExpectLine::step)),
    ("expect_until", |read| {
        let line = read.all::<UntilLine>()?;
        Ok(Step::ExpectUntil { peer: line.expect_until, text: line.text, never: line.never })
    }),
    ("expect_error", |read| {
        let line = read.all::<ErrorLine>()?;
        let within = line.within_ms.map(Duration::from_millis);
        Ok(Step::ExpectError { peer: line.expect_error, error: line.error, code: line.code, within })
    }),
    ("expect_close", |read| {
        let line = read.all::<CloseLine>()?;
        Ok(Step::ExpectClose(line.peer, line.code, line.within_ms.map(Duration::from_millis)))
    }),
    ("expect_end", |read| read.one("expect_end").map(Step::ExpectEnd)),
    ("expect_nothing", |read| {
        let line = read.all::<NothingLine>()?;
        Ok(Step::ExpectNothing(line.expect_nothing, Duration::from_millis(line.for_ms)))
    }),
    ("expect_ping", |read| read.one("expect_ping").map(Step::ExpectPing)),
    ("expect_pong", |read| read.all::<PingLine>().map(|line| Step::ExpectPong(line.peer, line.bytes.0))),
    ("close", |read| read.all::<CloseLine>().map(|line| Step::Close(line.peer, line.code))),
    ("break", |read| read.one("break").map(Step::Break)),
    ("advance", |read| read.one("advance").map(|ms| Step::Advance(Duration::from_millis(ms)))),
    ("same", |read| read.one("same").map(Step::Same)),
    ("distinct", |read| read.one("distinct").map(Step::Distinct)),
    ("scattered", |read| read.one("scattered").map(Step::Scattered)),
];

struct Reader(Map<String, Value>);

impl Reader {
    fn all<T: DeserializeOwned>(self) -> Result<T, Error> {
        serde_json::from_value(Value::Object(self.0))
    }

    fn one<T: DeserializeOwned>(mut self, key: &str) -> Result<T, Error> {
        let value = self.0.remove(key).unwrap_or_default();
        match self.0.keys().next() {
            Some(other) => Err(Error::custom(format!("{key} has no {other}"))),
            None => serde_json::from_value(value),
        }
    }
}

/// Bytes, written as hexadecimal digits.
#[derive(Debug)]
struct Hex(Vec<u8>);

impl<'de> Deserialize<'de> for Hex {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let digits = String::deserialize(deserializer)?;
        let value = |pair: &[u8]| u8::from_str_radix(std::str::from_utf8(pair).ok()?, 16).ok();
        let bytes = digits.as_bytes().chunks(2).map(|pair| value(pair).filter(|_| pair.len() == 2));
        bytes.collect::<Option<_>>().map(Self).ok_or_else(|| D::Error::custom("not hexadecimal"))
    }
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct OpenLine {
    open: String,
    r#as: Role,
    #[serde(default)]
    subprotocols: Vec<String>,
    extensions: Option<String>,
    #[serde(default)]
    silent: bool,
    #[serde(default, deserialize_with = "present")]
    chosen: Option<Option<String>>,
}

/// Tells `null` from a key that is not there.
fn present<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<Option<String>>, D::Error> {
    Option::deserialize(deserializer).map(Some)
}

impl OpenLine {
    fn step(self) -> Step {
        let Self { open: peer, r#as: role, subprotocols, extensions, silent, chosen } = self;
        Step::Open { peer, open: Open { role, subprotocols, extensions, silent }, chosen }
    }
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct SendLine {
    send: String,
    text: Option<String>,
    pieces: Option<usize>,
    bytes: Option<Hex>,
    binary: Option<Hex>,
    raw: Option<Hex>,
    fragments: Option<Vec<String>>,
    #[serde(default)]
    continues: bool,
    #[serde(default)]
    unfinished: bool,
    #[serde(default = "once")]
    repeat: u32,
    #[serde(default = "unit")]
    fill: String,
    size: Option<usize>,
    of: Option<String>,
}

const fn once() -> u32 {
    1
}

fn unit() -> String {
    "x".to_owned()
}

impl SendLine {
    fn step(self) -> Result<Step, Error> {
        let Self { continues, unfinished, .. } = self;
        let body = match (self.text, self.pieces, self.bytes, self.binary, self.raw, self.fragments) {
            (Some(text), None, None, None, None, None) => SendBody::Text(text),
            (Some(text), Some(pieces), None, None, None, None) => SendBody::Pieces(text, pieces),
            (None, None, Some(Hex(bytes)), None, None, None) => SendBody::TextBytes(bytes),
            (None, None, None, Some(Hex(bytes)), None, None) => SendBody::Binary(bytes),
            (None, None, None, None, Some(Hex(bytes)), None) => SendBody::Raw(bytes),
            (None, None, None, None, None, Some(parts)) => {
                SendBody::Fragments(Fragments { parts, continues, unfinished })
            }
            _ => return Err(Error::custom("one of text, bytes, binary, raw and fragments is sent")),
        };
        let Self { send: peer, repeat, fill, size, of, .. } = self;
        Ok(Step::Send(Send { peer, body, repeat, fill, size, of }))
    }
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct ExpectLine {
    expect: String,
    text: String,
    #[serde(default = "once")]
    repeat: u32,
    within_ms: Option<u64>,
}

impl ExpectLine {
    fn step(self) -> Step {
        let within = self.within_ms.map(Duration::from_millis);
        Step::Expect(Expect { peer: self.expect, text: self.text, repeat: self.repeat, within })
    }
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct UntilLine {
    expect_until: String,
    text: String,
    never: String,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct ErrorLine {
    expect_error: String,
    error: String,
    code: String,
    within_ms: Option<u64>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct CloseLine {
    #[serde(alias = "expect_close", alias = "close")]
    peer: String,
    code: u16,
    within_ms: Option<u64>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct NothingLine {
    expect_nothing: String,
    for_ms: u64,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct PingLine {
    #[serde(alias = "ping", alias = "expect_pong")]
    peer: String,
    bytes: Hex,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_step_with_an_unknown_key_is_an_error() {
        assert!(Step::parse(r#"{"expect":"c1","text":"x","txet":"y"}"#).is_err());
        assert!(Step::parse(r#"{"advance":1,"for_ms":2}"#).is_err());
        assert!(Step::parse(r#"{"expects":"c1"}"#).is_err());
    }

    #[test]
    fn no_subprotocol_is_not_the_same_as_any() {
        let chosen = |line| match Step::parse(line).expect("valid") {
            Step::Open { chosen, .. } => chosen,
            other => panic!("{other:?}"),
        };
        assert_eq!(chosen(r#"{"open":"d1","as":"device"}"#), None);
        assert_eq!(chosen(r#"{"open":"d1","as":"device","chosen":null}"#), Some(None));
    }

    #[test]
    fn bytes_are_hexadecimal() {
        let step = Step::parse(r#"{"ping":"c1","bytes":"00Ff"}"#).expect("valid");
        assert_eq!(step, Step::Ping("c1".into(), vec![0, 255]));
        assert!(Step::parse(r#"{"ping":"c1","bytes":"0"}"#).is_err());
        assert!(Step::parse(r#"{"ping":"c1","bytes":"0g"}"#).is_err());
    }
}
