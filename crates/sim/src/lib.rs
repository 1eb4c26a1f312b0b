//! A deterministic world of seats: seeded scheduler, virtual clock, invariants.
//!
//! The seats, mailboxes and the registry are the real ones; what is simulated is everything around them: sockets that
//! break, peers that do not read, answers that take their time, a clock that jumps. Every choice follows from a seed, so
//! a failing run is repeated by its number.

mod dice;
mod ledger;
mod peer;
mod world;

pub use dice::Dice;
pub use world::World;

/// One run from its seed.
///
/// # Panics
/// Where an invariant breaks.
pub fn run_seed(seed: u64, steps: usize, seats: usize) {
    World::new(Dice::seeded(seed), seats).run(steps);
}

/// Any bytes as the choices of a run: the body of the fuzz target `hub`.
///
/// # Panics
/// Where an invariant breaks.
pub fn run_bytes(bytes: &[u8]) {
    World::new(Dice::scripted(bytes), 16).run_script();
}
