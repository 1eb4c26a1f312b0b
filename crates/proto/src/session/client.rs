//! The client's side of a session.

use crate::envelope::{DeviceIdField, Envelope};
use crate::ids::DeviceId;
use crate::reject::Reject;
use crate::resume::Resume;

/// What the caller has to do.
#[derive(Debug, PartialEq, Eq)]
pub enum ClientEffect<'a> {
    /// Nothing.
    Nothing,
    /// Send `config`, find the device and feed the answer back: [`ClientSession::on_attached`],
    /// [`ClientSession::on_absent`] or [`ClientSession::on_refused`]. Read no further message before.
    Attach(Box<Ask>),
    /// Pass the payload on to the device.
    ToDevice(&'a str),
    /// Send the error, and close if it says so.
    Reject(Reject),
}

/// What a client asked for with its `connect`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Ask {
    /// The device.
    pub device_id: DeviceId,
    /// Whether the session is to outlive a broken connection.
    pub resume: Resume,
    /// Whether its `config` is to say which paths it should use. Source: PROTOCOL.md 2.7.
    pub asks_ice_policy: bool,
}

/// What a client session waits for, and so which timer runs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ClientWait {
    /// The first message.
    FirstMessage,
    /// The device.
    Device,
    /// Nothing that has to happen in time.
    Nothing,
}

/// The machine of one client connection. Source: protocol.md 2.1 and 2.3.
#[derive(Debug, Default)]
pub struct ClientSession {
    state: State,
}

#[derive(Debug, Default)]
enum State {
    #[default]
    Fresh,
    Attaching(Box<Ask>),
    Waiting(Box<Ask>),
    Attached,
    Closed,
}

