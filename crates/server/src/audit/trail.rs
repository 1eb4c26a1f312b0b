//! What the audit log tells of one connection of a device or a client.

use std::collections::HashMap;
use std::net::SocketAddr;
use std::sync::Arc;

use cuttlebone_hub::{Address, Answer, Holder};
use cuttlebone_proto::{ClientId, CloseCode, DeviceId};
use parking_lot::Mutex;
use tokio::time::Instant;

use super::{Audit, Entry, Event, Outcome, Previous};
use crate::caller::Caller;
use crate::clock;
use crate::context::Role;
use crate::logged::millis;
use crate::tables;

/// Which connection has which device, and where it came from. Each connection writes itself in once the hub has
/// answered it: of two that get one device within moments, the one that lost it may be written in last. Then `previous`
/// of these two names the wrong connection or none, and so does that of the next. Who has the device, the hub knows.
#[derive(Debug, Default)]
pub(super) struct Holders(Mutex<HashMap<Address, Previous>>);

/// One connection. Whatever way it ends, its end is told.
#[derive(Debug)]
pub(crate) struct Trail {
    audit: Arc<Audit>,
    number: (u32, u64),
    begun: Instant,
    peer: SocketAddr,
    role: Role,
    caller: Caller,
    device_id: Option<DeviceId>,
    client_id: Option<ClientId>,
    is_for_session: bool,
    close_code: Option<CloseCode>,
    /// Nothing is told of it but that it was refused, which is only counted: then nothing is told of its end.
    is_left_out: bool,
    /// Its device, until another connection has it or it is gone.
    holds: Option<Address>,
    has_ended: bool,
}

impl Trail {
    pub(super) fn new(audit: Arc<Audit>, number: (u32, u64), peer: SocketAddr, role: Role, caller: Caller) -> Self {
        Self {
            audit,
            number,
            begun: clock::now(),
            peer,
            role,
            caller,
            device_id: None,
            client_id: None,
            is_for_session: false,
            close_code: None,
            is_left_out: false,
            holds: None,
            has_ended: false,
        }
    }

    /// The client asks for a device; to go on with a session, or for a new one.
    pub(crate) fn asks(&mut self, is_for_session: bool) {
        self.is_for_session = is_for_session;
    }

    /// What it asked for was answered.
    pub(crate) fn answered(&mut self, device_id: &DeviceId, answer: &Answer) {
        match answer {
            Answer::Registered(registration) => self.registered(device_id, registration.before()),
            Answer::Attached(attachment) => {
                self.is_left_out = false;
                self.device_id = Some(device_id.clone());
                self.client_id = Some(attachment.client_id());
                let outcome = if self.is_for_session { Outcome::Returned } else { Outcome::Ok };
                self.audit.note(&self.entry(Event::Connect).outcome(outcome));
            }
            // It asks again whenever its device came and went again, and may have been told of already.
            Answer::Waiting(_) if self.device_id.is_none() => {
                self.device_id = Some(device_id.clone());
                self.audit.note(&self.entry(Event::Connect).outcome(Outcome::Waiting));
            }
            Answer::Waiting(_) => {}
            Answer::Absent => self.refused(device_id, "device_not_found"),
            Answer::Refused(reject) => self.refused(device_id, reject.code()),
            Answer::Stopping => self.refused(device_id, "draining"),
        }
    }

    /// It did not get what it asked for. `reason` is a word of ours.
    pub(crate) fn refused(&mut self, device_id: &DeviceId, reason: &'static str) {
        let event = match self.role {
            Role::Device => Event::Register,
            Role::Client => Event::Connect,
        };
        let is_untold = self.device_id.is_none() || self.is_left_out;
        self.device_id = Some(device_id.clone());
        self.is_left_out = !self.audit.note(&self.entry(event).refused(reason)) && is_untold;
    }

    /// It asked for what is not its to have. To it, that is as if the id were taken, or the device absent; it is told once, for
    /// a client may ask again while it waits.
    pub(crate) fn forbidden(&mut self, device_id: &DeviceId) {
        if self.device_id.is_none() {
            self.refused(device_id, "device_forbidden");
        }
    }

    /// What it came with is not good any more.
    pub(crate) fn credential_over(&mut self, outcome: Outcome) {
        self.is_left_out = false;
        self.audit.note(&self.entry(Event::Credential).outcome(outcome));
    }

    /// It was sent a close.
    pub(crate) fn closed(&mut self, code: CloseCode) {
        self.close_code = Some(code);
    }

    /// It has ended; its session is kept until then.
    pub(crate) fn ended(&mut self, reason: &'static str, kept_until: Option<Instant>) {
        if kept_until.is_none() {
            self.release();
        }
        let now = clock::now();
        let kept = kept_until.map(|until| millis(until.saturating_duration_since(now)));
        let outcome = if kept.is_some() { Outcome::Kept } else { Outcome::Gone };
        let took = millis(now.saturating_duration_since(self.begun));
        let entry = self.entry(Event::Disconnect).outcome(outcome).reason(reason);
        let entry = entry.close_code(self.close_code).took_ms(took).kept_ms(kept);
        if !self.is_left_out {
            self.audit.note(&entry);
        }
        self.has_ended = true;
    }

    fn registered(&mut self, device_id: &DeviceId, before: Holder) {
        let address = Address { device_id: device_id.clone(), realm: self.caller.realm() };
        let own = Previous { connection: self.number, from: self.peer };
        let previous = self.audit.holders.0.lock().insert(address.clone(), own).filter(|_| before != Holder::Nobody);
        self.holds = Some(address);
        self.is_left_out = false;
        self.device_id = Some(device_id.clone());
        let outcome = if before == Holder::Away { Outcome::Returned } else { Outcome::Ok };
        self.audit.note(&self.entry(Event::Register).outcome(outcome));
        let from = match &previous {
            Some(previous) if previous.from.ip() == self.peer.ip() => Outcome::SameAddress,
            Some(_) => Outcome::OtherAddress,
            None => Outcome::UnknownAddress,
        };
        if before == Holder::Here || (before == Holder::Away && from == Outcome::OtherAddress) {
            self.audit.note(&self.entry(Event::Takeover).outcome(from).previous(previous.as_ref()));
        }
    }

    fn entry(&self, event: Event) -> Entry<'_> {
        let entry = Entry::new(event).who(&self.caller).from(self.peer).role(self.role).connection(self.number);
        entry.device(self.device_id.as_ref()).client(self.client_id)
    }

    /// Another connection that has the device by now keeps its entry.
    fn release(&mut self) {
        let Some(address) = self.holds.take() else { return };
        let mut holders = self.audit.holders.0.lock();
        if holders.get(&address).is_some_and(|holder| holder.connection == self.number) {
            tables::remove(&mut holders, &address);
        }
    }
}

impl Drop for Trail {
    fn drop(&mut self) {
        if !self.has_ended {
            self.ended("aborted", None);
        }
        self.release();
    }
}
