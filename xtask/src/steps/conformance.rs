//! The transcripts against a server on a real socket.

use anyhow::Result;

use crate::shell::{build, command, run_command};

/// Against our own server, which the program starts itself when no address is named.
pub(super) fn run() -> Result<()> {
    with(&[])
}

/// With arguments of its own: `--url ws://HOST:PORT` for any other server.
pub(crate) fn with(args: &[String]) -> Result<()> {
    let mut conformance = command(&build("conformance")?, &[]);
    conformance.args(args);
    run_command(conformance)
}
