//! `storm`: many devices come at once; how long until all are registered, and what those heard that were refused.

use std::fmt;
use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Result, ensure};
use cuttlebone_client::Endpoint;
use parking_lot::Mutex;
use serde::Serialize;
use tokio::sync::Semaphore;
use tokio::time::{Instant, sleep_until, timeout};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use crate::backoff::Backoff;
use crate::descriptors;
use crate::fault::{self, Fault, Faults, total};
use crate::latency::{Latency, Recorder};
use crate::link::Link;
use crate::link::dial::{Dial, sources};
use crate::link::ws::WsLink;
use crate::load::{Load, PATIENCE, Shape, Target, Window};
use crate::meter::{Memory, Meter, peak_while, resident};
use crate::recovery::Recovery;
use crate::table::{self, Table, section};

/// What to do.
#[derive(Clone, Debug)]
pub struct Options {
    /// The server.
    pub endpoint: Endpoint,
    /// How the ids of our devices begin.
    pub prefix: String,
    /// Devices that come.
    pub devices: usize,
    /// Attempts under way at once.
    pub at_once: usize,
    /// Whether those that are refused try again, with pauses.
    pub again: bool,
    /// How long all of it may take.
    pub patience: Duration,
    /// Pairs at work beside it, if any.
    pub beside: Option<Shape>,
    /// How long to look at the pairs before.
    pub quiet: Duration,
    /// The server's process, if it is on this machine.
    pub meter: Option<Meter>,
}

/// What came of it.
#[derive(Clone, Debug, Serialize)]
pub struct Report {
    /// Attempts under way at once.
    pub at_once: usize,
    /// Whether those that were refused tried again.
    pub again: bool,
    /// When devices were registered, from the first attempt on.
    pub registered: Recovery,
    /// Attempts in all.
    pub attempts: u64,
    /// From the beginning of an attempt to the registration.
    pub registration: Latency,
    /// Attempts that came to nothing, by what was heard.
    pub refused: Faults,
    /// From the beginning of an attempt to its refusal.
    pub refusal: Latency,
    /// Devices that lost their connection while others still came.
    pub lost: Faults,
    /// The pairs before.
    pub quiet: Option<Window>,
    /// The pairs meanwhile.
    pub meanwhile: Option<Window>,
    /// What went wrong with the pairs.
    pub pair_faults: Faults,
    /// Of the server: before, at most, and when all had hung up.
    pub memory: Option<Memory>,
}

impl super::Report for Report {
    const SCENARIO: &'static str = "storm";

    /// To be refused is none: that is what is looked at. Not to get in at all, however often one tries, is.
    fn faults(&self) -> u64 {
        let kept_out = if self.again { self.registered.missing() } else { 0 };
        total(&self.lost) + total(&self.pair_faults) + kept_out
    }
}

/// Runs it.
///
/// # Errors
/// When there are too few file descriptors, the process to look at is gone, or the pairs can't be connected.
pub async fn run(options: &Options) -> Result<Report> {
    let Options { endpoint, devices, at_once, beside, meter, .. } = options;
    ensure!(*devices > 0 && *at_once > 0, "there must be a device, and an attempt at once");
    let connections = devices + beside.map_or(0, |shape| shape.connections());
    descriptors::make_room(connections)?;
    let target = Target::Server { endpoint: endpoint.clone(), prefix: format!("{}-beside", options.prefix) };
    let load = match beside {
        Some(shape) => Some(Load::start(&target, *shape).await?),
        None => None,
    };
    let quiet = match &load {
        Some(load) => Some(load.window(options.quiet, *meter).await?),
        None => None,
    };
    let before_bytes = resident(*meter)?;
    let storm = Arc::new(Storm::new(options).await?);
    let coming = peak_while(*meter, storm.clone().all_come(options));
    let (meanwhile, peak) = match &load {
        Some(load) => load.watch(coming, *meter).await.map(|(window, peak)| (Some(window), peak))?,
        None => (None, coming.await),
    };
    let (peak_bytes, ()) = peak?;
    storm.stop.cancel();
    storm.staying.close();
    storm.staying.wait().await;
    let pair_faults = match load {
        Some(load) => load.stop().await,
        None => Faults::new(),
    };
    let after_bytes = resident(*meter)?;
    let seen = storm.seen.lock();
    Ok(Report {
        at_once: *at_once,
        again: options.again,
        registered: Recovery::new(*devices, seen.registered.clone()),
        attempts: seen.registered.len() as u64 + total(&seen.refused),
        registration: storm.registration.latency(),
        refused: seen.refused.clone(),
        refusal: storm.refusal.latency(),
        lost: seen.lost.clone(),
        quiet,
        meanwhile,
        pair_faults,
        memory: meter.map(|_| Memory { before_bytes, peak_bytes, after_bytes }),
    })
}

