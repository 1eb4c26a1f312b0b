//! A device's seat.

use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Instant;

use cuttlebone_proto::{ClientId, CloseCode, DeviceEffect, DeviceId, DeviceSession, Reject, encode};
use tokio::sync::oneshot;

use super::{Next, SeatOptions, address, keep, refuse, whole};
use crate::config::{ConfigFor, WriteConfig};
use crate::item::Notice;
use crate::mailbox::{Budget, Inbox, Unwritten};
use crate::party::Party;
use crate::registry::{Registration, Registry};
use crate::request::{Answer, RegisterRequest, Request};

/// One device connection: its machine, its mailbox, and its hold on the device id.
#[derive(Debug)]
pub struct DeviceSeat {
    registry: Registry,
    session: DeviceSession,
    inbox: Inbox,
    /// That of whose connection this is.
    budget: Arc<Budget>,
    registration: Option<Registration>,
    /// When the connection was lost, if the device may still come back.
    lost: Option<Instant>,
    /// How it was told to go, if the server stops.
    stopping: Option<CloseCode>,
    probes: Vec<oneshot::Sender<()>>,
    depth: usize,
    small_reader: bool,
    party: Option<Arc<Party>>,
    deadline: Option<Instant>,
    /// Until then clients of an earlier process may come back.
    others_until: Option<Instant>,
    /// With the prefix.
    device_id: Option<DeviceId>,
    /// What is being written to this connection, whose ever the mailbox is by then.
    unwritten: Unwritten,
}

impl DeviceSeat {
    pub(super) fn new(registry: &Registry, options: &SeatOptions, now: Instant) -> Self {
        let budget = registry.shared().budgets.of(options.owner.as_ref());
        Self {
            registry: registry.clone(),
            session: DeviceSession::new(options.device_info_bytes),
            inbox: Inbox::new(registry.settings().device_queue, Arc::clone(&budget)),
            unwritten: Unwritten::default(),
            budget,
            registration: None,
            lost: None,
            stopping: None,
            probes: Vec::new(),
            depth: options.depth,
            small_reader: options.small_reader,
            party: options.party.clone(),
            deadline: Some(now + options.first_message),
            others_until: None,
            device_id: None,
        }
    }

    pub(super) fn on_unwritten(&mut self, bytes: usize) {
        self.unwritten.hold(bytes, &self.inbox);
    }

    pub(super) fn on_text(&mut self, text: &str, now: Instant) -> Next {
        match self.session.on_text(text, self.depth) {
            DeviceEffect::ToClient { client_id, payload } => {
                self.pass_on(client_id, payload, now);
                Next::Continue
            }
            DeviceEffect::Register { device_id, device_info } => {
                self.deadline = None;
                let Some(device_id) = whole(device_id, self.party.as_ref()) else {
                    let effect = self.session.on_refused(Reject::InvalidDeviceId);
                    return self.carry_out(effect, now);
                };
                self.device_id = Some(device_id.clone());
                Next::Await(Request::Register(RegisterRequest {
                    address: address(device_id, self.party.as_ref()),
                    party: self.party.clone(),
                    device_info: keep(device_info),
                    charge: None,
                    mailbox: self.inbox.mailbox().clone(),
                    small_reader: self.small_reader,
                }))
            }
            DeviceEffect::Reject(reject) => self.refuse(&reject, now),
            DeviceEffect::Nothing => Next::Continue,
        }
    }

    pub(super) fn on_violation(&mut self, reject: Reject, now: Instant) -> Next {
        let effect = self.session.on_violation(reject);
        self.carry_out(effect, now)
    }

    /// Something came: whoever asked whether the device lives gets the answer.
    pub(super) fn on_alive(&mut self) {
        for probe in self.probes.drain(..) {
            let _ = probe.send(());
        }
    }

    pub(super) fn on_answer(&mut self, answer: Answer, now: Instant) -> Next {
        match answer {
            Answer::Registered(registration) => {
                self.session.on_registered();
                self.inbox = registration.inbox();
                self.deadline = registration.device().expected_until();
                self.others_until = Some(now + registration.time_for_others());
                self.registration = Some(registration);
                Next::Continue
            }
            Answer::Refused(reject) => {
                let effect = self.session.on_refused(reject);
                self.carry_out(effect, now)
            }
            Answer::Stopping => self.on_shutdown(CloseCode::Restart),
            Answer::Attached(_) | Answer::Waiting(_) | Answer::Absent => Next::Continue,
        }
    }

    /// Gives whether it was sent.
    pub(super) fn renew_config(&self, config: &WriteConfig<'_>) -> bool {
        let holds = self.registration.as_ref().is_some_and(|held| !held.is_superseded()) && self.lost.is_none();
        if holds {
            self.inbox.mailbox().reply(config(ConfigFor::DEVICE));
        }
        holds
    }

