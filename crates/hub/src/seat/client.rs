//! A client's seat.

use std::task::{Context, Poll};
use std::time::Instant;

use cuttlebone_proto::{ClientEffect, ClientSession, ClientWait, CloseCode, DeviceId, Reject};

use super::{Next, SeatOptions, refuse};
use crate::device::{Attachment, Delivery};
use crate::item::Notice;
use crate::mailbox::Inbox;
use crate::registry::{Registry, Waiting};
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
    deadline: Option<Instant>,
    device_id: Option<DeviceId>,
    is_stopping: bool,
}

#[derive(Debug)]
enum Link {
    None,
    Waiting { _place: Waiting },
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
        Self {
            registry: registry.clone(),
            session: ClientSession::default(),
            inbox: Inbox::new(registry.settings().client_queue),
            link: Link::None,
            blocked: None,
            depth: options.depth,
            deadline: Some(now + options.first_message),
            device_id: None,
            is_stopping: false,
        }
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
                // R2: config is queued before the client can be found by anybody.
                self.inbox.mailbox().reply(self.registry.config().to_string());
                self.ask(ask.device_id)
            }
            ClientEffect::Reject(reject) => self.refuse(&reject),
            ClientEffect::Nothing => Next::Continue,
        }
    }

    pub(super) fn on_violation(&mut self, reject: Reject, _now: Instant) -> Next {
        let effect = self.session.on_violation(reject);
        self.carry_out(effect)
    }

    pub(super) fn on_answer(&mut self, answer: Answer, now: Instant) -> Next {
        match answer {
            Answer::Attached(attachment) => {
                self.session.on_attached();
                self.link = Link::Attached(attachment);
                self.deadline = None;
                Next::Continue
            }
            Answer::Waiting(place) => {
                self.session.on_absent();
                self.link = Link::Waiting { _place: place };
                self.deadline.get_or_insert(now + self.registry.settings().client_wait);
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
            Answer::Registered(_) => Next::Continue,
        }
    }

    pub(super) fn on_notice(&mut self, notice: &Notice) -> Next {
        let effect = match notice {
            Notice::DeviceReady => self.session.on_device_ready(),
            Notice::DeviceGone => self.session.on_device_gone(),
            Notice::Probe(_) => ClientEffect::Nothing,
        };
        self.carry_out(effect)
    }

    /// The client did not read what its device sent: the error and the close are queued already.
    pub(super) fn on_evicted(&mut self) -> Next {
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
        self.inbox.mailbox().abandon();
        match &mut self.link {
            Link::Attached(attachment) if attachment.is_known_to_device() => {
                attachment.linger();
                Some(now + self.registry.settings().client_grace)
            }
            Link::Attached(_) | Link::Waiting { .. } | Link::None => {
                self.leave();
                None
            }
        }
    }

    /// The client keeps its place: the device is not told that it is gone, and keeps its picture running.
    pub(super) fn on_shutdown(&mut self, code: CloseCode) {
        self.is_stopping = true;
        self.inbox.mailbox().seal(None, code);
    }

    /// The close is on its way to the client: it is gone for good, unless it is to come back after a restart.
    pub(super) fn on_closing(&mut self) {
        if !self.is_stopping {
            self.leave();
        }
    }

    pub(super) fn poll_room(&mut self, cx: &mut Context<'_>) -> Poll<Next> {
        let (Link::Attached(attachment), Some(blocked)) = (&mut self.link, &mut self.blocked) else {
            return Poll::Ready(Next::Continue);
        };
        loop {
            std::task::ready!(attachment.device_mailbox().poll_room(cx, blocked.text.len()));
            match attachment.push(std::mem::take(&mut blocked.text)) {
                // Somebody else was faster.
                Delivery::Full(text) => blocked.text = text,
                Delivery::Queued | Delivery::TooLarge | Delivery::Gone => {
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
    fn ask(&mut self, device_id: DeviceId) -> Next {
        self.link = Link::None;
        Next::Await(Request::Attach(AttachRequest { device_id, mailbox: self.inbox.mailbox().clone() }))
    }

    fn on_delivery(&mut self, delivery: Delivery, now: Instant) -> Next {
        match delivery {
            Delivery::Queued | Delivery::Gone => Next::Continue,
            Delivery::TooLarge => self.refuse(&Reject::TooLargeForDevice),
            Delivery::Full(text) => {
                self.registry.shared().observer.paused();
                self.blocked = Some(Blocked { text, until: now + self.registry.settings().full_wait });
                Next::Paused
            }
        }
    }

    fn carry_out(&mut self, effect: ClientEffect<'_>) -> Next {
        match effect {
            ClientEffect::Attach(ask) => self.ask(ask.device_id),
            ClientEffect::Reject(reject) => self.refuse(&reject),
            ClientEffect::Nothing | ClientEffect::ToDevice(_) => Next::Continue,
        }
    }

    fn refuse(&mut self, reject: &Reject) -> Next {
        if reject.close().is_some() {
            self.leave();
        }
        refuse(&self.registry, &self.inbox, reject)
    }
}
