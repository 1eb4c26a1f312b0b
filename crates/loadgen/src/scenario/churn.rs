//! `churn`: sessions that come, say a few messages, and go, at a rate.

use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use anyhow::{Result, ensure};
use parking_lot::Mutex;
use serde::Serialize;
use tokio::sync::Semaphore;
use tokio::time::{Instant, timeout};
use tokio_util::task::TaskTracker;

use crate::descriptors;
use crate::fault::{self, Fault, Faults, total};
use crate::latency::{Latency, Recorder};
use crate::link::Link;
use crate::link::dial::Dial;
use crate::link::ws::WsLink;
use crate::load::{PATIENCE, Target};
use crate::meter::{Memory, Meter, peak_while, resident};
use crate::sample::Sample;
use crate::schedule::{Arrivals, Schedule};
use crate::sizes::Sizes;
use crate::table::{self, Table, micros};
use crate::tally::LATE;
use crate::timer::Timer;

/// What to do.
#[derive(Clone, Debug)]
pub struct Options {
    /// The server.
    pub target: Target,
    /// Sessions that begin in a second: a device, a client, some messages, and both go.
    pub per_second: f64,
    /// How the moments of their beginnings lie.
    pub arrivals: Arrivals,
    /// Round trips of a session, one after the other.
    pub messages: u64,
    /// Payloads.
    pub sizes: Sizes,
    /// Whether connections are cut instead of closed.
    pub cut: bool,
    /// Sessions under way at once, at most. Beyond it they begin late.
    pub at_once: usize,
    /// For how long sessions begin.
    pub duration: Duration,
    /// The server's process, if it is on this machine.
    pub meter: Option<Meter>,
}

/// What came of it.
#[derive(Clone, Debug, Serialize)]
pub struct Report {
    /// Sessions a second that should have begun.
    pub planned_per_second: f64,
    /// Sessions that began.
    pub begun: u64,
    /// Sessions that came to a good end.
    pub completed: u64,
    /// Those in a second, until the last one had ended.
    pub per_second: f64,
    /// Round trips of a session.
    pub messages: u64,
    /// Bytes of a payload, or `session`.
    pub payload_bytes: Sizes,
    /// Whether connections were cut instead of closed.
    pub cut: bool,
    /// Sessions that began more than a millisecond after they were due.
    pub begun_late: u64,
    /// How long after they were due sessions began. It is part of the set-up.
    pub lateness: Latency,
    /// From when a session was due until device and client had met.
    pub setup: Latency,
    /// Round trips.
    pub round_trip: Latency,
    /// CPU of the server for a session, in microseconds.
    pub us_per_session: Option<f64>,
    /// Of the server.
    pub memory: Option<Memory>,
    /// What went wrong.
    pub faults: Faults,
}

impl super::Report for Report {
    const SCENARIO: &'static str = "churn";

    fn faults(&self) -> u64 {
        total(&self.faults)
    }
}

/// Runs it.
///
/// # Errors
/// When the options are impossible, the process to look at is gone, or there are too few file descriptors.
pub async fn run(options: &Options) -> Result<Report> {
    let Options { target, per_second, at_once, meter, .. } = options;
    ensure!(*per_second > 0.0 && *at_once > 0, "there must be sessions");
    let Target::Server { endpoint, prefix } = target else { anyhow::bail!("the floor knows no sessions") };
    descriptors::make_room(2 * at_once)?;
    let before_bytes = resident(*meter)?;
    let cpu = meter.map(|meter| meter.cpu()).transpose()?;
    let sessions = Arc::new(Sessions::new(options, Dial::from(endpoint), prefix.clone())?);
    let start = Instant::now();
    let (peak_bytes, begun) = peak_while(*meter, Arc::clone(&sessions).all(options)).await?;
    let begun = begun?;
    let seconds = start.elapsed().as_secs_f64();
    let used = match (meter, cpu) {
        (Some(meter), Some(before)) => Some(meter.cpu()?.saturating_sub(before).as_secs_f64()),
        _ => None,
    };
    let after_bytes = resident(*meter)?;
    let completed = sessions.completed.load(Ordering::Relaxed);
    let faults = sessions.faults.lock().clone();
    Ok(Report {
        planned_per_second: *per_second,
        begun,
        completed,
        per_second: completed as f64 / seconds,
        messages: options.messages,
        payload_bytes: options.sizes,
        cut: options.cut,
        begun_late: sessions.late.load(Ordering::Relaxed),
        lateness: sessions.lateness.latency(),
        setup: sessions.setup.latency(),
        round_trip: sessions.round_trip.latency(),
        us_per_session: used.map(|used| used * 1e6 / completed.max(1) as f64),
        memory: meter.map(|_| Memory { before_bytes, peak_bytes, after_bytes }),
        faults,
    })
}

