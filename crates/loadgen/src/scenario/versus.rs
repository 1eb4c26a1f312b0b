//! `versus`: two servers under the same load, in turns, and the second as a multiple of the first.

use std::fmt;

use anyhow::{Result, ensure};
use serde::Serialize;

use super::{Report as _, churn, fan_in, pairs, storm};
use crate::latency::Spread;
use crate::load::Target;
use crate::meter::Meter;
use crate::table::micros;

/// The load. What it says of the target and of the process to look at is replaced.
#[derive(Clone, Debug)]
pub enum Scenario {
    /// See [`pairs`].
    Pairs(pairs::Options),
    /// See [`fan_in`].
    FanIn(pairs::Options),
    /// See [`churn`].
    Churn(churn::Options),
    /// See [`storm`].
    Storm(storm::Options),
}

/// One of the two.
#[derive(Clone, Debug)]
pub struct Server {
    /// Where it is.
    pub endpoint: cuttlebone_client::Endpoint,
    /// Its process, if it is on this machine.
    pub meter: Option<Meter>,
}

/// What to do.
#[derive(Clone, Debug)]
pub struct Options {
    /// The one that is the measure.
    pub a: Server,
    /// The one that is measured by it.
    pub b: Server,
    /// How the ids of our devices begin.
    pub prefix: String,
    /// The load.
    pub scenario: Scenario,
    /// How often both.
    pub rounds: usize,
}

/// What one run of one server says.
#[derive(Clone, Copy, Debug, Serialize)]
pub struct Figures {
    /// What half of the round trips, set-ups or registrations took at most, in microseconds.
    pub p50_us: f64,
    /// What 99 of 100 took at most.
    pub p99_us: f64,
    /// Forwards, sessions or registrations in a second.
    pub per_second: f64,
    /// CPU of one of them, in microseconds.
    pub cpu_us: Option<f64>,
    /// What went wrong.
    pub faults: u64,
}

/// A, and then B.
#[derive(Clone, Copy, Debug, Serialize)]
pub struct Round {
    /// The measure.
    pub a: Figures,
    /// The other.
    pub b: Figures,
}

/// What came of it.
#[derive(Clone, Debug, Serialize)]
pub struct Report {
    /// The load.
    pub load: &'static str,
    /// What is counted and timed, in words.
    pub unit: &'static str,
    /// Where A is.
    pub a: String,
    /// Where B is.
    pub b: String,
    /// In turns.
    pub rounds: Vec<Round>,
    /// B divided by A.
    pub p50_ratio: Spread,
    /// B divided by A.
    pub p99_ratio: Spread,
    /// B divided by A.
    pub rate_ratio: Spread,
    /// B divided by A, if there were processes to look at.
    pub cpu_ratio: Option<Spread>,
}

impl super::Report for Report {
    const SCENARIO: &'static str = "versus";

    fn faults(&self) -> u64 {
        self.rounds.iter().map(|round| round.a.faults + round.b.faults).sum()
    }
}

/// Runs it.
///
/// # Errors
/// As the load.
pub async fn run(options: &Options) -> Result<Report> {
    let Options { a, b, prefix, scenario, rounds } = options;
    ensure!(*rounds > 0, "there must be a round");
    let mut done = Vec::new();
    for n in 0..*rounds {
        done.push(Round {
            a: scenario.measure(a, &format!("{prefix}-a{n}")).await?,
            b: scenario.measure(b, &format!("{prefix}-b{n}")).await?,
        });
    }
    let ratio = |figure: fn(&Figures) -> f64| Spread::of(done.iter().map(|round| figure(&round.b) / figure(&round.a)));
    let cpu: Option<Vec<f64>> = done.iter().map(|round| Some(round.b.cpu_us? / round.a.cpu_us?)).collect();
    Ok(Report {
        load: scenario.name(),
        unit: scenario.unit(),
        a: a.endpoint.to_string(),
        b: b.endpoint.to_string(),
        p50_ratio: ratio(|figures| figures.p50_us)?,
        p99_ratio: ratio(|figures| figures.p99_us)?,
        rate_ratio: ratio(|figures| figures.per_second)?,
        cpu_ratio: cpu.map(Spread::of).transpose()?,
        rounds: done,
    })
}

