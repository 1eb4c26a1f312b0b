//! `curve`: what a forward costs with few pairs and with many, at one rate over all of them.

use std::fmt;
use std::path::PathBuf;
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use serde::Serialize;

use super::floor::Relay;
use super::pairs;
use crate::descriptors;
use crate::fault::{Faults, add, total};
use crate::latency::Spread;
use crate::load::{Shape, Target};
use crate::meter::Meter;
use crate::table::{self, micros};

/// What to do.
#[derive(Clone, Debug)]
pub struct Options {
    /// The program that is also the floor: this one.
    pub program: PathBuf,
    /// The server.
    pub target: Target,
    /// The load; its number of pairs is replaced.
    pub shape: Shape,
    /// The numbers of pairs.
    pub counts: Vec<usize>,
    /// Load before each measurement.
    pub warmup: Duration,
    /// How long each is measured.
    pub duration: Duration,
    /// How often each is measured.
    pub rounds: usize,
    /// The server's process.
    pub meter: Meter,
}

/// What came of it.
#[derive(Clone, Debug, Serialize)]
pub struct Report {
    /// The load, in words.
    pub load: String,
    /// One number of pairs each.
    pub points: Vec<Point>,
    /// Numbers of pairs that do not fit on this machine, and why.
    pub left_out: Vec<(usize, String)>,
    /// What went wrong.
    pub faults: Faults,
}

/// With so many pairs.
#[derive(Clone, Debug, Serialize)]
pub struct Point {
    /// Pairs of a device and a client.
    pub pairs: usize,
    /// CPU of the relay for a forward, in microseconds.
    pub floor_us: Spread,
    /// CPU of the server for a forward.
    pub server_us: Spread,
    /// The second divided by the first.
    pub ratio: Spread,
    /// p99 of a round trip through the relay.
    pub floor_p99_us: Spread,
    /// p99 of a round trip through the server.
    pub server_p99_us: Spread,
    /// Round trips a second that the server reached, at least.
    pub reached_per_second: f64,
}

impl super::Report for Report {
    const SCENARIO: &'static str = "curve";

    fn faults(&self) -> u64 {
        total(&self.faults)
    }
}

/// Runs it.
///
/// # Errors
/// As `pairs` and `floor`. A number of pairs that needs more file descriptors than there are is left out.
pub async fn run(options: &Options) -> Result<Report> {
    ensure!(options.rounds > 0 && !options.counts.is_empty(), "there must be a round, and a number of pairs");
    let mut report =
        Report { load: options.shape.describe(), points: Vec::new(), left_out: Vec::new(), faults: Faults::new() };
    for pairs in &options.counts {
        let shape = Shape { pairs: *pairs, ..options.shape };
        let room = descriptors::make_room(shape.connections())
            .and_then(|()| descriptors::server_has_room(Some(options.meter), shape.connections()));
        match room {
            Ok(()) => report.points.push(point(options, shape, &mut report.faults).await?),
            Err(error) => report.left_out.push((*pairs, error.to_string())),
        }
    }
    Ok(report)
}

async fn point(options: &Options, shape: Shape, faults: &mut Faults) -> Result<Point> {
    let (mut floors, mut servers) = (Vec::new(), Vec::new());
    for round in 0..options.rounds {
        let relay = Relay::start(&options.program, shape.connections()).await?;
        let floor = measure(options, relay.target(), shape, relay.meter()).await?;
        relay.stop().await?;
        let target = options.target.with_suffix(&format!("-{}-{round}", shape.pairs));
        let server = measure(options, target, shape, options.meter).await?;
        add(faults, &floor.faults);
        add(faults, &server.faults);
        floors.push(floor.window);
        servers.push(server.window);
    }
    let cost = |windows: &[crate::load::Window]| -> Result<Vec<f64>> {
        let cost = |window: &crate::load::Window| {
            let cpu = window.cpu.filter(|cpu| cpu.seconds > 0.0);
            cpu.map(|cpu| cpu.us_per_forward).context("no CPU was used: the rounds are too short")
        };
        windows.iter().map(cost).collect()
    };
    let (floor_us, server_us) = (cost(&floors)?, cost(&servers)?);
    let reached = servers.iter().map(|window| window.round_trips as f64 / window.seconds);
    Ok(Point {
        pairs: shape.pairs,
        ratio: Spread::of(server_us.iter().zip(&floor_us).map(|(server, floor)| server / floor))?,
        floor_us: Spread::of(floor_us)?,
        server_us: Spread::of(server_us)?,
        floor_p99_us: Spread::of(floors.iter().map(|window| window.latency.p99_us))?,
        server_p99_us: Spread::of(servers.iter().map(|window| window.latency.p99_us))?,
        reached_per_second: reached.fold(f64::INFINITY, f64::min),
    })
}

async fn measure(options: &Options, target: Target, shape: Shape, meter: Meter) -> Result<pairs::Report> {
    let Options { warmup, duration, .. } = options;
    let meter = Some(meter);
    pairs::run(&pairs::Options { target, shape, warmup: *warmup, duration: *duration, meter }).await
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "{}; medians; CPU is of a forward\n", self.load)?;
        writeln!(f, " pairs  floor CPU  server CPU   ratio: median (from - to)   floor p99  server p99  reached")?;
        for point in &self.points {
            let (floor, server) = (micros(point.floor_us.median), micros(point.server_us.median));
            let (floor_p99, server_p99) = (micros(point.floor_p99_us.median), micros(point.server_p99_us.median));
            let (pairs, reached, ratio) = (point.pairs, point.reached_per_second, point.ratio.to_string());
            writeln!(
                f,
                "{pairs:6}  {floor:>9}  {server:>10}  {ratio:>26}  {floor_p99:>10}  {server_p99:>10}  {reached:.0} /s"
            )?;
        }
        for (pairs, why) in &self.left_out {
            writeln!(f, "{pairs:6}  left out: {why}")?;
        }
        f.write_str(&table::faults(&self.faults))
    }
}
