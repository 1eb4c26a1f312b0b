//! A client's seat.

use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Instant;

use cuttlebone_proto::{Ask, ClientEffect, ClientSession, ClientWait, CloseCode, DeviceId, Reject};

use super::{Next, SeatOptions, address, refuse};
use crate::config::{ConfigFor, WriteConfig};
use crate::device::{Attachment, Delivery};
use crate::item::Notice;
use crate::mailbox::{Inbox, Unwritten};
use crate::party::Party;
use crate::registry::{Place, Registry, Waiting};
use crate::request::{Answer, AttachRequest, Request};

/// One client: its machine, its mailbox, and its place at a device or among those who wait for one.
#[derive(Debug)]
pub struct ClientSeat {
    registry: Registry,
    session: ClientSession,
    inbox: Inbox,
    link: Link,
    blocked: Option<Blocked>,
    depth: usize,
    party: Option<Arc<Party>>,
    deadline: Option<Instant>,
    device_id: Option<DeviceId>,
    /// The connection is closed and the session is not: the client may come back to it.
    parts: bool,
    asks_ice_policy: bool,
    /// The `config` it was sent, while it waits.
    config: Option<Arc<str>>,
    /// What is being written to this connection, whose ever the mailbox is by then.
    unwritten: Unwritten,
}

#[derive(Debug)]
enum Link {
    None,
    Waiting { _place: Place },
    Attached(Attachment),
}

/// A message that found its device's queue full.
#[derive(Debug)]
struct Blocked {
    text: String,
    until: Instant,
}

impl ClientSeat {
    pub(super) fn new(registry: &Registry, options: &SeatOptions, now: Instant) -> Self {
        let budget = registry.shared().budgets.of(options.owner.as_ref());
        Self {
            registry: registry.clone(),
            session: ClientSession::default(),
            inbox: Inbox::new(registry.settings().client_queue, budget),
            link: Link::None,
            blocked: None,
            depth: options.depth,
            party: options.party.clone(),
            deadline: Some(now + options.first_message),
            device_id: None,
            parts: false,
            asks_ice_policy: false,
            config: None,
            unwritten: Unwritten::default(),
        }
    }

    pub(super) fn on_unwritten(&mut self, bytes: usize) {
        self.unwritten.hold(bytes, &self.inbox);
    }

    pub(super) fn on_text(&mut self, text: &str, now: Instant) -> Next {
        match self.session.on_text(text, self.depth) {
            ClientEffect::ToDevice(payload) => {
                let Link::Attached(attachment) = &mut self.link else { return Next::Continue };
                let delivery = attachment.forward(payload);
                self.on_delivery(delivery, now)
            }
            ClientEffect::Attach(ask) => {
                self.deadline = None;
                self.device_id = Some(ask.device_id.clone());
                self.asks_ice_policy = ask.asks_ice_policy;
                self.ask(*ask)
            }
            ClientEffect::Reject(reject) => self.refuse(&reject),
            ClientEffect::Nothing => Next::Continue,
        }
    }

    pub(super) fn on_violation(&mut self, reject: Reject) -> Next {
        let effect = self.session.on_violation(reject);
        self.carry_out(effect)
    }

    pub(super) fn on_answer(&mut self, answer: Answer, now: Instant) -> Next {
        match answer {
            Answer::Attached(attachment) => {
                self.session.on_attached();
                self.inbox = attachment.inbox();
                self.link = Link::Attached(attachment);
                self.deadline = None;
                self.config = None;
                Next::Continue
            }
            Answer::Waiting(Waiting { place, patience, config }) => {
                self.session.on_absent();
                self.deadline.get_or_insert(now + patience);
                self.config = Some(config);
                self.link = Link::Waiting { _place: place };
                Next::Continue
            }
            Answer::Absent => {
                self.session.on_absent();
                let effect = self.session.on_timeout();
                self.carry_out(effect)
            }
            Answer::Refused(reject) => {
                let effect = self.session.on_refused(reject);
                self.carry_out(effect)
            }
            Answer::Stopping => self.on_shutdown(CloseCode::Restart),
            Answer::Registered(_) => Next::Continue,
        }
    }

