//! One registered device and its clients.
//!
//! Invariants:
//! 1. What is said of a client to its device (`client_msg`, `client_disconnected`) is said by that client's own
//!    [`Attachment`] alone, so that nothing of a client comes after its `client_disconnected`.
//! 2. A client of whom the device was told is reported gone exactly once; any other never.
//! 3. A device that is gone has no clients: both change in the critical section of its shard.
//! 4. An attachment is worth nothing once a later connection of its client has resumed the session.
//!
//! Locks are taken in the order: shard of the registry, device, mailbox.

use std::collections::{BTreeMap, VecDeque};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, OnceLock};
use std::task::{Context, Poll};

use cuttlebone_proto::{ClientId, CloseCode, DeviceId, Reject, encode, limits::SMALL_READER_BYTES};
use parking_lot::Mutex;

use crate::event::{DeviceSummary, Event};
use crate::item::Notice;
use crate::mailbox::{Inbox, Mailbox, PushError, SendPermit, Sender};
use crate::observer::{Direction, ResumeOutcome};
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
    /// The hash of `info` that resume tokens name.
    pub(crate) digest: OnceLock<u64>,
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
    sender: Arc<Sender>,
    /// Whether the device was told of it.
    told: bool,
    lingers: bool,
    /// Whether it asked for its session to outlive a broken connection.
    resumable: bool,
}

impl std::fmt::Debug for Device {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Device").field("id", &self.id).finish_non_exhaustive()
    }
}

impl Device {
    /// Attaches a client: draws its id and queues `device_info` for it before it can be sent anything else (R2). With a
    /// `token` time, the client asked for its session to outlive a broken connection.
    pub(crate) fn attach(
        self: &Arc<Self>,
        shared: &Arc<Shared>,
        client: &Arc<Mailbox>,
        resumable: Option<TokenTime>,
    ) -> Result<Attachment, Reject> {
        let mut state = self.state.lock();
        let client_id = state.unused_id(|| shared.ids.draw());
        self.admit(shared, &mut state, client, client_id, resumable)
    }

    /// Attaches a client that an earlier process knew by `client_id`. The device knows it, as far as we know.
    ///
    /// Gives nothing where the id is in use, or its session was over before.
    pub(crate) fn readmit(
        self: &Arc<Self>,
        shared: &Arc<Shared>,
        client: &Arc<Mailbox>,
        client_id: ClientId,
        time: TokenTime,
    ) -> Result<Option<Attachment>, Reject> {
        let mut state = self.state.lock();
        if state.is_used(client_id) {
            return Ok(None);
        }
        let mut attachment = self.admit(shared, &mut state, client, client_id, Some(time))?;
        attachment.told = true;
        if let Some(entry) = state.clients.get_mut(&client_id) {
            entry.told = true;
        }
        Ok(Some(attachment))
    }

    /// Gives the session of a client to its next connection, which has had `received` messages of the device.
    ///
    /// Gives nothing where there is no such session.
    pub(crate) fn resume(
        self: &Arc<Self>,
        shared: &Arc<Shared>,
        client: &Mailbox,
        client_id: ClientId,
        received: Option<u32>,
        time: TokenTime,
    ) -> Result<Option<Attachment>, Reject> {
        let mut state = self.state.lock();
        let is_full = state.viewers() >= shared.settings.clients_per_device;
        let Some(entry) = state.clients.get_mut(&client_id).filter(|entry| entry.resumable) else { return Ok(None) };
        if entry.lingers && is_full {
            return Err(Reject::TooManyClients);
        }
        let (permit, taken) = self.mailbox.supersede(&entry.sender);
        let token = self.token(shared, client_id, time);
        let greet = |is_whole: bool| encode::resumable_device_info(&self.info, &token, is_whole.then_some(taken));
        let Some((inbox, is_whole)) = entry.mailbox.resume(client, received, greet) else { return Ok(None) };
        if !is_whole {
            self.mailbox.forget_count(&entry.sender);
        }
        let told = entry.told;
        if std::mem::replace(&mut entry.lingers, false) {
            state.lingering -= 1;
            self.announce_viewers(shared, &state);
        }
        shared.observer.resumed(if is_whole { ResumeOutcome::Complete } else { ResumeOutcome::Uncounted });
        Ok(Some(self.attachment(shared, inbox, client_id, permit, told)))
    }

    /// A client whose session can't be resumed, and that the device may still know, is gone for good.
    pub(crate) fn disown(&self, client_id: ClientId) {
        let mut state = self.state.lock();
        if !state.is_used(client_id) {
            state.remember(client_id);
            self.mailbox.report(encode::client_disconnected(client_id));
        }
    }

