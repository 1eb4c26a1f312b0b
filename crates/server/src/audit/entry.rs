//! One line of the audit log. Its schema is `docs/audit.schema.json`.

use std::fmt::Write as _;
use std::net::{IpAddr, SocketAddr};

use cuttlebone_proto::{ClientId, CloseCode, DeviceId};
use serde::{Serialize, Serializer};

use super::time::Rfc3339;
use crate::caller::Caller;
use crate::context::Role;

/// The longest line, with its end.
const MOST_BYTES: usize = 1024;

/// How much of each text stands in a line that would be longer otherwise, in bytes.
const CUT_BYTES: usize = 28;

/// In so many steps texts are cut.
const CUTS: usize = 4;

/// What happened.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Event {
    /// The server began to serve.
    Start,
    /// It has stopped.
    Stop,
    /// Files or the configuration were read again.
    Reload,
    /// Somebody has signed in at the provider.
    SignIn,
    /// A device asked for its id.
    Register,
    /// A device has the id of another connection now.
    Takeover,
    /// A client asked for a device.
    Connect,
    /// A connection of a device or a client ended.
    Disconnect,
    /// What a peer came with is not good any more.
    Credential,
    /// Somebody has a device alone, or not any more.
    Lease,
    /// What an administrator did.
    Admin,
    /// Somebody was turned away before there was a connection of a device or a client.
    Refusal,
    /// Refusals that were not written.
    LeftOut,
    /// Lines that were lost.
    Lost,
}

/// How it went.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Outcome {
    /// As it was asked for.
    Ok,
    /// Not at all: `reason` says why.
    Refused,
    /// The device came back to an id that was kept for it; a client goes on with its session.
    Returned,
    /// The client waits for its device.
    Waiting,
    /// From the address that the connection before came from.
    SameAddress,
    /// From another.
    OtherAddress,
    /// It was not noted where that one came from.
    UnknownAddress,
    /// For good.
    Gone,
    /// The session is kept for a while.
    Kept,
    /// Its time is over.
    Expired,
    /// It was taken back, or means something else now.
    Revoked,
}

/// The connection that held a device id before.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub(crate) struct Previous {
    /// Which.
    #[serde(serialize_with = "connection")]
    pub(crate) connection: (u32, u64),
    /// Where it came from.
    pub(crate) from: SocketAddr,
}

/// Who it was, as far as that is known.
#[derive(Debug, Clone, Copy, Serialize)]
struct Who<'a> {
    kind: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    identity: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    name: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    tenant: Option<&'a str>,
}

/// One event. Built from what is known of it: whatever is not said is not in the line.
#[derive(Debug, Clone, Serialize)]
pub(crate) struct Entry<'a> {
    event: Event,
    #[serde(skip_serializing_if = "Option::is_none")]
    outcome: Option<Outcome>,
    #[serde(skip_serializing_if = "Option::is_none")]
    reason: Option<&'static str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    what: Option<&'static str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    who: Option<Who<'a>>,
    #[serde(skip_serializing_if = "Option::is_none")]
    whom: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    from: Option<SocketAddr>,
    #[serde(skip_serializing_if = "Option::is_none")]
    role: Option<&'static str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    device_id: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    tenant: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    client_id: Option<u32>,
    #[serde(skip_serializing_if = "Option::is_none", serialize_with = "some_connection")]
    connection: Option<(u32, u64)>,
    #[serde(skip_serializing_if = "Option::is_none")]
    previous: Option<&'a Previous>,
    #[serde(skip_serializing_if = "Option::is_none")]
    close_code: Option<u16>,
    #[serde(skip_serializing_if = "Option::is_none")]
    took_ms: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    kept_ms: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    count: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    version: Option<&'static str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    listen: Option<SocketAddr>,
    #[serde(skip_serializing_if = "Option::is_none")]
    tls: Option<bool>,
    #[serde(skip_serializing_if = "Option::is_none")]
    anonymous: Option<bool>,
    #[serde(skip_serializing_if = "Option::is_none")]
    cut: Option<bool>,
}

