//! Devices that register again, and clients that resume, whatever happens to their connections.
//!
//! The devices send back what they get. The clients send at a rate, keep to their plan while they are away, and number
//! what they send, so that both sides know what was lost, doubled or overtaken, and whether a client kept its id.

use std::sync::Arc;
use std::time::Duration;

use anyhow::{Result, ensure};
use cuttlebone_client::Endpoint;
use tokio::sync::watch;
use tokio::time::{Instant, sleep, sleep_until};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use crate::link::dial::Dial;
use crate::recovery::Recovery;
use crate::sample::Sample;
use crate::schedule::{Arrivals, Schedule};
use crate::sizes::Sizes;
use crate::timer::Timer;

mod board;
mod client;
mod device;

use board::Board;
pub use board::Totals;

const LOOK_EVERY: Duration = Duration::from_millis(2);
/// How long the last answers may take.
const DRAIN: Duration = Duration::from_secs(5);

/// Who is there, and what they do.
#[derive(Clone, Debug)]
pub struct Plan {
    /// The server.
    pub endpoint: Endpoint,
    /// How the ids of our devices begin.
    pub prefix: String,
    /// Devices.
    pub devices: usize,
    /// Clients, on the first of the devices.
    pub clients: usize,
    /// Clients of a device.
    pub clients_per_device: usize,
    /// Messages a second over all clients.
    pub per_second: f64,
    /// How their moments lie.
    pub arrivals: Arrivals,
    /// Payloads.
    pub sizes: Sizes,
    /// Connections that begin in a second, at first.
    pub connect_rate: f64,
}

impl Plan {
    fn check(&self) -> Result<()> {
        ensure!(self.devices > 0 && self.clients_per_device > 0, "there must be a device, and room for a client");
        ensure!(self.per_second > 0.0 && self.connect_rate > 0.0, "rates must be above 0");
        let needed = self.clients.div_ceil(self.clients_per_device);
        ensure!(needed <= self.devices, "{} clients need {needed} devices", self.clients);
        Ok(())
    }
}

/// Peers at work.
pub(crate) struct Fleet {
    plan: Plan,
    board: Arc<Board>,
    /// Counts up: all clients cut their connections.
    cut: watch::Sender<u64>,
    stop_clients: CancellationToken,
    clients: TaskTracker,
    stop_devices: CancellationToken,
    devices: TaskTracker,
}

/// Which of the peers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Who {
    All,
    Clients,
}

impl Fleet {
    /// Connects all; returns when each is there.
    ///
    /// # Errors
    /// When the plan is impossible, or some do not come within `patience`.
    pub(crate) async fn start(plan: &Plan, patience: Duration) -> Result<Self> {
        plan.check()?;
        let fleet = Self {
            board: Arc::new(Board::new(plan.devices, plan.clients)?),
            plan: plan.clone(),
            cut: watch::Sender::new(0),
            stop_clients: CancellationToken::new(),
            clients: TaskTracker::new(),
            stop_devices: CancellationToken::new(),
            devices: TaskTracker::new(),
        };
        fleet.open().await?;
        let recovery = fleet.wait(Who::All, Instant::now() + patience).await;
        let heard = crate::table::heard(&fleet.board.heard());
        ensure!(recovery.missing() == 0, "only {recovery}. They heard:\n{heard}");
        fleet.board.forget();
        Ok(fleet)
    }

    async fn open(&self) -> Result<()> {
        let Plan { endpoint, prefix, devices, clients, clients_per_device, connect_rate, .. } = &self.plan;
        let (dial, timer, sample) = (Dial::from(endpoint), Timer::new()?, Sample::new(self.plan.sizes)?);
        let start = Instant::now();
        for n in 0..devices + clients {
            sleep_until(start + Duration::from_secs_f64(n as f64 / connect_rate)).await;
            let Some(client) = n.checked_sub(*devices) else {
                let device = device::Device {
                    number: n,
                    id: format!("{prefix}-{n}"),
                    dial: dial.clone(),
                    board: Arc::clone(&self.board),
                    stop: self.stop_devices.clone(),
                    unsent: Vec::new(),
                };
                self.devices.spawn(device.run());
                continue;
            };
            let Plan { per_second, arrivals, .. } = self.plan;
            let client = client::Client {
                number: client,
                device_id: format!("{prefix}-{}", client / clients_per_device),
                dial: dial.clone(),
                board: Arc::clone(&self.board),
                timer: timer.clone(),
                sample: sample.of_sender(u32::try_from(client)?),
                schedule: Schedule::of_many(Instant::now(), client, *clients, per_second, arrivals),
                cut: self.cut.subscribe(),
                stop: self.stop_clients.clone(),
                resume: crate::resume::Resume::default(),
                sent: 0,
            };
            self.clients.spawn(client.run());
        }
        Ok(())
    }

    /// From now on, it is looked who comes.
    pub(crate) fn mark(&self) -> Instant {
        self.board.mark()
    }

    /// Cuts the connections of all clients at once.
    pub(crate) fn cut_clients(&self) {
        self.cut.send_modify(|count| *count += 1);
    }

    /// When the first connection broke since the mark.
    pub(crate) fn first_break(&self) -> Option<Instant> {
        self.board.first_break()
    }

    /// Waits until all of them have come since the mark, or the time is over. Seconds are from the mark.
    pub(crate) async fn wait(&self, who: Who, end: Instant) -> Recovery {
        loop {
            let (of, seconds) = self.board.came(who);
            if seconds.len() >= of || Instant::now() >= end {
                return Recovery::new(of, seconds);
            }
            sleep(LOOK_EVERY).await;
        }
    }

    /// Ends all: the clients when they have their answers, then the devices.
    pub(crate) async fn stop(self) -> Totals {
        self.stop_clients.cancel();
        self.clients.close();
        self.clients.wait().await;
        self.stop_devices.cancel();
        self.devices.close();
        self.devices.wait().await;
        self.board.totals()
    }
}
