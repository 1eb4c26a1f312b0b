//! The one table of refusals: what the peer is told, and whether it is closed.

use std::borrow::Cow;

use crate::close_code::CloseCode;
use crate::ids::DeviceId;
use crate::limits::ECHOED_CHARS;

/// A refusal of the protocol. A value, not a fault of the program.
///
/// Source: the tables of protocol.md 2.1 to 2.4, a variant for each row.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Reject {
    /// A binary message.
    BinaryMessage,
    /// A text that is not UTF-8.
    NotUtf8,
    /// Not JSON, or text after the value.
    InvalidJson,
    /// No object, no string `message_type`, a key of the envelope twice, or too many keys.
    InvalidMessage,
    /// A value nested deeper than the bound.
    NestedTooDeep,
    /// A message over the bound.
    MessageTooLarge,
    /// A message in more fragments than the bound.
    TooManyFragments,
    /// A message that was begun and not completed in time.
    UnfinishedMessage,
    /// More pings than anybody needs.
    TooManyControlFrames,
    /// A `message_type` that this endpoint does not know, cut at 64 characters.
    UnknownMessageType(String),
    /// `register` without a device id.
    RegisterWithoutDeviceId,
    /// A device id that is too long or has control characters.
    InvalidDeviceId,
    /// A `device_info` over the bound.
    DeviceInfoTooLarge,
    /// A second `register` on one socket.
    AlreadyRegistered(DeviceId),
    /// The id is held by another live device.
    DeviceIdTaken(DeviceId),
    /// A new registration has taken the id of this connection.
    TakenOver(DeviceId),
    /// `forward` of a device before `register`.
    NotRegistered,
    /// `forward` of a device without a usable client id.
    InvalidClientId,
    /// `forward` of a device without a payload.
    DevicePayloadMissing,
    /// `connect` without a device id.
    ConnectWithoutDeviceId,
    /// No such device, or it did not come in time.
    DeviceNotFound(DeviceId),
    /// A second `connect` on one socket.
    SecondConnect,
    /// `forward` of a client that has no device yet.
    NotConnected,
    /// `forward` of a client without a payload.
    ClientPayloadMissing,
    /// The client's device is gone for good.
    DeviceDisconnected,
    /// The device reads at most 65,536 bytes at once.
    TooLargeForDevice,
    /// The device has as many clients as it may have.
    TooManyClients,
    /// Another has the device for itself.
    DeviceLeased,
    /// As many clients wait as may wait.
    TooManyWaiting,
    /// The peer does not read what it is sent.
    TooSlow,
    /// The device does not read what its clients send.
    DeviceTooSlow,
    /// The session of a resume token is over, or the token is not ours.
    CannotResume,
    /// Whoever runs the server has the connection closed.
    ClosedByAdmin,
    /// What the peer came with has expired, or was revoked.
    CredentialExpired,
    /// The peer sends more than it may, and does not stop.
    RateLimited,
    /// The server has too much to do: this client is let go.
    Overloaded,
    /// No first message in time.
    NoFirstMessage,
    /// The server failed.
    Internal,
}

/// One row: the stable word, the text (with `{}` for the detail), and how the connection is closed, if it is.
type Row = (&'static str, &'static str, Option<CloseCode>);

impl Reject {
    /// The refusal of a message type, cut to what an error may repeat.
    #[must_use]
    pub fn unknown_message_type(message_type: &str) -> Self {
        Self::UnknownMessageType(message_type.chars().take(ECHOED_CHARS).collect())
    }

