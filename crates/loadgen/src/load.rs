//! Many pairs at once, on one target, counted together.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Result, ensure};
use cuttlebone_client::Endpoint;
use serde::Serialize;
use tokio::sync::Semaphore;
use tokio::time::{Instant, sleep_until, timeout};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use crate::fault::{Fault, Faults};
use crate::link::Link;
use crate::link::framed::{End, FramedLink};
use crate::link::ws::WsLink;
use crate::meter::Meter;
use crate::pair::{Pace, Sending, echo};
use crate::sample::Sample;
use crate::tally::{Latency, Tally};

/// Handshakes under way at once.
const HANDSHAKES: usize = 64;
/// How long a connection may take until its first answer.
const PATIENCE: Duration = Duration::from_secs(20);

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

/// How often the pairs send.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Rate {
    /// As soon as an answer makes room.
    ClosedLoop,
    /// So many round trips a second, over all pairs.
    PerSecond(f64),
}

/// How much load.
#[derive(Clone, Copy, Debug)]
pub struct Shape {
    /// Pairs of a device and a client.
    pub pairs: usize,
    /// Bytes of a payload.
    pub payload: usize,
    /// Messages of a pair that may be under way at once.
    pub in_flight: usize,
    /// How often they are sent.
    pub rate: Rate,
    /// Pairs that are connected in a second.
    pub connect_rate: f64,
}

/// Pairs at work.
pub struct Load {
    shape: Shape,
    tally: Arc<Tally>,
    stop: CancellationToken,
    tasks: TaskTracker,
}

/// What happened in a span of time.
#[derive(Clone, Debug, Serialize)]
pub struct Window {
    /// How long it was.
    pub seconds: f64,
    /// Messages that went to the device and came back, unharmed and in order.
    pub round_trips: u64,
    /// Messages that the target passed on: two for each round trip.
    pub forwards_per_second: f64,
    /// Of round trips.
    pub latency: Latency,
    /// CPU of the target, if there was a process to look at.
    pub cpu: Option<CpuUse>,
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
        ensure!(shape.pairs > 0 && shape.in_flight > 0, "there must be a pair, and a message under way");
        ensure!(shape.connect_rate > 0.0, "the connect rate must be above 0");
        let load =
            Self { shape, tally: Arc::new(Tally::new()?), stop: CancellationToken::new(), tasks: TaskTracker::new() };
        let sample = Sample::new(shape.payload)?;
        let handshakes = Arc::new(Semaphore::new(HANDSHAKES));
        let connecting = TaskTracker::new();
        let start = Instant::now();
        for pair in 0..shape.pairs {
            sleep_until(start + Duration::from_secs_f64(pair as f64 / shape.connect_rate)).await;
            let permit = Arc::clone(&handshakes).acquire_owned().await?;
            let opening = load.opening(target.clone(), pair, sample.clone());
            connecting.spawn(async move {
                opening.await;
                drop(permit);
            });
        }
        connecting.close();
        connecting.wait().await;
        let faults = load.tally.faults();
        let reasons = || faults.values().map(|fault| fault.example.as_str()).collect::<Vec<_>>().join("; ");
        ensure!(!load.tasks.is_empty(), "no pair could be connected: {}", reasons());
        Ok(load)
    }

    /// How many pairs were asked for.
    pub fn pairs(&self) -> usize {
        self.shape.pairs
    }

    /// Everything that went wrong so far.
    pub fn faults(&self) -> Faults {
        self.tally.faults()
    }

    /// Looks on for a while.
    ///
    /// # Errors
    /// When the process to look at is gone.
    pub async fn window(&self, duration: Duration, meter: Option<Meter>) -> Result<Window> {
        self.watch(tokio::time::sleep(duration), meter).await.map(|(window, ())| window)
    }

    /// Looks on while something else is done.
    ///
    /// # Errors
    /// When the process to look at is gone.
    pub async fn watch<F: Future>(&self, other: F, meter: Option<Meter>) -> Result<(Window, F::Output)> {
        self.tally.begin();
        let (start, before) = (Instant::now(), self.tally.round_trips());
        let cpu = meter.map(|meter| meter.cpu()).transpose()?;
        let output = other.await;
        let seconds = start.elapsed().as_secs_f64();
        let round_trips = self.tally.round_trips() - before;
        let cpu = match (meter, cpu) {
            (Some(meter), Some(before)) => Some(cpu_use(meter.cpu()?.saturating_sub(before), round_trips)),
            _ => None,
        };
        let forwards_per_second = 2.0 * round_trips as f64 / seconds;
        let latency = self.tally.latency();
        Ok((Window { seconds, round_trips, forwards_per_second, latency, cpu }, output))
    }

    /// Stops sending, waits for what is under way, hangs up, and says what went wrong in all.
    pub async fn stop(self) -> Faults {
        self.stop.cancel();
        self.tasks.close();
        // A server that does not answer the goodbye must not hold us up.
        let _ = timeout(PATIENCE, self.tasks.wait()).await;
        self.tally.faults()
    }

    fn opening(&self, target: Target, pair: usize, sample: Sample) -> impl Future<Output = ()> + use<> {
        let crew = Crew {
            sample,
            pace: self.pace(pair),
            tally: Arc::clone(&self.tally),
            stop: self.stop.clone(),
            tasks: self.tasks.clone(),
        };
        async move {
            match timeout(PATIENCE, crew.open(&target, pair)).await {
                Ok(Ok(())) => {}
                Ok(Err(fault)) => crew.tally.fault(&fault),
                Err(_late) => crew.tally.fault(&Fault::Unanswered(1)),
            }
        }
    }

    fn pace(&self, pair: usize) -> Pace {
        let Shape { pairs, in_flight, rate, .. } = self.shape;
        let interval = match rate {
            Rate::ClosedLoop => None,
            Rate::PerSecond(rate) => Some(Duration::from_secs_f64(pairs as f64 / rate)),
        };
        let offset = interval.unwrap_or_default().mul_f64(pair as f64 / pairs as f64);
        Pace { in_flight, interval, first: Instant::now() + offset }
    }
}

