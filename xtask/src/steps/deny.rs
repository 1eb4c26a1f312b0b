//! Licences, sources and banned crates, by `deny.toml`.

use anyhow::Result;

use super::tools;
use crate::shell;

pub(super) fn run() -> Result<()> {
    tools::pinned("cargo-deny", &tools::DENY)?;
    shell::run("cargo-deny", &["--locked", "check", "--hide-inclusion-graph", "bans", "licenses", "sources"])
}