    #[rustfmt::skip]
    const fn row(&self) -> Row {
        use CloseCode as C;
        match self {
            Self::BinaryMessage => ("binary_message", "Received a binary message", Some(C::Unsupported)),
            Self::NotUtf8 => ("not_utf8", "Received Invalid JSON", Some(C::NotUtf8)),
            Self::InvalidJson => ("invalid_json", "Received Invalid JSON", Some(C::Policy)),
            Self::InvalidMessage => ("invalid_message", "Invalid message format", Some(C::Policy)),
            Self::NestedTooDeep => ("nested_too_deep", "Message is nested too deeply", Some(C::Policy)),
            Self::MessageTooLarge => ("message_too_large", "Message too large", Some(C::TooLarge)),
            Self::TooManyFragments => ("too_many_fragments", "Message has too many fragments", Some(C::Policy)),
            Self::UnfinishedMessage => ("unfinished_message", "Message was not completed in time", Some(C::Policy)),
            Self::TooManyControlFrames => ("too_many_control_frames", "Too many control frames", Some(C::Policy)),
            Self::UnknownMessageType(_) => ("unknown_message_type", "Unknown message type: {}", None),
            Self::RegisterWithoutDeviceId => ("missing_device_id", "Missing device id in registration request", Some(C::Policy)),
            Self::InvalidDeviceId => ("invalid_device_id", "Invalid device id", Some(C::Policy)),
            Self::DeviceInfoTooLarge => ("device_info_too_large", "Device info too large", Some(C::TooLarge)),
            Self::AlreadyRegistered(_) => ("already_registered", "Device already registered: {}", Some(C::Policy)),
            Self::DeviceIdTaken(_) => ("device_id_taken", "Device id already taken: {}", Some(C::Policy)),
            Self::TakenOver(_) => ("taken_over", "Device id taken over by a new registration: {}", Some(C::TakenOver)),
            Self::NotRegistered => ("not_registered", "Forward failed: Device not registered", Some(C::Policy)),
            Self::InvalidClientId => ("invalid_client_id", "Forward failed: Missing or invalid client id", Some(C::Policy)),
            Self::DevicePayloadMissing => ("missing_payload", "Forward failed: Missing payload", Some(C::Policy)),
            Self::ConnectWithoutDeviceId => ("missing_device_id", "Invalid connection request: Missing device id", Some(C::Policy)),
            Self::DeviceNotFound(_) => ("device_not_found", "Connection failed: Device not found: '{}'", Some(C::Policy)),
            Self::SecondConnect => ("second_connect", "Attempt to connect to multiple devices over same websocket", Some(C::Policy)),
            Self::NotConnected => ("not_connected", "Forward failed: No device associated to client", Some(C::Policy)),
            Self::ClientPayloadMissing => ("missing_payload", "Forward failed: No payload present in message", Some(C::Policy)),
            Self::DeviceDisconnected => ("device_disconnected", "Device disconnected", Some(C::GoingAway)),
            Self::TooLargeForDevice => ("too_large_for_device", "Forward failed: Message too large for this device", None),
            Self::TooManyClients => ("too_many_clients", "Connection failed: Device has too many clients", Some(C::Overloaded)),
            Self::DeviceLeased => ("device_leased", "Connection failed: Device is leased to another", Some(C::Overloaded)),
            Self::TooManyWaiting => ("too_many_waiting", "Connection failed: Too many clients are waiting", Some(C::Overloaded)),
            Self::TooSlow => ("too_slow", "Connection is too slow", Some(C::TooSlow)),
            Self::DeviceTooSlow => ("device_too_slow", "Forward failed: Device is too slow", Some(C::Overloaded)),
            Self::CannotResume => ("cannot_resume", "Session cannot be resumed", Some(C::Policy)),
            Self::ClosedByAdmin => ("closed_by_admin", "Connection closed by an administrator", Some(C::Policy)),
            Self::CredentialExpired => ("credential_expired", "Credential expired or revoked", Some(C::Expired)),
            Self::RateLimited => ("rate_limited", "Rate limit exceeded", Some(C::RateLimited)),
            Self::Overloaded => ("overloaded", "Connection failed: Server is overloaded", Some(C::Overloaded)),
            Self::NoFirstMessage => ("no_first_message", "No message in time", Some(C::Policy)),
            Self::Internal => ("internal_error", "Internal error", Some(C::Internal)),
        }
    }

    /// The text of `error`.
    #[must_use]
    pub fn text(&self) -> Cow<'static, str> {
        let template = self.row().1;
        match self {
            Self::UnknownMessageType(detail) => template.replace("{}", detail).into(),
            Self::AlreadyRegistered(id) | Self::DeviceIdTaken(id) | Self::TakenOver(id) | Self::DeviceNotFound(id) => {
                template.replace("{}", id.as_str()).into()
            }
            _ => template.into(),
        }
    }

    /// The stable word of `cuttlebone_code`; also the label of metrics.
    #[must_use]
    pub const fn code(&self) -> &'static str {
        self.row().0
    }

    /// How the connection is closed after it; `None` where it stays open.
    #[must_use]
    pub const fn close(&self) -> Option<CloseCode> {
        self.row().2
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn details_stand_in_the_text() {
        let id = DeviceId::new("a{}'b").expect("valid");
        assert_eq!(Reject::DeviceNotFound(id).text(), "Connection failed: Device not found: 'a{}'b'");
        assert_eq!(Reject::unknown_message_type("x").text(), "Unknown message type: x");
    }

    #[test]
    fn unknown_types_are_cut_at_64_characters() {
        let Reject::UnknownMessageType(kept) = Reject::unknown_message_type(&"\u{1f980}".repeat(65)) else {
            panic!("another variant");
        };
        assert_eq!(kept, "\u{1f980}".repeat(64));
    }

    #[test]
    fn an_unknown_type_and_a_message_for_a_small_reader_leave_the_connection_open() {
        assert_eq!(Reject::unknown_message_type("x").close(), None);
        assert_eq!(Reject::TooLargeForDevice.close(), None);
        assert_eq!(Reject::TakenOver(DeviceId::new("x").expect("valid")).close(), Some(CloseCode::TakenOver));
    }
}
