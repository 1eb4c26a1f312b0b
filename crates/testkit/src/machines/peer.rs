//! One seat, and what a connection task would do with it.

use std::collections::VecDeque;
use std::sync::Arc;
use std::task::{Context, Poll, Waker};
use std::time::Instant;

use cuttlebone_hub::{ConfigFor, Item, Next, Probe, Received as FromInbox, Registry, Resolution, Seat};
use cuttlebone_ice::{Credentials, Ice, PeerKind};
use cuttlebone_proto::{Reject, encode};
use cuttlebone_server::MessageSettings;
use tokio::sync::oneshot::error::TryRecvError;

use super::Clock;
use crate::world::{Close, Received, Sent, WorldError};

/// A peer and the seat that serves it.
#[derive(Debug)]
pub(super) struct Peer {
    /// Gone when the session can no longer come back.
    seat: Option<Seat>,
    greeter: Greeter,
    messages: MessageSettings,
    silent: bool,
    /// The frames of a message that is not complete.
    assembling: Option<(usize, Vec<u8>)>,
    unread: VecDeque<Input>,
    received: VecDeque<Received>,
    stage: Stage,
    probe: Option<(Probe, Instant)>,
    paused: bool,
    /// Until when the seat is kept after its connection has ended.
    kept_until: Option<Instant>,
}

/// Writes the `config` of a peer.
#[derive(Debug)]
pub(super) struct Greeter {
    pub(super) ice: Arc<Ice>,
    pub(super) kind: PeerKind,
}

impl Greeter {
    fn config(&self, wanted: ConfigFor) -> String {
        let peer = cuttlebone_ice::Peer { kind: self.kind, tenant: None, address: None };
        let credentials = if wanted.is_let_in { Credentials::Given { opaque: "peer" } } else { Credentials::Withheld };
        let servers = self.ice.offer(&peer, credentials, 0).servers;
        match wanted.asks_ice_policy {
            true => encode::config_with_policy(&servers, self.ice.policy(self.kind).name()),
            false => encode::config(&servers),
        }
    }
}

/// How far the connection is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Stage {
    Open,
    /// Nothing is read; what the mailbox holds is delivered.
    Closing,
    Ended,
}

#[derive(Debug)]
enum Input {
    Text(String),
    Violation(Reject),
    Ping(Vec<u8>),
    Close(u16),
}

impl Peer {
    pub(super) fn new(seat: Seat, greeter: Greeter, messages: MessageSettings, silent: bool) -> Self {
        Self {
            seat: Some(seat),
            greeter,
            messages,
            silent,
            assembling: None,
            unread: VecDeque::new(),
            received: VecDeque::new(),
            stage: Stage::Open,
            probe: None,
            paused: false,
            kept_until: None,
        }
    }

    /// What the peer puts on the wire; a connection that has ended loses it.
    pub(super) fn send(&mut self, sent: Sent) -> Result<(), WorldError> {
        let input = match sent {
            Sent::Text(text) => Some(self.text(text)),
            Sent::TextBytes(bytes) => Some(self.message(bytes)),
            Sent::Binary(_) => Some(Input::Violation(Reject::BinaryMessage)),
            Sent::Ping(bytes) => Some(Input::Ping(bytes)),
            Sent::Fragments { parts, continues, unfinished } => self.assemble(parts, continues, unfinished),
            Sent::Raw(_) => return Err(WorldError::Unsupported("there are no bytes without a socket")),
        };
        self.unread.extend(input);
        Ok(())
    }

    pub(super) fn receive(&mut self) -> Option<Received> {
        self.received.pop_front()
    }

    pub(super) fn close(&mut self, close: Close, clock: Clock) {
        match close {
            Close::Clean(code) => self.unread.push_back(Input::Close(code)),
            Close::Reset => self.end(clock, Received::End(None)),
        }
    }

    /// Whether the seat may still come back.
    pub(super) const fn is_kept(&self) -> bool {
        self.seat.is_some()
    }

    /// When something happens by time alone.
    pub(super) fn deadline(&self) -> Option<Instant> {
        let seat = self.seat.as_ref()?;
        let timer = if self.stage == Stage::Open { seat.deadline() } else { None };
        let probe = self.probe.as_ref().map(|(_, until)| *until);
        [timer, probe, self.kept_until].into_iter().flatten().min()
    }

    /// One thing that can be done now; false if there is none.
    pub(super) fn step(&mut self, registry: &Registry, clock: Clock) -> bool {
        if self.kept_until.is_some_and(|until| until <= clock.now) {
            self.kept_until = None;
            self.seat = None;
        }
        if self.seat.is_none() || self.stage == Stage::Ended {
            return false;
        }
        self.write(registry, clock) || self.read(registry, clock) || self.timer(registry, clock)
    }

    fn write(&mut self, registry: &Registry, clock: Clock) -> bool {
        let Some(seat) = &mut self.seat else { return false };
        let mut items = Vec::new();
        match seat.inbox().poll_receive(&mut Context::from_waker(Waker::noop()), 1, &mut items) {
            Poll::Pending => return false,
            Poll::Ready(FromInbox::Revoked) => {
                let next = seat.on_cut(clock.now);
                self.go_on(next, registry, clock);
            }
            Poll::Ready(FromInbox::Items) => {}
        }
        for item in items {
            self.deliver(item, registry, clock);
        }
        true
    }