/// What goes before everything else.
#[derive(Serialize)]
struct Line<'a> {
    #[serde(serialize_with = "time")]
    time: u64,
    #[serde(flatten)]
    entry: &'a Entry<'a>,
}

impl<'a> Entry<'a> {
    pub(crate) const fn new(event: Event) -> Self {
        Self {
            event,
            outcome: None,
            reason: None,
            what: None,
            who: None,
            whom: None,
            from: None,
            role: None,
            device_id: None,
            tenant: None,
            client_id: None,
            connection: None,
            previous: None,
            close_code: None,
            took_ms: None,
            kept_ms: None,
            count: None,
            version: None,
            listen: None,
            tls: None,
            anonymous: None,
            cut: None,
        }
    }

    pub(crate) fn outcome(self, outcome: Outcome) -> Self {
        Self { outcome: Some(outcome), ..self }
    }

    /// Not at all; `reason` is a word of ours, never text of a peer.
    pub(crate) fn refused(self, reason: &'static str) -> Self {
        self.outcome(Outcome::Refused).reason(reason)
    }

    /// A word of ours, never text of a peer.
    pub(crate) fn reason(self, reason: &'static str) -> Self {
        Self { reason: Some(reason), ..self }
    }

    /// What was read again, or done.
    pub(crate) fn what(self, what: &'static str) -> Self {
        Self { what: Some(what), ..self }
    }

    /// Who was recognised; where anybody is served, that it was anybody.
    pub(crate) fn who(self, caller: &'a Caller) -> Self {
        let who = match caller.principal() {
            None => Who { kind: "anonymous", identity: None, name: None, tenant: None },
            Some(principal) => {
                let identity = principal.identity();
                let kind = identity.split(':').next().unwrap_or_default();
                Who { kind, identity: Some(identity), name: Some(principal.name()), tenant: caller.tenant() }
            }
        };
        Self { who: Some(who), ..self }
    }

    /// The identity of another that it was done to.
    pub(crate) fn whom(self, identity: Option<&'a str>) -> Self {
        Self { whom: identity, ..self }
    }

    pub(crate) fn from(self, peer: SocketAddr) -> Self {
        Self { from: Some(peer), ..self }
    }

    pub(crate) fn role(self, role: Role) -> Self {
        Self { role: Some(role.name()), ..self }
    }

    pub(crate) fn device(self, device_id: Option<&'a DeviceId>) -> Self {
        Self { device_id: device_id.map(DeviceId::as_str), ..self }
    }

    /// The tenant of the device, where nobody did it whose tenant would say that.
    pub(crate) fn of_tenant(self, tenant: Option<&'a str>) -> Self {
        Self { tenant, ..self }
    }

    pub(crate) fn client(self, client_id: Option<ClientId>) -> Self {
        Self { client_id: client_id.map(ClientId::value), ..self }
    }

    /// The process, and the number of the connection in it.
    pub(crate) fn connection(self, connection: (u32, u64)) -> Self {
        Self { connection: Some(connection), ..self }
    }

    pub(crate) fn previous(self, previous: Option<&'a Previous>) -> Self {
        Self { previous, ..self }
    }

    pub(crate) fn close_code(self, code: Option<CloseCode>) -> Self {
        Self { close_code: code.map(CloseCode::value), ..self }
    }

    pub(crate) fn took_ms(self, took_ms: u64) -> Self {
        Self { took_ms: Some(took_ms), ..self }
    }

    /// For how long the session is kept.
    pub(crate) fn kept_ms(self, kept_ms: Option<u64>) -> Self {
        Self { kept_ms, ..self }
    }

    pub(crate) fn count(self, count: u64) -> Self {
        Self { count: Some(count), ..self }
    }

    /// What is served, and to whom.
    pub(crate) fn serving(self, listen: SocketAddr, tls: bool, anonymous: bool) -> Self {
        let version = Some(env!("CARGO_PKG_VERSION"));
        Self { version, listen: Some(listen), tls: Some(tls), anonymous: Some(anonymous), ..self }
    }

