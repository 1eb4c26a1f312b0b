//! What lies in a mailbox.

use std::sync::Arc;

use cuttlebone_proto::CloseCode;

use super::sender::Taken;
use crate::item::Notice;

#[derive(Debug)]
pub(super) enum Entry {
    /// A peer's message; with the client that sent it, where a device is the reader.
    Forward {
        text: String,
        sender: Option<Taken>,
    },
    /// A peer's message that was read before, and is asked for again.
    Replay(Arc<str>),
    /// The server's own, and as long as a device wants: what it says of itself.
    Greeting(String),
    /// The server's own; the next connection must have it if this one has not.
    Report(String),
    /// The server's own; of this connection alone.
    Reply(String),
    Notice(Notice),
    Close(CloseCode),
}

impl Entry {
    /// Written by the server, not passed on.
    pub(super) fn is_own(&self) -> bool {
        matches!(self, Self::Greeting(_) | Self::Report(_) | Self::Reply(_))
    }

    pub(super) fn taken(&self) -> Option<&Taken> {
        if let Self::Forward { sender, .. } = self { sender.as_ref() } else { None }
    }
}
