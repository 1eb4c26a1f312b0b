//! Many connections that do little: devices that register and fall silent.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use cuttlebone_client::Endpoint;
use parking_lot::Mutex;
use tokio::sync::Semaphore;
use tokio::time::{Instant, sleep_until, timeout};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use crate::fault::{self, Fault, Faults};
use crate::link::Link;
use crate::link::ws::WsLink;

const PATIENCE: Duration = Duration::from_secs(20);

/// How a crowd comes.
#[derive(Clone, Debug)]
pub(crate) struct Arrival {
    pub(crate) endpoint: Endpoint,
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
    let mut device = WsLink::device(&arrival.endpoint, &id).await?;
    match what {
        Member::Device => Ok(vec![device]),
        Member::Pair => {
            let mut client = WsLink::client(&arrival.endpoint, &id).await?;
            pass(&mut client, &mut device).await?;
            pass(&mut device, &mut client).await?;
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

async fn pass(from: &mut WsLink, to: &mut WsLink) -> Result<(), Fault> {
    let mut batch: Vec<Bytes> = Vec::new();
    from.queue(br#"{"once":true}"#)?;
    from.flush().await?;
    to.receive(&mut batch).await
}
