//! Many pairs at once, on one target, counted together.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Result, ensure};
use cuttlebone_client::Endpoint;
use parking_lot::Mutex;
use serde::Serialize;
use tokio::sync::Semaphore;
use tokio::time::{Instant, sleep, sleep_until, timeout};
use tokio_util::sync::{CancellationToken, DropGuard};
use tokio_util::task::TaskTracker;

use crate::fault::{Fault, Faults};
use crate::latency::Latency;
use crate::ledger::{Ledger, Pace};
use crate::link::Link;
use crate::link::dial::Dial;
use crate::link::framed::{End, FramedLink};
use crate::link::ws::WsLink;
use crate::meter::Meter;
use crate::pair::{Sending, Shared, echo};
use crate::sample::Sample;
use crate::schedule::{Arrivals, Schedule};
use crate::sizes::Sizes;
use crate::tally::Tally;
use crate::timer::Timer;

/// Handshakes under way at once.
const HANDSHAKES: usize = 64;
/// How long a connection may take until its first answer.
pub(crate) const PATIENCE: Duration = Duration::from_secs(20);
/// How long the answers of a window may take after its end. What is not answered then counts with the time it has waited.
const SETTLE: Duration = Duration::from_secs(5);
const LOOK_EVERY: Duration = Duration::from_millis(2);
/// Messages of an open loop that may be under way at once, over all senders; a bound for memory only.
const MOST_UNDER_WAY: usize = 100_000;
const LEAST_OF_A_SENDER: usize = 16;

/// What is put under load.
#[derive(Clone, Debug)]
pub enum Target {
    /// A server that speaks the protocol; the device ids begin with `prefix`.
    Server {
        /// Where it is.
        endpoint: Endpoint,
        /// How the ids of our devices begin.
        prefix: String,
    },
    /// The relay that is the measure of things.
    Floor(SocketAddr),
}

impl Target {
    /// The same with this after the prefix.
    pub(crate) fn with_suffix(&self, suffix: &str) -> Self {
        match self {
            Self::Server { endpoint, prefix } => {
                Self::Server { endpoint: endpoint.clone(), prefix: format!("{prefix}{suffix}") }
            }
            Self::Floor(address) => Self::Floor(*address),
        }
    }
}

/// How often the pairs send.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Rate {
    /// As soon as an answer makes room.
    ClosedLoop,
    /// So many round trips a second over all pairs, each at its time, whatever the server does.
    PerSecond(f64, Arrivals),
}

/// How much load.
#[derive(Clone, Copy, Debug)]
pub struct Shape {
    /// Devices.
    pub pairs: usize,
    /// Clients of each device: 1 makes pairs.
    pub fan: usize,
    /// Payloads.
    pub sizes: Sizes,
    /// Messages of a client that may be under way at once in the closed loop.
    pub in_flight: usize,
    /// How often they are sent.
    pub rate: Rate,
    /// Devices that are connected in a second, with their clients.
    pub connect_rate: f64,
}

impl Shape {
    /// Clients in all.
    pub(crate) fn senders(&self) -> usize {
        self.pairs * self.fan
    }

    /// Connections in all.
    pub(crate) fn connections(&self) -> usize {
        self.pairs + self.senders()
    }

    /// In words, for tables.
    pub(crate) fn describe(&self) -> String {
        let loop_ = match self.rate {
            Rate::ClosedLoop => format!("closed loop, {} in flight", self.in_flight),
            Rate::PerSecond(rate, arrivals) => {
                let how = if arrivals == Arrivals::Poisson { "Poisson arrivals" } else { "equal distances" };
                format!("open loop, {rate:.0} /s, {how}")
            }
        };
        format!("{}; {loop_}", self.sizes)
    }
}

/// Pairs at work.
pub struct Load {
    shape: Shape,
    sample: Sample,
    shared: Shared,
    tasks: TaskTracker,
    start: Instant,
    ledgers: Arc<Mutex<Vec<Arc<Mutex<Ledger>>>>>,
}

/// What happened in a span of time.
#[derive(Clone, Debug, Serialize)]
pub struct Window {
    /// How long it was.
    pub seconds: f64,
    /// Messages that went to the device and came back in this time, unharmed and in order.
    pub round_trips: u64,
    /// Messages that the target passed on: two for each round trip.
    pub forwards_per_second: f64,
    /// Of the messages that were due in this time, from when they were due, also if the answer came later.
    pub latency: Latency,
    /// In the open loop: whether the load was what it should have been.
    pub open_loop: Option<OpenLoop>,
    /// CPU of the target, if there was a process to look at.
    pub cpu: Option<CpuUse>,
}

