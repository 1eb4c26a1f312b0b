//! How far a connection is, how it ends, and when others have their turn.

use tokio::time::Instant;

use crate::clock;

/// Messages that a connection may read and write in one turn, and their bytes: then others have theirs. Small, for a
/// message may have to wait for a turn of every busy connection.
const TURN_MESSAGES: u16 = 64;
const TURN_BYTES: u32 = 64 * 1024;

/// What a connection has read and written since others had their turn.
#[derive(Debug, Default)]
pub(super) struct Turn {
    messages: u16,
    bytes: u32,
    /// It follows one that was over: nobody has looked at the timers in between.
    is_next: bool,
    now: Option<Instant>,
}

impl Turn {
    /// The one after a turn that was over.
    pub(super) fn next() -> Self {
        Self { is_next: true, ..Self::default() }
    }

    pub(super) fn has_begun(&self) -> bool {
        self.messages > 0
    }

    pub(super) fn is_next(&self) -> bool {
        self.is_next
    }

    /// The time of this turn: the clock is read once in it, for a turn is short.
    pub(super) fn now(&mut self) -> Instant {
        *self.now.get_or_insert_with(clock::now)
    }

    pub(super) fn count(&mut self, bytes: usize) {
        self.messages += 1;
        self.bytes = self.bytes.saturating_add(u32::try_from(bytes).unwrap_or(u32::MAX));
    }

    pub(super) fn is_over(&self) -> bool {
        self.messages >= TURN_MESSAGES || self.bytes >= TURN_BYTES
    }
}

/// How far the connection is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Stage {
    /// Everything goes on.
    Open,
    /// Nothing is read; what the mailbox holds is written, up to the close.
    Closing,
    /// The server stops: nothing new goes to this device, what the mailbox holds is written, up to the close. Reading
    /// goes on.
    Draining,
    /// The close is written: what the device had sent before it knew is read, until it closes too.
    Parting,
    /// As [`Stage::Closing`], and the mailbox is not kept waiting for a write that may never end.
    Cut,
    /// The close is queued: once it is written, this is over.
    Closed,
}

impl Stage {
    pub(super) fn reads(self) -> bool {
        matches!(self, Self::Open | Self::Draining | Self::Parting)
    }
}

/// How the connection ended.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum End {
    /// The peer closed it.
    Left,
    /// The server closed it.
    Closed,
    /// It broke.
    Broken,
    /// The peer gave no sign of life.
    Silent,
    /// The peer took nothing of what was written.
    Stuck,
    /// The server closed it, and the peer took that and did not close too.
    Unanswered,
    /// A panic.
    Fault,
}

impl End {
    pub(super) const fn reason(&self) -> &'static str {
        match self {
            Self::Left => "closed by the peer",
            Self::Closed => "closed by the server",
            Self::Broken => "broken",
            Self::Silent => "nothing came from the peer for too long",
            Self::Unanswered => "closed by the server without an answer",
            Self::Fault => "a fault of the server",
            Self::Stuck => "the peer did not read for too long",
        }
    }

    /// The same as one word.
    pub(super) const fn word(&self) -> &'static str {
        match self {
            Self::Left => "closed_by_peer",
            Self::Closed => "closed_by_server",
            Self::Broken => "broken",
            Self::Silent => "silent",
            Self::Unanswered => "unanswered",
            Self::Fault => "fault",
            Self::Stuck => "stuck",
        }
    }

    /// Whether the peer can still be told something.
    pub(super) const fn is_orderly(&self) -> bool {
        matches!(self, Self::Left | Self::Closed)
    }
}
