//! Both machines under any sequence of inputs, against a reference model.
//!
//! The model knows only what protocol.md 2.2 and 2.3 say: which inputs mean something in which state.

use arbitrary::{Arbitrary, Unstructured};

use crate::reject::Reject;
use crate::session::{ClientEffect, ClientSession, ClientWait, DeviceEffect, DeviceSession};

/// Sequences longer than this teach nothing new.
const STEPS: usize = 256;
const DEPTH: usize = 8;
/// Inputs for a closed session before a new one takes its place.
const AFTER_CLOSE: u8 = 2;
const FORWARD: Message = Message::Forward { client_id: Number::Plain(7), payload: Some(Payload::Spaced) };

/// A message, good or bad.
#[derive(Debug, Arbitrary)]
enum Message {
    Connect(Id),
    Register(Id),
    Forward { client_id: Number, payload: Option<Payload> },
    Unknown,
    Any(String),
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Arbitrary)]
enum Id {
    Good,
    Missing,
    Empty,
    Number,
    Control,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Arbitrary)]
enum Number {
    Missing,
    Plain(u32),
    Fraction(u32),
    Text,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Arbitrary)]
enum Payload {
    Null,
    Spaced,
    Deep,
}

#[derive(Debug, Arbitrary)]
enum ClientInput {
    Connect,
    Forward,
    Message(Message),
    Violation,
    Attached,
    Absent,
    Refused,
    DeviceReady,
    DeviceGone,
    Timeout,
}

#[derive(Debug, Arbitrary)]
enum DeviceInput {
    Register,
    Forward,
    Message(Message),
    Violation,
    Registered,
    Refused,
    TakenOver,
    Timeout,
}

/// Where the model stands. `Asked` is between a request and its answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
enum Model {
    #[default]
    Fresh,
    Asked,
    Waiting,
    Joined,
    Closed,
}

/// Any bytes as two sequences of inputs.
///
/// # Panics
/// Where a machine and the model differ.
pub fn machines(data: &[u8]) {
    let mut source = Unstructured::new(data);
    let mut client = Client::default();
    let mut device = Device::default();
    for _ in 0..STEPS {
        if source.is_empty() {
            return;
        }
        let Ok(input) = source.arbitrary() else { return };
        client = client.or_new();
        client.step(&input);
        let Ok(input) = source.arbitrary() else { return };
        device = device.or_new();
        device.step(&input);
    }
}

#[derive(Default)]
struct Client {
    session: ClientSession,
    model: Model,
    closed_for: u8,
}

impl Client {
    /// Another one, once it has been seen that a closed one stays closed.
    fn or_new(mut self) -> Self {
        self.closed_for += u8::from(self.model == Model::Closed);
        if self.closed_for > AFTER_CLOSE { Self::default() } else { self }
    }

    fn step(&mut self, input: &ClientInput) {
        let before = self.model;
        match input {
            ClientInput::Connect => self.message(&Message::Connect(Id::Good)),
            ClientInput::Forward => self.message(&FORWARD),
            ClientInput::Message(message) => self.message(message),
            ClientInput::Violation => {
                let effect = self.session.on_violation(Reject::BinaryMessage);
                self.expect(&effect, (before != Model::Closed).then_some(Reject::BinaryMessage));
            }
            ClientInput::Attached => {
                self.session.on_attached();
                self.answered(Model::Joined);
            }
            ClientInput::Absent => {
                self.session.on_absent();
                self.answered(Model::Waiting);
            }
            ClientInput::Refused => {
                let effect = self.session.on_refused(Reject::TooManyClients);
                self.expect(&effect, (before != Model::Closed).then_some(Reject::TooManyClients));
            }
            ClientInput::DeviceReady => match self.session.on_device_ready() {
                ClientEffect::Attach(_) => {
                    assert_eq!(before, Model::Waiting, "attached without having waited");
                    self.model = Model::Asked;
                }
                effect => {
                    assert_ne!(before, Model::Waiting, "the device came and the client still waits");
                    self.expect(&effect, None);
                }
            },
            ClientInput::DeviceGone => {
                let effect = self.session.on_device_gone();
                self.expect(&effect, (before != Model::Closed).then_some(Reject::DeviceDisconnected));
            }
            ClientInput::Timeout => self.timeout(),
        }
        let waits = match self.model {
            Model::Fresh => ClientWait::FirstMessage,
            Model::Waiting => ClientWait::Device,
            Model::Asked | Model::Joined | Model::Closed => ClientWait::Nothing,
        };
        assert_eq!(self.session.waits_for(), waits);
    }

