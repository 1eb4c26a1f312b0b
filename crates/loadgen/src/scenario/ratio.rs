//! `ratio`: what a forward costs the server, as a multiple of the floor.
//!
//! The two take turns on the same machine in the same minutes, since absolute figures drift.

use std::fmt;

use anyhow::{Context, Result, ensure};
use serde::Serialize;

use super::{floor, pairs};
use crate::fault::{self, Faults, total};
use crate::latency::Spread;
use crate::load::Shape;
use crate::sizes::Sizes;
use crate::table;

/// What to do.
#[derive(Clone, Debug)]
pub struct Options {
    /// How the floor is measured.
    pub floor: floor::Options,
    /// How the server is measured. It needs a process to look at.
    pub server: pairs::Options,
    /// How often both.
    pub rounds: usize,
}

/// What came of it.
#[derive(Clone, Debug, Serialize)]
pub struct Report {
    /// Bytes of a payload, or `session`.
    pub payload_bytes: Sizes,
    /// Pairs of a device and a client.
    pub pairs: usize,
    /// Messages of a pair under way at once.
    pub in_flight: usize,
    /// Each round.
    pub rounds: Vec<Round>,
    /// Over the rounds.
    pub ratio: Spread,
    /// The load.
    #[serde(skip)]
    pub shape: Shape,
}

impl super::Report for Report {
    const SCENARIO: &'static str = "ratio";

    fn faults(&self) -> u64 {
        self.rounds.iter().map(|round| total(&round.faults)).sum()
    }
}

/// The floor, and then the server.
#[derive(Clone, Debug, Serialize)]
pub struct Round {
    /// CPU of the relay for a forward.
    pub floor_us: f64,
    /// CPU of the server for a forward.
    pub server_us: f64,
    /// The second divided by the first.
    pub ratio: f64,
    /// Forwards that the relay carried in a second.
    pub floor_forwards_per_second: f64,
    /// Forwards that the server carried in a second.
    pub server_forwards_per_second: f64,
    /// Faults of both.
    pub faults: Faults,
}

/// Runs it.
///
/// # Errors
/// As `pairs` and `floor`, and when there is no process to look at.
pub async fn run(options: &Options) -> Result<Report> {
    ensure!(options.server.meter.is_some(), "the server's process id is needed");
    ensure!(options.rounds > 0, "there must be a round");
    let mut rounds = Vec::new();
    for _ in 0..options.rounds {
        let floor = floor::run(&options.floor).await?;
        let server = pairs::run(&options.server).await?;
        rounds.push(round(floor, &server)?);
    }
    let ratio = Spread::of(rounds.iter().map(|round| round.ratio))?;
    let shape = options.server.shape;
    Ok(Report { payload_bytes: shape.sizes, pairs: shape.pairs, in_flight: shape.in_flight, rounds, ratio, shape })
}

fn round(floor: pairs::Report, server: &pairs::Report) -> Result<Round> {
    let cost = |report: &pairs::Report| {
        let cpu = report.window.cpu.filter(|cpu| cpu.seconds > 0.0);
        cpu.map(|cpu| cpu.us_per_forward).context("no CPU was used: the rounds are too short")
    };
    let (floor_us, server_us) = (cost(&floor)?, cost(server)?);
    let mut faults = floor.faults;
    fault::add(&mut faults, &server.faults);
    Ok(Round {
        floor_us,
        server_us,
        ratio: server_us / floor_us,
        floor_forwards_per_second: floor.window.forwards_per_second,
        server_forwards_per_second: server.window.forwards_per_second,
        faults,
    })
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "{} pairs; {}", self.pairs, self.shape.describe())?;
        writeln!(f, "round  floor \u{b5}s  server \u{b5}s  ratio  floor fwd/s  server fwd/s")?;
        for (n, round) in self.rounds.iter().enumerate() {
            writeln!(
                f,
                "{:5}  {:8.2}  {:9.2}  {:5.2}  {:11.0}  {:12.0}",
                n + 1,
                round.floor_us,
                round.server_us,
                round.ratio,
                round.floor_forwards_per_second,
                round.server_forwards_per_second,
            )?;
        }
        let Spread { min, median, max } = self.ratio;
        writeln!(f, "CPU of a forward: {median:.2} \u{d7} the floor (from {min:.2} to {max:.2})")?;
        self.rounds.iter().try_for_each(|round| match round.faults.is_empty() {
            true => Ok(()),
            false => f.write_str(&table::faults(&round.faults)),
        })
    }
}