impl Scenario {
    fn name(&self) -> &'static str {
        match self {
            Self::Pairs(_) => pairs::Report::SCENARIO,
            Self::FanIn(_) => fan_in::Report::SCENARIO,
            Self::Churn(_) => churn::Report::SCENARIO,
            Self::Storm(_) => storm::Report::SCENARIO,
        }
    }

    fn unit(&self) -> &'static str {
        match self {
            Self::Pairs(_) | Self::FanIn(_) => "forwards; latency of round trips",
            Self::Churn(_) => "sessions; latency of their set-up",
            Self::Storm(_) => "registrations; latency of a registration",
        }
    }

    async fn measure(&self, server: &Server, prefix: &str) -> Result<Figures> {
        let Server { endpoint, meter } = server.clone();
        let prefix = prefix.to_owned();
        let target = Target::Server { endpoint: endpoint.clone(), prefix: prefix.clone() };
        Ok(match self {
            Self::Pairs(options) => of_pairs(&pairs::run(&pairs::Options { target, meter, ..options.clone() }).await?),
            Self::FanIn(options) => {
                of_pairs(&fan_in::run(&pairs::Options { target, meter, ..options.clone() }).await?.load)
            }
            Self::Churn(options) => of_churn(&churn::run(&churn::Options { target, meter, ..options.clone() }).await?),
            Self::Storm(options) => {
                let options = storm::Options { endpoint, prefix, meter, ..options.clone() };
                let before = meter.map(|meter| meter.cpu()).transpose()?;
                let report = storm::run(&options).await?;
                let after = meter.map(|meter| meter.cpu()).transpose()?;
                let cpu = after.zip(before).map(|(after, before)| after.saturating_sub(before).as_secs_f64());
                of_storm(&report, cpu)
            }
        })
    }
}

fn of_pairs(report: &pairs::Report) -> Figures {
    let pairs::Report { window, .. } = report;
    Figures {
        p50_us: window.latency.p50_us,
        p99_us: window.latency.p99_us,
        per_second: window.forwards_per_second,
        cpu_us: window.cpu.map(|cpu| cpu.us_per_forward),
        faults: report.faults(),
    }
}

fn of_churn(report: &churn::Report) -> Figures {
    Figures {
        p50_us: report.setup.p50_us,
        p99_us: report.setup.p99_us,
        per_second: report.per_second,
        cpu_us: report.us_per_session,
        faults: report.faults(),
    }
}

fn of_storm(report: &storm::Report, cpu_seconds: Option<f64>) -> Figures {
    let came = report.registered.came as f64;
    let last = report.registered.curve.last().map_or(f64::NAN, |(at, _)| *at);
    Figures {
        p50_us: report.registration.p50_us,
        p99_us: report.registration.p99_us,
        per_second: came / last,
        cpu_us: cpu_seconds.map(|seconds| seconds * 1e6 / came),
        faults: report.faults(),
    }
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "A: {}\nB: {}\n{}: {}\n", self.a, self.b, self.load, self.unit)?;
        writeln!(f, "round       p50       p99       /s   CPU of one  faults")?;
        for (n, round) in self.rounds.iter().enumerate() {
            for (name, figures) in [("A", round.a), ("B", round.b)] {
                let [p50, p99] = [figures.p50_us, figures.p99_us].map(micros);
                let cpu = figures.cpu_us.map_or_else(|| "-".to_owned(), micros);
                let (rate, faults) = (figures.per_second, figures.faults);
                writeln!(f, "{:3} {name}  {p50:>8}  {p99:>8}  {rate:7.0}  {cpu:>11}  {faults:6}", n + 1)?;
            }
        }
        writeln!(f, "\nB / A: p50 {}", self.p50_ratio)?;
        writeln!(f, "       p99 {}", self.p99_ratio)?;
        writeln!(f, "       rate {}", self.rate_ratio)?;
        match &self.cpu_ratio {
            Some(ratio) => writeln!(f, "       CPU {ratio}"),
            None => Ok(()),
        }
    }
}
