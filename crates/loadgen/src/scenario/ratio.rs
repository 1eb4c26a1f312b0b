//! `ratio`: what a forward costs the server, as a multiple of the floor.
//!
//! The two take turns on the same machine in the same minutes, since absolute figures drift.

use std::fmt;

use anyhow::{Context, Result, ensure};
use serde::Serialize;

use super::{floor, pairs};
use crate::fault::{self, Faults};
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
    /// Bytes of a payload.
    pub payload_bytes: usize,
    /// Pairs of a device and a client.
    pub pairs: usize,
    /// Messages of a pair under way at once.
    pub in_flight: usize,
    /// Each round.
    pub rounds: Vec<Round>,
    /// Over the rounds.
    pub ratio: Spread,
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

/// Over some figures.
#[derive(Clone, Copy, Debug, Serialize)]
pub struct Spread {
    /// The smallest.
    pub min: f64,
    /// The middle one.
    pub median: f64,
    /// The largest.
    pub max: f64,
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
    let ratio = spread(rounds.iter().map(|round| round.ratio).collect());
    let shape = options.server.shape;
    Ok(Report { payload_bytes: shape.payload, pairs: shape.pairs, in_flight: shape.in_flight, rounds, ratio })
}

fn round(floor: pairs::Report, server: &pairs::Report) -> Result<Round> {
    let cost = |report: &pairs::Report| {
        let cpu = report.window.cpu.filter(|cpu| cpu.seconds > 0.0);
        cpu.map(|cpu| cpu.us_per_forward).context("no CPU was used: the rounds are too short")
    };
    let (floor_us, server_us) = (cost(&floor)?, cost(server)?);
    let mut faults = floor.faults;
    for (kind, more) in &server.faults {
        let entry = faults.entry(kind).or_insert_with(|| fault::FaultCount { count: 0, ..more.clone() });
        entry.count += more.count;
    }
    Ok(Round {
        floor_us,
        server_us,
        ratio: server_us / floor_us,
        floor_forwards_per_second: floor.window.forwards_per_second,
        server_forwards_per_second: server.window.forwards_per_second,
        faults,
    })
}

fn spread(mut figures: Vec<f64>) -> Spread {
    figures.sort_by(f64::total_cmp);
    let middle = figures.len() / 2;
    let median =
        if figures.len() % 2 == 1 { figures[middle] } else { f64::midpoint(figures[middle - 1], figures[middle]) };
    Spread { min: figures[0], median, max: figures[figures.len() - 1] }
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { pairs, payload_bytes, in_flight, ratio, .. } = self;
        writeln!(f, "{pairs} pairs, payload {payload_bytes} bytes, {in_flight} in flight")?;
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
        let Spread { min, median, max } = ratio;
        writeln!(f, "CPU of a forward: {median:.2} \u{d7} the floor (from {min:.2} to {max:.2})")?;
        self.rounds.iter().try_for_each(|round| match round.faults.is_empty() {
            true => Ok(()),
            false => f.write_str(&table::faults(&round.faults)),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_median_of_an_even_number_lies_between() {
        let spread = spread(vec![4.0, 1.0, 2.0, 3.0]);
        assert!((spread.median - 2.5).abs() < 1e-9, "{spread:?}");
        assert!((spread.min - 1.0).abs() < 1e-9 && (spread.max - 4.0).abs() < 1e-9);
    }
}
