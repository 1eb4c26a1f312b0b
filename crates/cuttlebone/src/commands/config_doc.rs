//! `cuttlebone config-doc`

use std::io::{self, Write};
use std::process::ExitCode;

use anyhow::Result;

use crate::config;

pub(super) fn run() -> Result<ExitCode> {
    print(config::DEFAULTS)
}

/// Prints a text. A reader that has seen enough, such as `head`, is no fault.
pub(super) fn print(text: &str) -> Result<ExitCode> {
    match io::stdout().write_all(text.as_bytes()) {
        Err(error) if error.kind() != io::ErrorKind::BrokenPipe => Err(error.into()),
        _ => Ok(ExitCode::SUCCESS),
    }
}
