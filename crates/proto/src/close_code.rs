//! Why a connection is closed, as a number.

/// The close codes of protocol.md 2.5, and 1002 of RFC 6455 for broken framing.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[repr(u16)]
pub enum CloseCode {
    /// The peer asked.
    Normal = 1000,
    /// The server is shutting down, or the device is gone.
    GoingAway = 1001,
    /// The WebSocket framing was broken.
    Protocol = 1002,
    /// A binary message.
    Unsupported = 1003,
    /// A text that is not UTF-8.
    NotUtf8 = 1007,
    /// A violation of the protocol or of a policy.
    Policy = 1008,
    /// A message over the bound.
    TooLarge = 1009,
    /// A fault of the server.
    Internal = 1011,
    /// Restart or drain: reconnect now.
    Restart = 1012,
    /// Overloaded: try later.
    Overloaded = 1013,
    /// Another registration took the device id over.
    TakenOver = 4001,
    /// The credential expired or was revoked.
    Expired = 4003,
    /// The outbound queue went over its bound.
    TooSlow = 4008,
    /// Over a rate limit.
    RateLimited = 4029,
}

impl CloseCode {
    /// Every code, in order.
    pub const ALL: [Self; 14] = [
        Self::Normal,
        Self::GoingAway,
        Self::Protocol,
        Self::Unsupported,
        Self::NotUtf8,
        Self::Policy,
        Self::TooLarge,
        Self::Internal,
        Self::Restart,
        Self::Overloaded,
        Self::TakenOver,
        Self::Expired,
        Self::TooSlow,
        Self::RateLimited,
    ];

    /// The code as it stands in a close frame.
    #[must_use]
    pub const fn value(self) -> u16 {
        self as u16
    }
}
