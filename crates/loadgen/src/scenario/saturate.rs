//! `saturate`: the highest rate that is served in time, and how late half of it is, beside the floor.

use std::fmt;
use std::path::PathBuf;
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use serde::Serialize;

use super::{floor, pairs};
use crate::fault::{Faults, add, total};
use crate::latency::Spread;
use crate::load::{Rate, Shape, Target};
use crate::meter::Meter;
use crate::schedule::Arrivals;
use crate::search::Search;
use crate::table::{self, micros};

/// A rate counts as reached if so much of it was: the rest may be chance.
const REACHED: f64 = 0.98;

/// What to do.
#[derive(Clone, Debug)]
pub struct Options {
    /// The program that is also the floor: this one.
    pub program: PathBuf,
    /// The server.
    pub target: Target,
    /// The load; its rate is what is looked for.
    pub shape: Shape,
    /// How the moments of the messages lie.
    pub arrivals: Arrivals,
    /// What the p99 of a round trip must not pass.
    pub bound: Duration,
    /// Round trips a second to begin with.
    pub first: f64,
    /// How exactly the rate is to be found: 0.05 is 5 %.
    pub precision: f64,
    /// A rate is bad only if so many tries were: one may be the machine's fault.
    pub tries: usize,
    /// Load before each measurement.
    pub warmup: Duration,
    /// How long each rate is tried.
    pub step: Duration,
    /// How long half of it is measured.
    pub duration: Duration,
    /// How often half of it is measured.
    pub rounds: usize,
    /// The server's process, if it is on this machine.
    pub meter: Option<Meter>,
}

/// What came of it. Rates are of round trips.
#[derive(Clone, Debug, Serialize)]
pub struct Report {
    /// Pairs of a device and a client.
    pub pairs: usize,
    /// The load, in words.
    pub load: String,
    /// What the p99 must not pass, in microseconds.
    pub bound_us: f64,
    /// Of the server.
    pub server: Saturation,
    /// Of the floor.
    pub floor: Saturation,
    /// The floor's saturation divided by the server's.
    pub saturation_ratio: f64,
    /// Half of the saturation, again and again.
    pub rounds: Vec<Round>,
    /// The server's p99 at half of its saturation, divided by the floor's at half of its own.
    pub p99_ratio_each_half: Spread,
    /// The same divided by the floor's p99 at the same rate.
    pub p99_ratio_same_rate: Spread,
    /// The same two of p50.
    pub p50_ratio_each_half: Spread,
    /// At the same rate.
    pub p50_ratio_same_rate: Spread,
    /// What went wrong at half of the saturation. Beyond it something must.
    pub faults: Faults,
}

/// Where one of them is saturated.
#[derive(Clone, Debug, Serialize)]
pub struct Saturation {
    /// The highest good rate, in round trips a second.
    pub per_second: f64,
    /// All that was tried.
    pub steps: Vec<Step>,
}

/// One try of one rate.
#[derive(Clone, Debug, Serialize)]
pub struct Step {
    /// Round trips a second that should have been.
    pub per_second: f64,
    /// Those that were.
    pub reached_per_second: f64,
    /// Of a round trip, from when it was due.
    pub p50_us: f64,
    /// Of a round trip, from when it was due.
    pub p99_us: f64,
    /// Share of messages that were sent more than a millisecond late.
    pub sent_late: f64,
    /// CPU of the target, in cores.
    pub cpu_cores: Option<f64>,
    /// Why it was not good; empty if it was.
    pub verdict: String,
}

/// Half of the saturation.
#[derive(Clone, Debug, Serialize)]
pub struct Round {
    /// The server at half of its saturation.
    pub server: Half,
    /// The floor at half of its own.
    pub floor_half: Half,
    /// The floor at the rate of the server.
    pub floor_same: Half,
}

/// Latency at a rate.
#[derive(Clone, Copy, Debug, Serialize)]
pub struct Half {
    /// Round trips a second.
    pub per_second: f64,
    /// Of a round trip.
    pub p50_us: f64,
    /// Of a round trip.
    pub p99_us: f64,
    /// CPU of the target for a forward.
    pub us_per_forward: Option<f64>,
}

impl super::Report for Report {
    const SCENARIO: &'static str = "saturate";

    fn faults(&self) -> u64 {
        total(&self.faults)
    }
}

