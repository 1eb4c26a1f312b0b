//! The web UI and the JavaScript SDK, in Chromium.

use anyhow::Result;

use crate::shell;

pub(super) fn run() -> Result<()> {
    shell::run("bash", &["tests/browser/run.sh"])
}
