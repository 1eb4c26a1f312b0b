//! One registered device and its clients.
//!
//! Invariants:
//! 1. What is said of a client to its device (`client_msg`, `client_disconnected`) is said by that client's own
//!    [`Attachment`] alone, so that nothing of a client comes after its `client_disconnected`.
//! 2. A client of whom the device was told is reported gone exactly once; any other never.
//! 3. A device that is gone has no clients: both change in the critical section of its shard.
//!
//! Locks are taken in the order: shard of the registry, device, mailbox.

use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use cuttlebone_proto::{ClientId, CloseCode, DeviceId, Reject, encode, limits::SMALL_READER_BYTES};
use parking_lot::Mutex;

use crate::event::{DeviceSummary, Event};
use crate::item::Notice;
use crate::mailbox::{Mailbox, PushError};
use crate::observer::Direction;
use crate::registry::Shared;

/// Ids of former clients that are not drawn again, per device.
const REMEMBERED_IDS: usize = 1024;

/// A device, from its registration until it is gone for good; it outlives a broken connection by the grace period.
pub struct Device {
    pub(crate) id: DeviceId,
    pub(crate) info: Arc<str>,
    pub(crate) registered_at_ms: u64,
    /// From `device_info`; looked up once, for listings.
    pub(crate) adb_port: u16,
    pub(crate) mailbox: Arc<Mailbox>,
    pub(crate) small_reader: AtomicBool,
    pub(crate) away: AtomicBool,
    pub(crate) state: Mutex<State>,
}

#[derive(Default)]
pub(crate) struct State {
    clients: BTreeMap<ClientId, Client>,
    /// Clients whose connection broke: they do not count against the bound, or nobody else could come for a while.
    lingering: usize,
    former: VecDeque<ClientId>,
}

struct Client {
    mailbox: Arc<Mailbox>,
    /// Whether the device was told of it.
    told: bool,
    lingers: bool,
}

impl std::fmt::Debug for Device {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Device").field("id", &self.id).finish_non_exhaustive()
    }
}

impl Device {
    /// Attaches a client: draws its id and queues `device_info` for it before it can be sent anything else (R2).
    pub(crate) fn attach(self: &Arc<Self>, shared: &Arc<Shared>, client: &Arc<Mailbox>) -> Result<Attachment, Reject> {
        let mut state = self.state.lock();
        if state.viewers() >= shared.settings.clients_per_device {
            return Err(Reject::TooManyClients);
        }
        let client_id = state.unused_id(|| shared.ids.draw());
        client.reply(encode::device_info(&self.info));
        let entry = Client { mailbox: Arc::clone(client), told: false, lingers: false };
        state.clients.insert(client_id, entry);
        self.announce_viewers(shared, &state);
        drop(state);
        Ok(Attachment {
            shared: Arc::clone(shared),
            device: Arc::clone(self),
            client: Arc::clone(client),
            client_id,
            told: false,
            left: false,
        })
    }

    /// Passes a payload on to a client. A client that does not read is closed, and never holds the device up (R3).
    ///
    /// Gives `false` where there is no such client.
    pub(crate) fn to_client(&self, shared: &Shared, client_id: ClientId, payload: &str) -> bool {
        let state = self.state.lock();
        let Some(client) = state.clients.get(&client_id) else { return false };
        let text = encode::device_msg(payload);
        let bytes = text.len();
        match client.mailbox.push(text) {
            Ok(()) => shared.observer.forwarded(Direction::ToClient, bytes),
            Err(PushError::Full(_)) => {
                let reject = Reject::TooSlow;
                client.mailbox.evict(encode::error(&reject), CloseCode::TooSlow);
                shared.observer.rejected(&reject);
            }
            // The client is leaving; its attachment reports it.
            Err(PushError::Sealed) => {}
        }
        true
    }

    /// The device is gone for good: its clients are told. Gives those that the device was told of.
    pub(crate) fn end(&self) -> Vec<ClientId> {
        let mut state = self.state.lock();
        state.lingering = 0;
        let mut told = Vec::new();
        for (id, client) in std::mem::take(&mut state.clients) {
            client.mailbox.notify(Notice::DeviceGone);
            told.extend(client.told.then_some(id));
        }
        told
    }

    /// Ids that were used and must not be drawn again.
    pub(crate) fn take_former(&self) -> VecDeque<ClientId> {
        std::mem::take(&mut self.state.lock().former)
    }

