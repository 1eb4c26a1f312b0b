//! The hold of one connection on a device id.

use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use cuttlebone_proto::CloseCode;

use super::Shared;
use crate::device::Device;
use crate::event::Event;
use crate::item::Notice;
use crate::mailbox::{Inbox, Urgent};
use crate::sync::Ordering;

/// Who held the id of a device when a connection registered it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Holder {
    /// Nobody.
    Nobody,
    /// A device whose connection had broken, and that could still come back.
    Away,
    /// Another connection, which has lost it with this.
    Here,
}

/// A device's registration by one connection. Dropping it is leaving for good, unless a later connection holds the
/// device by then (R5).
#[derive(Debug)]
pub struct Registration {
    shared: Arc<Shared>,
    device: Arc<Device>,
    inbox: Inbox,
    /// Small, for every device's connection has one.
    time_for_others_ms: u32,
    before: Holder,
}

impl Registration {
    pub(super) fn new(shared: Arc<Shared>, device: Arc<Device>, inbox: Inbox, before: Holder, now_ms: u64) -> Self {
        let time_for_others_ms = u32::try_from(shared.time_for_others(now_ms).as_millis()).unwrap_or(u32::MAX);
        Self { shared, device, inbox, time_for_others_ms, before }
    }

    /// Who held the id before.
    #[must_use]
    pub fn before(&self) -> Holder {
        self.before
    }

    /// From the registration on: how long clients of an earlier process may still come back.
    pub(crate) fn time_for_others(&self) -> Duration {
        Duration::from_millis(self.time_for_others_ms.into())
    }

    /// The reader of the device's mailbox.
    pub(crate) fn inbox(&self) -> Inbox {
        self.inbox.clone()
    }

    /// The device.
    pub(crate) fn device(&self) -> &Device {
        &self.device
    }

    /// The connection broke: the clients stay, and what they send is held.
    pub(crate) fn lose(&self) {
        let _shard = self.shared.shard(&self.device.address);
        if self.inbox.is_current() {
            self.device.mailbox.set_bound(self.shared.settings.held);
            self.device.away.store(true, Ordering::Relaxed);
            self.shared.announce(|| Event::Registered(self.shared.summary(&self.device)));
        }
    }

    /// The server stops and this connection has ended, or is away: the clients are told to come back to the next server.
    pub(crate) fn dismiss_clients(&self, code: CloseCode) {
        if self.inbox.is_current() {
            self.device.dismiss(code);
        }
    }

    /// Whether a later connection holds the device.
    pub(crate) fn is_superseded(&self) -> bool {
        !self.inbox.is_current()
    }

    /// Ready when a later connection holds the device, or it was closed. Nobody is there to answer a probe: whoever
    /// asked takes over at once.
    pub(crate) fn poll_superseded(&self, cx: &mut Context<'_>) -> Poll<()> {
        while let Urgent::Notice(Notice::Probe(_)) = std::task::ready!(self.inbox.poll_urgent(cx)) {}
        Poll::Ready(())
    }

    fn end(&self) {
        let mut shard = self.shared.shard(&self.device.address);
        let Some(entry) = shard.get_mut(&self.device.address) else { return };
        let is_ours = entry.device.as_ref().is_some_and(|device| Arc::ptr_eq(device, &self.device));
        if !is_ours || !self.inbox.is_current() {
            return;
        }
        entry.device = None;
        if entry.waiters.is_empty() {
            super::forget(&mut shard, &self.device.address);
        }
        self.device.end();
        self.shared.announce(|| Event::Gone(self.device.address.clone()));
    }
}

impl Drop for Registration {
    fn drop(&mut self) {
        self.end();
    }
}