    pub(super) fn on_notice(&mut self, notice: Notice) -> Next {
        match notice {
            Notice::Probe(probe) => {
                self.probes.push(probe);
                Next::Ping
            }
            Notice::Refused(reject) => match self.session.on_violation(reject) {
                DeviceEffect::Reject(reject) => {
                    // It is gone for good: its last words come from a mailbox of its own.
                    self.leave();
                    self.detach();
                    refuse(&self.registry, &self.inbox, &reject)
                }
                _ => Next::Continue,
            },
            Notice::DeviceReady | Notice::DeviceGone | Notice::LetGo => Next::Continue,
        }
    }

    /// Another connection has the device now; this one gets a mailbox of its own for its last words.
    pub(super) fn on_taken_over(&mut self, now: Instant) -> Next {
        self.detach();
        let effect = self.session.on_taken_over();
        self.carry_out(effect, now)
    }

    pub(super) fn on_timer(&mut self, now: Instant) -> Next {
        if self.deadline.is_none_or(|deadline| now < deadline) {
            return Next::Continue;
        }
        if let Some(registration) = &self.registration {
            registration.device().give_up_expected(now);
            self.deadline = registration.device().expected_until();
            return Next::Continue;
        }
        self.deadline = None;
        let effect = self.session.on_timeout();
        self.carry_out(effect, now)
    }

    pub(super) fn leave(&mut self) {
        if let (Some(code), Some(registration)) = (self.stopping, &self.registration) {
            registration.dismiss_clients(code);
        }
        self.registration = None;
    }

    /// A device that is closed because of what it sent is treated as one whose connection broke: it will be back, and
    /// its clients need not notice (protocol.md 3.1).
    pub(super) fn on_broken(&mut self, now: Instant) -> Option<Instant> {
        self.unwritten = Unwritten::default();
        if self.stopping.is_some() {
            self.leave();
            return None;
        }
        self.lose(now);
        self.probes.clear();
        let registration = self.registration.as_ref()?;
        if registration.is_superseded() {
            self.leave();
            return None;
        }
        self.lost.map(|lost| lost + self.registry.settings().device_grace)
    }

    /// What clients have sent is still delivered, and nothing more is taken from them. What the device still sends is
    /// passed on until it has closed.
    pub(super) fn on_shutdown(&mut self, code: CloseCode) -> Next {
        if !self.inbox.is_current() {
            // The mailbox is the one of the connection that took over.
            self.detach();
        }
        self.inbox.mailbox().seal(None, code);
        if self.registration.as_ref().is_none_or(Registration::is_superseded) || self.lost.is_some() {
            return Next::Closing;
        }
        self.stopping = Some(code);
        Next::Draining
    }

    /// The server stops while the device's connection is away.
    pub(super) fn forget(&mut self, code: CloseCode) {
        self.stopping = Some(code);
        self.leave();
    }

    /// Ready when another connection holds the device, or nobody does.
    pub(super) fn poll_superseded(&self, cx: &mut Context<'_>) -> Poll<()> {
        self.registration.as_ref().map_or(Poll::Ready(()), |registration| registration.poll_superseded(cx))
    }

    pub(super) fn deadline(&self) -> Option<Instant> {
        self.deadline
    }

    pub(super) fn inbox(&self) -> &Inbox {
        &self.inbox
    }

    pub(super) fn device_id(&self) -> Option<&DeviceId> {
        self.device_id.as_ref()
    }

    fn carry_out(&mut self, effect: DeviceEffect<'_>, now: Instant) -> Next {
        match effect {
            DeviceEffect::Reject(reject) => self.refuse(&reject, now),
            DeviceEffect::Nothing | DeviceEffect::Register { .. } | DeviceEffect::ToClient { .. } => Next::Continue,
        }
    }

    fn pass_on(&mut self, client_id: ClientId, payload: &str, now: Instant) {
        // A connection that was taken over speaks for the device no more.
        let Some(registration) = self.registration.as_ref().filter(|held| !held.is_superseded()) else { return };
        let (device, shared) = (registration.device(), self.registry.shared());
        if device.to_client(shared, client_id, payload, &self.budget) {
            return;
        }
        let until = now + shared.settings.client_grace;
        let may_come = self.others_until.is_some_and(|others| now < others);
        if may_come && device.expect(shared, &registration.inbox(), client_id, until) {
            self.deadline = Some(self.deadline.map_or(until, |deadline| deadline.min(until)));
        }
        // It is expected now, or has just come; or the connection was taken over in between.
        if !device.to_client(shared, client_id, payload, &self.budget) && !registration.is_superseded() {
            self.inbox.mailbox().report(encode::client_disconnected(client_id));
        }
    }

    fn refuse(&mut self, reject: &Reject, now: Instant) -> Next {
        if reject.close().is_some() {
            self.lose(now);
        } else if !self.inbox.is_current() {
            // What this connection did is no matter of the one that took over.
            return self.on_taken_over(now);
        }
        refuse(&self.registry, &self.inbox, reject)
    }

    fn lose(&mut self, now: Instant) {
        if self.lost.is_some() {
            return;
        }
        if let Some(registration) = &self.registration {
            registration.lose();
            self.lost = Some(now);
            self.detach();
        }
    }

    /// Leaves the device's mailbox to its next connection.
    fn detach(&mut self) {
        self.inbox = self.inbox.another(self.registry.settings().device_queue);
    }
}
