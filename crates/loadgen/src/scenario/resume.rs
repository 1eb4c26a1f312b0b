//! `resume`: the connections of many clients are cut at once; how long until they are back, and what it cost them.

use std::fmt;
use std::time::Duration;

use anyhow::{Result, ensure};
use serde::Serialize;
use tokio::time::sleep;

use crate::descriptors;
use crate::fleet::{Fleet, Plan, Totals, Who};
use crate::latency::Spread;
use crate::meter::{Memory, Meter, peak_while, resident};
use crate::recovery::Recovery;
use crate::table::{self, Table};

/// What to do.
#[derive(Clone, Debug)]
pub struct Options {
    /// Who is there.
    pub plan: Plan,
    /// How often all are cut.
    pub rounds: usize,
    /// The time between.
    pub pause: Duration,
    /// How long the clients have to come back.
    pub patience: Duration,
    /// The server's process, if it is on this machine.
    pub meter: Option<Meter>,
}

/// What came of it.
#[derive(Clone, Debug, Serialize)]
pub struct Report {
    /// Clients that were cut each time.
    pub clients: usize,
    /// Devices, whose connections stayed.
    pub devices: usize,
    /// Messages a second over all clients.
    pub per_second: f64,
    /// From the cut on, each time.
    pub rounds: Vec<Recovery>,
    /// When 95 % were back, if they were each time.
    pub p95_seconds: Option<Spread>,
    /// When all were back, if they were each time.
    pub all_seconds: Option<Spread>,
    /// Messages and sessions.
    pub totals: Totals,
    /// Of the server.
    pub memory: Option<Memory>,
}

impl super::Report for Report {
    const SCENARIO: &'static str = "resume";

    fn faults(&self) -> u64 {
        self.totals.count_faults() + self.rounds.iter().map(Recovery::missing).sum::<u64>()
    }
}

/// Runs it.
///
/// # Errors
/// When the plan is impossible, not all connect at first, there are too few file descriptors, or the process to look at
/// is gone.
pub async fn run(options: &Options) -> Result<Report> {
    let Options { plan, rounds, meter, .. } = options;
    ensure!(*rounds > 0 && plan.clients > 0, "there must be a round, and a client");
    let connections = plan.devices + plan.clients;
    // While one connection ends the next one may be there already.
    descriptors::make_room(connections + plan.clients)?;
    descriptors::server_has_room(*meter, connections)?;
    let before_bytes = resident(*meter)?;
    let fleet = Fleet::start(plan, options.patience).await?;
    let (peak_bytes, rounds) = peak_while(*meter, cut(&fleet, options)).await?;
    let totals = fleet.stop().await;
    let after_bytes = resident(*meter)?;
    Ok(Report {
        clients: plan.clients,
        devices: plan.devices,
        per_second: plan.per_second,
        p95_seconds: over(&rounds, |round| round.p95_seconds),
        all_seconds: over(&rounds, |round| round.all_seconds),
        rounds,
        totals,
        memory: meter.map(|_| Memory { before_bytes, peak_bytes, after_bytes }),
    })
}

async fn cut(fleet: &Fleet, options: &Options) -> Vec<Recovery> {
    let mut rounds = Vec::new();
    for _ in 0..options.rounds {
        sleep(options.pause).await;
        let start = fleet.mark();
        fleet.cut_clients();
        rounds.push(fleet.wait(Who::Clients, start + options.patience).await);
    }
    sleep(options.pause).await;
    rounds
}

/// The spread of a moment, if it came in every round.
pub(super) fn over(rounds: &[Recovery], moment: impl Fn(&Recovery) -> Option<f64>) -> Option<Spread> {
    let moments: Option<Vec<f64>> = rounds.iter().map(moment).collect();
    Spread::of(moments?).ok()
}

/// Rows about messages and sessions.
pub(super) fn totals(table: &mut Table, totals: &Totals) {
    let Totals { resumed, handed_over, recounted, begun_anew, .. } = totals;
    table.row("sessions resumed", format!("{resumed} with counts, {handed_over} handed over after a planned end"));
    table.row("sessions that may have lost", format!("{recounted} kept their id, {begun_anew} begun anew"));
    table.row("client ids changed", totals.ids_changed);
    table.row("messages sent", totals.sent);
    table.row("lost", format!("{} to the device, {} to the client", totals.lost_to_device, totals.lost_to_client));
    let (to_device, to_client) = (totals.doubled_to_device, totals.doubled_to_client);
    table.row("doubled", format!("{to_device} to the device, {to_client} to the client"));
    table.row("overtaken", totals.overtaken);
    table.row("not kept long enough", format!("{} times", totals.gaps));
    table.latency("round trip with outages", &totals.round_trip);
}

/// What peers heard, and what was wrong.
pub(super) fn heard(f: &mut fmt::Formatter<'_>, totals: &Totals, faults: u64) -> fmt::Result {
    if !totals.heard.is_empty() {
        writeln!(f, "Connections ended, or did not come about, with:\n{}", table::heard(&totals.heard))?;
    }
    f.write_str(&match (faults, totals.faults.is_empty()) {
        (0, _) => "no faults\n".to_owned(),
        (_, false) => table::faults(&totals.faults),
        (_, true) => format!("FAULTS: {faults}, see above\n"),
    })
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut table = Table::new();
        let Self { clients, devices, per_second, .. } = self;
        table.row("cut at once", format!("{clients} clients of {devices} devices, {per_second:.0} messages /s"));
        for (n, round) in self.rounds.iter().enumerate() {
            table.row(&format!("back, round {}", n + 1), round);
        }
        totals(&mut table, &self.totals);
        if let Some(memory) = &self.memory {
            table.memory(memory);
        }
        writeln!(f, "{table}")?;
        heard(f, &self.totals, super::Report::faults(self))
    }
}
