//! `cuttlebone token`

mod new;

use std::io::Read;
use std::process::ExitCode;

use anyhow::{Context, Result, bail};
use cuttlebone_access::NewToken;

use super::config_doc::print;
use crate::cli::TokenCommand;

/// More than any token has.
const MOST_BYTES: u64 = 8 * 1024;

pub(super) fn run(command: &TokenCommand) -> Result<ExitCode> {
    match command {
        TokenCommand::New(args) => new::run(args),
        TokenCommand::Hash => hash(),
    }
}

fn hash() -> Result<ExitCode> {
    let mut text = String::new();
    std::io::stdin().take(MOST_BYTES).read_to_string(&mut text).context("cannot read a token on standard input")?;
    let Some(token) = NewToken::parse(text.trim()) else {
        bail!("this is no token: one is cbt_ and 43 more characters, as `cuttlebone token new` makes it");
    };
    print(&format!("{}\n", token.hash()))
}
