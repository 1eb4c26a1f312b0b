//! What happens in a step.

use std::sync::Arc;
use std::task::{Context, Poll, Waker};
use std::time::Duration;

use cuttlebone_hub::{Answer, Next, Resolution};

use super::{World, config};
use crate::address;
use crate::ledger::ClientKey;
use crate::peer::{Peer, Place, Role, Waiting};

impl World {
    /// One thing happens to one peer, or time passes.
    pub(super) fn step(&mut self) {
        if self.dice.once_in(64) {
            self.configs += 1;
            for peer in self.slots.iter_mut().flatten().filter(|peer| !peer.closing && peer.lingers.is_none()) {
                peer.seat.renew_config(&|_| config(self.configs));
            }
        }
        let slot = self.dice.below(self.slots.len());
        if self.slots[slot].is_none() {
            return self.spawn(slot);
        }
        match self.dice.below(16) {
            0..=6 => {
                for _ in 0..=self.dice.below(4) {
                    self.speak(slot);
                }
            }
            7..=10 => self.deliver(slot, 8),
            11 | 12 => self.go_on(slot),
            13 => self.pass_time(),
            14 => self.change_habit(slot),
            _ => self.end(slot),
        }
    }

    /// The far end sends something, if it is read.
    pub(super) fn speak(&mut self, slot: usize) {
        let Some(peer) = self.slots[slot].as_ref().filter(|peer| peer.is_read()) else {
            return self.go_on(slot);
        };
        let text = match &peer.role {
            Role::Client { key, .. } => self.client_text(*key, slot),
            Role::Device { life, mute, clients, .. } => {
                let choice = clients.get(self.dice.below(clients.len().max(1))).copied();
                // What it says on a connection that was taken over is passed on to nobody.
                let answers = life.is_some() && !mute && peer.seat.inbox().is_current();
                self.device_text(slot, choice.filter(|_| answers))
            }
        };
        let Some(peer) = &mut self.slots[slot] else { return };
        peer.seat.on_alive();
        peer.pinged = false;
        let next = peer.seat.on_text(&text, self.now);
        self.carry_out(slot, next);
    }