/// Runs it.
///
/// # Errors
/// When no rate at all is good, and as `pairs` and `floor`.
pub async fn run(options: &Options) -> Result<Report> {
    ensure!(options.rounds > 0 && options.tries > 0, "there must be a round, and a try");
    ensure!(
        options.precision > 0.0 && options.first >= 1.0,
        "the precision must be above 0, the first rate 1 at least"
    );
    let mut run = Run { options, number: 0, faults: Faults::new() };
    let floor = run.saturation(Whom::Floor).await.context("the floor")?;
    let server = run.saturation(Whom::Server).await.context("the server")?;
    let (half, floor_half) = (server.per_second / 2.0, floor.per_second / 2.0);
    let mut rounds = Vec::new();
    for _ in 0..options.rounds {
        rounds.push(Round {
            server: run.half(Whom::Server, half).await?,
            floor_half: run.half(Whom::Floor, floor_half).await?,
            floor_same: run.half(Whom::Floor, half).await?,
        });
    }
    let spread = |ratio: fn(&Round) -> f64| Spread::of(rounds.iter().map(ratio));
    Ok(Report {
        pairs: options.shape.pairs,
        load: options.shape.sizes.to_string(),
        bound_us: options.bound.as_secs_f64() * 1e6,
        saturation_ratio: floor.per_second / server.per_second,
        p99_ratio_each_half: spread(|round| round.server.p99_us / round.floor_half.p99_us)?,
        p99_ratio_same_rate: spread(|round| round.server.p99_us / round.floor_same.p99_us)?,
        p50_ratio_each_half: spread(|round| round.server.p50_us / round.floor_half.p50_us)?,
        p50_ratio_same_rate: spread(|round| round.server.p50_us / round.floor_same.p50_us)?,
        server,
        floor,
        rounds,
        faults: run.faults,
    })
}

#[derive(Clone, Copy, Debug)]
enum Whom {
    Floor,
    Server,
}

struct Run<'a> {
    options: &'a Options,
    /// Each measurement has device ids of its own, so that none meets what an overloaded one left behind.
    number: usize,
    faults: Faults,
}

impl Run<'_> {
    async fn saturation(&mut self, whom: Whom) -> Result<Saturation> {
        let Options { first, precision, bound, .. } = *self.options;
        let mut search = Search::new(first, precision);
        let mut steps = Vec::new();
        while let Some(rate) = search.next() {
            let mut is_good = false;
            for _ in 0..self.options.tries {
                let report = self.measure(whom, rate, self.options.step).await?;
                let step = step(rate, &report, bound);
                is_good = step.verdict.is_empty();
                steps.push(step);
                if is_good {
                    break;
                }
            }
            search.tell(rate, is_good);
        }
        let per_second = search.best().context("not even the lowest rate was served in time")?;
        Ok(Saturation { per_second, steps })
    }

    async fn half(&mut self, whom: Whom, rate: f64) -> Result<Half> {
        let report = self.measure(whom, rate, self.options.duration).await?;
        add(&mut self.faults, &report.faults);
        let latency = &report.window.latency;
        let us_per_forward = report.window.cpu.map(|cpu| cpu.us_per_forward);
        Ok(Half { per_second: rate, p50_us: latency.p50_us, p99_us: latency.p99_us, us_per_forward })
    }

    async fn measure(&mut self, whom: Whom, rate: f64, duration: Duration) -> Result<pairs::Report> {
        let Options { program, target, shape, arrivals, warmup, meter, .. } = self.options;
        self.number += 1;
        let shape = Shape { rate: Rate::PerSecond(rate, *arrivals), ..*shape };
        let (warmup, meter) = (*warmup, *meter);
        match whom {
            Whom::Floor => floor::run(&floor::Options { program: program.clone(), shape, warmup, duration }).await,
            Whom::Server => {
                let target = target.with_suffix(&format!("-{}", self.number));
                pairs::run(&pairs::Options { target, shape, warmup, duration, meter }).await
            }
        }
    }
}