    /// The device as a list shows it.
    pub(crate) fn summary(&self) -> DeviceSummary {
        DeviceSummary {
            device_id: self.id.clone(),
            info: Arc::clone(&self.info),
            viewers: self.state.lock().viewers(),
            registered_at_ms: self.registered_at_ms,
            adb_port: self.adb_port,
            away: self.away.load(Ordering::Relaxed),
        }
    }

    fn announce_viewers(&self, shared: &Shared, state: &State) {
        shared.announce(|| Event::Viewers { device_id: self.id.clone(), viewers: state.viewers() });
    }
}

impl State {
    pub(crate) fn with_former(mut former: VecDeque<ClientId>) -> Self {
        former.truncate(REMEMBERED_IDS);
        Self { former, ..Self::default() }
    }

    /// Clients whose connection is there.
    fn viewers(&self) -> usize {
        self.clients.len() - self.lingering
    }

    fn unused_id(&mut self, draw: impl Fn() -> ClientId) -> ClientId {
        loop {
            let id = draw();
            if !self.clients.contains_key(&id) && !self.former.contains(&id) {
                return id;
            }
        }
    }

    fn remember(&mut self, id: ClientId) {
        if self.former.len() == REMEMBERED_IDS {
            self.former.pop_front();
        }
        self.former.push_back(id);
    }
}

/// A client's place at its device. Dropping it is leaving for good.
#[derive(Debug)]
pub struct Attachment {
    shared: Arc<Shared>,
    device: Arc<Device>,
    client: Arc<Mailbox>,
    client_id: ClientId,
    told: bool,
    left: bool,
}

/// What became of a client's payload.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Delivery {
    /// It is queued.
    Queued,
    /// The device's queue is full; the message comes back.
    Full(String),
    /// The device can't read a message of this size.
    TooLarge,
    /// The device is gone; the client's mailbox says so.
    Gone,
}

impl Attachment {
    /// The id the device knows this client by.
    #[must_use]
    pub fn client_id(&self) -> ClientId {
        self.client_id
    }

    /// Whether the device was told of this client.
    #[must_use]
    pub fn is_known_to_device(&self) -> bool {
        self.told
    }

    /// The mailbox of the device.
    pub(crate) fn device_mailbox(&self) -> &Mailbox {
        &self.device.mailbox
    }

    /// Passes a payload on to the device: the only copy of it is made here.
    pub(crate) fn forward(&mut self, payload: &str) -> Delivery {
        let text = encode::client_msg(self.client_id, payload);
        if text.len() > SMALL_READER_BYTES && self.device.small_reader.load(Ordering::Relaxed) {
            return Delivery::TooLarge;
        }
        self.push(text)
    }

    /// Queues a message that was full before.
    pub(crate) fn push(&mut self, text: String) -> Delivery {
        let bytes = text.len();
        match self.device.mailbox.push(text) {
            Ok(()) => {
                self.tell();
                self.shared.observer.forwarded(Direction::ToDevice, bytes);
                if self.device.away.load(Ordering::Relaxed) {
                    self.shared.observer.held();
                }
                Delivery::Queued
            }
            Err(PushError::Full(text)) => Delivery::Full(text),
            Err(PushError::Sealed) => Delivery::Gone,
        }
    }

    /// The client's connection broke; it keeps its id for a while.
    pub(crate) fn linger(&mut self) {
        let mut state = self.device.state.lock();
        let Some(entry) = state.clients.get_mut(&self.client_id) else { return };
        if !std::mem::replace(&mut entry.lingers, true) {
            state.lingering += 1;
            self.device.announce_viewers(&self.shared, &state);
        }
    }

    fn tell(&mut self) {
        if !std::mem::replace(&mut self.told, true)
            && let Some(entry) = self.device.state.lock().clients.get_mut(&self.client_id)
        {
            entry.told = true;
        }
    }

    /// Leaves the device for good; a device that was told of the client is told that it is gone.
    pub fn leave(&mut self) {
        if std::mem::replace(&mut self.left, true) {
            return;
        }
        let mut state = self.device.state.lock();
        if state.clients.get(&self.client_id).is_none_or(|held| !Arc::ptr_eq(&held.mailbox, &self.client)) {
            return;
        }
        if state.clients.remove(&self.client_id).is_some_and(|held| held.lingers) {
            state.lingering -= 1;
        }
        if self.told {
            state.remember(self.client_id);
            // R4: notices are never refused, so the place for this one is there since the client was attached.
            self.device.mailbox.report(encode::client_disconnected(self.client_id));
        }
        self.device.announce_viewers(&self.shared, &state);
    }
}

impl Drop for Attachment {
    fn drop(&mut self) {
        self.leave();
    }
}
