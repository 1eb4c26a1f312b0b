//! What is known of one accepted socket while HTTP is spoken on it, and of one request if it came through a proxy.

use std::fmt;
use std::net::{IpAddr, SocketAddr};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use cuttlebone_access::Chain;
use cuttlebone_transport::{Bucket, PeerUser, Rate};
use parking_lot::Mutex;
use tokio::time::Instant;

use crate::admission::ConnectionPermit;
use crate::clock;
use crate::metrics::Refusal;
use crate::origin::Scheme;

/// Shared by the task that serves HTTP, its handlers and the socket.
#[derive(Debug)]
pub(crate) struct Link {
    /// The other end; behind a proxy the one that asks, with port 0 where the proxy does not tell it.
    pub(crate) peer: SocketAddr,
    /// Its place among those that may be open.
    pub(crate) permit: ConnectionPermit,
    /// When the first response must be there.
    pub(crate) deadline: Instant,
    /// What the other end sees of us.
    pub(crate) scheme: Scheme,
    /// Who is at the other end, where the system says so.
    user: Option<PeerUser>,
    /// The link of the socket, if this is that of one request.
    socket: Option<Arc<Link>>,
    accepted: Instant,
    /// What the peer showed in the handshake of TLS, once that is done.
    shown: OnceLock<Chain>,
    requests: Mutex<Bucket>,
    responded: AtomicBool,
    held: AtomicBool,
    upgraded: AtomicBool,
    endless: Mutex<Option<Endless>>,
}

/// A stream that ends when the server stops, or when whoever reads it may not be there any more.
pub(crate) struct Endless(Box<dyn Fn() -> bool + Send + Sync>);

impl Endless {
    /// `may_stay` is asked when the reader is slow: then the stream itself is not.
    pub(crate) fn new(may_stay: impl Fn() -> bool + Send + Sync + 'static) -> Self {
        Self(Box::new(may_stay))
    }
}

impl fmt::Debug for Endless {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Endless")
    }
}

impl Link {
    pub(crate) fn new(peer: SocketAddr, permit: ConnectionPermit, deadline: Instant, scheme: Scheme) -> Self {
        Self {
            peer,
            permit,
            deadline,
            scheme,
            user: None,
            socket: None,
            accepted: clock::now(),
            shown: OnceLock::new(),
            requests: Mutex::default(),
            responded: AtomicBool::new(false),
            held: AtomicBool::new(false),
            upgraded: AtomicBool::new(false),
            endless: Mutex::default(),
        }
    }

    /// With what the system says of who is at the other end.
    pub(crate) fn with_user(self, user: Option<PeerUser>) -> Arc<Self> {
        Arc::new(Self { user, ..self })
    }

    /// A request becomes a connection: says which rate of its address is reached, if it came through a proxy that passes on many.
    /// Others came at theirs when their socket did.
    pub(crate) fn begin_connection(&self) -> Result<(), Refusal> {
        if self.socket.is_some() { self.permit.begin_connection() } else { Ok(()) }
    }

    /// Who is at the other end, where the system says so. Who is behind a proxy is not the proxy.
    pub(crate) fn user(&self) -> Option<PeerUser> {
        self.user
    }

    /// That of a request which the proxy at the other end of this one passes on from `peer`.
    pub(crate) fn behind(self: &Arc<Self>, peer: IpAddr, permit: ConnectionPermit, scheme: Scheme) -> Arc<Self> {
        let link = Self::new((peer, 0).into(), permit, self.deadline, scheme);
        Arc::new(Self { socket: Some(Arc::clone(self)), ..link })
    }

    /// The certificate that the peer has, if it showed one.
    pub(crate) fn certificate(&self) -> Option<&Chain> {
        self.shown.get().filter(|chain| !chain.is_of_nobody())
    }

    /// What was shown on the socket, if it has TLS: behind a proxy by the proxy.
    pub(crate) fn shown_on_socket(&self) -> Option<&Chain> {
        self.socket().shown.get()
    }

    /// A handshake of TLS is done. A longer chain than any has is none.
    pub(crate) fn set_shown<'a>(&self, shown: impl IntoIterator<Item = &'a [u8]>) {
        let chain = Chain::new(shown).map(|chain| chain.shown_at(clock::unix_ms() / 1000));
        let _only_once = self.shown.set(chain.unwrap_or_else(Chain::of_nobody));
    }

    /// A request begins. Gives until when it has to wait, if more came than may: on this socket, or from the address behind a
    /// proxy; or that this would be too long.
    pub(crate) fn begin_request(&self, rate: Rate) -> Result<Option<Instant>, Refusal> {
        *self.socket().endless.lock() = None;
        if self.socket.is_some() {
            return self.permit.begin_request();
        }
        let now = clock::now().saturating_duration_since(self.accepted).as_nanos();
        let now = u64::try_from(now).unwrap_or(u64::MAX);
        let mut bucket = self.requests.lock();
        let ready = bucket.ready_at(rate);
        bucket.spend(rate, 1, now);
        Ok((ready > now).then(|| self.accepted + Duration::from_nanos(ready)))
    }

    /// True once a request was complete and has its answer.
    pub(crate) fn has_responded(&self) -> bool {
        self.socket().responded.load(Ordering::Relaxed)
    }

    pub(crate) fn set_responded(&self) {
        self.permit.settle();
        self.socket().responded.store(true, Ordering::Relaxed);
    }

    /// True once a request was complete whose answer is held back: the peer is not to blame for the time that takes.
    pub(crate) fn is_held(&self) -> bool {
        self.socket().held.load(Ordering::Relaxed)
    }

    pub(crate) fn set_held(&self) {
        self.permit.settle();
        self.socket().held.store(true, Ordering::Relaxed);
    }

    /// True once the socket belongs to a connection task.
    pub(crate) fn is_upgraded(&self) -> bool {
        self.socket().upgraded.load(Ordering::Relaxed)
    }

    pub(crate) fn set_upgraded(&self) {
        self.socket().upgraded.store(true, Ordering::Relaxed);
    }

    /// True while the response is a stream without an end of its own.
    pub(crate) fn is_endless(&self) -> bool {
        self.socket().endless.lock().is_some()
    }

    /// True if the response is a stream whose reader may not be there any more.
    pub(crate) fn is_over(&self) -> bool {
        self.socket().endless.lock().as_ref().is_some_and(|Endless(may_stay)| !may_stay())
    }

    pub(crate) fn set_endless(&self, endless: Endless) {
        *self.socket().endless.lock() = Some(endless);
    }

    fn socket(&self) -> &Self {
        self.socket.as_deref().unwrap_or(self)
    }

    #[cfg(any(test, feature = "fuzzing"))]
    pub(crate) fn for_test(deadline: Instant) -> Arc<Self> {
        Self::for_test_of(Scheme::Any, deadline)
    }

    #[cfg(any(test, feature = "fuzzing"))]
    pub(crate) fn for_test_of(scheme: Scheme, deadline: Instant) -> Arc<Self> {
        let peer = SocketAddr::from(([127, 0, 0, 1], 1));
        let permit = crate::admission::Admission::new(crate::admission::Bounds::of(1, None))
            .try_admit(peer.ip())
            .expect("a place");
        Arc::new(Self::new(peer, permit, deadline, scheme))
    }
}