    /// Whether anybody can cause as many as they like: a refusal, or that somebody signed in who may do nothing here. That files were
    /// read and not taken is nobody's asking.
    pub(super) fn is_for_nothing(&self) -> bool {
        let is_refused = self.outcome == Some(Outcome::Refused) && self.event != Event::Reload;
        is_refused || (self.event == Event::SignIn && self.reason.is_some())
    }

    pub(super) fn address(&self) -> Option<IpAddr> {
        self.from.map(|from| from.ip())
    }

    /// The line, with its end. What would make it longer than [`MOST_BYTES`] is cut, and the line says so.
    pub(super) fn line(&self, time: u64) -> String {
        let mut line = ascii(&Line { time, entry: self });
        for step in 1..=CUTS {
            if line.len() <= MOST_BYTES {
                break;
            }
            line = ascii(&Line { time, entry: &self.shortened(step) });
        }
        line
    }

    /// What a peer chooses as it likes is cut first, and who it is last.
    fn shortened(&self, step: usize) -> Self {
        let cut_at = |at: usize, text: &'a str| if at <= step { cut(text) } else { text };
        let who = self.who.map(|who| Who {
            kind: who.kind,
            identity: who.identity.map(|text| cut_at(CUTS, text)),
            name: who.name.map(|text| cut_at(2, text)),
            tenant: who.tenant.map(|text| cut_at(2, text)),
        });
        let (device_id, whom) = (self.device_id.map(|text| cut_at(1, text)), self.whom.map(|text| cut_at(3, text)));
        Self { who, whom, device_id, cut: Some(true), ..self.clone() }
    }
}

fn cut(text: &str) -> &str {
    text.get(..text.floor_char_boundary(CUT_BYTES)).unwrap_or_default()
}

