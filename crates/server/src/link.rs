//! What is known of one accepted socket while HTTP is spoken on it.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use cuttlebone_transport::{Bucket, Rate};
use parking_lot::Mutex;
use tokio::time::Instant;

use crate::admission::ConnectionPermit;
use crate::clock;

/// Shared by the task that serves HTTP, its handlers and the socket.
#[derive(Debug)]
pub(crate) struct Link {
    /// The other end.
    pub(crate) peer: SocketAddr,
    /// The socket's place among those that may be open.
    pub(crate) permit: ConnectionPermit,
    /// When the first response must be there.
    pub(crate) deadline: Instant,
    accepted: Instant,
    requests: Mutex<Bucket>,
    responded: AtomicBool,
    held: AtomicBool,
    upgraded: AtomicBool,
    endless: AtomicBool,
}

impl Link {
    pub(crate) fn new(peer: SocketAddr, permit: ConnectionPermit, deadline: Instant) -> Arc<Self> {
        Arc::new(Self {
            peer,
            permit,
            deadline,
            accepted: clock::now(),
            requests: Mutex::default(),
            responded: AtomicBool::new(false),
            held: AtomicBool::new(false),
            upgraded: AtomicBool::new(false),
            endless: AtomicBool::new(false),
        })
    }

    /// A request begins. Gives until when it has to wait, if more came on this socket than may.
    pub(crate) fn begin_request(&self, rate: Rate) -> Option<Instant> {
        self.endless.store(false, Ordering::Relaxed);
        let now = clock::now().saturating_duration_since(self.accepted).as_nanos();
        let now = u64::try_from(now).unwrap_or(u64::MAX);
        let mut bucket = self.requests.lock();
        let ready = bucket.ready_at(rate);
        bucket.spend(rate, 1, now);
        (ready > now).then(|| self.accepted + Duration::from_nanos(ready))
    }

    /// True once a request was complete and has its answer.
    pub(crate) fn has_responded(&self) -> bool {
        self.responded.load(Ordering::Relaxed)
    }

    pub(crate) fn set_responded(&self) {
        self.permit.settle();
        self.responded.store(true, Ordering::Relaxed);
    }

    /// True once a request was complete whose answer is held back: the peer is not to blame for the time that takes.
    pub(crate) fn is_held(&self) -> bool {
        self.held.load(Ordering::Relaxed)
    }

    pub(crate) fn set_held(&self) {
        self.permit.settle();
        self.held.store(true, Ordering::Relaxed);
    }

    /// True once the socket belongs to a connection task.
    pub(crate) fn is_upgraded(&self) -> bool {
        self.upgraded.load(Ordering::Relaxed)
    }

    pub(crate) fn set_upgraded(&self) {
        self.upgraded.store(true, Ordering::Relaxed);
    }

    /// True while the response is a stream that only the server's stop ends.
    pub(crate) fn is_endless(&self) -> bool {
        self.endless.load(Ordering::Relaxed)
    }

    pub(crate) fn set_endless(&self) {
        self.endless.store(true, Ordering::Relaxed);
    }

    #[cfg(any(test, feature = "fuzzing"))]
    pub(crate) fn for_test(deadline: Instant) -> Arc<Self> {
        let peer = SocketAddr::from(([127, 0, 0, 1], 1));
        let permit = crate::admission::Admission::new(crate::admission::Bounds::of(1, None))
            .try_admit(peer.ip())
            .expect("a place");
        Self::new(peer, permit, deadline)
    }
}