fn step(rate: f64, report: &pairs::Report, bound: Duration) -> Step {
    let window = &report.window;
    let reached = window.round_trips as f64 / window.seconds;
    let (late, unanswered) = match &window.open_loop {
        Some(open) => (open.sent_late as f64 / open.lateness.count.max(1) as f64, open.unanswered),
        None => (0.0, 0),
    };
    let bound_us = bound.as_secs_f64() * 1e6;
    let verdict = if total(&report.faults) > 0 {
        report.faults.iter().map(|(kind, fault)| format!("{} {kind}", fault.count)).collect::<Vec<_>>().join(", ")
    } else if window.latency.count == 0 {
        "nothing measured".into()
    } else if unanswered > 0 {
        format!("{unanswered} not answered")
    } else if window.latency.p99_us > bound_us {
        "too late".into()
    } else if reached < REACHED * rate {
        "not reached".into()
    } else {
        String::new()
    };
    Step {
        per_second: rate,
        reached_per_second: reached,
        p50_us: window.latency.p50_us,
        p99_us: window.latency.p99_us,
        sent_late: late,
        cpu_cores: window.cpu.map(|cpu| cpu.seconds / window.seconds),
        verdict,
    }
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "{} pairs, {}; the p99 must stay below {}\n", self.pairs, self.load, micros(self.bound_us))?;
        for (name, of) in [("floor", &self.floor), ("server", &self.server)] {
            writeln!(f, "{name:6}  trips/s  reached       p50       p99  sent late  CPU cores")?;
            for step in &of.steps {
                let cpu = step.cpu_cores.map_or_else(|| "-".into(), |cores| format!("{cores:.2}"));
                let (p50, p99, late) = (micros(step.p50_us), micros(step.p99_us), 100.0 * step.sent_late);
                let (rate, reached, verdict) = (step.per_second, step.reached_per_second, &step.verdict);
                writeln!(
                    f,
                    "        {rate:7.0}  {reached:7.0}  {p50:>8}  {p99:>8}  {late:7.1} %  {cpu:>9}  {verdict}"
                )?;
            }
            writeln!(f, "{name} saturated at {:.0} round trips /s\n", of.per_second)?;
        }
        writeln!(f, "at half of it      trips/s       p50       p99")?;
        for round in &self.rounds {
            for (name, half) in [
                ("server", round.server),
                ("floor, half of its", round.floor_half),
                ("floor, same rate", round.floor_same),
            ] {
                let (p50, p99) = (micros(half.p50_us), micros(half.p99_us));
                writeln!(f, "{name:18} {:7.0}  {p50:>8}  {p99:>8}", half.per_second)?;
            }
        }
        writeln!(f, "\nsaturation of the floor: {:.2} \u{d7} that of the server", self.saturation_ratio)?;
        writeln!(f, "p99, each at half of its saturation: {} \u{d7} the floor", self.p99_ratio_each_half)?;
        writeln!(f, "p99, at the same rate: {} \u{d7} the floor", self.p99_ratio_same_rate)?;
        writeln!(f, "p50, each at half of its saturation: {} \u{d7} the floor", self.p50_ratio_each_half)?;
        writeln!(f, "p50, at the same rate: {} \u{d7} the floor", self.p50_ratio_same_rate)?;
        f.write_str(&table::faults(&self.faults))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fault::{Fault, count};
    use crate::latency::Latency;
    use crate::load::{OpenLoop, Window};
    use crate::sizes::Sizes;

    fn report(round_trips: u64, p99_us: f64, unanswered: u64) -> pairs::Report {
        let latency = Latency { count: 1000, p99_us, ..Latency::default() };
        let lateness = Latency { count: 1000, ..Latency::default() };
        let open = OpenLoop { planned_per_second: 500.0, reached_per_second: 0.0, sent_late: 10, lateness, unanswered };
        let shape =
            Shape { pairs: 1, fan: 1, sizes: Sizes::Session, in_flight: 1, rate: Rate::ClosedLoop, connect_rate: 1.0 };
        pairs::Report {
            pairs: 1,
            payload_bytes: Sizes::Session,
            in_flight: 1,
            window: Window {
                seconds: 2.0,
                round_trips,
                forwards_per_second: 0.0,
                latency,
                open_loop: Some(open),
                cpu: None,
            },
            memory: None,
            faults: Faults::new(),
            shape,
        }
    }

    #[test]
    fn a_rate_is_good_when_it_is_reached_in_time_without_a_fault() {
        let bound = Duration::from_millis(20);
        let verdict = |report: &pairs::Report| step(500.0, report, bound).verdict;
        assert_eq!(verdict(&report(1000, 19_999.0, 0)), "");
        assert_eq!(verdict(&report(981, 19_999.0, 0)), "");
        assert_eq!(verdict(&report(979, 19_999.0, 0)), "not reached");
        assert_eq!(verdict(&report(1000, 20_001.0, 0)), "too late");
        assert_eq!(verdict(&report(1000, 100.0, 3)), "3 not answered");
        let mut empty = report(1000, 0.0, 0);
        empty.window.latency.count = 0;
        assert_eq!(verdict(&empty), "nothing measured");
        let mut faulty = report(1000, 100.0, 0);
        count(&mut faulty.faults, &Fault::Closed(Some(4029)));
        assert_eq!(verdict(&faulty), "1 closed_4029");
        let step = step(500.0, &report(1000, 1.0, 0), bound);
        assert!((step.sent_late - 0.01).abs() < 1e-9 && (step.reached_per_second - 500.0).abs() < 1e-9);
    }
}
