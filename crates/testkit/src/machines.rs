//! The world of the hub alone: seats in memory, no sockets, and a clock that only moves when told.
//!
//! What a connection task does with a seat and a socket is done here with a seat and a queue, so that the machines and
//! the hub are played through on their own.

mod peer;

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use cuttlebone_hub::{IdSource, Registry, Seat, SeatOptions, TokenKey, Tokens, Unobserved};
use cuttlebone_ice::{Ice, PeerKind};
use cuttlebone_proto::ClientId;
use cuttlebone_server::Settings;

use crate::world::{Close, Open, Received, Role, Sent, World, WorldError};
use peer::{Greeter, Peer};

/// The subprotocols whose devices read at most 65,536 bytes at once.
const SMALL_READERS: [&str; 2] = ["webrtc-operator", "cf-webrtc-device"];

/// A hub and its peers.
#[derive(Debug)]
pub struct Machines {
    registry: Registry,
    settings: Settings,
    ice: Arc<Ice>,
    clock: Clock,
    peers: BTreeMap<String, Peer>,
    /// Peers whose name was taken by a later one: they may still be kept for a grace period.
    former: Vec<Peer>,
}

/// The time, which only moves when told.
#[derive(Debug, Clone, Copy)]
struct Clock {
    start: Instant,
    now: Instant,
}

impl Clock {
    fn unix_ms(self) -> u64 {
        u64::try_from((self.now - self.start).as_millis()).unwrap_or(u64::MAX)
    }
}

/// Ids that look random and are the same in every run.
#[derive(Debug, Default)]
struct SeededIds(AtomicU64);

impl IdSource for SeededIds {
    fn draw_session(&self) -> u64 {
        u64::from(self.draw().value())
    }

    fn draw(&self) -> ClientId {
        loop {
            // splitmix64
            let mut mixed = self.0.fetch_add(0x9e37_79b9_7f4a_7c15, Ordering::Relaxed);
            mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
            mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
            let drawn = u32::try_from(mixed >> 33).ok().and_then(ClientId::new);
            if let Some(id) = drawn {
                return id;
            }
        }
    }
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

impl Machines {
    /// An empty hub with these settings.
    #[must_use]
    pub fn new(settings: Settings) -> Self {
        let ids = Box::new(SeededIds::default());
        let tokens = Tokens::new(Box::new(Checksum), 1, 0);
        let registry = Registry::new(settings.hub.clone(), ids, tokens, Arc::new(Unobserved));
        let start = tokio::time::Instant::now().into_std();
        let clock = Clock { start, now: start };
        let ice = Arc::new(Ice::new(settings.ice.clone()));
        Self { registry, settings, ice, clock, peers: BTreeMap::new(), former: Vec::new() }
    }

    /// The hub.
    #[must_use]
    pub const fn registry(&self) -> &Registry {
        &self.registry
    }

    fn peer(&mut self, name: &str) -> Result<&mut Peer, WorldError> {
        self.peers.get_mut(name).ok_or_else(|| WorldError::UnknownPeer(name.to_owned()))
    }

    fn all(&mut self) -> impl Iterator<Item = &mut Peer> {
        self.peers.values_mut().chain(&mut self.former)
    }

    /// Lets everybody do all they can without time passing.
    fn settle(&mut self) {
        let (registry, clock) = (self.registry.clone(), self.clock);
        while self.all().map(|peer| peer.step(&registry, clock)).filter(|moved| *moved).count() > 0 {}
        self.former.retain(Peer::is_kept);
    }

    /// Moves the clock to the next timer, but not beyond `end`. False at the end.
    fn tick(&mut self, end: Instant) -> bool {
        let next = self.all().filter_map(|peer| peer.deadline()).min();
        self.clock.now = next.map_or(end, |next| next.clamp(self.clock.now, end));
        self.settle();
        next.is_some_and(|next| next < end)
    }
}

impl World for Machines {
    async fn open(&mut self, peer: &str, open: &Open) -> Result<Option<String>, WorldError> {
        let small = open.subprotocols.iter().any(|offered| SMALL_READERS.contains(&offered.as_str()));
        let options = SeatOptions {
            depth: self.settings.messages.limits.depth,
            device_info_bytes: self.settings.messages.limits.device_info_bytes,
            first_message: self.settings.timeouts.first_message,
            small_reader: small && open.role == Role::Device,
            party: None,
            owner: None,
        };
        let (seat, kind) = match open.role {
            Role::Device => (Seat::device(&self.registry, &options, self.clock.now), PeerKind::Device),
            Role::Client => (Seat::client(&self.registry, &options, self.clock.now), PeerKind::Client),
        };
        let greeter = Greeter { ice: Arc::clone(&self.ice), kind };
        let opened = Peer::new(seat, greeter, self.settings.messages, open.silent);
        self.former.extend(self.peers.insert(peer.to_owned(), opened));
        self.settle();
        Ok(open.subprotocols.first().cloned())
    }

    async fn send(&mut self, peer: &str, sent: Sent) -> Result<(), WorldError> {
        self.peer(peer)?.send(sent)?;
        self.settle();
        Ok(())
    }

    async fn receive(&mut self, peer: &str, within: Duration) -> Result<Option<Received>, WorldError> {
        let end = self.clock.now + within;
        loop {
            if let Some(received) = self.peer(peer)?.receive() {
                return Ok(Some(received));
            }
            if !self.tick(end) {
                return Ok(self.peer(peer)?.receive());
            }
        }
    }

    async fn close(&mut self, peer: &str, close: Close) -> Result<(), WorldError> {
        let clock = self.clock;
        self.peer(peer)?.close(close, clock);
        self.settle();
        Ok(())
    }

    async fn advance(&mut self, time: Duration) -> Result<(), WorldError> {
        let end = self.clock.now + time;
        while self.tick(end) {}
        Ok(())
    }
}