/// JSON in which everything that is not ASCII is escaped: nothing in it steers a terminal, and no letter passes for another. Such
/// characters stand in strings only, where an escape is the same character.
fn ascii(line: &Line<'_>) -> String {
    let json = serde_json::to_string(line).unwrap_or_default();
    let mut out = String::with_capacity(json.len() + 1);
    for character in json.chars() {
        if character.is_ascii() && character != '\u{7f}' {
            out.push(character);
        } else {
            let mut units = [0; 2];
            for unit in character.encode_utf16(&mut units) {
                // Writing to a text can't fail.
                let _ = write!(out, "\\u{unit:04x}");
            }
        }
    }
    out.push('\n');
    out
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde gives a reference")]
fn time<S: Serializer>(ms: &u64, serializer: S) -> Result<S::Ok, S::Error> {
    serializer.collect_str(&Rfc3339(*ms))
}

fn connection<S: Serializer>(connection: &(u32, u64), serializer: S) -> Result<S::Ok, S::Error> {
    serializer.collect_str(&format_args!("{:08x}-{}", connection.0, connection.1))
}

fn some_connection<S: Serializer>(some: &Option<(u32, u64)>, serializer: S) -> Result<S::Ok, S::Error> {
    match some {
        Some(known) => connection(known, serializer),
        None => serializer.serialize_none(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::Value;

    const NOW: u64 = 1_798_675_200_007;

    fn peer() -> SocketAddr {
        "[2001:db8:1234:5678:1234:5678:1234:5678]:65535".parse().expect("an address")
    }

    fn id(text: &str) -> DeviceId {
        DeviceId::new(text).expect("valid")
    }

    #[test]
    fn sign_in_for_nothing_is_bounded_as_a_refusal_is() {
        let sign_in = || Entry::new(Event::SignIn).outcome(Outcome::Ok);
        assert!(!sign_in().is_for_nothing());
        assert!(sign_in().reason("token_no_role").is_for_nothing());
        assert!(Entry::new(Event::SignIn).refused("token_revoked").is_for_nothing());
        assert!(!Entry::new(Event::Connect).outcome(Outcome::Ok).reason("resumed").is_for_nothing());
    }

    #[test]
    fn reload_that_was_not_taken_is_written_whatever_else_is_refused() {
        assert!(Entry::new(Event::Connect).refused("x").is_for_nothing());
        assert!(!Entry::new(Event::Reload).what("access").refused("kept_the_old").is_for_nothing());
    }

    #[test]
    fn line_has_what_is_known_and_nothing_else() {
        let id = id("cvd-1");
        let entry = Entry::new(Event::Register).outcome(Outcome::Ok).who(&Caller::ANYBODY).role(Role::Device);
        let entry = entry.from(([192, 0, 2, 7], 50_000).into()).device(Some(&id)).connection((0xbeef, 7));
        assert_eq!(
            entry.line(NOW),
            "{\"time\":\"2026-12-31T00:00:00.007Z\",\"event\":\"register\",\"outcome\":\"ok\",\"who\":{\"kind\":\"anonymous\"},\
             \"from\":\"192.0.2.7:50000\",\"role\":\"device\",\"device_id\":\"cvd-1\",\"connection\":\"0000beef-7\"}\n"
        );
    }

    #[test]
    fn hostile_id_is_one_line_of_ascii_and_reads_as_it_was() {
        let hostile = "a\"},{\"event\":\"stop\"\\\u{202e}\u{2028}cvd\u{2011}1\u{1f980}";
        let line = Entry::new(Event::Connect).device(Some(&id(hostile))).line(NOW);
        assert!(line.is_ascii() && line.ends_with("\"}\n") && line.matches('\n').count() == 1, "{line}");
        assert!(line.contains("cvd\\u20111"), "a look-alike is seen: {line}");
        let read: Value = serde_json::from_str(&line).expect("JSON");
        assert_eq!((&read["device_id"], &read["event"]), (&hostile.into(), &"connect".into()));
    }

    #[test]
    fn longest_line_is_cut_and_says_so() {
        let previous = Previous { connection: (u32::MAX, u64::MAX), from: peer() };
        for text in ["\u{1f980}".repeat(64), "\"".repeat(256), "x".repeat(256)] {
            let id = id(&text);
            let who = Who { kind: "jwt", identity: Some(&text), name: Some(&text), tenant: Some(&text[..64]) };
            let whole = Entry { who: Some(who), whom: Some(&text), ..Entry::new(Event::LeftOut) };
            let whole = whole.refused("too_many_control_frames_").from(peer()).role(Role::Device).device(Some(&id));
            let whole = whole.client(ClientId::new(ClientId::MAX)).connection((u32::MAX, u64::MAX));
            let whole = whole.previous(Some(&previous)).close_code(Some(CloseCode::Expired)).took_ms(u64::MAX);
            let line = whole.kept_ms(Some(u64::MAX)).count(u64::MAX).line(NOW);
            assert!(line.len() <= MOST_BYTES, "{} bytes: {line}", line.len());
            let read: Value = serde_json::from_str(&line).expect("JSON");
            assert_eq!(read["cut"], true);
            assert!(text.starts_with(read["device_id"].as_str().expect("text")));
        }
        let id = id(&"x".repeat(256));
        assert!(!Entry::new(Event::Connect).device(Some(&id)).line(NOW).contains("cut"));
    }

    /// A peer that chooses a long id can not have its name cut by that.
    #[test]
    fn what_a_peer_chooses_is_cut_before_who_it_is() {
        let identity = format!("jwt:https://kubernetes.default.svc#system:serviceaccount:{}", "x".repeat(400));
        let id = id(&"\u{2028}".repeat(85));
        let read = |name: &str, tenant: &str| -> Value {
            let who = Who { kind: "jwt", identity: Some(&identity), name: Some(name), tenant: Some(tenant) };
            let entry = Entry { who: Some(who), ..Entry::new(Event::Register) }.device(Some(&id));
            let line = entry.line(NOW);
            assert!(line.len() <= MOST_BYTES, "{line}");
            serde_json::from_str(&line).expect("JSON")
        };
        let (long, name) = ("\u{2028}".repeat(60), "system:serviceaccount:lab");
        let usual = read(name, "lab");
        assert_eq!((&usual["who"]["identity"], &usual["who"]["name"]), (&identity.as_str().into(), &name.into()));
        assert_eq!((&read(&long, &long)["who"]["identity"], &usual["cut"]), (&identity.as_str().into(), &true.into()));
    }
}
