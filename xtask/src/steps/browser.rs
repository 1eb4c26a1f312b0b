//! The web UI and the JavaScript SDK, in Node and in Chromium.

use anyhow::Result;

use crate::shell::{build, command, run_command};

pub(super) fn run() -> Result<()> {
    let mut tests = command("bash", &["tests/browser/run.sh"]);
    tests.env("CUTTLEBONE_BIN", build("cuttlebone")?);
    run_command(tests)
}
