//! Takes connections from a listener, gives each a place and a task.
//!
//! Invariants: 1. no work is done for a connection that has no place; 2. a system that gives no connection is not asked in a
//! busy loop; 3. those that are turned away cost a bounded effort.

use std::future::pending;
use std::io;
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use cuttlebone_transport::{Accepted, Listener};
use futures_util::FutureExt as _;
use http::HeaderValue;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::sync::Semaphore;
use tokio::task::{unconstrained, yield_now};
use tokio::time::{sleep, timeout};
use tokio_util::sync::CancellationToken;

use crate::admission::Admission;
use crate::app::App;
use crate::audit::{Entry, Event};
use crate::link::Link;
use crate::metrics::{AcceptError, Refusal};
use crate::origin::Scheme;
use crate::problem::retry_after_seconds;
use crate::pulse::Questions;
use crate::tasks::Tasks;
use crate::{clock, logged, serve};

/// How long the loop waits after a failure: the first time, and at most.
const BACKOFF: (Duration, Duration) = (Duration::from_millis(10), Duration::from_secs(1));

/// How long telling one may take.
pub(crate) const TURNING_AWAY: Duration = Duration::from_millis(500);

/// One listener and what it serves.
pub(crate) struct Door {
    pub(crate) listener: Listener,
    /// Whether connections that wait when this server stops are somebody else's: the socket goes on without it.
    pub(crate) leaves_queue: bool,
    pub(crate) tls: bool,
    /// Whether it is that of devices, clients and browsers: listed proxies are believed there, and its loop is asked for
    /// its pulse.
    pub(crate) is_public: bool,
    /// Whether it is a unix socket: whoever comes has no address, and the system says who it is.
    pub(crate) is_unix: bool,
    /// Said with each answer: come by TLS only.
    pub(crate) hsts: Option<HeaderValue>,
    pub(crate) admission: Arc<Admission>,
    /// How many at once are told that there is no place; more are only hung up on.
    pub(crate) turned_away: usize,
    pub(crate) router: Router,
    pub(crate) tasks: Arc<Tasks>,
    pub(crate) app: Arc<App>,
}

/// Accepts until `stop`, then closes the listener. Connections that are in its queue by then would be reset: as many as can be
/// are taken as well, and told to come back.
pub(crate) async fn run(door: Door, stop: CancellationToken) {
    let turned_away = Arc::new(Semaphore::new(door.turned_away));
    let mut backoff = BACKOFF.0;
    let mut questions = if door.is_public { door.app.pulse.questions() } else { None };
    loop {
        // Order: a stop first; a question does not wait for a connection, and there is one now and then.
        let accepted = tokio::select! {
            biased;
            () = stop.cancelled() => break,
            () = answer(&mut questions) => continue,
            accepted = door.listener.accept() => accepted,
        };
        match accepted {
            Ok(accepted) => {
                backoff = BACKOFF.0;
                door.admit(accepted, &turned_away);
            }
            Err(error) => {
                let kind = classify(&error);
                door.app.metrics.accept_failed(kind);
                if kind == AcceptError::Aborted {
                    continue;
                }
                tracing::warn!(%error, wait_ms = logged::millis(backoff), "no connection can be accepted");
                stop.run_until_cancelled(sleep(backoff)).await;
                backoff = (backoff * 2).min(BACKOFF.1);
            }
        }
    }
    if door.leaves_queue || door.tls {
        return;
    }
    // After this the runtime has asked the system who has come.
    yield_now().await;
    for _ in 0..door.turned_away {
        // Unconstrained: else the runtime says that there is nothing when it is others' turn.
        let Some(Ok(accepted)) = unconstrained(door.listener.accept()).now_or_never() else { return };
        door.app.metrics.refused(Refusal::Draining);
        door.turn_away(accepted, Refusal::Draining, &turned_away);
    }
}

/// Answers whether this loop is alive, if it is the one that is asked.
async fn answer(questions: &mut Option<Questions>) {
    match questions {
        Some(questions) => questions.answer().await,
        None => pending().await,
    }
}

