//! `cargo xtask layers`: the walls between the crates.
//!
//! Checked are: which of our crates a crate may import ([`table`]), which outside crates only some may ([`table`]), that
//! each outside crate has its reason in `docs/DECISIONS.md` ([`reasons`]), and which paths only some may name in their
//! source ([`source`]).

mod graph;
mod reasons;
mod source;
mod table;

use anyhow::{Result, bail};

use graph::Graph;

/// Checks the workspace. The source of this program is not scanned: it holds the forbidden names as text.
pub(crate) fn run() -> Result<()> {
    let graph = Graph::load()?;
    let mut faults = graph.faults();
    faults.extend(reasons::faults(&graph.outside())?);
    for package in graph.packages.iter().filter(|package| package.name != env!("CARGO_PKG_NAME")) {
        faults.extend(source::faults(package)?);
    }
    if faults.is_empty() {
        println!("{} crates, no forbidden import", graph.packages.len());
        return Ok(());
    }
    faults.sort();
    bail!("forbidden imports:\n  {}", faults.join("\n  "))
}