impl ClientSession {
    /// A message, nested up to `depth` levels.
    pub fn on_text<'a>(&mut self, text: &'a str, depth: usize) -> ClientEffect<'a> {
        if matches!(self.state, State::Closed) {
            return ClientEffect::Nothing;
        }
        let envelope = match Envelope::parse(text, depth) {
            Ok(envelope) => envelope,
            Err(reject) => return self.reject(reject),
        };
        match envelope.message_type.as_ref() {
            "connect" => self.on_connect(&envelope),
            "forward" => self.on_forward(&envelope),
            other => ClientEffect::Reject(Reject::unknown_message_type(other)),
        }
    }

    /// Something the transport refused: a binary message, text that is not UTF-8, a message over a bound.
    pub fn on_violation(&mut self, reject: Reject) -> ClientEffect<'static> {
        self.reject(reject)
    }

    /// The client is attached to its device, and `device_info` is queued for it.
    pub fn on_attached(&mut self) {
        if matches!(self.state, State::Attaching(_)) {
            self.state = State::Attached;
        }
    }

    /// The device is not there: wait for it.
    pub fn on_absent(&mut self) {
        match std::mem::take(&mut self.state) {
            State::Attaching(ask) => self.state = State::Waiting(ask),
            other => self.state = other,
        }
    }

    /// The device can't be had.
    pub fn on_refused(&mut self, reject: Reject) -> ClientEffect<'static> {
        self.reject(reject)
    }

    /// The device that the client waits for has registered.
    pub fn on_device_ready(&mut self) -> ClientEffect<'static> {
        let State::Waiting(ask) = &self.state else { return ClientEffect::Nothing };
        let ask = ask.clone();
        self.attach(ask)
    }

    /// The server has no room for a client that only waits.
    pub fn on_let_go(&mut self) -> ClientEffect<'static> {
        if matches!(self.state, State::Waiting(_)) { self.reject(Reject::Overloaded) } else { ClientEffect::Nothing }
    }

    /// The device is gone for good.
    pub fn on_device_gone(&mut self) -> ClientEffect<'static> {
        self.reject(Reject::DeviceDisconnected)
    }

    /// The timer of [`ClientSession::waits_for`] ran out.
    pub fn on_timeout(&mut self) -> ClientEffect<'static> {
        match &self.state {
            State::Fresh => self.reject(Reject::NoFirstMessage),
            State::Waiting(ask) => {
                let reject = Reject::DeviceNotFound(ask.device_id.clone());
                self.reject(reject)
            }
            State::Attaching(_) | State::Attached | State::Closed => ClientEffect::Nothing,
        }
    }

    /// What the session waits for.
    #[must_use]
    pub fn waits_for(&self) -> ClientWait {
        match self.state {
            State::Fresh => ClientWait::FirstMessage,
            State::Waiting(_) => ClientWait::Device,
            State::Attaching(_) | State::Attached | State::Closed => ClientWait::Nothing,
        }
    }

    fn on_connect(&mut self, envelope: &Envelope<'_>) -> ClientEffect<'static> {
        if !matches!(self.state, State::Fresh) {
            return self.reject(Reject::SecondConnect);
        }
        match envelope.device_id() {
            DeviceIdField::Missing => self.reject(Reject::ConnectWithoutDeviceId),
            DeviceIdField::Invalid => self.reject(Reject::InvalidDeviceId),
            DeviceIdField::Valid(device_id) => self.attach(Box::new(Ask {
                device_id,
                resume: envelope.resume(),
                asks_ice_policy: envelope.asks_ice_policy(),
            })),
        }
    }

    fn attach(&mut self, ask: Box<Ask>) -> ClientEffect<'static> {
        self.state = State::Attaching(ask.clone());
        ClientEffect::Attach(ask)
    }

    fn on_forward<'a>(&mut self, envelope: &Envelope<'a>) -> ClientEffect<'a> {
        if !matches!(self.state, State::Attached) {
            return self.reject(Reject::NotConnected);
        }
        match envelope.payload {
            Some(payload) => ClientEffect::ToDevice(payload),
            None => self.reject(Reject::ClientPayloadMissing),
        }
    }

    fn reject(&mut self, reject: Reject) -> ClientEffect<'static> {
        if matches!(self.state, State::Closed) {
            return ClientEffect::Nothing;
        }
        if reject.close().is_some() {
            self.state = State::Closed;
        }
        ClientEffect::Reject(reject)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const CONNECT: &str = r#"{"message_type":"connect","device_id":"d"}"#;
    const FORWARD: &str = r#"{"message_type":"forward","client_id":7,"payload": {"a" : 1} }"#;

    fn device() -> DeviceId {
        DeviceId::new("d").expect("valid")
    }

    fn ask(resume: Resume) -> ClientEffect<'static> {
        ClientEffect::Attach(Box::new(Ask { device_id: device(), resume, asks_ice_policy: false }))
    }

    fn attached() -> ClientSession {
        let mut session = ClientSession::default();
        assert_eq!(session.on_text(CONNECT, 64), ask(Resume::NotAsked));
        session.on_attached();
        session
    }

    #[test]
    fn device_first_then_forward() {
        assert_eq!(attached().on_text(FORWARD, 64), ClientEffect::ToDevice(r#"{"a" : 1}"#));
    }

    #[test]
    fn client_first_waits_and_attaches_when_the_device_is_ready() {
        let mut session = ClientSession::default();
        session.on_text(r#"{"message_type":"connect","device_id":"d","cuttlebone_resume":true}"#, 64);
        session.on_absent();
        assert_eq!(session.waits_for(), ClientWait::Device);
        assert_eq!(session.on_device_ready(), ask(Resume::New));
        session.on_attached();
        assert_eq!(session.on_text(FORWARD, 64), ClientEffect::ToDevice(r#"{"a" : 1}"#));
    }

    #[test]
    fn only_true_asks_which_paths_to_use_and_a_wait_does_not_forget_it() {
        for (value, expected) in [("true", true), ("false", false), ("\"true\"", false), ("1", false), ("null", false)]
        {
            let mut session = ClientSession::default();
            let text = format!(r#"{{"message_type":"connect","device_id":"d","cuttlebone_ice":{value}}}"#);
            let asks = |effect| matches!(effect, ClientEffect::Attach(ask) if ask.asks_ice_policy);
            assert_eq!(asks(session.on_text(&text, 64)), expected, "{value}");
            session.on_absent();
            assert_eq!(asks(session.on_device_ready()), expected, "{value}");
        }
    }

    #[test]
    fn a_wait_that_runs_out_names_the_device() {
        let mut session = ClientSession::default();
        session.on_text(CONNECT, 64);
        session.on_absent();
        assert_eq!(session.on_timeout(), ClientEffect::Reject(Reject::DeviceNotFound(device())));
        assert_eq!(session.on_device_ready(), ClientEffect::Nothing);
    }

    #[test]
    fn only_a_client_that_waits_is_let_go() {
        let mut session = ClientSession::default();
        assert_eq!(session.on_let_go(), ClientEffect::Nothing);
        session.on_text(CONNECT, 64);
        session.on_absent();
        assert_eq!(session.on_let_go(), ClientEffect::Reject(Reject::Overloaded));
        assert_eq!(attached().on_let_go(), ClientEffect::Nothing);
    }

    #[test]
    fn each_refusal_of_the_table() {
        let fresh = |text| ClientSession::default().on_text(text, 64);
        assert_eq!(fresh(r#"{"message_type":"connect"}"#), ClientEffect::Reject(Reject::ConnectWithoutDeviceId));
        assert_eq!(
            fresh(r#"{"message_type":"connect","device_id":"\u0007"}"#),
            ClientEffect::Reject(Reject::InvalidDeviceId)
        );
        assert_eq!(fresh(FORWARD), ClientEffect::Reject(Reject::NotConnected));
        assert_eq!(attached().on_text(CONNECT, 64), ClientEffect::Reject(Reject::SecondConnect));
        assert_eq!(
            attached().on_text(r#"{"message_type":"forward"}"#, 64),
            ClientEffect::Reject(Reject::ClientPayloadMissing)
        );
        assert_eq!(attached().on_device_gone(), ClientEffect::Reject(Reject::DeviceDisconnected));
        assert_eq!(ClientSession::default().on_timeout(), ClientEffect::Reject(Reject::NoFirstMessage));
    }

    #[test]
    fn an_unknown_type_changes_nothing() {
        let mut session = attached();
        let effect = session.on_text(r#"{"message_type":"register","device_id":"d"}"#, 64);
        assert_eq!(effect, ClientEffect::Reject(Reject::unknown_message_type("register")));
        assert!(matches!(session.on_text(FORWARD, 64), ClientEffect::ToDevice(_)));
    }

    #[test]
    fn a_closed_session_stays_closed() {
        let mut session = ClientSession::default();
        session.on_text("x", 64);
        assert_eq!(session.on_text(CONNECT, 64), ClientEffect::Nothing);
        assert_eq!(session.on_device_gone(), ClientEffect::Nothing);
        assert_eq!(session.on_timeout(), ClientEffect::Nothing);
    }
}
