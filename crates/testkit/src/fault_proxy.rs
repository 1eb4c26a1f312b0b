//! A TCP proxy that spoils connections when it is told to.
//!
//! It knows bytes and no protocol. Each accepted connection gets one to the target, and what comes from one side is
//! passed on to the other, the end of a direction and a reset too. Faults are for all connections, and those that last
//! ([`FaultProxy::delay`], [`FaultProxy::stall`], [`FaultProxy::slice`]) also for those to come.
//!
//! Invariants:
//!
//! 1. One task and two buffers of 16 KiB a connection, at most 4,096 of them at a time. A receiver that does not read stops
//!    the reading from the sender.
//! 2. Bytes are counted when they have been written to the receiver's socket, which may have them a moment earlier.
//! 3. Dropping the proxy resets its connections and ends its tasks.

mod command;
mod connection;
mod faults;

use std::io;
use std::net::{Ipv4Addr, SocketAddr};
use std::num::NonZeroUsize;
use std::sync::Arc;
use std::time::Duration;

use tokio::net::TcpListener;
use tokio::sync::Semaphore;
use tokio::time::{Instant, sleep};
use tokio_util::sync::{CancellationToken, DropGuard};
use tokio_util::task::TaskTracker;

pub use command::CommandError;

use faults::{Shared, Stall};

/// The most bytes that are read at once.
const CHUNK: usize = 16 * 1024;
/// The most connections at a time; more wait to be accepted.
const CONNECTIONS: usize = 4096;
/// The pause after a failed accept: there may be no descriptor left.
const ACCEPT_PAUSE: Duration = Duration::from_millis(50);

/// Which way bytes go.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Direction {
    /// Towards the server, that is the target.
    Up,
    /// Towards the client.
    Down,
}

/// What has happened so far.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Counts {
    /// Connections accepted.
    pub connections: u64,
    /// Of those, how many are open.
    pub open: u64,
    /// Of those, how many were reset: by a cut, or because one side was reset or can't be reached.
    pub reset: u64,
    /// Bytes passed on to the server.
    pub up: u64,
    /// Bytes passed on to clients.
    pub down: u64,
}

/// A proxy that runs until it is dropped.
#[derive(Debug)]
pub struct FaultProxy {
    address: SocketAddr,
    shared: Arc<Shared>,
    _running: DropGuard,
}

impl FaultProxy {
    /// Listens on a free port of loopback; connections go to `target` (`HOST:PORT`), which need not be there yet.
    ///
    /// # Errors
    /// No port to listen on.
    pub async fn start(target: &(impl ToString + ?Sized)) -> io::Result<Self> {
        Self::listen(SocketAddr::from((Ipv4Addr::LOCALHOST, 0)), target).await
    }

    /// [`FaultProxy::start`] on an address of choice.
    ///
    /// # Errors
    /// The address can't be listened on.
    pub async fn listen(address: SocketAddr, target: &(impl ToString + ?Sized)) -> io::Result<Self> {
        let listener = TcpListener::bind(address).await?;
        let address = listener.local_addr()?;
        let running = CancellationToken::new();
        let shared = Arc::new(Shared::new(target.to_string(), running.clone()));
        let accepting = accept(listener, Arc::clone(&shared));
        let stopped = running.clone();
        TaskTracker::new().spawn(async move { stopped.run_until_cancelled(accepting).await });
        Ok(Self { address, shared, _running: running.drop_guard() })
    }

    /// Where it listens.
    #[must_use]
    pub const fn address(&self) -> SocketAddr {
        self.address
    }

    /// Connections that are accepted from now on go to `target` (`HOST:PORT`).
    pub fn to(&self, target: &(impl ToString + ?Sized)) {
        self.shared.faults.send_modify(|faults| faults.target = target.to_string());
    }

    /// Holds every chunk for this long before it is passed on; what comes meanwhile is the next chunk. Zero: no delay.
    pub fn delay(&self, time: Duration) {
        self.shared.faults.send_modify(|faults| faults.delay = time);
    }

    /// Passes nothing on, not even the end of a direction, until [`FaultProxy::clear`].
    pub fn stall(&self) {
        self.shared.faults.send_modify(|faults| faults.stall = Stall::Forever);
    }

    /// Like [`FaultProxy::stall`], but ends by itself.
    pub fn stall_for(&self, time: Duration) {
        let end = Instant::now() + time;
        self.shared.faults.send_modify(|faults| faults.stall = Stall::Until(end));
    }

    /// Passes at most `bytes` on at a time, and gives the receiver the chance to read before the next are written.
    pub fn slice(&self, bytes: NonZeroUsize) {
        self.shared.faults.send_modify(|faults| faults.slice = Some(bytes));
    }

    /// Resets all open connections, both sides, and returns when that is done. What was on its way is lost.
    pub async fn cut(&self) {
        self.shared.cut().wait().await;
    }

    /// Lets the next `bytes` pass in this direction, on all connections together, and then resets all of them as
    /// [`FaultProxy::cut`] does, once. With 0 it resets them when the next byte would pass.
    pub fn cut_after(&self, direction: Direction, bytes: u64) {
        self.shared.set_budget(direction, Some(bytes));
    }

    /// Shuts this direction of the open connections down: the receiver sees its end, and what the sender still sends is
    /// thrown away. The other direction goes on.
    pub fn half_close(&self, direction: Direction) {
        self.shared.half_close(direction);
    }

    /// Forgets every fault that lasts, and a cut that has not happened.
    pub fn clear(&self) {
        self.shared.clear();
    }

    /// What has happened so far.
    #[must_use]
    pub fn counts(&self) -> Counts {
        *self.shared.counts.borrow()
    }

    /// Waits until the counts are as wanted, and returns them. Cancel safe.
    pub async fn until(&self, wanted: impl FnMut(&Counts) -> bool) -> Counts {
        let mut counts = self.shared.counts.subscribe();
        // Can't fail: the sender lives as long as `self`.
        counts.wait_for(wanted).await.map(|counts| *counts).unwrap_or_default()
    }
}

async fn accept(listener: TcpListener, shared: Arc<Shared>) {
    let places = Arc::new(Semaphore::new(CONNECTIONS));
    loop {
        let Ok(place) = Arc::clone(&places).acquire_owned().await else { return };
        match listener.accept().await {
            Ok((client, _)) => {
                let generation = shared.generation.lock();
                let connection = connection::run(client, Arc::clone(&shared), generation.signals());
                generation.connections.spawn(async move {
                    connection.await;
                    drop(place);
                });
            }
            Err(_) => sleep(ACCEPT_PAUSE).await,
        }
    }
}