    fn deliver(&mut self, item: Item, registry: &Registry, clock: Clock) {
        match item {
            Item::Text(text) => self.received.push_back(Received::Text(text)),
            Item::Notice(notice) => {
                let Some(seat) = &mut self.seat else { return };
                let next = seat.on_notice(notice);
                self.go_on(next, registry, clock);
            }
            Item::Close(code) => {
                if let Some(seat) = &mut self.seat {
                    seat.on_closing();
                }
                self.received.push_back(Received::Close(Some(code.value())));
                self.end(clock, Received::End(None));
            }
        }
    }

    /// What the seat waits for: an answer, room, or its peer.
    fn read(&mut self, registry: &Registry, clock: Clock) -> bool {
        let Some(seat) = &mut self.seat else { return false };
        if self.stage != Stage::Open {
            return false;
        }
        if let Some((mut probe, until)) = self.probe.take() {
            let answered = match probe.answered.try_recv() {
                Err(TryRecvError::Empty) if clock.now < until => {
                    self.probe = Some((probe, until));
                    return false;
                }
                answered => answered.is_ok(),
            };
            let greeter = &self.greeter;
            let resolution = registry.conclude(probe, answered, &|wanted| greeter.config(wanted), clock.unix_ms());
            self.resolved(resolution, registry, clock);
            return true;
        }
        if self.paused {
            let Poll::Ready(next) = seat.poll_room(&mut Context::from_waker(Waker::noop())) else { return false };
            self.paused = false;
            self.go_on(next, registry, clock);
            return true;
        }
        let Some(input) = self.unread.pop_front() else { return false };
        self.on_input(input, registry, clock);
        true
    }

    fn on_input(&mut self, input: Input, registry: &Registry, clock: Clock) {
        let Some(seat) = &mut self.seat else { return };
        seat.on_alive();
        let next = match input {
            Input::Text(text) => seat.on_text(&text, clock.now),
            Input::Violation(reject) => seat.on_violation(reject, clock.now),
            Input::Ping(bytes) => {
                self.received.push_back(Received::Pong(bytes));
                Next::Continue
            }
            Input::Close(code) => {
                seat.on_closed();
                self.seat = None;
                self.stage = Stage::Ended;
                self.received.extend([Received::Close(Some(code)), Received::End(None)]);
                return;
            }
        };
        self.go_on(next, registry, clock);
    }

    fn timer(&mut self, registry: &Registry, clock: Clock) -> bool {
        let Some(seat) = &mut self.seat else { return false };
        if self.stage != Stage::Open || seat.deadline().is_none_or(|deadline| clock.now < deadline) {
            return false;
        }
        let before = seat.deadline();
        let next = seat.on_timer(clock.now);
        self.go_on(next, registry, clock);
        self.stage != Stage::Open || self.seat.as_ref().and_then(Seat::deadline) != before
    }

    fn go_on(&mut self, next: Next, registry: &Registry, clock: Clock) {
        match next {
            Next::Continue => {}
            Next::Paused => self.paused = true,
            // No server of this world is ever stopped.
            Next::Closing | Next::Draining => self.stage = Stage::Closing,
            Next::Await(request) => {
                let greeter = &self.greeter;
                let resolution = registry.resolve(request, &|wanted| greeter.config(wanted), clock.unix_ms());
                self.resolved(resolution, registry, clock);
            }
            Next::Ping => {
                self.received.push_back(Received::Ping(Vec::new()));
                if let (Some(seat), false) = (&mut self.seat, self.silent) {
                    seat.on_alive();
                }
            }
        }
    }

    fn resolved(&mut self, resolution: Resolution, registry: &Registry, clock: Clock) {
        match resolution {
            Resolution::Answer(answer) => {
                let Some(seat) = &mut self.seat else { return };
                let next = seat.on_answer(answer, clock.now);
                self.go_on(next, registry, clock);
            }
            Resolution::Probe(probe) => self.probe = Some((probe, clock.now + registry.settings().probe)),
        }
    }

    /// The connection is no more; the seat stays for as long as the session may come back.
    fn end(&mut self, clock: Clock, last: Received) {
        if self.stage == Stage::Ended {
            return;
        }
        self.stage = Stage::Ended;
        self.received.push_back(last);
        self.probe = None;
        self.kept_until = self.seat.as_mut().and_then(|seat| seat.on_broken(clock.now));
        if self.kept_until.is_none() {
            self.seat = None;
        }
    }

    fn text(&self, text: String) -> Input {
        if text.len() > self.messages.limits.message_bytes {
            Input::Violation(Reject::MessageTooLarge)
        } else {
            Input::Text(text)
        }
    }

    fn message(&self, bytes: Vec<u8>) -> Input {
        String::from_utf8(bytes).map_or(Input::Violation(Reject::NotUtf8), |text| self.text(text))
    }

    /// Puts frames together; gives the message when it is complete, or once it can't be one.
    fn assemble(&mut self, parts: Vec<Vec<u8>>, continues: bool, unfinished: bool) -> Option<Input> {
        let (mut count, mut bytes) = self.assembling.take().filter(|_| continues).unwrap_or_default();
        for part in parts {
            count += 1;
            bytes.extend(part);
            if count > self.messages.max_fragments {
                return Some(Input::Violation(Reject::TooManyFragments));
            }
        }
        if unfinished {
            self.assembling = Some((count, bytes));
            return None;
        }
        Some(self.message(bytes))
    }
}
