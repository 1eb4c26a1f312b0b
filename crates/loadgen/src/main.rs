//! The program `loadgen`: arguments in, a table and JSON out.

mod cli;

use std::io::Write;
use std::path::Path;
use std::process::ExitCode;

use anyhow::{Context, Result};
use clap::Parser;
use cuttlebone_loadgen::publish;
use cuttlebone_loadgen::scenario::{self, Report};

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
    if matches!(command, Command::HostileWorker(_) | Command::DisturbWorker(_)) {
        scenario::hostile::step_back()?;
    }
    tokio::runtime::Runtime::new()?.block_on(run(command))
}

/// Runs the scenario and says how many faults there were.
async fn run(command: Command) -> Result<u64> {
    match command {
        Command::Pairs(args) => print(&scenario::pairs::run(&args.options()?).await?, &args.output.json.file),
        Command::FanIn(args) => print(&scenario::fan_in::run(&args.options()?).await?, &args.output.json.file),
        Command::Saturate(args) => print(&scenario::saturate::run(&args.options()?).await?, &args.output.json.file),
        Command::Curve(args) => print(&scenario::curve::run(&args.options()?).await?, &args.output.json.file),
        Command::Churn(args) => print(&scenario::churn::run(&args.options()?).await?, &args.output.json.file),
        Command::Floor(args) => {
            print_as("floor", &scenario::floor::run(&args.options()?).await?, args.json.file.as_deref())
        }
        Command::Ratio(args) => print(&scenario::ratio::run(&args.options()?).await?, &args.output.json.file),
        Command::Versus(args) => print(&scenario::versus::run(&args.options()?).await?, &args.json.file),
        Command::Idle(args) => print(&scenario::idle::run(&args.options()?).await?, &args.output.json.file),
        Command::Memory(args) => print(&scenario::memory::run(&args.options()?).await?, &args.output.json.file),
        Command::Register(args) => print(&scenario::register::run(&args.options()?).await?, &args.output.json.file),
        Command::Storm(args) => print(&scenario::storm::run(&args.options()?).await?, &args.output.json.file),
        Command::Resume(args) => print(&scenario::resume::run(&args.options()?).await?, &args.output.json.file),
        Command::Restart(args) => print(&scenario::restart::run(&args.options()?).await?, &args.json.file),
        Command::Isolation(args) => print(&scenario::isolation::run(&args.options()?).await?, &args.output().json.file),
        Command::Hostile(args) => print(&scenario::hostile::run(&args.options()?).await?, &args.output.json.file),
        Command::Chart(args) => args.draw().map(|()| 0),
        Command::FloorServer(args) => scenario::floor::serve(args.connections).await.map(|()| 0),
        Command::HostileWorker(args) => scenario::hostile::work(&args.orders()?).await.map(|()| 0),
        Command::DisturbWorker(args) => scenario::isolation::work(&args.orders()?).await.map(|()| 0),
    }
}

fn print<R: Report>(report: &R, json: &Option<std::path::PathBuf>) -> Result<u64> {
    print_as(R::SCENARIO, report, json.as_deref())
}

fn print_as<R: Report>(scenario: &str, report: &R, json: Option<&Path>) -> Result<u64> {
    let mut out = std::io::stdout().lock();
    match json {
        Some(path) if path == Path::new("-") => write!(out, "{}", publish::json(scenario, report)?)?,
        Some(path) => {
            write!(out, "{report}")?;
            let text = publish::json(scenario, report)?;
            std::fs::write(path, text).with_context(|| format!("cannot write {}", path.display()))?;
        }
        None => write!(out, "{report}")?,
    }
    Ok(report.faults())
}
