//! One peer of the simulated world: a seat, and the far end that reads and writes.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::task::Wake;
use std::time::Instant;

use cuttlebone_hub::{Probe, Request, Seat};

use crate::ledger::{ClientKey, Life};

/// A waker that remembers: a peer is only polled again after it was woken, so a forgotten wake shows as a lost message.
#[derive(Debug)]
pub(crate) struct Flag(AtomicBool);

impl Flag {
    pub(crate) fn raised() -> Arc<Self> {
        Arc::new(Self(AtomicBool::new(true)))
    }

    pub(crate) fn take(&self) -> bool {
        self.0.swap(false, Ordering::Relaxed)
    }

    pub(crate) fn is_raised(&self) -> bool {
        self.0.load(Ordering::Relaxed)
    }

    pub(crate) fn raise(&self) {
        self.0.store(true, Ordering::Relaxed);
    }
}

impl Wake for Flag {
    fn wake(self: Arc<Self>) {
        self.raise();
    }
}

/// What the driver of the seat waits for.
#[derive(Debug)]
pub(crate) enum Waiting {
    Nothing,
    Answer(Request),
    Holder(Probe, Instant),
    Room,
}

/// What a peer is.
#[derive(Debug)]
pub(crate) enum Role {
    Client {
        key: ClientKey,
        greeted: Greeting,
        place: Place,
    },
    Device {
        life: Option<Life>,
        /// Whether it has read its `config`.
        greeted: bool,
        /// A mute device reads and never answers.
        mute: bool,
        clients: Vec<(u32, ClientKey)>,
    },
}

/// What the hub has answered to a client.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Place {
    None,
    Waiting,
    Attached,
}

/// How far a client's greeting is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Greeting {
    None,
    Config,
    DeviceInfo,
}

#[derive(Debug)]
pub(crate) struct Peer {
    pub(crate) seat: Seat,
    pub(crate) role: Role,
    /// The number of the device it is or wants.
    pub(crate) device: usize,
    pub(crate) waiting: Waiting,
    pub(crate) woken: Arc<Flag>,
    /// Raised when there may be room for what the client could not get rid of.
    pub(crate) room: Arc<Flag>,
    /// The far end reads what it is sent.
    pub(crate) reads: bool,
    /// The `config` it has read last.
    pub(crate) config: String,
    /// The far end has a ping to answer.
    pub(crate) pinged: bool,
    /// Reads nothing more; ends with the close.
    pub(crate) closing: bool,
    /// The connection is gone; the seat stays until then.
    pub(crate) lingers: Option<Instant>,
}

impl Peer {
    pub(crate) fn client_key(&self) -> Option<ClientKey> {
        match self.role {
            Role::Client { key, .. } => Some(key),
            Role::Device { .. } => None,
        }
    }

    /// Whether the far end can send something that is read.
    pub(crate) fn is_read(&self) -> bool {
        matches!(self.waiting, Waiting::Nothing) && !self.closing && self.lingers.is_none()
    }
}