    fn message(&mut self, message: &Message) {
        let text = message.text();
        let effect = self.session.on_text(&text, DEPTH);
        if let (Model::Closed, _) | (_, Message::Any(_)) = (self.model, message) {
            return self.loosely(&effect);
        }
        let wanted = match (message, self.model) {
            (Message::Forward { payload: Some(Payload::Deep), .. }, _) => Reject::NestedTooDeep,
            (Message::Register(_), _) => Reject::unknown_message_type("register"),
            (Message::Unknown, _) => Reject::unknown_message_type("unknown"),
            (Message::Connect(id), Model::Fresh) => match id {
                Id::Good => {
                    assert!(matches!(effect, ClientEffect::Attach(_)), "{effect:?}");
                    self.model = Model::Asked;
                    return;
                }
                Id::Control => Reject::InvalidDeviceId,
                Id::Missing | Id::Empty | Id::Number => Reject::ConnectWithoutDeviceId,
            },
            (Message::Connect(_), _) => Reject::SecondConnect,
            (Message::Forward { payload: Some(payload), .. }, Model::Joined) => {
                assert_eq!(effect, ClientEffect::ToDevice(payload.text()));
                return;
            }
            (Message::Forward { .. }, Model::Joined) => Reject::ClientPayloadMissing,
            (Message::Forward { .. } | Message::Any(_), _) => Reject::NotConnected,
        };
        self.expect(&effect, Some(wanted));
    }

    fn timeout(&mut self) {
        let effect = self.session.on_timeout();
        match self.model {
            Model::Fresh => self.expect(&effect, Some(Reject::NoFirstMessage)),
            Model::Waiting => {
                assert!(matches!(effect, ClientEffect::Reject(Reject::DeviceNotFound(_))), "{effect:?}");
                self.model = Model::Closed;
            }
            Model::Asked | Model::Joined | Model::Closed => self.expect(&effect, None),
        }
    }

    /// Any text: what it may lead to in this state.
    fn loosely(&mut self, effect: &ClientEffect<'_>) {
        match effect {
            ClientEffect::Nothing => assert_eq!(self.model, Model::Closed, "a message was swallowed"),
            ClientEffect::Attach(_) => {
                assert_eq!(self.model, Model::Fresh);
                self.model = Model::Asked;
            }
            ClientEffect::ToDevice(_) => assert_eq!(self.model, Model::Joined),
            ClientEffect::Reject(reject) => self.expect(effect, Some(reject.clone())),
        }
    }

    fn answered(&mut self, model: Model) {
        if self.model == Model::Asked {
            self.model = model;
        }
    }

    fn expect(&mut self, effect: &ClientEffect<'_>, reject: Option<Reject>) {
        let model = after(self.model, reject.as_ref());
        assert_eq!(*effect, reject.map_or(ClientEffect::Nothing, ClientEffect::Reject), "in {:?}", self.model);
        self.model = model;
    }
}

#[derive(Default)]
struct Device {
    session: DeviceSession,
    model: Model,
    closed_for: u8,
}

impl Device {
    /// Another one, once it has been seen that a closed one stays closed.
    fn or_new(mut self) -> Self {
        self.closed_for += u8::from(self.model == Model::Closed);
        if self.closed_for > AFTER_CLOSE { Self::default() } else { self }
    }

    fn step(&mut self, input: &DeviceInput) {
        let before = self.model;
        match input {
            DeviceInput::Register => self.message(&Message::Register(Id::Good)),
            DeviceInput::Forward => self.message(&FORWARD),
            DeviceInput::Message(message) => self.message(message),
            DeviceInput::Violation => {
                let effect = self.session.on_violation(Reject::MessageTooLarge);
                self.expect(&effect, (before != Model::Closed).then_some(Reject::MessageTooLarge));
            }
            DeviceInput::Registered => {
                self.session.on_registered();
                if self.model == Model::Asked {
                    self.model = Model::Joined;
                }
            }
            DeviceInput::Refused => {
                let effect = self.session.on_refused(Reject::InvalidDeviceId);
                self.expect(&effect, (before != Model::Closed).then_some(Reject::InvalidDeviceId));
            }
            DeviceInput::TakenOver => match self.session.on_taken_over() {
                DeviceEffect::Reject(Reject::TakenOver(_)) => {
                    assert_eq!(before, Model::Joined, "taken over without a registration");
                    self.model = Model::Closed;
                }
                effect => {
                    assert_ne!(before, Model::Joined, "not told of the take-over");
                    self.expect(&effect, None);
                }
            },
            DeviceInput::Timeout => {
                let effect = self.session.on_timeout();
                self.expect(&effect, (before == Model::Fresh).then_some(Reject::NoFirstMessage));
            }
        }
    }

