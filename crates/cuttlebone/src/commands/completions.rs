//! `cuttlebone completions`

use std::process::ExitCode;

use anyhow::Result;
use clap::CommandFactory;

use super::config_doc::print;
use crate::cli::{Cli, CompletionsArgs};

pub(super) fn run(args: &CompletionsArgs) -> Result<ExitCode> {
    let mut script = Vec::new();
    clap_complete::generate(args.shell, &mut Cli::command(), "cuttlebone", &mut script);
    print(&String::from_utf8_lossy(&script))
}
