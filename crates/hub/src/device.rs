//! One registered device and its clients.
//!
//! Invariants:
//! 1. What is said of a client to its device (`client_msg`, `client_disconnected`) is said by that client's own
//!    [`Attachment`] alone, so that nothing of a client comes after its `client_disconnected`.
//! 2. A client of whom the device was told is reported gone exactly once; any other never.
//! 3. A device that is gone has no clients: both change in the critical section of its shard.
//! 4. An attachment is worth nothing once a later connection of its client has resumed the session.
//!
//! Locks are taken in the order: shard of the registry, leases, device, mailbox.

mod admission;
mod attachment;

use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;
use std::time::Instant;

use cuttlebone_proto::{ClientId, CloseCode, Reject, encode};

use crate::event::{DeviceSummary, Event};
use crate::item::Notice;
use crate::mailbox::{Budget, Charge, Mailbox, PushError, Sender};
use crate::observer::Direction;
use crate::party::{Address, Party};
use crate::registry::Shared;
use crate::sync::{AtomicBool, Mutex, OnceLock, Ordering};
pub(crate) use admission::TokenTime;
pub(crate) use attachment::Attachment;
pub(crate) use attachment::Delivery;

/// Ids of former clients that are not drawn again, per device.
const REMEMBERED_IDS: usize = 1024;

/// A device, from its registration until it is gone for good; it outlives a broken connection by the grace period.
pub(crate) struct Device {
    pub(crate) address: Address,
    /// Whose it is, if that is known.
    pub(crate) party: Option<Arc<Party>>,
    pub(crate) info: Arc<str>,
    /// What of it counts.
    pub(crate) info_charge: Mutex<Charge>,
    pub(crate) registered_at_ms: u64,
    /// From `device_info`; looked up once, for listings.
    pub(crate) adb_port: u16,
    pub(crate) mailbox: Arc<Mailbox>,
    pub(crate) away: AtomicBool,
    /// The hash of `info` that resume tokens name.
    pub(crate) digest: OnceLock<u64>,
    pub(crate) state: Mutex<State>,
}

#[derive(Default)]
pub(crate) struct State {
    clients: BTreeMap<ClientId, Client>,
    /// Clients whose connection broke: they do not count against the bound, or nobody else could come for a while.
    lingering: usize,
    /// Clients of earlier processes that it was told are gone.
    disowned: usize,
    former: VecDeque<ClientId>,
}

struct Client {
    mailbox: Arc<Mailbox>,
    sender: Arc<Sender>,
    /// Who it is, if that is known.
    party: Option<Arc<Party>>,
    /// Whether the device was told of it.
    told: bool,
    lingers: bool,
    /// The number of its session, if it asked for that to outlive a broken connection; none yet for one that is expected.
    session: Option<u64>,
    /// Whether it has such a session.
    resumable: bool,
    expected: Option<Expected>,
}

/// A client of an earlier process is not here yet.
struct Expected {
    until: Instant,
    /// What is known of it takes memory, and no connection bounds how many there are.
    _charge: Charge,
}

impl std::fmt::Debug for Device {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Device").field("address", &self.address).finish_non_exhaustive()
    }
}

impl Device {
    /// Passes a payload on to a client. A client that does not read is closed, and never holds the device up (R3).
    ///
    /// `writer` is that of whose connection the device is on. Gives `false` where there is no such client.
    pub(crate) fn to_client(&self, shared: &Shared, client_id: ClientId, payload: &str, writer: &Arc<Budget>) -> bool {
        let state = self.state.lock();
        let Some(client) = state.clients.get(&client_id) else { return false };
        let text = encode::device_msg(payload);
        let bytes = text.len();
        match client.mailbox.push(text, writer) {
            Ok(()) => shared.observer.forwarded(Direction::ToClient, bytes),
            Err(PushError::Full(_)) => {
                let reject = Reject::TooSlow;
                client.mailbox.evict(encode::error(&reject), CloseCode::TooSlow);
                shared.observer.rejected(&reject);
            }
            // The client is leaving; its attachment reports it.
            Err(PushError::TooLarge | PushError::Sealed | PushError::Superseded) => {}
        }
        true
    }

