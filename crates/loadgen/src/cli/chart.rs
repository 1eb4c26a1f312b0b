//! Charts of reports.

use std::path::PathBuf;

use anyhow::{Context, Result};
use clap::Args;
use cuttlebone_loadgen::chart::chart;

#[derive(Debug, Args)]
pub(crate) struct ChartArgs {
    /// A report, as written by --json
    #[arg(long, value_name = "FILE")]
    from: PathBuf,
    /// Where the SVG goes
    #[arg(long, value_name = "FILE")]
    out: PathBuf,
}

impl ChartArgs {
    pub(crate) fn draw(&self) -> Result<()> {
        let text =
            std::fs::read_to_string(&self.from).with_context(|| format!("cannot read {}", self.from.display()))?;
        let report = serde_json::from_str(&text).with_context(|| format!("{} is no JSON", self.from.display()))?;
        let svg = chart(&report)?.to_string();
        std::fs::write(&self.out, svg).with_context(|| format!("cannot write {}", self.out.display()))
    }
}
