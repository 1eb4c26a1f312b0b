//! The simulator: a seeded world of devices and clients, with invariants after every step.

use anyhow::Result;

use crate::shell::{cargo_program, command, run_command};

/// Seeds in CI.
const SEEDS: &str = "5000";

/// CI's worlds.
pub(super) fn run() -> Result<()> {
    with(&["--seeds".to_owned(), SEEDS.to_owned()])
}

/// The simulator with arguments of its own. Optimized: it is all computing.
pub(crate) fn with(args: &[String]) -> Result<()> {
    let mut sim =
        command(&cargo_program(), &["run", "--locked", "--release", "-p", "cuttlebone-sim", "--bin", "sim", "--"]);
    sim.args(args);
    run_command(sim)
}