    fn client_text(&mut self, key: ClientKey, slot: usize) -> String {
        let attached = self.slots[slot].as_ref().is_some_and(is_attached);
        let device = self.slots[slot].as_ref().map_or(0, |peer| peer.device);
        match self.dice.below(40) {
            0 => "{\"message_type\":\"nonsense\"}".into(),
            1 => "not json".into(),
            2 => r#"{"message_type":"forward","payload":1}"#.replace("payload", "nothing"),
            _ if attached => {
                let more = self.some_length();
                let payload = self.ledger.forward(key, more);
                format!(r#"{{"message_type":"forward","client_id":1,"payload":{payload}}}"#)
            }
            _ => format!(r#"{{"message_type":"connect","device_id":"d{device}"}}"#),
        }
    }

    fn device_text(&mut self, slot: usize, client: Option<(u32, ClientKey)>) -> String {
        let Some(Peer { role: Role::Device { life, .. }, device, .. }) = &self.slots[slot] else {
            return String::new();
        };
        if life.is_none() {
            let info = self.dice.below(4) / 3;
            return format!(r#"{{"message_type":"register","device_id":"d{device}","device_info":{info}}}"#);
        }
        let Some((id, key)) = client else {
            return match self.dice.below(40) {
                0 => r#"{"message_type":"forward","client_id":0,"payload":1}"#.into(),
                _ => r#"{"message_type":"forward","client_id":2147483647,"payload":{"c":0,"n":0}}"#.into(),
            };
        };
        let more = self.some_length();
        let payload = self.ledger.answer(key, more);
        format!(r#"{{"message_type":"forward","client_id":{id},"payload":{payload}}}"#)
    }

    /// So that bounds in bytes are met as often as bounds in messages.
    fn some_length(&mut self) -> usize {
        let longest = [1, 100, 400][self.dice.below(3)];
        self.dice.below(longest)
    }

    /// What the driver of a seat does with its orders.
    pub(super) fn carry_out(&mut self, slot: usize, next: Next) {
        let Some(peer) = &mut self.slots[slot] else { return };
        match next {
            Next::Continue => {}
            Next::Paused => {
                peer.waiting = Waiting::Room;
                peer.room.raise();
            }
            Next::Await(request) => peer.waiting = Waiting::Answer(request),
            Next::Ping => peer.pinged = true,
            Next::Closing | Next::Draining => {
                peer.closing = true;
                peer.waiting = Waiting::Nothing;
                let key = peer.client_key();
                key.into_iter().for_each(|key| self.give_up(key));
            }
        }
    }

    /// Whatever the seat waits for goes a step on.
    pub(super) fn go_on(&mut self, slot: usize) {
        let Some(peer) = &mut self.slots[slot] else { return };
        if peer.lingers.is_some() {
            return;
        }
        match std::mem::replace(&mut peer.waiting, Waiting::Nothing) {
            Waiting::Nothing => {
                if std::mem::take(&mut peer.pinged) {
                    peer.seat.on_alive();
                }
            }
            Waiting::Room => {
                peer.waiting = Waiting::Room;
                if peer.room.take() {
                    let waker = Waker::from(Arc::clone(&peer.room));
                    if let Poll::Ready(next) = peer.seat.poll_room(&mut Context::from_waker(&waker)) {
                        peer.waiting = Waiting::Nothing;
                        self.carry_out(slot, next);
                    }
                }
            }
            Waiting::Answer(request) => {
                self.ticks += 1;
                let resolution = self.registry.resolve(request, &|_| config(self.configs), self.ticks);
                self.resolved(slot, resolution);
            }
            Waiting::Holder(mut probe, until) => {
                let answered = probe.answered_yet();
                if answered.is_none() && self.now < until {
                    peer.waiting = Waiting::Holder(probe, until);
                    return;
                }
                self.ticks += 1;
                let resolution =
                    self.registry.conclude(probe, answered == Some(true), &|_| config(self.configs), self.ticks);
                self.resolved(slot, resolution);
            }
        }
    }

    fn resolved(&mut self, slot: usize, resolution: Resolution) {
        let until = self.now + self.registry.settings().probe;
        let Some(peer) = &mut self.slots[slot] else { return };
        match resolution {
            Resolution::Probe(probe) => peer.waiting = Waiting::Holder(probe, until),
            Resolution::Answer(answer) => {
                match (&answer, &mut peer.role) {
                    (Answer::Attached(_), Role::Client { place, .. }) => *place = Place::Attached,
                    (Answer::Waiting(_), Role::Client { place, .. }) => *place = Place::Waiting,
                    (Answer::Registered(_), Role::Device { life, .. }) => {
                        let listed = self.registry.find(&address(peer.device)).expect("just registered");
                        *life = Some(listed.registered_at_ms);
                    }
                    _ => {}
                }
                let next = peer.seat.on_answer(answer, self.now);
                peer.woken.raise();
                self.carry_out(slot, next);
            }
        }
    }

    /// Up to twelve seconds pass, mostly far less.
    pub(super) fn pass_time(&mut self) {
        let longest = [200, 200, 200, 2_500, 2_500, 12_000][self.dice.below(6)];
        self.now += Duration::from_millis(self.dice.below(longest) as u64);
        self.fire_timers();
    }

    /// What is due by now happens.
    pub(super) fn fire_timers(&mut self) {
        for slot in 0..self.slots.len() {
            let Some(peer) = &mut self.slots[slot] else { continue };
            if let Some(until) = peer.lingers {
                if until <= self.now {
                    self.remove(slot);
                }
            } else if !peer.closing && peer.seat.deadline().is_some_and(|deadline| deadline <= self.now) {
                let next = peer.seat.on_timer(self.now);
                self.carry_out(slot, next);
            }
        }
    }

    fn change_habit(&mut self, slot: usize) {
        let reads = !self.dice.once_in(3);
        if let Some(peer) = &mut self.slots[slot] {
            peer.reads = reads;
        }
    }

    /// The connection ends, cleanly or not.
    fn end(&mut self, slot: usize) {
        let cleanly = self.dice.once_in(2);
        let Some(peer) = self.slots[slot].as_mut().filter(|peer| peer.lingers.is_none()) else { return };
        if let Some(key) = peer.client_key() {
            self.give_up(key);
        }
        if cleanly {
            if let Some(peer) = &mut self.slots[slot] {
                peer.seat.on_closed();
            }
            self.remove(slot);
        } else {
            self.break_off(slot);
        }
    }

    /// The connection is gone; the seat stays if it says so.
    pub(super) fn break_off(&mut self, slot: usize) {
        let now = self.now;
        let Some(peer) = &mut self.slots[slot] else { return };
        peer.waiting = Waiting::Nothing;
        peer.closing = true;
        peer.lingers = peer.seat.on_broken(now);
        if peer.lingers.is_none() {
            self.remove(slot);
        }
    }

    pub(super) fn remove(&mut self, slot: usize) {
        if let Some(key) = self.slots[slot].as_ref().and_then(Peer::client_key) {
            self.give_up(key);
        }
        self.slots[slot] = None;
    }

    /// The client is on its way out: what it has not read or not got rid of goes with its connection.
    pub(super) fn give_up(&mut self, key: ClientKey) {
        self.ledger.leaves(key);
        self.ledger.cut_short(key);
    }
}

/// Whether the client has read its `device_info`.
fn is_attached(peer: &Peer) -> bool {
    matches!(peer.role, Role::Client { greeted: crate::peer::Greeting::DeviceInfo, .. })
}
