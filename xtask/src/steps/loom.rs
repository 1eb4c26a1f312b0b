//! The rules of the hub under loom, which runs a few threads in every order.

use anyhow::Result;

use crate::shell::{cargo_program, command, run_command, target};

/// CI's models.
pub(super) fn run() -> Result<()> {
    with(&[])
}

/// The models, or those whose names are given; what else is given goes to the test program. Each says how many executions
/// it had.
///
/// The flag changes how every crate is built, so they are built in a folder of their own.
pub(crate) fn with(args: &[String]) -> Result<()> {
    let mut loom =
        command(&cargo_program(), &["test", "--locked", "-p", "cuttlebone-hub", "--test", "loom", "--target-dir"]);
    loom.arg(target().join("loom")).args(["--", "--nocapture"]).args(args);
    loom.env("RUSTFLAGS", "--cfg loom -D warnings");
    run_command(loom)
}
