//! The device's side of a session.

use crate::envelope::{DeviceIdField, Envelope};
use crate::ids::{ClientId, DeviceId};
use crate::limits::DEVICE_INFO_BYTES;
use crate::reject::Reject;

/// What the caller has to do.
#[derive(Debug, PartialEq, Eq)]
pub enum DeviceEffect<'a> {
    /// Nothing.
    Nothing,
    /// Register the device and feed the answer back: [`DeviceSession::on_registered`] or
    /// [`DeviceSession::on_refused`]. Read no further message before.
    Register {
        /// The id asked for.
        device_id: DeviceId,
        /// The text of `device_info`; `null` where there is none.
        device_info: &'a str,
    },
    /// Pass the payload on to a client; where there is no such client, answer `client_disconnected`.
    ToClient {
        /// The client.
        client_id: ClientId,
        /// The text of the payload.
        payload: &'a str,
    },
    /// Send the error, and close if it says so.
    Reject(Reject),
}

/// The machine of one device connection. Source: protocol.md 2.1, 2.2 and 2.4.
#[derive(Debug)]
pub struct DeviceSession {
    state: State,
    device_info_bytes: usize,
}

impl Default for DeviceSession {
    fn default() -> Self {
        Self::new(DEVICE_INFO_BYTES)
    }
}

#[derive(Debug, Default)]
enum State {
    #[default]
    Fresh,
    Registering(DeviceId),
    Registered(DeviceId),
    Closed,
}

impl DeviceSession {
    /// A session whose device may describe itself in so many bytes.
    #[must_use]
    pub fn new(device_info_bytes: usize) -> Self {
        Self { state: State::Fresh, device_info_bytes }
    }

