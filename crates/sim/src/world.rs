//! The world: peers in slots, a registry, a clock that moves when it is told to.

mod act;
mod deliver;
mod finish;

use std::sync::Arc;
use std::time::Instant;

use cuttlebone_hub::{Bound, IdSource, Registry, Seat, Settings, TokenKey, Tokens, Unobserved};
use cuttlebone_proto::{ClientId, IceServer, encode};
use parking_lot::Mutex;

use crate::dice::Dice;
use crate::ledger::Ledger;
use crate::peer::{Flag, Greeting, Peer, Place, Role, Waiting};
use crate::{OPTIONS, address};

/// Device ids that are fought over.
const DEVICES: usize = 8;

/// One run.
#[derive(Debug)]
pub struct World {
    dice: Dice,
    now: Instant,
    /// Counts every answer of the registry: the time that it sees, and the name of a device's life.
    ticks: u64,
    registry: Registry,
    slots: Vec<Option<Peer>>,
    ledger: Ledger,
    next_key: u64,
    /// How often the ICE servers have changed.
    configs: u64,
}

/// Ids that look random and follow from the seed.
pub(crate) struct SeededIds(Mutex<Dice>);

impl SeededIds {
    /// Those of one server of a run.
    pub(crate) fn new(dice: &Dice, process: u64) -> Self {
        Self(Mutex::new(Dice::seeded(dice.clone().draw() ^ process)))
    }
}

impl IdSource for SeededIds {
    fn draw_session(&self) -> u64 {
        self.0.lock().draw()
    }

    fn draw(&self) -> ClientId {
        loop {
            let bits = self.0.lock().draw() as u32 & ClientId::MAX;
            if let Some(id) = ClientId::new(bits) {
                return id;
            }
        }
    }
}

impl World {
    /// A world of `seats` slots, all of them empty.
    #[must_use]
    pub fn new(dice: Dice, seats: usize) -> Self {
        let ids = SeededIds::new(&dice, 0);
        Self {
            dice,
            now: start(),
            ticks: 0,
            registry: Registry::new(settings(), Box::new(ids), tokens(1, 0), Arc::new(Unobserved)),
            slots: (0..seats).map(|_| None).collect(),
            ledger: Ledger::default(),
            next_key: 0,
            configs: 0,
        }
    }

    /// Does `steps` things, each followed by a look at every invariant, then ends everything and looks for leaks.
    ///
    /// # Panics
    /// Where an invariant breaks.
    pub fn run(mut self, steps: usize) {
        self.populate();
        for _ in 0..steps {
            self.step();
            self.check();
        }
        self.finish();
    }

    /// As [`World::run`], for as long as a script has choices to make.
    ///
    /// # Panics
    /// Where an invariant breaks.
    pub fn run_script(mut self) {
        while !self.dice.is_used_up() {
            self.step();
            self.check();
        }
        self.finish();
    }

    /// Fills every slot, lets everybody say the first thing and hear the answer.
    fn populate(&mut self) {
        for slot in 0..self.slots.len() {
            self.spawn(slot);
            self.speak(slot);
            self.go_on(slot);
            self.deliver(slot, 8);
        }
    }

    /// What holds at every moment.
    fn check(&self) {
        let settings = self.registry.settings();
        for peer in self.slots.iter().flatten() {
            let bound = if peer.client_key().is_some() { settings.client_queue } else { settings.device_queue };
            let queued = peer.seat.inbox().mailbox().queued();
            // One message always fits.
            let fits = queued.frames <= bound.frames && (queued.bytes <= bound.bytes || queued.frames == 1);
            assert!(fits, "a queue over its bound: {queued:?}");
            self.check_holder(peer);
            self.check_paused(peer);
        }
        let list = self.registry.list();
        assert!(list.is_sorted_by(|a, b| a.address < b.address), "a listing out of order");
        for device in &list {
            assert!(device.viewers <= settings.clients_per_device, "too many clients at a device");
        }
        assert!(self.registry.counts().waiting <= settings.waiting, "too many clients wait");
        assert!(self.registry.table_len() <= DEVICES, "entries that belong to nobody");
    }

