//! Those who disturb the others: they run in a process of their own (`disturb-worker`), so that they reach the honest
//! ones only by way of the server and the machine.

use std::fmt;
use std::net::IpAddr;
use std::sync::Arc;

use anyhow::{Result, ensure};
use cuttlebone_client::Endpoint;
use parking_lot::Mutex;
use serde::{Deserialize, Serialize};
use tokio::sync::Notify;
use tokio::time::{Instant, sleep, timeout};
use tokio_util::task::TaskTracker;

use crate::backoff::Backoff;
use crate::descriptors;
use crate::fault::{self, Fault, Faults};
use crate::hostile::only_loopback;
use crate::link::Link;
use crate::link::dial::Dial;
use crate::link::ws::WsLink;
use crate::load::PATIENCE;
use crate::sample::Sample;
use crate::schedule::{Arrivals, Schedule};
use crate::sizes::Sizes;
use crate::timer::Timer;

/// What the system keeps for the viewer that never reads: as little as it allows.
const SMALL_BUFFER: u32 = 4096;
/// Connection attempts under way at once.
const ATTEMPTS: usize = 512;

/// What kind of disturbance.
#[derive(Clone, Debug, PartialEq)]
pub enum Kind {
    /// A viewer of this device that sends and never reads the answers. When its connection ends it comes again.
    NeverReads {
        /// The honest device, which answers it.
        device_id: String,
        /// Messages a second.
        per_second: f64,
        /// Bytes of a payload.
        payload: usize,
    },
    /// One address that does everything too often.
    Greedy {
        /// The address.
        source: IpAddr,
        /// Clients, each with a device of its own.
        clients: usize,
        /// Messages a second of each client.
        messages_per_second: f64,
        /// Connections a second, each closed as soon as it is there.
        connects_per_second: f64,
        /// Bytes of a payload.
        payload: usize,
    },
}

impl fmt::Display for Kind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NeverReads { per_second, payload, .. } => {
                write!(f, "a viewer that never reads, {per_second:.0} messages /s of {payload} bytes")
            }
            Self::Greedy { source, clients, messages_per_second, connects_per_second, payload } => write!(
                f,
                "{source} with {clients} clients, each {messages_per_second:.0} messages /s of {payload} bytes, and \
                 {connects_per_second:.0} connections /s"
            ),
        }
    }
}

/// What to do.
#[derive(Clone, Debug)]
pub struct Orders {
    /// Whom. Must be on loopback.
    pub endpoint: Endpoint,
    /// How the ids of our own devices begin.
    pub prefix: String,
    /// How.
    pub kind: Kind,
}

/// What those heard who disturbed.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub struct Disturbed {
    /// Connections that came about.
    pub connections: u64,
    /// Messages that were written.
    pub messages: u64,
    /// How connections ended, or did not come about.
    pub heard: Faults,
}

#[derive(Clone)]
struct Worker {
    dial: Dial,
    timer: Timer,
    seen: Arc<Mutex<Disturbed>>,
    /// Told when something has been seen.
    changed: Arc<Notify>,
    tasks: TaskTracker,
}

/// Disturbs until `end`, and says what was heard. Calls `begun` when the first connection is there, or was refused.
///
/// # Errors
/// When the target is not on loopback, a source address is wanted with TLS, or there are too few file descriptors.
pub(crate) async fn disturb(orders: &Orders, begun: impl FnOnce(), end: impl Future<Output = ()>) -> Result<Disturbed> {
    only_loopback(&orders.endpoint).await?;
    descriptors::make_room(2 * ATTEMPTS)?;
    let worker = Worker {
        dial: Dial::from(&orders.endpoint),
        timer: Timer::new()?,
        seen: Arc::default(),
        changed: Arc::default(),
        tasks: TaskTracker::new(),
    };
    match orders.kind.clone() {
        Kind::NeverReads { device_id, per_second, payload } => {
            ensure!(per_second > 0.0, "the rate must be above 0");
            let sample = Sample::new(Sizes::Fixed(payload))?;
            worker.tasks.spawn(worker.clone().never_reads(device_id, per_second, sample));
        }
        Kind::Greedy { source, clients, messages_per_second, connects_per_second, payload } => {
            ensure!(!orders.endpoint.is_tls(), "a source address can be chosen only without TLS");
            let worker = Worker { dial: worker.dial.with_source(Some(source)), ..worker.clone() };
            let sample = Sample::new(Sizes::Fixed(payload))?;
            for n in 0..if messages_per_second > 0.0 { clients } else { 0 } {
                let id = format!("{}-{n}", orders.prefix);
                worker.tasks.spawn(worker.clone().floods(id, messages_per_second, sample.clone()));
            }
            if connects_per_second > 0.0 {
                let prefix = format!("{}-connect", orders.prefix);
                worker.tasks.spawn(worker.clone().connects(prefix, connects_per_second));
            }
        }
    }
    tokio::pin!(end);
    let is_over = tokio::select! {
        () = worker.changed.notified() => false,
        () = &mut end => true,
    };
    if !is_over {
        begun();
        end.await;
    }
    let seen = worker.seen.lock().clone();
    Ok(seen)
}

