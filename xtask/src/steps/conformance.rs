//! The transcripts against a server on a real socket.

use anyhow::Result;

use crate::shell::{cargo_program, command, run_command};

/// Against our own server, which the program starts itself when no address is named.
pub(super) fn run() -> Result<()> {
    with(&[])
}

/// With arguments of its own: `--url ws://HOST:PORT` for any other server.
pub(crate) fn with(args: &[String]) -> Result<()> {
    let mut conformance =
        command(&cargo_program(), &["run", "--locked", "-p", "cuttlebone-testkit", "--bin", "conformance", "--"]);
    conformance.args(args);
    run_command(conformance)
}
