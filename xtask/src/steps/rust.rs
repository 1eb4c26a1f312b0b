//! What cargo does by itself.

use anyhow::Result;

use crate::shell::{cargo, cargo_program, command, run_command};

pub(super) fn fmt() -> Result<()> {
    cargo(&["fmt", "--all", "--check"])
}

pub(super) fn clippy() -> Result<()> {
    cargo(&["clippy", "--workspace", "--all-targets", "--locked", "--", "-D", "warnings"])
}

pub(super) fn doc() -> Result<()> {
    let mut doc = command(&cargo_program(), &["doc", "--workspace", "--no-deps", "--locked"]);
    doc.env("RUSTDOCFLAGS", "-D warnings");
    run_command(doc)
}

pub(super) fn test() -> Result<()> {
    cargo(&["test", "--workspace", "--locked", "--no-fail-fast"])
}
