//! `isolation`: what others notice of one that does not read, or of one address that does everything too often.

use std::fmt;
use std::path::PathBuf;
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use cuttlebone_client::Endpoint;
use serde::Serialize;
use tokio::time::sleep;

use crate::child::{Child, parent_gone};
use crate::descriptors;
use crate::disturb::{self, Disturbed, Kind, Orders};
use crate::fault::{Faults, add, total};
use crate::latency::Spread;
use crate::load::{Load, Shape, Target, Window};
use crate::meter::Meter;
use crate::table::{self, Table, micros};

/// The hidden subcommand that disturbs.
pub const SUBCOMMAND: &str = "disturb-worker";

const READY: &str = "ready";

/// What to do.
#[derive(Clone, Debug)]
pub struct Options {
    /// The program that has the hidden subcommand: this one.
    pub program: PathBuf,
    /// More arguments for it, such as those about TLS.
    pub arguments: Vec<String>,
    /// The server.
    pub endpoint: Endpoint,
    /// How the ids of our devices begin.
    pub prefix: String,
    /// The honest ones. The first device is the one that a viewer disturbs.
    pub shape: Shape,
    /// The disturbance. The device of [`Kind::NeverReads`] is [`Options::disturbed_device`].
    pub kind: Kind,
    /// How long each half of a round is, and how long a disturbance goes on before it is looked at.
    pub duration: Duration,
    /// See `duration`.
    pub warmup: Duration,
    /// How often without and with.
    pub rounds: usize,
    /// The server's process, if it is on this machine.
    pub meter: Option<Meter>,
}

impl Options {
    /// The id of the honest device that is disturbed by a viewer.
    pub fn disturbed_device(prefix: &str) -> String {
        format!("{prefix}-0")
    }
}

/// What came of it.
#[derive(Clone, Debug, Serialize)]
pub struct Report {
    /// `never_reads` or `greedy`.
    pub disturbance: &'static str,
    /// What it was to do, in words; what it did is in `disturbed`.
    pub orders: String,
    /// Honest devices.
    pub devices: usize,
    /// Clients of each.
    pub clients_per_device: usize,
    /// Their load, in words.
    pub load: String,
    /// In turns.
    pub rounds: Vec<Round>,
    /// The p99 with the disturbance divided by that without.
    pub p99_ratio: Spread,
    /// The same of the p50.
    pub p50_ratio: Spread,
    /// Messages of the honest ones that were not answered.
    pub lost: u64,
    /// What those heard who disturbed.
    pub disturbed: Disturbed,
    /// What went wrong with the honest ones.
    pub faults: Faults,
}

/// Without, and then with.
#[derive(Clone, Debug, Serialize)]
pub struct Round {
    /// The honest ones alone.
    pub without: Window,
    /// The honest ones with the disturbance.
    pub with: Window,
}

impl super::Report for Report {
    const SCENARIO: &'static str = "isolation";

    fn faults(&self) -> u64 {
        total(&self.faults) + self.lost
    }
}

/// Runs it.
///
/// # Errors
/// When the target is not on loopback or the options are impossible, and as `pairs`.
pub async fn run(options: &Options) -> Result<Report> {
    let Options { endpoint, prefix, shape, rounds, meter, .. } = options;
    crate::hostile::only_loopback(endpoint).await?;
    ensure!(*rounds > 0, "there must be a round");
    descriptors::make_room(shape.connections())?;
    let target = Target::Server { endpoint: endpoint.clone(), prefix: prefix.clone() };
    let load = Load::start(&target, *shape).await?;
    let mut done = Vec::new();
    let mut disturbed = Disturbed::default();
    for _ in 0..*rounds {
        sleep(options.warmup).await;
        let without = load.window(options.duration, *meter).await?;
        let worker = start(options).await?;
        sleep(options.warmup).await;
        let with = load.window(options.duration, *meter).await?;
        let seen: Disturbed = serde_json::from_str(&worker.finish().await?).context("the worker's report")?;
        disturbed.connections += seen.connections;
        disturbed.messages += seen.messages;
        add(&mut disturbed.heard, &seen.heard);
        done.push(Round { without, with });
    }
    let faults = load.stop().await;
    let unanswered = |window: &Window| window.open_loop.as_ref().map_or(0, |open| open.unanswered);
    Ok(Report {
        disturbance: name(&options.kind),
        orders: options.kind.to_string(),
        devices: shape.pairs,
        clients_per_device: shape.fan,
        load: shape.describe(),
        p99_ratio: Spread::of(done.iter().map(|round| round.with.latency.p99_us / round.without.latency.p99_us))?,
        p50_ratio: Spread::of(done.iter().map(|round| round.with.latency.p50_us / round.without.latency.p50_us))?,
        lost: done.iter().map(|round| unanswered(&round.without) + unanswered(&round.with)).sum(),
        rounds: done,
        disturbed,
        faults,
    })
}

