//! `hostile`: what honest pairs notice of connections that mean harm.

use std::fmt;
use std::path::PathBuf;
use std::time::Duration;

use anyhow::{Context, Result};
use serde::Serialize;
use tokio::time::{Instant, sleep};

use super::floor::Relay;
use crate::child::Child;
use crate::descriptors;
use crate::fault::{Faults, total};
use crate::hostile::{Counts, Orders, only_loopback};
use crate::load::{Load, Shape, Target, Window};
use crate::meter::{Memory, Meter, peak_while, resident};
use crate::table::{self, Table, section};

/// The hidden subcommand that attacks.
pub const SUBCOMMAND: &str = "hostile-worker";

const LOWEST_PRIORITY: i32 = 19;
const LOOK_EVERY: Duration = Duration::from_millis(200);

/// What to do.
#[derive(Clone, Debug)]
pub struct Options {
    /// The program that has the hidden subcommand: this one.
    pub program: PathBuf,
    /// More arguments for it, such as those about TLS.
    pub arguments: Vec<String>,
    /// The attacks.
    pub orders: Orders,
    /// How the ids of our honest devices begin.
    pub prefix: String,
    /// The honest pairs.
    pub beside: Shape,
    /// How long to look at the pairs before.
    pub quiet: Duration,
    /// How long to wait after the attack before memory is read.
    pub recover: Duration,
    /// The server's process.
    pub meter: Option<Meter>,
}

/// What came of it.
#[derive(Clone, Debug, Serialize)]
pub struct Report {
    /// Attacks under way at once.
    pub connections: usize,
    /// What repeats the choices.
    pub seed: u64,
    /// The attacks, by kind.
    pub attacks: Counts,
    /// CPU of the attacker, in seconds. It takes that from the same machine, with a lower priority.
    pub attacker_cpu_seconds: f64,
    /// The honest pairs before.
    pub quiet: Window,
    /// The honest pairs during the attack.
    pub attacked: Window,
    /// The second p99 divided by the first.
    pub p99_ratio: f64,
    /// As many pairs on the floor, at the same time: what the attacker takes from everybody on this machine.
    pub floor_quiet: Window,
    /// The same pairs while the server is attacked. Nobody attacks the floor.
    pub floor_attacked: Window,
    /// The p99 of these divided by their quiet one.
    pub floor_p99_ratio: f64,
    /// The first ratio divided by this one: what is left of it without what the machine does to everybody.
    pub p99_ratio_beyond_floor: f64,
    /// Of the server.
    pub memory: Option<Memory>,
    /// Memory at the end divided by memory before.
    pub memory_ratio: Option<f64>,
    /// What went wrong with the honest pairs.
    pub pair_faults: Faults,
}

impl super::Report for Report {
    const SCENARIO: &'static str = "hostile";

    fn faults(&self) -> u64 {
        total(&self.pair_faults)
    }
}

/// Runs it.
///
/// # Errors
/// When the target is not on loopback; else as `pairs`.
pub async fn run(options: &Options) -> Result<Report> {
    let Options { orders, beside, quiet, recover, meter, .. } = options;
    only_loopback(&orders.endpoint).await?;
    descriptors::make_room(2 * beside.connections())?;
    let relay = Relay::start(&options.program, beside.connections()).await?;
    let floor = Load::start(&relay.target(), *beside).await?;
    let target = Target::Server { endpoint: orders.endpoint.clone(), prefix: options.prefix.clone() };
    let load = Load::start(&target, *beside).await?;
    let (quiet, floor_quiet) = tokio::try_join!(load.window(*quiet, *meter), floor.window(*quiet, None))?;
    let before_bytes = resident(*meter)?;
    let (floor_attacked, attacked) = floor.watch(load.watch(attack(options), *meter), None).await?;
    let (attacked, attack) = attacked?;
    let Attacked { attacks, attacker_cpu, peak_bytes } = attack?;
    sleep(*recover).await;
    let after_bytes = resident(*meter)?;
    let pair_faults = load.stop().await;
    floor.stop().await;
    relay.stop().await?;
    let memory = meter.map(|_| Memory { before_bytes, peak_bytes, after_bytes });
    let p99_ratio = attacked.latency.p99_us / quiet.latency.p99_us;
    let floor_p99_ratio = floor_attacked.latency.p99_us / floor_quiet.latency.p99_us;
    Ok(Report {
        connections: orders.connections,
        seed: orders.seed,
        attacks,
        attacker_cpu_seconds: attacker_cpu.as_secs_f64(),
        p99_ratio,
        floor_p99_ratio,
        p99_ratio_beyond_floor: p99_ratio / floor_p99_ratio,
        quiet,
        attacked,
        floor_quiet,
        floor_attacked,
        memory_ratio: memory.as_ref().map(Memory::ratio),
        memory,
        pair_faults,
    })
}

