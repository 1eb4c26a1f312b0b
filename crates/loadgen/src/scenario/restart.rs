//! `restart`: the server goes and comes again; how long until devices and clients are back, and what it cost them.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Result, ensure};
use serde::Serialize;
use tokio::time::{Instant, sleep};

use super::resume::{heard, over, totals};
use crate::descriptors;
use crate::fleet::{Fleet, Plan, Totals, Who};
use crate::latency::Spread;
use crate::recovery::Recovery;
use crate::service::{Ending, Service};
use crate::table::Table;

const LOOK_EVERY: Duration = Duration::from_millis(2);

/// Who restarts the server.
#[derive(Clone, Debug)]
pub enum Restarter {
    /// This program: it starts the command line, ends it so, and starts it again.
    Command {
        /// For the shell; it replaces the shell, so that signals reach it.
        line: String,
        /// How it is ended.
        ending: Ending,
    },
    /// Whoever is told to. The time begins with the first connection that breaks.
    Caller(Notice),
}

/// Tells somebody to restart the server now; the number is that of the round.
#[derive(Clone)]
pub struct Notice(pub Arc<dyn Fn(usize) + Send + Sync>);

impl fmt::Debug for Notice {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Notice")
    }
}

/// What to do.
#[derive(Clone, Debug)]
pub struct Options {
    /// Who is there.
    pub plan: Plan,
    /// Who restarts the server.
    pub restarter: Restarter,
    /// How often.
    pub rounds: usize,
    /// The time between.
    pub pause: Duration,
    /// How long a start, an end, and all peers' return may take, each.
    pub patience: Duration,
}

/// What came of it.
#[derive(Clone, Debug, Serialize)]
pub struct Report {
    /// `term`, `kill`, or `caller`.
    pub restarted_by: &'static str,
    /// Devices.
    pub devices: usize,
    /// Clients.
    pub clients: usize,
    /// Messages a second over all clients.
    pub per_second: f64,
    /// From the signal on, or from the first connection that broke, if the caller restarts.
    pub rounds: Vec<Recovery>,
    /// When 95 % were back, if they were each time.
    pub p95_seconds: Option<Spread>,
    /// When all were back, if they were each time.
    pub all_seconds: Option<Spread>,
    /// From the first that was back to the last, if all were back each time.
    pub all_after_first_seconds: Option<Spread>,
    /// Messages and sessions.
    pub totals: Totals,
}

impl super::Report for Report {
    const SCENARIO: &'static str = "restart";

    fn faults(&self) -> u64 {
        self.totals.count_faults() + self.rounds.iter().map(Recovery::missing).sum::<u64>()
    }
}

/// Runs it.
///
/// # Errors
/// When the plan is impossible, the server can't be started or ended, or not all connect at first.
pub async fn run(options: &Options) -> Result<Report> {
    let Options { plan, restarter, patience, .. } = options;
    ensure!(options.rounds > 0, "there must be a round");
    descriptors::make_room(2 * (plan.devices + plan.clients))?;
    let mut service = match restarter {
        Restarter::Command { line, .. } => Some(Service::start(line, &plan.endpoint, *patience).await?),
        Restarter::Caller(_) => None,
    };
    let fleet = Fleet::start(plan, *patience).await?;
    let mut rounds = Vec::new();
    for n in 0..options.rounds {
        sleep(options.pause).await;
        rounds.push(round(&fleet, options, &mut service, n).await?);
    }
    sleep(options.pause).await;
    let totals = fleet.stop().await;
    if let Some(service) = service {
        service.end(Ending::Term, *patience).await?;
    }
    let restarted_by = match restarter {
        Restarter::Command { ending: Ending::Term, .. } => "term",
        Restarter::Command { ending: Ending::Kill, .. } => "kill",
        Restarter::Caller(_) => "caller",
    };
    Ok(Report {
        restarted_by,
        devices: plan.devices,
        clients: plan.clients,
        per_second: plan.per_second,
        p95_seconds: over(&rounds, |round| round.p95_seconds),
        all_seconds: over(&rounds, |round| round.all_seconds),
        all_after_first_seconds: over(&rounds, |round| Some(round.all_seconds? - round.first_seconds?)),
        rounds,
        totals,
    })
}

async fn round(fleet: &Fleet, options: &Options, service: &mut Option<Service>, n: usize) -> Result<Recovery> {
    let Options { plan, restarter, patience, .. } = options;
    let start = fleet.mark();
    match restarter {
        Restarter::Command { line, ending } => {
            if let Some(running) = service.take() {
                running.end(*ending, *patience).await?;
            }
            *service = Some(Service::start(line, &plan.endpoint, *patience).await?);
            Ok(fleet.wait(Who::All, Instant::now() + *patience).await)
        }
        Restarter::Caller(Notice(notify)) => {
            notify(n);
            let broke = first_break(fleet, start + *patience).await?;
            let recovery = fleet.wait(Who::All, broke + *patience).await;
            Ok(shifted(&recovery, (broke - start).as_secs_f64()))
        }
    }
}

async fn first_break(fleet: &Fleet, end: Instant) -> Result<Instant> {
    loop {
        if let Some(broke) = fleet.first_break() {
            return Ok(broke);
        }
        ensure!(Instant::now() < end, "nobody has restarted the server: no connection broke");
        sleep(LOOK_EVERY).await;
    }
}

/// The same with the time counted from later on.
fn shifted(recovery: &Recovery, by: f64) -> Recovery {
    let moment = |at: Option<f64>| at.map(|at| (at - by).max(0.0));
    Recovery {
        first_seconds: moment(recovery.first_seconds),
        p95_seconds: moment(recovery.p95_seconds),
        all_seconds: moment(recovery.all_seconds),
        curve: recovery.curve.iter().map(|(at, count)| ((at - by).max(0.0), *count)).collect(),
        ..*recovery
    }
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut table = Table::new();
        let Self { devices, clients, per_second, restarted_by, .. } = self;
        table.row("at work", format!("{devices} devices, {clients} clients, {per_second:.0} messages /s"));
        let since = if *restarted_by == "caller" { "the first break" } else { "the signal" };
        table.row("restarted by", format!("{restarted_by}; seconds are from {since}"));
        for (n, round) in self.rounds.iter().enumerate() {
            table.row(&format!("back, round {}", n + 1), round);
        }
        if let Some(spread) = &self.all_after_first_seconds {
            table.row("all, after the first", format!("{spread} s"));
        }
        totals(&mut table, &self.totals);
        writeln!(f, "{table}")?;
        heard(f, &self.totals, super::Report::faults(self))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_time_begins_with_the_first_break() {
        let recovery = shifted(&Recovery::new(2, vec![5.0, 6.5]), 4.0);
        assert_eq!((recovery.first_seconds, recovery.all_seconds), (Some(1.0), Some(2.5)));
        assert_eq!(recovery.curve, [(1.0, 1), (2.5, 2)]);
    }
}
