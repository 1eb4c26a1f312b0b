//! A deterministic world of seats: seeded scheduler, virtual clock, invariants.