    /// Whoever holds a device id is listed under it.
    fn check_holder(&self, peer: &Peer) {
        let Role::Device { life: Some(life), .. } = peer.role else { return };
        if !peer.closing && peer.lingers.is_none() && peer.seat.inbox().is_current() {
            let listed = self.registry.find(&address(peer.device));
            assert!(
                listed.is_some_and(|device| device.registered_at_ms == life && !device.away),
                "a device was forgotten"
            );
        }
    }

    /// A client that is paused is woken as soon as its device's queue is empty, or another one that has waited longer is.
    fn check_paused(&self, peer: &Peer) {
        if matches!(peer.waiting, Waiting::Room) && !peer.room.is_raised() {
            let is_holder = |other: &&Peer| {
                let Role::Device { life: Some(_), .. } = other.role else { return false };
                other.device == peer.device && other.lingers.is_none() && !other.closing
            };
            let mut holders = self.slots.iter().flatten().filter(is_holder);
            let is_empty = |holder: &Peer| {
                let inbox = holder.seat.inbox();
                inbox.is_current() && inbox.mailbox().queued().frames == 0
            };
            let is_next = |other: &Peer| {
                other.device == peer.device && matches!(other.waiting, Waiting::Room) && other.room.is_raised()
            };
            let someone_is = self.slots.iter().flatten().any(is_next);
            assert!(someone_is || !holders.any(is_empty), "the paused clients of a device were forgotten");
        }
    }

    fn spawn(&mut self, slot: usize) {
        let device = self.dice.below(DEVICES);
        self.next_key += 1;
        let is_client = !self.dice.once_in(4);
        let (seat, role) = if is_client {
            self.ledger.connects(self.next_key, device);
            let role = Role::Client { key: self.next_key, greeted: Greeting::None, place: Place::None };
            (Seat::client(&self.registry, &OPTIONS, self.now), role)
        } else {
            let role = Role::Device { life: None, greeted: false, mute: self.dice.once_in(2), clients: Vec::new() };
            (Seat::device(&self.registry, &OPTIONS, self.now), role)
        };
        let peer = Peer {
            seat,
            role,
            device,
            waiting: Waiting::Nothing,
            woken: Flag::raised(),
            room: Flag::raised(),
            reads: !self.dice.once_in(8),
            config: String::new(),
            pinged: false,
            closing: false,
            lingers: None,
        };
        self.slots[slot] = Some(peer);
    }
}

/// A `config` that tells one change of the ICE servers from another.
pub(crate) fn config(number: u64) -> String {
    encode::config(&[IceServer { urls: vec![format!("stun:{number}")], username: None, credential: None }])
}

/// Signs tokens that nobody here tries to forge.
struct Checksum;

impl TokenKey for Checksum {
    fn sign(&self, message: &[u8]) -> [u8; 32] {
        let sum = message.iter().fold(1_u64, |sum, byte| sum.wrapping_mul(31).wrapping_add(u64::from(*byte)));
        std::array::from_fn(|at| sum.to_be_bytes()[at % 8])
    }

    fn verify(&self, message: &[u8], tag: &[u8]) -> bool {
        self.sign(message) == tag
    }
}

/// Tokens of a server; all have the same key.
pub(crate) fn tokens(process: u64, started_ms: u64) -> Tokens {
    Tokens::new(Box::new(Checksum), process, started_ms)
}

/// Small, so that every bound is met.
fn settings() -> Settings {
    Settings {
        client_queue: Bound { frames: 4, bytes: 600 },
        device_queue: Bound { frames: 6, bytes: 900 },
        client_share: Bound { frames: 2, bytes: 300 },
        held: Bound { frames: 3, bytes: 500 },
        clients_per_device: 6,
        waiting_per_device: 3,
        waiting: 10,
        event_buffer: 1,
        ..Settings::default()
    }
}

#[expect(clippy::disallowed_methods, reason = "a run needs some moment to begin with; only differences matter")]
pub(crate) fn start() -> Instant {
    Instant::now()
}