    fn message(&mut self, message: &Message) {
        let text = message.text();
        let effect = self.session.on_text(&text, DEPTH);
        if let (Model::Closed, _) | (_, Message::Any(_)) = (self.model, message) {
            return self.loosely(&effect);
        }
        let wanted = match (message, self.model) {
            (Message::Forward { payload: Some(Payload::Deep), .. }, _) => Reject::NestedTooDeep,
            (Message::Connect(_), _) => Reject::unknown_message_type("connect"),
            (Message::Unknown, _) => Reject::unknown_message_type("unknown"),
            (Message::Register(id), Model::Fresh) => match id {
                Id::Good => {
                    assert!(matches!(effect, DeviceEffect::Register { device_info: "null", .. }), "{effect:?}");
                    self.model = Model::Asked;
                    return;
                }
                Id::Control => Reject::InvalidDeviceId,
                Id::Missing | Id::Empty | Id::Number => Reject::RegisterWithoutDeviceId,
            },
            (Message::Register(_), _) => {
                assert!(matches!(effect, DeviceEffect::Reject(Reject::AlreadyRegistered(_))), "{effect:?}");
                self.model = Model::Closed;
                return;
            }
            (Message::Forward { client_id, payload }, Model::Joined) => match (client_id.value(), payload) {
                (None, _) => Reject::InvalidClientId,
                (Some(_), None) => Reject::DevicePayloadMissing,
                (Some(value), Some(wanted)) => {
                    let DeviceEffect::ToClient { client_id, payload } = effect else { panic!("{effect:?}") };
                    assert_eq!((client_id.value(), payload), (value, wanted.text()));
                    return;
                }
            },
            (Message::Forward { .. } | Message::Any(_), _) => Reject::NotRegistered,
        };
        self.expect(&effect, Some(wanted));
    }

    /// Any text: what it may lead to in this state.
    fn loosely(&mut self, effect: &DeviceEffect<'_>) {
        match effect {
            DeviceEffect::Nothing => assert_eq!(self.model, Model::Closed, "a message was swallowed"),
            DeviceEffect::Register { .. } => {
                assert_eq!(self.model, Model::Fresh);
                self.model = Model::Asked;
            }
            DeviceEffect::ToClient { .. } => assert_eq!(self.model, Model::Joined),
            DeviceEffect::Reject(reject) => self.expect(effect, Some(reject.clone())),
        }
    }

    fn expect(&mut self, effect: &DeviceEffect<'_>, reject: Option<Reject>) {
        let model = after(self.model, reject.as_ref());
        assert_eq!(*effect, reject.map_or(DeviceEffect::Nothing, DeviceEffect::Reject), "in {:?}", self.model);
        self.model = model;
    }
}

fn after(model: Model, reject: Option<&Reject>) -> Model {
    assert!(model != Model::Closed || reject.is_none(), "a closed session speaks");
    if reject.is_some_and(|reject| reject.close().is_some()) { Model::Closed } else { model }
}

impl Message {
    fn text(&self) -> String {
        match self {
            Self::Connect(id) => format!(r#"{{"message_type":"connect"{}}}"#, id.field()),
            Self::Register(id) => {
                format!(r#"{{{}"message_type":"register"}}"#, id.field().replacen(',', "", 1) + comma(*id))
            }
            Self::Forward { client_id, payload } => {
                let payload =
                    payload.map_or_else(String::new, |payload| format!(r#","payload" : {} "#, payload.text()));
                format!(r#"{{"message_type":"forward"{}{payload}}}"#, client_id.field())
            }
            Self::Unknown => r#"{"message_type":"unknown"}"#.into(),
            Self::Any(text) => text.clone(),
        }
    }
}

fn comma(id: Id) -> &'static str {
    if id == Id::Missing { "" } else { "," }
}

impl Id {
    const fn field(self) -> &'static str {
        match self {
            Self::Good => r#","device_id":"a""#,
            Self::Missing => "",
            Self::Empty => r#","device_id":"""#,
            Self::Number => r#","device_id":1"#,
            Self::Control => r#","device_id":"a\u0007""#,
        }
    }
}

impl Number {
    fn field(self) -> String {
        match self {
            Self::Missing => String::new(),
            Self::Plain(value) => format!(r#","client_id":{value}"#),
            Self::Fraction(value) => format!(r#","client_id":{value}.0e0"#),
            Self::Text => r#","client_id":"1""#.into(),
        }
    }

    fn value(self) -> Option<u32> {
        match self {
            Self::Plain(value) | Self::Fraction(value) if (1..1 << 31).contains(&value) => Some(value),
            Self::Missing | Self::Plain(_) | Self::Fraction(_) | Self::Text => None,
        }
    }
}

impl Payload {
    const fn text(self) -> &'static str {
        match self {
            Self::Null => "null",
            Self::Spaced => r#"{ "a" :[1.0e+9 ],"a":"\ud800" }"#,
            Self::Deep => "[[[[[[[[[]]]]]]]]]",
        }
    }
}

#[cfg(test)]
mod tests {
    #[test]
    fn machines_agree_with_the_model_on_many_sequences() {
        let mut state = 1_u64;
        for _ in 0..2000 {
            let data: Vec<u8> = std::iter::repeat_with(|| {
                state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
                state.to_be_bytes()[0]
            })
            .take(1000)
            .collect();
            super::machines(&data);
        }
    }
}
