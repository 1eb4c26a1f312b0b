//! A long run of connections that come and go.

use anyhow::Result;

use crate::shell::{cargo_program, command, run_command};

/// The load generator's `soak`, with arguments of its own.
pub(crate) fn with(args: &[String]) -> Result<()> {
    let mut soak =
        command(&cargo_program(), &["run", "--locked", "--release", "-p", "cuttlebone-loadgen", "--", "soak"]);
    soak.args(args);
    run_command(soak)
}
