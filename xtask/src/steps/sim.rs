//! The simulator: a seeded world of devices and clients, with invariants after every step.

use anyhow::Result;

use crate::shell::{cargo_program, command, run_command};

/// Seeds in CI.
const SEEDS: &str = "5000";

/// Seeds that failed once. They run first, and new ones are added.
const FAILING: &str = "crates/sim/failing-seeds.txt";

/// CI's worlds.
pub(super) fn run() -> Result<()> {
    with(&["--seeds", SEEDS, "--failing", FAILING].map(str::to_owned))
}

/// The simulator with arguments of its own. Optimized: it is all computing.
pub(crate) fn with(args: &[String]) -> Result<()> {
    let mut sim =
        command(&cargo_program(), &["run", "--locked", "--release", "-p", "cuttlebone-sim", "--bin", "sim", "--"]);
    sim.args(args);
    run_command(sim)
}
