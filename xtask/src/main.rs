//! Tasks of the workspace: `cargo xtask ci` is the one command that installs what the tests need and runs them all.

mod ci;
mod cited;
mod clock;
mod layers;
mod server;
mod shell;
mod steps;

use std::process::ExitCode;

use anyhow::Result;
use clap::{Parser, Subcommand};

/// Tasks of the workspace.
#[derive(Debug, Parser)]
#[command(name = "cargo xtask")]
struct Cli {
    #[command(subcommand)]
    task: Task,
}

#[derive(Debug, Subcommand)]
enum Task {
    /// Install what the tests need and run everything; the last line counts the steps
    Ci {
        /// Only this step; may be given more than once
        #[arg(long, value_name = "STEP")]
        only: Vec<String>,
        /// Print the names of the steps
        #[arg(long)]
        list: bool,
    },
    /// Check that no crate imports what it may not
    Layers,
    /// Run the models of the hub's threads in every order; the name of one runs it alone
    Loom(Rest),
    /// Run the simulator over many seeds
    Sim(Rest),
    /// Fuzz every target, or the named ones
    Fuzz {
        /// Seconds for each target
        #[arg(long, default_value_t = steps::fuzz::SECONDS)]
        seconds: u32,
        /// Targets; all if none is named
        targets: Vec<String>,
    },
    /// Run the transcripts against any server that speaks the protocol
    Conformance(Rest),
    /// Try the systemd units in a Debian that is made and booted for it; needs root
    Systemd,
    /// Put an optimized server under load and churn for a long time, and see whether it keeps anything
    Soak {
        /// Seconds of load
        #[arg(long, default_value_t = steps::soak::SECONDS)]
        seconds: u32,
    },
}

/// Arguments that are handed on.
#[derive(Debug, clap::Args)]
struct Rest {
    /// Handed on to the program behind the task
    #[arg(trailing_var_arg = true, allow_hyphen_values = true)]
    args: Vec<String>,
}

fn main() -> ExitCode {
    run(Cli::parse().task).unwrap_or_else(|error| {
        eprintln!("xtask: {error:#}");
        ExitCode::FAILURE
    })
}

fn run(task: Task) -> Result<ExitCode> {
    match task {
        Task::Ci { list: true, .. } => ci::list(),
        Task::Ci { only, .. } => return ci::run(&only),
        Task::Layers => layers::run()?,
        Task::Loom(rest) => steps::loom::with(&rest.args)?,
        Task::Sim(rest) => steps::sim::with(&rest.args)?,
        Task::Fuzz { seconds, targets } => steps::fuzz::with(seconds, &targets)?,
        Task::Conformance(rest) => steps::conformance::with(&rest.args)?,
        Task::Systemd => steps::systemd::with()?,
        Task::Soak { seconds } => steps::soak::with(seconds)?,
    }
    Ok(ExitCode::SUCCESS)
}