/// How far the senders kept to their plan.
#[derive(Clone, Debug, Serialize)]
pub struct OpenLoop {
    /// Round trips that should have been, in a second.
    pub planned_per_second: f64,
    /// Round trips that were.
    pub reached_per_second: f64,
    /// Messages that were sent more than a millisecond after they were due.
    pub sent_late: u64,
    /// How long after they were due messages were sent. It is part of their latency.
    pub lateness: Latency,
    /// Messages without an answer some seconds after the end. They count with the time they had waited.
    pub unanswered: u64,
}

/// CPU of a process in a span of time.
#[derive(Clone, Copy, Debug, Serialize)]
pub struct CpuUse {
    /// In user and in kernel mode.
    pub seconds: f64,
    /// Divided by the forwards.
    pub us_per_forward: f64,
}

impl Load {
    /// Connects all pairs, and returns when they are at work.
    ///
    /// # Errors
    /// When the shape is impossible or not a single pair could be connected.
    pub async fn start(target: &Target, shape: Shape) -> Result<Self> {
        ensure!(shape.senders() > 0 && shape.in_flight > 0, "there must be a pair, and a message under way");
        ensure!(shape.connect_rate > 0.0, "the connect rate must be above 0");
        ensure!(shape.fan == 1 || matches!(target, Target::Server { .. }), "the floor knows only pairs");
        let load = Self {
            shape,
            sample: Sample::new(shape.sizes)?,
            shared: Shared { tally: Arc::new(Tally::new()?), timer: Timer::new()?, stop: CancellationToken::new() },
            tasks: TaskTracker::new(),
            start: Instant::now(),
            ledgers: Arc::default(),
        };
        let handshakes = Arc::new(Semaphore::new(HANDSHAKES));
        let connecting = TaskTracker::new();
        for pair in 0..shape.pairs {
            sleep_until(load.start + Duration::from_secs_f64(pair as f64 / shape.connect_rate)).await;
            let permit = Arc::clone(&handshakes).acquire_owned().await?;
            let opening = load.opening(target.clone(), pair);
            connecting.spawn(async move {
                opening.await;
                drop(permit);
            });
        }
        connecting.close();
        connecting.wait().await;
        let faults = load.shared.tally.faults();
        let reasons = || faults.values().map(|fault| fault.example.as_str()).collect::<Vec<_>>().join("; ");
        ensure!(!load.ledgers.lock().is_empty(), "no pair could be connected: {}", reasons());
        Ok(load)
    }

    /// Everything that went wrong so far.
    pub fn faults(&self) -> Faults {
        self.shared.tally.faults()
    }

    /// Looks on for a while.
    ///
    /// # Errors
    /// When the process to look at is gone.
    pub async fn window(&self, duration: Duration, meter: Option<Meter>) -> Result<Window> {
        self.watch(sleep(duration), meter).await.map(|(window, ())| window)
    }

    /// Looks on while something else is done.
    ///
    /// # Errors
    /// When the process to look at is gone.
    pub async fn watch<F: Future>(&self, other: F, meter: Option<Meter>) -> Result<(Window, F::Output)> {
        let tally = &self.shared.tally;
        let start = Instant::now();
        tally.begin(start);
        let before = tally.round_trips();
        let cpu = meter.map(|meter| meter.cpu()).transpose()?;
        let output = other.await;
        let end = Instant::now();
        let round_trips = tally.round_trips() - before;
        let seconds = (end - start).as_secs_f64();
        tally.end(end);
        let cpu = match (meter, cpu) {
            (Some(meter), Some(before)) => Some(cpu_use(meter.cpu()?.saturating_sub(before), round_trips)),
            _ => None,
        };
        let unanswered = self.settle(start, end).await;
        let open_loop = match self.shape.rate {
            Rate::ClosedLoop => None,
            Rate::PerSecond(planned, _) => {
                let (lateness, sent_late) = tally.lateness();
                let reached_per_second = round_trips as f64 / seconds;
                Some(OpenLoop { planned_per_second: planned, reached_per_second, sent_late, lateness, unanswered })
            }
        };
        let forwards_per_second = 2.0 * round_trips as f64 / seconds;
        let latency = tally.latency();
        Ok((Window { seconds, round_trips, forwards_per_second, latency, open_loop, cpu }, output))
    }

    /// Stops sending, waits for what is under way, hangs up, and says what went wrong in all.
    pub async fn stop(self) -> Faults {
        self.shared.stop.cancel();
        self.tasks.close();
        // A server that does not answer the goodbye must not hold us up.
        let _ = timeout(PATIENCE, self.tasks.wait()).await;
        self.shared.tally.faults()
    }