impl Worker {
    async fn never_reads(self, device_id: String, per_second: f64, sample: Sample) {
        let dial = match self.dial.endpoint.is_tls() {
            true => self.dial.clone(),
            false => Dial { receive_buffer: Some(SMALL_BUFFER), ..self.dial.clone() },
        };
        let mut backoff = Backoff::new(1);
        loop {
            let link = timeout(PATIENCE, WsLink::client(&dial, &device_id)).await.unwrap_or(Err(Fault::Unanswered(1)));
            let fault = match link {
                Ok(link) => {
                    backoff.reset();
                    self.connected(1);
                    self.send_only(link, per_second, sample.clone()).await
                }
                Err(fault) => fault,
            };
            self.heard(&fault);
            sleep(backoff.pause()).await;
        }
    }

    /// Sends until the connection ends, and reads nothing.
    async fn send_only(&self, mut link: WsLink, per_second: f64, mut sample: Sample) -> Fault {
        let mut schedule = Schedule::of_many(Instant::now(), 0, 1, per_second, Arrivals::Constant);
        for number in 0.. {
            self.timer.until(schedule.next()).await;
            schedule.take(Instant::now());
            let queued = link.queue(0, sample.write(number, 0));
            if let Err(fault) = queued {
                return fault;
            }
            // A server may well stop reading it. It stays, which is the worst it can do.
            if let Err(fault) = link.flush().await {
                return fault;
            }
            self.seen.lock().messages += 1;
        }
        Fault::Unanswered(0)
    }

    async fn floods(self, id: String, per_second: f64, sample: Sample) {
        let mut backoff = Backoff::new(id.len() as u64);
        loop {
            let fault = match self.meet(&id).await {
                Ok((device, client)) => {
                    backoff.reset();
                    self.flood(device, client, per_second, sample.clone()).await
                }
                Err(fault) => fault,
            };
            self.heard(&fault);
            sleep(backoff.pause()).await;
        }
    }

    async fn meet(&self, id: &str) -> Result<(WsLink, WsLink), Fault> {
        let both = async {
            let device = WsLink::device(&self.dial, id).await?;
            let client = WsLink::client(&self.dial, id).await?;
            Ok((device, client))
        };
        let both = timeout(PATIENCE, both).await.unwrap_or(Err(Fault::Unanswered(1)))?;
        self.connected(2);
        Ok(both)
    }

    /// The client sends at its rate, the device takes it, and both read what the server has to say.
    async fn flood(&self, mut device: WsLink, mut client: WsLink, per_second: f64, mut sample: Sample) -> Fault {
        let mut schedule = Schedule::of_many(Instant::now(), 0, 1, per_second, Arrivals::Constant);
        let mut number = 0;
        let (mut taken, mut answers) = (Vec::new(), Vec::new());
        loop {
            let now = Instant::now();
            while schedule.take(now).is_some() {
                number += 1;
                self.seen.lock().messages += 1;
                if let Err(fault) = client.queue(0, sample.write(number, 0)) {
                    return fault;
                }
            }
            let heard = tokio::select! {
                heard = client.receive(&mut answers) => heard,
                heard = device.receive(&mut taken) => heard,
                () = self.timer.until(schedule.next()) => Ok(()),
            };
            taken.clear();
            answers.clear();
            if let Err(fault) = heard {
                return fault;
            }
        }
    }

    async fn connects(self, prefix: String, per_second: f64) {
        let mut schedule = Schedule::of_many(Instant::now(), 0, 1, per_second, Arrivals::Constant);
        let under_way = TaskTracker::new();
        for n in 0u64.. {
            self.timer.until(schedule.next()).await;
            schedule.take(Instant::now());
            if under_way.len() >= ATTEMPTS {
                continue;
            }
            let (worker, id) = (self.clone(), format!("{prefix}-{n}"));
            under_way.spawn(async move {
                let link = timeout(PATIENCE, WsLink::device(&worker.dial, &id)).await;
                match link.unwrap_or(Err(Fault::Unanswered(1))) {
                    Ok(_link) => worker.connected(1),
                    Err(fault) => worker.heard(&fault),
                }
            });
        }
    }

    fn connected(&self, connections: u64) {
        self.seen.lock().connections += connections;
        self.changed.notify_one();
    }

    fn heard(&self, fault: &Fault) {
        fault::count(&mut self.seen.lock().heard, fault);
        self.changed.notify_one();
    }
}