struct Attacked {
    attacks: Counts,
    attacker_cpu: Duration,
    peak_bytes: u64,
}

/// Starts the worker, and keeps an eye on the server's memory until it is done.
async fn attack(options: &Options) -> Result<Attacked> {
    let orders = &options.orders;
    let mut arguments = vec![SUBCOMMAND.to_owned()];
    for (name, value) in [
        ("--url", orders.endpoint.to_string()),
        ("--connections", orders.connections.to_string()),
        ("--duration", orders.duration.as_secs_f64().to_string()),
        ("--pace-ms", orders.pace.as_millis().to_string()),
        ("--seed", orders.seed.to_string()),
    ] {
        arguments.extend([name.to_owned(), value]);
    }
    arguments.extend(options.arguments.clone());
    let worker = Child::start(&options.program, &arguments)?;
    let attacker = Meter::new(worker.pid()?)?;
    let output = watched(worker, attacker);
    let (peak_bytes, output) = peak_while(options.meter, output).await?;
    let (output, attacker_cpu) = output?;
    let attacks = serde_json::from_str(&output).context("the worker's report")?;
    Ok(Attacked { attacks, attacker_cpu, peak_bytes })
}

/// What a worker prints until it ends by itself, and the CPU it used.
async fn watched(worker: Child, meter: Meter) -> Result<(String, Duration)> {
    let mut cpu = Duration::ZERO;
    let output = worker.output();
    tokio::pin!(output);
    loop {
        // It may end between two looks; then the last one counts.
        cpu = meter.cpu().unwrap_or(cpu);
        tokio::select! {
            output = &mut output => return Ok((output?, cpu)),
            () = sleep(LOOK_EVERY) => {}
        }
    }
}

/// For the worker, before it has a thread: a real attacker does not use the CPU of the server's machine. So it runs only where
/// nobody else would, if the tool for that is there (`chrt` of util-linux), and at the lowest priority in any case.
///
/// # Errors
/// When the system does not allow it.
pub fn step_back() -> Result<()> {
    rustix::process::nice(LOWEST_PRIORITY)?;
    let own = std::process::id().to_string();
    let _ = std::process::Command::new("chrt").args(["--idle", "--pid", "0", &own]).status();
    Ok(())
}

/// The worker: attacks, prints what became of it as JSON, and ends early if the parent does.
///
/// # Errors
/// As [`crate::hostile::attack`].
pub async fn work(orders: &Orders) -> Result<()> {
    let start = Instant::now();
    tokio::select! {
        counts = crate::hostile::attack(orders) => println!("{}", serde_json::to_string(&counts?)?),
        () = crate::child::parent_gone() => anyhow::bail!("left alone after {:?}", start.elapsed()),
    }
    Ok(())
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "{} hostile connections at once, seed {}\n", self.connections, self.seed)?;
        writeln!(f, "attack              begun  ended by server  ended by us  not connected")?;
        for (name, count) in &self.attacks {
            writeln!(
                f,
                "{name:18} {:6} {:16} {:12} {:14}",
                count.begun, count.ended_by_server, count.ended_by_us, count.not_connected
            )?;
        }
        writeln!(f)?;
        section(f, "The honest pairs before", &self.quiet)?;
        section(f, "The honest pairs under attack", &self.attacked)?;
        section(f, "As many pairs on the floor, before", &self.floor_quiet)?;
        section(f, "The pairs on the floor, while the server is attacked", &self.floor_attacked)?;
        let mut table = Table::new();
        table.row("attacker CPU", format!("{:.2} s", self.attacker_cpu_seconds));
        table.row("p99 under attack", format!("{:.2} \u{d7} the quiet one", self.p99_ratio));
        table.row("the same on the floor", format!("{:.2} \u{d7} the quiet one", self.floor_p99_ratio));
        table.row("beyond the floor", format!("{:.2} \u{d7}", self.p99_ratio_beyond_floor));
        if let (Some(memory), Some(ratio)) = (&self.memory, self.memory_ratio) {
            table.memory(memory);
            table.row("memory in the end", format!("{ratio:.2} \u{d7} that before"));
        }
        write!(f, "{table}honest pairs: {}", table::faults(&self.pair_faults))
    }
}