    pub(super) fn on_notice(&mut self, notice: &Notice) -> Next {
        let effect = match notice {
            Notice::DeviceReady => self.session.on_device_ready(),
            Notice::DeviceGone => self.session.on_device_gone(),
            Notice::LetGo => self.session.on_let_go(),
            Notice::Refused(reject) => self.session.on_violation(reject.clone()),
            Notice::Probe(_) => ClientEffect::Nothing,
        };
        self.carry_out(effect)
    }

    /// Gives whether it was sent.
    pub(super) fn renew_config(&mut self, config: &WriteConfig<'_>) -> bool {
        let is_let_in = match self.link {
            Link::None => return false,
            Link::Waiting { .. } => false,
            Link::Attached(_) => true,
        };
        if self.inbox.is_current() {
            let config = config(ConfigFor { is_let_in, asks_ice_policy: self.asks_ice_policy });
            self.config = (!is_let_in).then(|| config.as_str().into());
            self.inbox.mailbox().reply(config);
        }
        self.inbox.is_current()
    }

    pub(super) fn on_expired(&mut self) -> Next {
        let stays =
            matches!(&self.link, Link::Attached(attachment) if attachment.may_come_back() && attachment.linger());
        // The machine takes nothing more, whatever is in the mailbox already.
        let effect = self.session.on_violation(Reject::CredentialExpired);
        if !stays {
            return self.carry_out(effect);
        }
        // What its device sends is kept where it was; its last words come from a mailbox of its own.
        self.blocked = None;
        self.parts = true;
        self.inbox = self.inbox.another(self.registry.settings().client_queue);
        refuse(&self.registry, &self.inbox, &Reject::CredentialExpired)
    }

    /// The connection is closed by the server.
    pub(super) fn on_closing(&mut self) {
        if !self.parts {
            self.leave();
        }
    }

    /// The client did not read what its device sent (the error and the close are queued already), or another connection
    /// of it goes on with the session.
    pub(super) fn on_cut(&mut self) -> Next {
        if !self.inbox.is_current() {
            // Its last words come from a mailbox of its own.
            self.inbox = self.inbox.another(self.registry.settings().client_queue);
            self.inbox.mailbox().seal(None, CloseCode::TakenOver);
        }
        self.leave();
        Next::Closing
    }

    pub(super) fn on_timer(&mut self, now: Instant) -> Next {
        if self.blocked.as_ref().is_some_and(|blocked| blocked.until <= now) {
            let effect = self.session.on_violation(Reject::DeviceTooSlow);
            return self.carry_out(effect);
        }
        if self.blocked.is_some() {
            return Next::Paused;
        }
        if self.session.waits_for() == ClientWait::Nothing {
            self.deadline = None;
        }
        if self.deadline.is_none_or(|deadline| now < deadline) {
            return Next::Continue;
        }
        let effect = self.session.on_timeout();
        self.carry_out(effect)
    }

    pub(super) fn leave(&mut self) {
        self.blocked = None;
        self.link = Link::None;
    }

    pub(super) fn on_broken(&mut self, now: Instant) -> Option<Instant> {
        self.blocked = None;
        self.unwritten = Unwritten::default();
        match &self.link {
            Link::Attached(attachment) if attachment.linger() => Some(now + self.registry.settings().client_grace),
            Link::Attached(_) | Link::Waiting { .. } | Link::None => {
                self.leave();
                self.inbox.abandon();
                None
            }
        }
    }

    /// A client that is attached is told when its device's connection has ended, and no message of either is under way.
    pub(super) fn on_shutdown(&mut self, code: CloseCode) -> Next {
        if let Link::Attached(_) = self.link {
            return Next::Continue;
        }
        self.inbox.mailbox().seal(None, code);
        Next::Closing
    }

