//! One file a command. Each takes its arguments and gives the exit code.

mod check_config;
mod completions;
mod config_doc;
mod demo;
mod device;
mod health;
mod print_config;
mod serve;
mod token;

use std::future::Future;
use std::process::ExitCode;

use anyhow::{Context, Result};

use crate::cli::Command;

/// Runs a command to its end.
pub(crate) fn run(command: Command) -> Result<ExitCode> {
    match command {
        Command::Serve(args) => serve::run(&args),
        Command::Demo(args) => demo::run(&args),
        Command::Device(args) => device::run(&args),
        Command::Token(command) => token::run(&command),
        Command::CheckConfig(args) => check_config::run(&args),
        Command::PrintConfig(args) => print_config::run(&args),
        Command::ConfigDoc => config_doc::run(),
        Command::Health(args) => health::run(&args),
        Command::Completions(args) => completions::run(&args),
    }
}

/// Runs a future on a runtime with one thread a core. A thread that hangs with a file system is not waited for.
fn block_on<T>(future: impl Future<Output = Result<T>>) -> Result<T> {
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().build();
    let runtime = runtime.context("cannot start the runtime")?;
    let outcome = runtime.block_on(future);
    runtime.shutdown_background();
    outcome
}
