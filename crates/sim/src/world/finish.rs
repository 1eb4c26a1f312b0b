//! The end of a run: everybody reads, everything arrives, everybody leaves, nothing is left.

use super::{World, config};
use crate::address;
use crate::peer::{Greeting, Peer, Place, Role, Waiting};

impl World {
    pub(super) fn finish(mut self) {
        for peer in self.slots.iter_mut().flatten() {
            peer.reads = true;
        }
        self.settle();
        for peer in self.slots.iter().flatten().filter(|peer| peer.lingers.is_none() && !peer.closing) {
            self.check_client(peer);
            self.check_config(peer);
        }
        self.clients_leave();
        self.settle();
        self.check_reports();
        self.slots.clear();
        assert_eq!(self.registry.table_len(), 0, "entries of the table are left");
        let counts = self.registry.counts();
        assert_eq!((counts.devices, counts.clients, counts.waiting), (0, 0, 0), "something is left");
    }

    /// Until nothing moves any more: no peer is waiting for another, nothing is unread, no grace period runs.
    fn settle(&mut self) {
        for _ in 0..400 {
            let is_busy = self.slots.iter().flatten().any(is_busy);
            for slot in 0..self.slots.len() {
                self.deliver(slot, usize::MAX);
                self.go_on(slot);
            }
            if !is_busy {
                return;
            }
            self.now += std::time::Duration::from_millis(100);
            self.fire_timers();
        }
        panic!("the world does not come to rest");
    }

    /// Everything has come to rest: who is attached knows it and has everything, and nobody waits for a device that is there.
    fn check_client(&self, peer: &Peer) {
        let Role::Client { key, greeted, place } = peer.role else { return };
        match place {
            Place::None => {}
            Place::Attached => {
                assert_eq!(greeted, Greeting::DeviceInfo, "an attached client without device_info");
                self.ledger.check_complete(key);
            }
            Place::Waiting => {
                let listed = self.registry.find(&address(peer.device));
                assert!(listed.is_none_or(|device| device.away), "a client waits for a device that is there");
            }
        }
    }

    /// Whoever was sent `config` at all has the one of the moment.
    fn check_config(&self, peer: &Peer) {
        let is_here = match &peer.role {
            Role::Client { place, .. } => *place != Place::None,
            Role::Device { life, .. } => life.is_some() && peer.seat.inbox().is_current(),
        };
        if is_here {
            assert_eq!(peer.config, config(self.configs), "a peer has an old config");
        }
    }

    fn clients_leave(&mut self) {
        for slot in 0..self.slots.len() {
            let Some(peer) = &mut self.slots[slot] else { continue };
            if peer.client_key().is_some() {
                peer.seat.on_closed();
                self.remove(slot);
            }
        }
    }

    fn check_reports(&self) {
        for peer in self.slots.iter().flatten() {
            let Role::Device { life: Some(life), .. } = &peer.role else { continue };
            let listed = self.registry.find(&address(peer.device));
            let is_holder = peer.lingers.is_none() && !peer.closing;
            if is_holder && listed.is_some_and(|device| device.registered_at_ms == *life && !device.away) {
                self.ledger.check_reported(*life);
            }
        }
    }
}

fn is_busy(peer: &Peer) -> bool {
    !matches!(peer.waiting, Waiting::Nothing)
        || peer.pinged
        || peer.lingers.is_some()
        || peer.woken.is_raised()
        || peer.seat.inbox().mailbox().queued().frames > 0
}
