//! What a client asks for when it connects: whether its session is to outlive a broken connection.

/// The wish of a `connect`. Source: protocol.md 2.6.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub enum Resume {
    /// Served as in protocol.md 2.1 to 2.5.
    #[default]
    NotAsked,
    /// A new session that can be resumed later.
    New,
    /// Go on with the session that the token names.
    Session {
        /// From the last `device_info`; not looked at yet. Empty if it can't be a token of ours.
        token: Box<str>,
        /// The number of `device_msg` the client has had; `None` if it did not say.
        received: Option<u32>,
    },
}
