//! A client's place at its device.

use std::sync::Arc;
use std::task::{Context, Poll};

use cuttlebone_proto::{ClientId, encode};

use super::Device;
use crate::mailbox::{Inbox, PushError, SendPermit};
use crate::observer::Direction;
use crate::registry::Shared;
use crate::sync::Ordering;

/// A client's place at its device. Dropping it is leaving for good, unless a later connection has resumed the session.
#[derive(Debug)]
pub struct Attachment {
    pub(super) shared: Arc<Shared>,
    pub(super) device: Arc<Device>,
    pub(super) inbox: Inbox,
    pub(super) client_id: ClientId,
    pub(super) permit: SendPermit,
    pub(super) told: bool,
    pub(super) left: bool,
}

/// What became of a client's payload.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Delivery {
    /// It is queued.
    Queued,
    /// The device's queue, or this client's share of it, is full; the message comes back.
    Full(String),
    /// The device can't read a message of this size.
    TooLarge,
    /// The device is gone, or another connection sends for this client; the client's mailbox says so.
    Gone,
}

impl Attachment {
    /// The id that the device knows the client by.
    #[must_use]
    pub fn client_id(&self) -> ClientId {
        self.client_id
    }

    /// The reader of the client's mailbox.
    pub(crate) fn inbox(&self) -> Inbox {
        self.inbox.clone()
    }

    /// See `Mailbox::poll_room` of the device.
    pub(crate) fn poll_room(&self, cx: &mut Context<'_>, len: usize) -> Poll<()> {
        self.device.mailbox.poll_room(cx, len, &self.permit)
    }

    /// See `Mailbox::may_wait` of the device.
    pub(crate) fn may_wait(&self, len: usize) -> bool {
        self.device.mailbox.may_wait(len, &self.permit)
    }

    /// Passes a payload on to the device: the only copy of it is made here.
    pub(crate) fn forward(&mut self, payload: &str) -> Delivery {
        self.push(encode::client_msg(self.client_id, payload))
    }

    /// Queues a message that was full before.
    pub(crate) fn push(&mut self, text: String) -> Delivery {
        let bytes = text.len();
        match self.offer(text) {
            Ok(()) => {
                self.shared.observer.forwarded(Direction::ToDevice, bytes);
                if self.device.away.load(Ordering::Relaxed) {
                    self.shared.observer.held();
                }
                Delivery::Queued
            }
            Err(PushError::Full(text)) => Delivery::Full(text),
            Err(PushError::TooLarge) => Delivery::TooLarge,
            Err(PushError::Sealed | PushError::Superseded) => Delivery::Gone,
        }
    }

    /// The client's connection broke. If it may come back, or the device was told of it, it keeps its id for a while.
    pub(crate) fn linger(&self) -> bool {
        self.device.mailbox.stop_waiting(&self.permit);
        let mut state = self.device.state.lock();
        let Some(entry) = state.clients.get_mut(&self.client_id) else { return false };
        if !self.inbox.is_reader_of(&entry.mailbox) {
            return false;
        }
        if !entry.resumable {
            entry.mailbox.abandon();
        }
        let stays = entry.resumable || entry.told;
        if !std::mem::replace(&mut entry.lingers, true) {
            state.lingering += 1;
            self.device.announce_viewers(&self.shared, &state);
        }
        stays
    }

    /// Whether the client asked for its session to outlive its connection, and no later connection has it.
    pub(crate) fn may_come_back(&self) -> bool {
        let state = self.device.state.lock();
        state.clients.get(&self.client_id).is_some_and(|held| held.resumable && self.inbox.is_reader_of(&held.mailbox))
    }

    /// With the first message the device is told of the client: it must not read the one before the other is known.
    fn offer(&mut self, text: String) -> Result<(), PushError> {
        if self.told {
            return self.device.mailbox.push_from(text, &self.permit);
        }
        let mut state = self.device.state.lock();
        self.device.mailbox.push_from(text, &self.permit)?;
        self.told = true;
        if let Some(entry) = state.clients.get_mut(&self.client_id) {
            entry.told = true;
        }
        Ok(())
    }

    /// Leaves without a word: the client comes back to the next server.
    pub(crate) fn forget(&mut self) {
        self.left = true;
    }

    /// Leaves the device for good; a device that was told of the client is told that it is gone.
    fn leave(&mut self) {
        if std::mem::replace(&mut self.left, true) {
            return;
        }
        let mut state = self.device.state.lock();
        if state.clients.get(&self.client_id).is_none_or(|held| !self.inbox.is_reader_of(&held.mailbox)) {
            return;
        }
        let Some(held) = state.clients.remove(&self.client_id) else { return };
        state.lingering -= usize::from(held.lingers);
        if held.told {
            state.remember(self.client_id);
            // R4: notices are never refused, so the place for this one is there since the client was attached.
            self.device.mailbox.report(encode::client_disconnected(self.client_id));
        }
        self.device.announce_viewers(&self.shared, &state);
    }
}

impl Drop for Attachment {
    fn drop(&mut self) {
        self.device.mailbox.stop_waiting(&self.permit);
        self.leave();
    }
}
