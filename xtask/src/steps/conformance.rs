//! The transcripts against a server on a real socket.

use anyhow::Result;

use crate::server::Running;
use crate::shell::{build, command, run_command};

/// Against our own server with its default settings. What needs others is in the tests of `testkit`.
pub(super) fn run() -> Result<()> {
    let (_server, url) = Running::server()?;
    with(&["--own".to_owned(), "--url".to_owned(), url])
}

/// With arguments of its own: `--url ws://HOST:PORT` for any other server.
pub(crate) fn with(args: &[String]) -> Result<()> {
    let mut conformance = command(&build("conformance")?, &[]);
    conformance.args(args);
    run_command(conformance)
}