    fn admit(
        self: &Arc<Self>,
        shared: &Arc<Shared>,
        state: &mut State,
        client: &Arc<Mailbox>,
        client_id: ClientId,
        resumable: Option<TokenTime>,
    ) -> Result<Attachment, Reject> {
        if state.viewers() >= shared.settings.clients_per_device {
            return Err(Reject::TooManyClients);
        }
        match resumable {
            None => client.reply(encode::device_info(&self.info)),
            Some(time) => {
                client.keep_history(shared.settings.resume_kept);
                let token = self.token(shared, client_id, time);
                client.reply(encode::resumable_device_info(&self.info, &token, None));
            }
        }
        let sender = Sender::new(client_id, shared.settings.client_share);
        let (permit, _) = self.mailbox.supersede(&sender);
        let resumable = resumable.is_some();
        let entry = Client { mailbox: Arc::clone(client), sender, told: false, lingers: false, resumable };
        state.clients.insert(client_id, entry);
        self.announce_viewers(shared, state);
        Ok(self.attachment(shared, client.reader(), client_id, permit, false))
    }

    fn attachment(
        self: &Arc<Self>,
        shared: &Arc<Shared>,
        inbox: Inbox,
        client_id: ClientId,
        permit: SendPermit,
        told: bool,
    ) -> Attachment {
        let (shared, device) = (Arc::clone(shared), Arc::clone(self));
        Attachment { shared, device, inbox, client_id, permit, told, left: false }
    }

    /// The hash of `device_info` that tokens name.
    pub(crate) fn digest(&self, shared: &Shared) -> u64 {
        *self.digest.get_or_init(|| shared.tokens.digest(&self.info))
    }

    fn token(&self, shared: &Shared, client_id: ClientId, time: TokenTime) -> String {
        shared.tokens.issue(&self.id, client_id, self.digest(shared), time.expires_ms)
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
            Err(PushError::Sealed | PushError::Superseded) => {}
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

    /// Tells all clients of new ICE servers.
    pub(crate) fn send_config(&self, config: &str) {
        let state = self.state.lock();
        self.mailbox.reply(config.to_owned());
        for client in state.clients.values().filter(|client| !client.lingers) {
            client.mailbox.reply(config.to_owned());
        }
    }

    /// Tells clients that messages of theirs could not be passed on: the device reads none of this size.
    pub(crate) fn too_large(&self, shared: &Shared, senders: &[Arc<Sender>]) {
        let reject = Reject::TooLargeForDevice;
        let state = self.state.lock();
        for client in senders.iter().filter_map(|sender| state.clients.get(&sender.client_id())) {
            client.mailbox.reply(encode::error(&reject));
            shared.observer.rejected(&reject);
        }
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

/// Until when the tokens of a client that attaches now are good.
#[derive(Debug, Clone, Copy)]
pub(crate) struct TokenTime {
    /// In milliseconds since 1970.
    pub(crate) expires_ms: u64,
}

/// A client's place at its device. Dropping it is leaving for good, unless a later connection has resumed the session.
#[derive(Debug)]
pub struct Attachment {
    shared: Arc<Shared>,
    device: Arc<Device>,
    inbox: Inbox,
    client_id: ClientId,
    permit: SendPermit,
    told: bool,
    left: bool,
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
    /// The id the device knows this client by.
    #[must_use]
    pub fn client_id(&self) -> ClientId {
        self.client_id
    }

    /// The reader of the client's mailbox.
    pub(crate) fn inbox(&self) -> Inbox {
        self.inbox.clone()
    }

    /// See [`Mailbox::poll_room`] of the device.
    pub(crate) fn poll_room(&self, cx: &mut Context<'_>, len: usize) -> Poll<()> {
        self.device.mailbox.poll_room(cx, len, &self.permit)
    }

    /// Passes a payload on to the device: the only copy of it is made here.
    pub(crate) fn forward(&mut self, payload: &str) -> Delivery {
        let text = encode::client_msg(self.client_id, payload);
        if text.len() > SMALL_READER_BYTES && self.device.small_reader.load(Ordering::Relaxed) {
            self.device.mailbox.count_refused(&self.permit);
            return Delivery::TooLarge;
        }
        self.push(text)
    }

    /// Queues a message that was full before.
    pub(crate) fn push(&mut self, text: String) -> Delivery {
        let bytes = text.len();
        match self.device.mailbox.push_from(text, &self.permit) {
            Ok(()) => {
                self.tell();
                self.shared.observer.forwarded(Direction::ToDevice, bytes);
                if self.device.away.load(Ordering::Relaxed) {
                    self.shared.observer.held();
                }
                Delivery::Queued
            }
            Err(PushError::Full(text)) => Delivery::Full(text),
            Err(PushError::Sealed | PushError::Superseded) => Delivery::Gone,
        }
    }

    /// The client's connection broke. If it may come back, or the device was told of it, it keeps its id for a while.
    pub(crate) fn linger(&self) -> bool {
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

    fn tell(&mut self) {
        if !std::mem::replace(&mut self.told, true)
            && let Some(entry) = self.device.state.lock().clients.get_mut(&self.client_id)
        {
            entry.told = true;
        }
    }

    /// Leaves without a word: the client comes back to the next server.
    pub(crate) fn forget(&mut self) {
        self.left = true;
    }

    /// Leaves the device for good; a device that was told of the client is told that it is gone.
    pub fn leave(&mut self) {
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
        self.leave();
    }
}