    /// The server stops while the client's connection is away.
    pub(super) fn forget(&mut self) {
        if let Link::Attached(attachment) = &mut self.link {
            attachment.forget();
        }
    }

    /// Ready when another connection has resumed the session, or it is over.
    pub(super) fn poll_superseded(&self, cx: &mut Context<'_>) -> Poll<()> {
        match &self.link {
            Link::Attached(attachment) => attachment.inbox().poll_urgent(cx).map(drop),
            Link::Waiting { .. } | Link::None => self.inbox.poll_urgent(cx).map(drop),
        }
    }

    pub(super) fn poll_room(&mut self, cx: &mut Context<'_>) -> Poll<Next> {
        let (Link::Attached(attachment), Some(blocked)) = (&mut self.link, &mut self.blocked) else {
            return Poll::Ready(Next::Continue);
        };
        loop {
            std::task::ready!(attachment.poll_room(cx, blocked.text.len()));
            match attachment.push(std::mem::take(&mut blocked.text)) {
                // Another was faster.
                Delivery::Full(text) if attachment.may_wait(text.len()) => blocked.text = text,
                Delivery::Full(_) => return Poll::Ready(self.on_violation(Reject::DeviceTooSlow)),
                Delivery::TooLarge => {
                    self.blocked = None;
                    return Poll::Ready(self.refuse(&Reject::TooLargeForDevice));
                }
                Delivery::Queued | Delivery::Gone => {
                    self.blocked = None;
                    return Poll::Ready(Next::Continue);
                }
            }
        }
    }

    pub(super) fn deadline(&self) -> Option<Instant> {
        self.blocked.as_ref().map(|blocked| blocked.until).or(self.deadline)
    }

    pub(super) fn inbox(&self) -> &Inbox {
        &self.inbox
    }

    pub(super) fn device_id(&self) -> Option<&DeviceId> {
        self.device_id.as_ref()
    }

    /// Gives up the place among those who wait first: the answer may be a new one.
    fn ask(&mut self, ask: Ask) -> Next {
        let repeated = matches!(std::mem::replace(&mut self.link, Link::None), Link::Waiting { .. });
        let Ask { device_id, resume, asks_ice_policy } = ask;
        Next::Await(Request::Attach(AttachRequest {
            address: address(device_id, self.party.as_ref()),
            party: self.party.clone(),
            resume,
            mailbox: self.inbox.mailbox().clone(),
            asks_ice_policy,
            config: self.config.clone(),
            repeated,
        }))
    }

    fn on_delivery(&mut self, delivery: Delivery, now: Instant) -> Next {
        match delivery {
            Delivery::Queued | Delivery::Gone => Next::Continue,
            Delivery::TooLarge => self.refuse(&Reject::TooLargeForDevice),
            Delivery::Full(text) if !self.may_wait(text.len()) => self.on_violation(Reject::DeviceTooSlow),
            Delivery::Full(text) => {
                self.registry.shared().observer.paused();
                self.blocked = Some(Blocked { text, until: now + self.registry.settings().full_wait });
                Next::Paused
            }
        }
    }

    fn may_wait(&self, len: usize) -> bool {
        matches!(&self.link, Link::Attached(attachment) if attachment.may_wait(len))
    }

    fn carry_out(&mut self, effect: ClientEffect<'_>) -> Next {
        match effect {
            ClientEffect::Attach(ask) => self.ask(*ask),
            ClientEffect::Reject(reject) => self.refuse(&reject),
            ClientEffect::Nothing | ClientEffect::ToDevice(_) => Next::Continue,
        }
    }

    fn refuse(&mut self, reject: &Reject) -> Next {
        if !self.inbox.is_current() {
            // What this connection did is no matter of the one that goes on with the session, but for what counts as taken.
            if *reject == Reject::TooLargeForDevice {
                refuse(&self.registry, &self.inbox, reject);
            }
            return self.on_cut();
        }
        if reject.close().is_some() {
            self.leave();
        }
        refuse(&self.registry, &self.inbox, reject)
    }
}
