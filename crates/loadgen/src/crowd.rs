//! Many connections that do little: devices that register and fall silent.

use std::net::IpAddr;
use std::sync::Arc;

use parking_lot::Mutex;
use tokio::sync::Semaphore;
use tokio::time::{Duration, Instant, sleep_until, timeout};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use crate::fault::{self, Fault, Faults};
use crate::link::Link;
use crate::link::dial::Dial;
use crate::link::ws::WsLink;
use crate::load::PATIENCE;

/// How a crowd comes.
#[derive(Clone, Debug)]
pub(crate) struct Arrival {
    pub(crate) dial: Dial,
    /// Where they come from, in turns; at least one.
    pub(crate) sources: Vec<Option<IpAddr>>,
    pub(crate) prefix: String,
    /// Handshakes under way at once.
    pub(crate) at_once: usize,
    /// Handshakes begun in a second, if that is bounded.
    pub(crate) per_second: Option<f64>,
}

/// What is opened.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Member {
    /// A device that registers.
    Device,
    /// A device and a client, which carry one message each way.
    Pair,
}

/// Connections that are open.
pub(crate) struct Crowd {
    arrival: Arc<Arrival>,
    faults: Arc<Mutex<Faults>>,
    stop: CancellationToken,
    tasks: TaskTracker,
}

impl Crowd {
    pub(crate) fn new(arrival: Arrival) -> Self {
        Self {
            arrival: Arc::new(arrival),
            faults: Arc::default(),
            stop: CancellationToken::new(),
            tasks: TaskTracker::new(),
        }
    }

    /// Opens so many of these; returns when each is open or has failed.
    pub(crate) async fn bring(&self, count: usize, what: Member) {
        let at_once = Arc::new(Semaphore::new(self.arrival.at_once));
        let opening = TaskTracker::new();
        let start = Instant::now();
        for n in 0..count {
            if let Some(rate) = self.arrival.per_second {
                sleep_until(start + Duration::from_secs_f64(n as f64 / rate)).await;
            }
            // Never closed, so a permit always comes.
            let permit = Arc::clone(&at_once).acquire_owned().await;
            let arrival = Arc::clone(&self.arrival);
            let (faults, stop, tasks) = (Arc::clone(&self.faults), self.stop.clone(), self.tasks.clone());
            opening.spawn(async move {
                match timeout(PATIENCE, open(&arrival, n, what)).await {
                    Ok(Ok(links)) => links.into_iter().for_each(|link| stay(link, &faults, &stop, &tasks)),
                    Ok(Err(fault)) => fault::count(&mut faults.lock(), &fault),
                    Err(_late) => fault::count(&mut faults.lock(), &Fault::Unanswered(1)),
                }
                drop(permit);
            });
        }
        opening.close();
        opening.wait().await;
    }

    pub(crate) fn faults(&self) -> Faults {
        self.faults.lock().clone()
    }

    /// How many connections are open.
    pub(crate) fn len(&self) -> usize {
        self.tasks.len()
    }

    /// Cuts all connections.
    pub(crate) async fn stop(self) {
        self.stop.cancel();
        self.tasks.close();
        self.tasks.wait().await;
    }
}

async fn open(arrival: &Arrival, n: usize, what: Member) -> Result<Vec<WsLink>, Fault> {
    let id = format!("{}-{n}", arrival.prefix);
    let dial = arrival.dial.with_source(arrival.sources[n % arrival.sources.len()]);
    let mut device = WsLink::device(&dial, &id).await?;
    match what {
        Member::Device => Ok(vec![device]),
        Member::Pair => {
            let mut client = WsLink::client(&dial, &id).await?;
            let id = pass(&mut client, &mut device, 0).await?;
            pass(&mut device, &mut client, id).await?;
            Ok(vec![device, client])
        }
    }
}

/// Keeps a connection open: pings are answered by reading.
fn stay(mut link: WsLink, faults: &Arc<Mutex<Faults>>, stop: &CancellationToken, tasks: &TaskTracker) {
    let (faults, stop) = (Arc::clone(faults), stop.clone());
    tasks.spawn(async move {
        let mut batch = Vec::new();
        if let Some(Err(fault)) = stop.run_until_cancelled(link.receive(&mut batch)).await {
            fault::count(&mut faults.lock(), &fault);
        }
    });
}

/// One message; says who it was from.
async fn pass(from: &mut WsLink, to: &mut WsLink, answered: u32) -> Result<u32, Fault> {
    from.queue(answered, br#"{"once":true}"#)?;
    from.flush().await?;
    let mut batch = Vec::new();
    to.receive(&mut batch).await?;
    Ok(batch[0].from)
}
