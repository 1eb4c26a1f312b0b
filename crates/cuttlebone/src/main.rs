//! Cuttlebone: a signaling server for devices that stream over WebRTC.
//!
//! The binary is the only one that knows files, the environment and signals. It reads the command line,
//! loads the configuration, starts logging and the runtime, and wires the crates together.

mod audit;
mod cli;
mod clock;
mod commands;
mod config;
mod files;
mod last_write;
mod logging;
mod signals;
mod sockets;
mod supervisor;
mod watch;

use std::process::ExitCode;

use clap::Parser;
use cuttlebone_server::BindError;

/// Gives memory back to the system when a storm is over, which the allocator of glibc does not.
#[global_allocator]
static ALLOCATOR: tikv_jemallocator::Jemalloc = tikv_jemallocator::Jemalloc;

/// `EX_CONFIG` of sysexits.h: a supervisor should not try again.
const CONFIG_FAULT: u8 = 78;

fn main() -> ExitCode {
    let cli = cli::Cli::parse();
    let outcome = commands::run(cli.command);
    audit::flush();
    logging::flush();
    match outcome {
        Ok(code) => code,
        Err(error) => {
            eprintln!("cuttlebone: {error:#}");
            ExitCode::from(code_of(&error))
        }
    }
}

fn code_of(error: &anyhow::Error) -> u8 {
    let unusable = matches!(error.downcast_ref(), Some(BindError::Settings(_) | BindError::Tls(_)));
    if unusable || error.is::<config::Faults>() { CONFIG_FAULT } else { 1 }
}
