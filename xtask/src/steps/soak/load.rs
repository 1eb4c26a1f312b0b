//! The load: four programs beside each other, with payloads as long as those of a real session.
//!
//! The pairs stay from beginning to end. Sessions that come and go end in both ways: most are closed, some are cut, so
//! that the server also keeps what it keeps for those that might come back, and has to forget it. The resuming clients are
//! cut all at once every ten seconds.

use std::fs::{self, File};
use std::path::{Path, PathBuf};
use std::thread::sleep;
use std::time::Duration;

use anyhow::{Context, Result, bail};

use crate::clock;
use crate::server::Running;
use crate::shell::command;

/// Seconds between two cuts of the resuming clients.
const CUT_EVERY: u64 = 10;

/// How long a load goes on after the last sample was due, so that each is of the whole load.
const MARGIN: Duration = Duration::from_secs(2);

/// How long the last load may take to end, for a run without length.
const PATIENCE: Duration = Duration::from_secs(60);

const PAIRS: &str = "pairs --pairs 50 --rate 1000 --warmup 0";
const CHURN: &str = "churn --rate 100 --messages 3";
const CUTS: &str = "churn --rate 25 --messages 3 --cut";
const RESUME: &str = "resume --clients 50 --rate 100";

/// A load generator at work; ended when dropped.
pub(super) struct Load {
    name: &'static str,
    process: Running,
    report: PathBuf,
}

/// The arguments of each load, by its name.
fn arguments(planned: Duration) -> [(&'static str, String); 4] {
    let seconds = (planned + MARGIN).as_secs();
    // One more pause than rounds. It is the last to end.
    let rounds = seconds.div_ceil(CUT_EVERY) - 1;
    [
        ("pairs", format!("{PAIRS} --duration {seconds}")),
        ("churn", format!("{CHURN} --duration {seconds}")),
        ("cuts", format!("{CUTS} --duration {seconds}")),
        ("resume", format!("{RESUME} --pause {CUT_EVERY} --rounds {rounds}")),
    ]
}

/// Starts all of it. The reports go to the folder.
pub(super) fn start(program: &str, url: &str, planned: Duration, folder: &Path) -> Result<Vec<Load>> {
    let all = arguments(planned).into_iter().map(|(name, line)| {
        let report = folder.join(name).with_extension("txt");
        let mut load = command(program, &line.split(' ').collect::<Vec<_>>());
        load.args(["--sizes", "session", "--arrivals", "poisson", "--prefix", name, "--url", url]);
        load.stdout(File::create(&report).with_context(|| format!("cannot write {}", report.display()))?);
        println!("$ loadgen {line}");
        Ok(Load { name, process: Running::spawn(load)?, report })
    });
    all.collect()
}

/// Waits until each has ended; the names of those that failed, whose reports are printed.
pub(super) fn finish(loads: Vec<Load>, planned: Duration) -> Result<Vec<&'static str>> {
    let (begin, patience) = (clock::now(), PATIENCE + planned / 20);
    let mut failed = Vec::new();
    for mut load in loads {
        let status = loop {
            match load.process.try_wait()? {
                Some(status) => break status,
                None if begin.elapsed() >= patience => bail!("{} did not end within {patience:?}", load.name),
                None => sleep(Duration::from_millis(100)),
            }
        };
        if !status.success() {
            println!("\n{}\n{}", load.name, load.report()?);
            failed.push(load.name);
        }
    }
    Ok(failed)
}

impl Load {
    /// That it has ended is an error.
    pub(super) fn still_on(&mut self) -> Result<()> {
        match self.process.try_wait()? {
            None => Ok(()),
            Some(status) => bail!("{} ended too early ({status})\n{}", self.name, self.report()?),
        }
    }

    fn report(&self) -> Result<String> {
        fs::read_to_string(&self.report).with_context(|| format!("cannot read {}", self.report.display()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_load_lasts_longer_than_the_samples() {
        for seconds in [120, 300, 3600] {
            let lines = arguments(Duration::from_secs(seconds));
            let number = |line: &str, key: &str| -> u64 {
                let mut words = line.split(' ').skip_while(|word| *word != key);
                words.nth(1).and_then(|word| word.parse().ok()).unwrap_or_default()
            };
            for (name, line) in lines {
                let rounds = number(&line, "--rounds");
                let lasts = number(&line, "--duration").max((rounds + 1) * CUT_EVERY);
                assert!((seconds + 2..=seconds + 12).contains(&lasts), "{name}: {lasts}");
            }
        }
    }

    /// A load that is a line of shell.
    fn load(name: &'static str, line: &str) -> Load {
        let report = std::env::temp_dir().join(format!("soak-test-{}-{name}", std::process::id()));
        let mut shell = command("sh", &["-c", line]);
        shell.stdout(File::create(&report).unwrap());
        Load { name, process: Running::spawn(shell).unwrap(), report }
    }

    #[test]
    fn a_load_that_fails_is_named() {
        let loads = vec![load("fails", "echo FAULTS; exit 1"), load("succeeds", "true")];
        let reports: Vec<PathBuf> = loads.iter().map(|load| load.report.clone()).collect();
        assert_eq!(finish(loads, Duration::ZERO).unwrap(), ["fails"]);
        reports.iter().for_each(|report| fs::remove_file(report).unwrap());
    }

    #[test]
    fn a_load_that_ends_too_early_is_an_error_with_its_report() {
        let mut load = load("early", "echo the reason");
        let error = loop {
            if let Err(error) = load.still_on() {
                break error.to_string();
            }
        };
        assert!(error.contains("too early") && error.contains("the reason"), "{error}");
        fs::remove_file(&load.report).unwrap();
    }
}