/// What `hostile` and `isolation` call a kind.
fn name(kind: &Kind) -> &'static str {
    match kind {
        Kind::NeverReads { .. } => "never_reads",
        Kind::Greedy { .. } => "greedy",
    }
}

async fn start(options: &Options) -> Result<Child> {
    let mut arguments = vec![SUBCOMMAND.to_owned()];
    let mut add = |name: &str, value: String| arguments.extend([format!("--{name}"), value]);
    add("url", options.endpoint.to_string());
    add("prefix", format!("{}-disturb", options.prefix));
    add("kind", name(&options.kind).to_owned());
    match &options.kind {
        Kind::NeverReads { device_id, per_second, payload } => {
            add("device-id", device_id.clone());
            add("messages", per_second.to_string());
            add("payload", payload.to_string());
        }
        Kind::Greedy { source, clients, messages_per_second, connects_per_second, payload } => {
            add("source", source.to_string());
            add("clients", clients.to_string());
            add("messages", messages_per_second.to_string());
            add("connects", connects_per_second.to_string());
            add("payload", payload.to_string());
        }
    }
    arguments.extend(options.arguments.clone());
    let mut worker = Child::start(&options.program, &arguments)?;
    let line = worker.line().await?;
    ensure!(line == READY, "the worker says {line}");
    Ok(worker)
}

/// The worker: says when it has begun, disturbs until its standard input ends, and prints what it heard as JSON.
///
/// # Errors
/// When the orders are impossible.
pub async fn work(orders: &Orders) -> Result<()> {
    let seen = disturb::disturb(orders, || println!("{READY}"), parent_gone()).await?;
    println!("{}", serde_json::to_string(&seen)?);
    Ok(())
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { devices, clients_per_device, orders, load, .. } = self;
        writeln!(f, "{devices} devices with {clients_per_device} clients each, {load}")?;
        writeln!(f, "disturbed by {orders}\n")?;
        writeln!(f, "round  without: p50       p99  with: p50       p99  p99 ratio")?;
        for (n, Round { without, with }) in self.rounds.iter().enumerate() {
            let [p50, p99] = [without.latency.p50_us, without.latency.p99_us].map(micros);
            let [with_p50, with_p99] = [with.latency.p50_us, with.latency.p99_us].map(micros);
            let ratio = with.latency.p99_us / without.latency.p99_us;
            writeln!(f, "{:5}  {p50:>12}  {p99:>8}  {with_p50:>9}  {with_p99:>8}  {ratio:9.2}", n + 1)?;
        }
        writeln!(f)?;
        let mut table = Table::new();
        table.row("p99 with / without", self.p99_ratio);
        table.row("p50 with / without", self.p50_ratio);
        table.row("messages without an answer", self.lost);
        let Disturbed { connections, messages, heard } = &self.disturbed;
        table.row("the disturbance", format!("{connections} connections, {messages} messages"));
        write!(f, "{table}")?;
        if !heard.is_empty() {
            write!(f, "It heard:\n{}", table::heard(heard))?;
        }
        write!(f, "honest ones: {}", table::faults(&self.faults))
    }
}
