//! The program `loadgen`: arguments in, a table and JSON out.

mod cli;

use std::fmt::Display;
use std::io::Write;
use std::path::Path;
use std::process::ExitCode;

use anyhow::{Context, Result};
use clap::Parser;
use cuttlebone_loadgen::{scenario, total};
use serde::Serialize;

use cli::{Cli, Command};

fn main() -> ExitCode {
    match start(Cli::parse().command) {
        Ok(0) => ExitCode::SUCCESS,
        Ok(_faults) => ExitCode::FAILURE,
        Err(error) => {
            eprintln!("loadgen: {error:#}");
            ExitCode::FAILURE
        }
    }
}

fn start(command: Command) -> Result<u64> {
    if matches!(command, Command::HostileWorker(_)) {
        scenario::hostile::step_back()?;
    }
    tokio::runtime::Runtime::new()?.block_on(run(command))
}

/// Runs the scenario and says how many faults there were.
async fn run(command: Command) -> Result<u64> {
    match command {
        Command::Pairs(args) => {
            let report = scenario::pairs::run(&args.options()?).await?;
            print(&report, args.output.json.as_deref())?;
            Ok(total(&report.faults))
        }
        Command::Idle(args) => {
            let report = scenario::idle::run(&args.options()?).await?;
            print(&report, args.output.json.as_deref())?;
            Ok(total(&report.faults))
        }
        Command::Register(args) => {
            let report = scenario::register::run(&args.options()?).await?;
            print(&report, args.output.json.as_deref())?;
            Ok(total(&report.device_faults) + total(&report.pair_faults))
        }
        Command::Floor(args) => {
            let report = scenario::floor::run(&args.options()?).await?;
            print(&report, args.json.as_deref())?;
            Ok(total(&report.faults))
        }
        Command::Ratio(args) => {
            let report = scenario::ratio::run(&args.options()?).await?;
            print(&report, args.output.json.as_deref())?;
            Ok(report.rounds.iter().map(|round| total(&round.faults)).sum())
        }
        Command::Hostile(args) => {
            let report = scenario::hostile::run(&args.options()?).await?;
            print(&report, args.output.json.as_deref())?;
            Ok(total(&report.pair_faults))
        }
        Command::FloorServer => scenario::floor::serve().await.map(|()| 0),
        Command::HostileWorker(args) => scenario::hostile::work(&args.orders()?).await.map(|()| 0),
    }
}

fn print<R: Display + Serialize>(report: &R, json: Option<&Path>) -> Result<()> {
    let mut out = std::io::stdout().lock();
    match json {
        Some(path) if path == Path::new("-") => writeln!(out, "{}", serde_json::to_string_pretty(report)?)?,
        Some(path) => {
            write!(out, "{report}")?;
            let text = serde_json::to_string_pretty(report)?;
            std::fs::write(path, text + "\n").with_context(|| format!("cannot write {}", path.display()))?;
        }
        None => write!(out, "{report}")?,
    }
    Ok(())
}
