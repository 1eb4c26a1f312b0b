//! The Autobahn cases against our WebSocket.

use anyhow::Result;

use crate::shell;

pub(super) fn run() -> Result<()> {
    shell::run("bash", &["crates/transport/tests/autobahn.sh"])
}