impl Door {
    fn admit(&self, accepted: Accepted, turned_away: &Arc<Semaphore>) {
        let peer = accepted.peer();
        let proxy = &self.app.settings.proxy;
        let is_proxy = if self.is_unix { proxy.unix } else { self.is_public && proxy.trusts(peer.ip()) };
        let is_unaddressed = is_proxy || self.is_unix;
        let admitted =
            if is_unaddressed { self.admission.try_admit_unaddressed() } else { self.admission.try_admit(peer.ip()) };
        match admitted {
            Ok(permit) => {
                let deadline = clock::now() + self.app.settings.timeouts.handshake;
                let scheme = if self.tls { Scheme::Https } else { Scheme::Any };
                let link = Link::new(peer, permit, deadline, scheme).with_user(accepted.user());
                let plan = serve::Plan {
                    is_proxy,
                    router: self.router.clone(),
                    app: Arc::clone(&self.app),
                    hsts: self.hsts.clone(),
                    stopping: self.tasks.stopping.clone(),
                };
                self.tasks.spawn(serve::serve(accepted, link, plan));
            }
            Err(reason) => {
                self.app.metrics.refused(reason);
                self.app.audit.note(&Entry::new(Event::Refusal).refused(reason.word()).from(peer));
                self.turn_away(accepted, reason, turned_away);
            }
        }
    }

    /// Says why where that costs no handshake.
    fn turn_away(&self, accepted: Accepted, reason: Refusal, turned_away: &Arc<Semaphore>) {
        if self.tls {
            return;
        }
        let Ok(place) = Arc::clone(turned_away).try_acquire_owned() else { return };
        self.tasks.spawn(async move {
            // Whoever does not take the answer in time is hung up on all the same.
            let _ = timeout(TURNING_AWAY, refuse(accepted, reason)).await;
            drop(place);
        });
    }
}

/// Answers before there is a request.
pub(crate) async fn refuse(accepted: Accepted, reason: Refusal) -> io::Result<()> {
    let (status, code, text) = reason.answer();
    let body = format!(r#"{{"error":"{text}","cuttlebone_code":"{code}"}}"#);
    let (seconds, length) = (retry_after_seconds(), body.len());
    let answer = format!(
        "HTTP/1.1 {status}\r\nretry-after: {seconds}\r\ncontent-type: application/json\r\n\
         content-length: {length}\r\nconnection: close\r\n\r\n{body}"
    );
    let mut socket = accepted.handshake().await?;
    socket.write_all(answer.as_bytes()).await?;
    socket.shutdown().await?;
    // A socket that is closed with unread bytes is reset, and the answer may be lost with it.
    let mut request = [0; 1024];
    while socket.read(&mut request).await? > 0 {}
    Ok(())
}

/// Whether waiting helps.
fn classify(error: &io::Error) -> AcceptError {
    use io::ErrorKind as Kind;
    use rustix::io::Errno;
    let exhausted = [Errno::MFILE, Errno::NFILE, Errno::NOBUFS, Errno::NOMEM].map(Errno::raw_os_error);
    if error.raw_os_error().is_some_and(|code| exhausted.contains(&code)) {
        return AcceptError::Exhausted;
    }
    match error.kind() {
        // Options of a socket whose peer is gone already can't be set: invalid input.
        Kind::ConnectionAborted | Kind::ConnectionReset | Kind::InvalidInput => AcceptError::Aborted,
        _ => AcceptError::Other,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_a_peer_that_left_is_no_reason_to_wait() {
        let classify = |code: rustix::io::Errno| classify(&io::Error::from(code));
        assert_eq!(classify(rustix::io::Errno::MFILE), AcceptError::Exhausted);
        assert_eq!(classify(rustix::io::Errno::NFILE), AcceptError::Exhausted);
        assert_eq!(classify(rustix::io::Errno::CONNABORTED), AcceptError::Aborted);
        assert_eq!(classify(rustix::io::Errno::PERM), AcceptError::Other);
    }
}