    /// Waits for the answers to what was due from `start` to `end`, as far as they come. The rest is measured with the
    /// time it has waited; says how many that are.
    async fn settle(&self, start: Instant, end: Instant) -> u64 {
        let owed = || -> Vec<Instant> {
            let ledgers = self.ledgers.lock();
            ledgers.iter().flat_map(|ledger| ledger.lock().owed(start, end)).collect()
        };
        let last = Instant::now() + SETTLE;
        loop {
            let owed = owed();
            let now = Instant::now();
            if owed.is_empty() || now >= last {
                let tally = &self.shared.tally;
                let due: Vec<u64> = owed.iter().map(|due| tally.nanos(*due)).collect();
                tally.waited(&due, tally.nanos(now));
                return due.len() as u64;
            }
            sleep(LOOK_EVERY).await;
        }
    }

    fn opening(&self, target: Target, pair: usize) -> impl Future<Output = ()> + use<> {
        let crew = Crew {
            shape: self.shape,
            start: self.start,
            sample: self.sample.clone(),
            shared: self.shared.clone(),
            tasks: self.tasks.clone(),
            ledgers: Arc::clone(&self.ledgers),
        };
        async move {
            let tally = &crew.shared.tally;
            match timeout(PATIENCE, crew.open(&target, pair)).await {
                Ok(Ok(())) => {}
                Ok(Err(fault)) => tally.fault(&fault),
                Err(_late) => tally.fault(&Fault::Unanswered(1)),
            }
        }
    }
}

fn cpu_use(cpu: Duration, round_trips: u64) -> CpuUse {
    let seconds = cpu.as_secs_f64();
    CpuUse { seconds, us_per_forward: seconds * 1e6 / (2.0 * round_trips.max(1) as f64) }
}

/// What a device and its clients take to work.
struct Crew {
    shape: Shape,
    start: Instant,
    sample: Sample,
    shared: Shared,
    tasks: TaskTracker,
    ledgers: Arc<Mutex<Vec<Arc<Mutex<Ledger>>>>>,
}

impl Crew {
    async fn open(&self, target: &Target, pair: usize) -> Result<(), Fault> {
        match target {
            Target::Server { endpoint, prefix } => {
                let dial = Dial::from(endpoint);
                let id = format!("{prefix}-{pair}");
                let clients = self.device(WsLink::device(&dial, &id).await?);
                for n in 0..self.shape.fan {
                    let client = WsLink::client(&dial, &id).await?;
                    self.client(client, pair * self.shape.fan + n, Arc::clone(&clients));
                }
            }
            Target::Floor(address) => {
                let connect = async |end| {
                    let number = u32::try_from(pair).unwrap_or(u32::MAX);
                    FramedLink::connect(address, number, end).await.map_err(|error| Fault::connect(&error))
                };
                let device = connect(End::Device).await?;
                let client = connect(End::Client).await?;
                self.client(client, pair, self.device(device));
            }
        }
        Ok(())
    }

    /// A device at work, until all clients have dropped what comes back: if it hung up before them, the last messages
    /// would have nobody to answer them.
    fn device<L: Link>(&self, device: L) -> Arc<DropGuard> {
        let clients_gone = CancellationToken::new();
        let Shared { tally, stop, .. } = self.shared.clone();
        self.tasks.spawn(echo(device, tally, stop, clients_gone.clone()));
        Arc::new(clients_gone.drop_guard())
    }

    fn client<L: Link>(&self, client: L, number: usize, clients: Arc<DropGuard>) {
        let ledger = Arc::new(Mutex::new(Ledger::new(self.pace(number))));
        self.ledgers.lock().push(Arc::clone(&ledger));
        let sample = self.sample.of_sender(u32::try_from(number).unwrap_or(u32::MAX));
        let sending = Sending::new(client, sample, ledger, self.shared.clone());
        self.tasks.spawn(async move {
            sending.run().await;
            drop(clients);
        });
    }

    fn pace(&self, number: usize) -> Pace {
        let senders = self.shape.senders();
        match self.shape.rate {
            Rate::ClosedLoop => Pace::Closed { in_flight: self.shape.in_flight },
            Rate::PerSecond(rate, arrivals) => {
                let mut schedule = Schedule::of_many(self.start, number, senders, rate, arrivals);
                // What would have been due before the connection was there has not been missed.
                let now = Instant::now();
                while schedule.take(now).is_some() {}
                Pace::Open { schedule, most: LEAST_OF_A_SENDER.max(MOST_UNDER_WAY / senders) }
            }
        }
    }
}