    /// The device is gone for good: its mailbox is given up, its clients are told. Gives the reports that were never
    /// delivered, and the clients that the device was told of: both in one step, for a client that leaves meanwhile is
    /// in one of them.
    pub(crate) fn end(&self) -> (Vec<String>, Vec<ClientId>) {
        let mut state = self.state.lock();
        let reports = self.mailbox.abandon();
        state.lingering = 0;
        let mut told = Vec::new();
        for (id, client) in std::mem::take(&mut state.clients) {
            client.mailbox.notify(Notice::DeviceGone);
            told.extend(client.told.then_some(id));
        }
        (reports, told)
    }

    /// The device's connection has ended because the server stops: its clients get what it sent, and are told to come back
    /// to the next server. Those that can resume learn how many of their messages reached the device.
    pub(crate) fn dismiss(&self, code: CloseCode) {
        let state = self.state.lock();
        self.mailbox.abandon();
        for client in state.clients.values() {
            let last = client.resumable.then(|| encode::draining(self.mailbox.taken_from(&client.sender)));
            client.mailbox.seal(last, code);
        }
    }

    /// Whether a client of anybody else than `identity` is here. One of an earlier process, which is expected, may be anybody's.
    pub(crate) fn has_others(&self, identity: &str) -> bool {
        self.state.lock().clients.values().any(|client| client.expected.is_none() && !client.is_of(identity))
    }

    /// Has the clients of all others closed: the device is leased to `identity`.
    pub(crate) fn send_others_away(&self, shared: &Shared, identity: &str) {
        let reject = Reject::DeviceLeased;
        for client in self.state.lock().clients.values().filter(|client| !client.is_of(identity)) {
            if client.lingers {
                shared.observer.rejected(&reject);
                client.mailbox.evict(encode::error(&reject), CloseCode::Overloaded);
            } else {
                client.mailbox.urge(Notice::Refused(reject.clone()));
            }
        }
    }

    /// Tells clients that messages of theirs could not be passed on: the device reads none of this size.
    pub(crate) fn too_large(&self, shared: &Shared, senders: &[Arc<Sender>]) {
        let reject = Reject::TooLargeForDevice;
        let state = self.state.lock();
        for client in senders.iter().filter_map(|sender| state.clients.get(&sender.client_id())) {
            client.mailbox.report(encode::error(&reject));
            shared.observer.rejected(&reject);
        }
    }

    /// Ids that were used and must not be drawn again.
    pub(crate) fn take_former(&self) -> VecDeque<ClientId> {
        std::mem::take(&mut self.state.lock().former)
    }

    /// The device as a list shows it, but for its lease, which is not here.
    pub(crate) fn summary(&self) -> DeviceSummary {
        DeviceSummary {
            address: self.address.clone(),
            info: Arc::clone(&self.info),
            viewers: self.state.lock().viewers(),
            registered_at_ms: self.registered_at_ms,
            adb_port: self.adb_port,
            away: self.away.load(Ordering::Relaxed),
            lease: None,
        }
    }

    fn announce_viewers(&self, shared: &Shared, state: &State) {
        shared.announce(|| Event::Viewers { address: self.address.clone(), viewers: state.viewers() });
    }
}

impl Client {
    fn is_of(&self, identity: &str) -> bool {
        self.party.as_ref().is_some_and(|party| *party.identity == *identity)
    }
}

impl State {
    pub(crate) fn with_former(mut former: VecDeque<ClientId>) -> Self {
        former.drain(..former.len().saturating_sub(REMEMBERED_IDS));
        Self { former, ..Self::default() }
    }

    /// Clients whose connection is there.
    fn viewers(&self) -> usize {
        self.clients.len() - self.lingering
    }

    fn unused_id(&self, draw: impl Fn() -> ClientId) -> ClientId {
        loop {
            let id = draw();
            if !self.is_used(id) {
                return id;
            }
        }
    }

    fn is_used(&self, id: ClientId) -> bool {
        self.clients.contains_key(&id) || self.former.contains(&id)
    }

    fn remember(&mut self, id: ClientId) {
        if self.former.len() == REMEMBERED_IDS {
            self.former.pop_front();
        }
        self.former.push_back(id);
    }
}
