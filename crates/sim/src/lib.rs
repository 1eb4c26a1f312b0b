//! A deterministic world of seats: seeded scheduler, virtual clock, invariants.
//!
//! The seats, mailboxes and the registry are the real ones; what is simulated is everything around them: sockets that
//! break, peers that do not read, answers that take their time, a clock that jumps. Every choice follows from a seed, so
//! a failing run is repeated by its number.

mod continuity;
mod dice;
mod ledger;
mod peer;
mod world;

use std::time::Duration;

use cuttlebone_hub::{Address, SeatOptions};
use cuttlebone_proto::DeviceId;

pub use continuity::Continuity;
pub use dice::Dice;
pub use world::World;

/// Of every peer.
const OPTIONS: SeatOptions = SeatOptions {
    depth: 8,
    device_info_bytes: 1 << 16,
    first_message: Duration::from_secs(10),
    small_reader: false,
    party: None,
    owner: None,
};

/// Where the device of this number is.
fn address(device: impl std::fmt::Display) -> Address {
    Address::common(DeviceId::new(&format!("d{device}")).expect("an id"))
}

/// One run of the crowd, from its seed.
///
/// # Panics
/// Where an invariant breaks.
pub fn run_crowd(seed: u64, steps: usize, seats: usize) {
    World::new(Dice::seeded(seed), seats).run(steps);
}

/// One run of a few sessions over broken connections and restarts, from its seed.
///
/// # Panics
/// Where an invariant breaks.
pub fn run_continuity(seed: u64, steps: usize) {
    Continuity::new(Dice::seeded(seed)).run(steps);
}

/// Any bytes as the choices of a run: the body of the fuzz target `hub`.
///
/// # Panics
/// Where an invariant breaks.
pub fn run_bytes(bytes: &[u8]) {
    World::new(Dice::scripted(bytes), 16).run_script();
    Continuity::new(Dice::scripted(bytes)).run_script();
}