    /// A message, nested up to `depth` levels.
    pub fn on_text<'a>(&mut self, text: &'a str, depth: usize) -> DeviceEffect<'a> {
        if matches!(self.state, State::Closed) {
            return DeviceEffect::Nothing;
        }
        let envelope = match Envelope::parse(text, depth) {
            Ok(envelope) => envelope,
            Err(reject) => return self.reject(reject),
        };
        match envelope.message_type.as_ref() {
            "register" => self.on_register(&envelope),
            "forward" => self.on_forward(&envelope),
            other => DeviceEffect::Reject(Reject::unknown_message_type(other)),
        }
    }

    /// Something the transport refused: a binary message, text that is not UTF-8, a message over a bound.
    pub fn on_violation(&mut self, reject: Reject) -> DeviceEffect<'static> {
        self.reject(reject)
    }

    /// The device is registered, and `config` is queued for it.
    pub fn on_registered(&mut self) {
        if let State::Registering(device_id) = &self.state {
            self.state = State::Registered(device_id.clone());
        }
    }

    /// The id can't be had. The device is told the id that it asked for, whatever the server calls it.
    pub fn on_refused(&mut self, reject: Reject) -> DeviceEffect<'static> {
        let reject = match (reject, &self.state) {
            (Reject::DeviceIdTaken(_), State::Registering(device_id)) => Reject::DeviceIdTaken(device_id.clone()),
            (reject, _) => reject,
        };
        self.reject(reject)
    }

    /// A new registration has taken the id.
    pub fn on_taken_over(&mut self) -> DeviceEffect<'static> {
        match &self.state {
            State::Registered(device_id) => {
                let reject = Reject::TakenOver(device_id.clone());
                self.reject(reject)
            }
            State::Fresh | State::Registering(_) | State::Closed => DeviceEffect::Nothing,
        }
    }

    /// The first message did not come in time.
    pub fn on_timeout(&mut self) -> DeviceEffect<'static> {
        match self.state {
            State::Fresh => self.reject(Reject::NoFirstMessage),
            State::Registering(_) | State::Registered(_) | State::Closed => DeviceEffect::Nothing,
        }
    }

    fn on_register<'a>(&mut self, envelope: &Envelope<'a>) -> DeviceEffect<'a> {
        if let State::Registering(device_id) | State::Registered(device_id) = &self.state {
            let reject = Reject::AlreadyRegistered(device_id.clone());
            return self.reject(reject);
        }
        match envelope.device_id() {
            DeviceIdField::Missing => self.reject(Reject::RegisterWithoutDeviceId),
            DeviceIdField::Invalid => self.reject(Reject::InvalidDeviceId),
            DeviceIdField::Valid(_) if envelope.device_info.is_some_and(|info| info.len() > self.device_info_bytes) => {
                self.reject(Reject::DeviceInfoTooLarge)
            }
            DeviceIdField::Valid(device_id) => {
                self.state = State::Registering(device_id.clone());
                DeviceEffect::Register { device_id, device_info: envelope.device_info.unwrap_or("null") }
            }
        }
    }

    fn on_forward<'a>(&mut self, envelope: &Envelope<'a>) -> DeviceEffect<'a> {
        if !matches!(self.state, State::Registered(_)) {
            return self.reject(Reject::NotRegistered);
        }
        let Some(client_id) = envelope.client_id() else {
            return self.reject(Reject::InvalidClientId);
        };
        match envelope.payload {
            Some(payload) => DeviceEffect::ToClient { client_id, payload },
            None => self.reject(Reject::DevicePayloadMissing),
        }
    }

    fn reject(&mut self, reject: Reject) -> DeviceEffect<'static> {
        if matches!(self.state, State::Closed) {
            return DeviceEffect::Nothing;
        }
        if reject.close().is_some() {
            self.state = State::Closed;
        }
        DeviceEffect::Reject(reject)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const REGISTER: &str = r#"{"message_type":"register","device_id":"d","device_info": {"x":1e999} }"#;

    fn device() -> DeviceId {
        DeviceId::new("d").expect("valid")
    }

    fn registered() -> DeviceSession {
        let mut session = DeviceSession::default();
        session.on_text(REGISTER, 64);
        session.on_registered();
        session
    }

    #[test]
    fn device_info_keeps_every_byte_and_is_null_where_missing() {
        let effect = DeviceEffect::Register { device_id: device(), device_info: r#"{"x":1e999}"# };
        assert_eq!(DeviceSession::default().on_text(REGISTER, 64), effect);
        let effect = DeviceEffect::Register { device_id: device(), device_info: "null" };
        assert_eq!(DeviceSession::default().on_text(r#"{"message_type":"register","device_id":"d"}"#, 64), effect);
    }

    #[test]
    fn device_info_is_bounded_in_bytes_as_it_is_written() {
        let register = |info: &str| format!(r#"{{"message_type":"register","device_id":"d","device_info": {info} }}"#);
        let mut session = DeviceSession::new(4);
        assert_eq!(session.on_text(&register("\"\u{e9}x\""), 64), DeviceEffect::Reject(Reject::DeviceInfoTooLarge));
        let mut session = DeviceSession::new(4);
        assert!(matches!(session.on_text(&register("\"\u{e9}\""), 64), DeviceEffect::Register { .. }));
    }

    #[test]
    fn forwards_go_to_the_client_that_is_named() {
        let mut session = registered();
        let effect = session.on_text(r#"{"client_id":1.0,"payload":null,"message_type":"forward"}"#, 64);
        let client_id = ClientId::new(1).expect("valid");
        assert_eq!(effect, DeviceEffect::ToClient { client_id, payload: "null" });
    }

    #[test]
    fn each_refusal_of_the_table() {
        let fresh = |text| DeviceSession::default().on_text(text, 64);
        let reject = DeviceEffect::Reject;
        assert_eq!(fresh(r#"{"message_type":"register"}"#), reject(Reject::RegisterWithoutDeviceId));
        assert_eq!(fresh(r#"{"message_type":"register","device_id":"\n"}"#), reject(Reject::InvalidDeviceId));
        assert_eq!(fresh(r#"{"message_type":"forward","client_id":1,"payload":1}"#), reject(Reject::NotRegistered));
        assert_eq!(registered().on_text(REGISTER, 64), reject(Reject::AlreadyRegistered(device())));
        assert_eq!(
            registered().on_text(r#"{"message_type":"forward","payload":1}"#, 64),
            reject(Reject::InvalidClientId)
        );
        assert_eq!(
            registered().on_text(r#"{"message_type":"forward","client_id":1}"#, 64),
            reject(Reject::DevicePayloadMissing)
        );
        assert_eq!(registered().on_taken_over(), reject(Reject::TakenOver(device())));
        assert_eq!(DeviceSession::default().on_timeout(), reject(Reject::NoFirstMessage));
    }

    #[test]
    fn an_unknown_type_changes_nothing() {
        let mut session = registered();
        let effect = session.on_text(r#"{"message_type":"connect"}"#, 64);
        assert_eq!(effect, DeviceEffect::Reject(Reject::unknown_message_type("connect")));
        assert_eq!(session.on_timeout(), DeviceEffect::Nothing);
    }
}