fn cpu_use(cpu: Duration, round_trips: u64) -> CpuUse {
    let seconds = cpu.as_secs_f64();
    CpuUse { seconds, us_per_forward: seconds * 1e6 / (2.0 * round_trips.max(1) as f64) }
}

/// What a pair takes to work.
struct Crew {
    sample: Sample,
    pace: Pace,
    tally: Arc<Tally>,
    stop: CancellationToken,
    tasks: TaskTracker,
}

impl Crew {
    async fn open(&self, target: &Target, pair: usize) -> Result<(), Fault> {
        match target {
            Target::Server { endpoint, prefix } => {
                let id = format!("{prefix}-{pair}");
                let device = WsLink::device(endpoint, &id).await?;
                let client = WsLink::client(endpoint, &id).await?;
                self.work(device, client);
            }
            Target::Floor(address) => {
                let connect = async |end| {
                    let number = u32::try_from(pair).unwrap_or(u32::MAX);
                    let link = FramedLink::connect(address, number, end).await;
                    link.map_err(|error| Fault::Connect(error.to_string()))
                };
                let device = connect(End::Device).await?;
                let client = connect(End::Client).await?;
                self.work(device, client);
            }
        }
        Ok(())
    }

    fn work<L: Link>(&self, device: L, client: L) {
        // The device hangs up after the client, or the last messages would have nobody to answer them.
        let client_gone = CancellationToken::new();
        let tally = Arc::clone(&self.tally);
        self.tasks.spawn(echo(device, tally, self.stop.clone(), client_gone.clone()));
        let client_gone = client_gone.drop_guard();
        let (tally, stop) = (Arc::clone(&self.tally), self.stop.clone());
        let sending = Sending::new(client, self.sample.clone(), self.pace, tally, stop);
        self.tasks.spawn(async move {
            sending.run().await;
            drop(client_gone);
        });
    }
}