#[derive(Default)]
struct Seen {
    /// When, in seconds.
    registered: Vec<f64>,
    refused: Faults,
    lost: Faults,
}

struct Storm {
    dial: Dial,
    sources: Vec<Option<IpAddr>>,
    prefix: String,
    again: bool,
    start: Instant,
    end: Instant,
    at_once: Semaphore,
    registration: Recorder,
    refusal: Recorder,
    seen: Mutex<Seen>,
    stop: CancellationToken,
    staying: TaskTracker,
}

impl Storm {
    async fn new(options: &Options) -> Result<Self> {
        let start = Instant::now();
        Ok(Self {
            dial: Dial::from(&options.endpoint),
            sources: sources(&options.endpoint, options.devices).await?,
            prefix: options.prefix.clone(),
            again: options.again,
            start,
            end: start + options.patience,
            at_once: Semaphore::new(options.at_once),
            registration: Recorder::new()?,
            refusal: Recorder::new()?,
            seen: Mutex::default(),
            stop: CancellationToken::new(),
            staying: TaskTracker::new(),
        })
    }

    async fn all_come(self: Arc<Self>, options: &Options) {
        let coming = TaskTracker::new();
        for n in 0..options.devices {
            coming.spawn(Arc::clone(&self).come(n));
        }
        coming.close();
        coming.wait().await;
    }

    /// One device, until it is registered, its time is over, or it has been refused and is not to come again.
    async fn come(self: Arc<Self>, n: usize) {
        let mut backoff = Backoff::new(n as u64);
        let dial = self.dial.with_source(self.sources[n % self.sources.len()]);
        let id = format!("{}-{n}", self.prefix);
        while Instant::now() < self.end {
            match self.attempt(&dial, &id).await {
                Ok(link) => {
                    self.seen.lock().registered.push(self.start.elapsed().as_secs_f64());
                    self.staying.spawn(Arc::clone(&self).stay(link));
                    return;
                }
                Err(fault) => fault::count(&mut self.seen.lock().refused, &fault),
            }
            if !self.again {
                return;
            }
            sleep_until(self.end.min(Instant::now() + backoff.pause())).await;
        }
    }

    async fn attempt(&self, dial: &Dial, id: &str) -> Result<WsLink, Fault> {
        // Never closed, so a permit always comes.
        let _permit = self.at_once.acquire().await;
        let start = Instant::now();
        let result = timeout(PATIENCE, WsLink::device(dial, id)).await.unwrap_or(Err(Fault::Unanswered(1)));
        let recorder = if result.is_ok() { &self.registration } else { &self.refusal };
        recorder.record(start.elapsed());
        result
    }

    async fn stay(self: Arc<Self>, mut link: WsLink) {
        let mut batch = Vec::new();
        if let Some(Err(fault)) = self.stop.run_until_cancelled(link.receive(&mut batch)).await {
            fault::count(&mut self.seen.lock().lost, &fault);
        }
    }
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut table = Table::new();
        table.row("registered", &self.registered);
        table.row("attempts", format!("{}, {} at once", self.attempts, self.at_once));
        table.latency("registration", &self.registration);
        if self.refusal.count > 0 {
            table.latency("refusal", &self.refusal);
        }
        if let Some(memory) = &self.memory {
            table.memory(memory);
        }
        writeln!(f, "{table}")?;
        if !self.refused.is_empty() {
            writeln!(f, "{} attempts were refused:\n{}", total(&self.refused), table::heard(&self.refused))?;
        }
        for (heading, window) in [("The pairs before", &self.quiet), ("The pairs meanwhile", &self.meanwhile)] {
            if let Some(window) = window {
                section(f, heading, window)?;
            }
        }
        if self.again && self.registered.missing() > 0 {
            writeln!(f, "FAULT: {} devices never got in", self.registered.missing())?;
        }
        write!(f, "devices: {}pairs: {}", table::faults(&self.lost), table::faults(&self.pair_faults))
    }
}