struct Sessions {
    dial: Dial,
    prefix: String,
    messages: u64,
    cut: bool,
    sample: Sample,
    lateness: Recorder,
    late: AtomicU64,
    setup: Recorder,
    round_trip: Recorder,
    completed: AtomicU64,
    faults: Mutex<Faults>,
}

impl Sessions {
    fn new(options: &Options, dial: Dial, prefix: String) -> Result<Self> {
        Ok(Self {
            dial,
            prefix,
            messages: options.messages,
            cut: options.cut,
            sample: Sample::new(options.sizes)?,
            lateness: Recorder::new()?,
            late: AtomicU64::new(0),
            setup: Recorder::new()?,
            round_trip: Recorder::new()?,
            completed: AtomicU64::new(0),
            faults: Mutex::default(),
        })
    }

    /// All sessions, until the last has ended; how many began.
    async fn all(self: Arc<Self>, options: &Options) -> Result<u64> {
        let timer = Timer::new()?;
        let start = Instant::now();
        let mut schedule = Schedule::of_many(start, 0, 1, options.per_second, options.arrivals);
        let at_once = Arc::new(Semaphore::new(options.at_once));
        let tasks = TaskTracker::new();
        let mut begun = 0;
        while schedule.next() < start + options.duration {
            timer.until(schedule.next()).await;
            let now = Instant::now();
            while let Some(due) = schedule.take(now) {
                let (sessions, at_once, number) = (Arc::clone(&self), Arc::clone(&at_once), begun);
                begun += 1;
                tasks.spawn(async move {
                    // Never closed, so a permit always comes.
                    let _permit = at_once.acquire().await;
                    sessions.one(number, due).await;
                });
            }
        }
        tasks.close();
        tasks.wait().await;
        Ok(begun)
    }

    async fn one(&self, number: u64, due: Instant) {
        let lateness = due.elapsed();
        self.lateness.record(lateness);
        self.late.fetch_add(u64::from(lateness > LATE), Ordering::Relaxed);
        let session = async {
            let (device, client) = self.meet(number, due).await?;
            self.talk(number, device, client).await
        };
        match timeout(PATIENCE, session).await.unwrap_or(Err(Fault::Unanswered(1))) {
            Ok(()) => {
                self.completed.fetch_add(1, Ordering::Relaxed);
            }
            Err(fault) => fault::count(&mut self.faults.lock(), &fault),
        }
    }

    async fn meet(&self, number: u64, due: Instant) -> Result<(WsLink, WsLink), Fault> {
        let id = format!("{}-{number}", self.prefix);
        let device = WsLink::device(&self.dial, &id).await?;
        let client = WsLink::client(&self.dial, &id).await?;
        self.setup.record(due.elapsed());
        Ok((device, client))
    }

    async fn talk(&self, number: u64, mut device: WsLink, mut client: WsLink) -> Result<(), Fault> {
        // More digits than a payload has are of no use; it only tells neighbours apart.
        let mut sample = self.sample.of_sender(u32::try_from(number % 100_000_000).unwrap_or(0));
        let mut batch = Vec::new();
        for message in 0..self.messages {
            let start = Instant::now();
            client.queue(0, sample.write(message, 0))?;
            client.flush().await?;
            device.receive(&mut batch).await?;
            for said in batch.drain(..) {
                device.queue(said.from, &said.payload)?;
            }
            device.flush().await?;
            client.receive(&mut batch).await?;
            self.round_trip.record(start.elapsed());
            for heard in batch.drain(..) {
                let label = sample.read(&heard.payload).ok_or(Fault::Altered)?;
                if label.sender != sample.sender() {
                    return Err(Fault::Misdelivered(label.sender));
                }
                if label.number != message {
                    return Err(Fault::Order { expected: message, got: label.number });
                }
            }
        }
        if !self.cut {
            client.close().await;
            device.close().await;
        }
        Ok(())
    }
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut table = Table::new();
        let Self { begun, completed, per_second, planned_per_second, .. } = self;
        table.row("sessions", format!("{begun} begun, {completed} completed"));
        table.row("rate", format!("{per_second:.0} of {planned_per_second:.0} sessions /s"));
        let end = if self.cut { "cut" } else { "closed" };
        table.row("of a session", format!("{} round trips, {}, then {end}", self.messages, self.payload_bytes));
        table.row("begun over 1 ms late", format!("{}, at most {}", self.begun_late, micros(self.lateness.max_us)));
        table.latency("set-up", &self.setup);
        if self.messages > 0 {
            table.latency("round trip", &self.round_trip);
        }
        if let Some(cpu) = self.us_per_session {
            table.row("server CPU a session", micros(cpu));
        }
        if let Some(memory) = &self.memory {
            table.memory(memory);
        }
        write!(f, "{table}{}", table::faults(&self.faults))
    }
}
