//! A socket that gives up on a peer that does not read, and lets no head of a request through whose lines end in another way
//! than they must ([`LineEnds`]).
//!
//! Hyper has no timeout for writes: a peer that asks for something large and never reads, or reads a byte now and then, would
//! hold its place for ever. The guard watches while HTTP is spoken; an upgraded connection has its own timeout and switches
//! this one off.

use std::future::Future;
use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::time::{Instant, Sleep, sleep_until};

use crate::clock;
use crate::line_ends::LineEnds;
use crate::link::Link;

/// How often it is looked whether the reader of a stream may still be there, while that one does not read.
const LOOK: Duration = Duration::from_secs(1);

/// How long a peer may take to read.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Patience {
    /// Without progress of a write.
    pub(crate) write: Duration,
    /// From the first write that has to wait until all is written; nothing to a stream that has no end.
    pub(crate) response: Duration,
}

/// The socket, and until when it is waited for.
pub(crate) struct StallGuard<S> {
    socket: S,
    link: Arc<Link>,
    patience: Patience,
    stuck: Option<Stuck>,
    /// When all that has waited must be written.
    due: Option<Due>,
    line_ends: LineEnds,
}

/// A write that has to wait.
struct Stuck {
    /// When it is given up.
    until: Instant,
    /// When there is something to look at.
    timer: Pin<Box<Sleep>>,
}

#[derive(Debug, Clone, Copy)]
enum Due {
    At(Instant),
    Never,
}

impl<S> StallGuard<S> {
    pub(crate) fn new(socket: S, link: Arc<Link>, patience: Patience) -> Self {
        Self { socket, link, patience, stuck: None, due: None, line_ends: LineEnds::default() }
    }

    /// Passes a finished write on; for one that is stuck, waits as long as there is patience.
    fn watch<T>(&mut self, cx: &mut Context<'_>, written: Poll<io::Result<T>>) -> Poll<io::Result<T>> {
        if self.link.is_upgraded() {
            self.stuck = None;
            return written;
        }
        if self.due.is_some() && self.link.is_over() {
            return Poll::Ready(Err(io::ErrorKind::PermissionDenied.into()));
        }
        if written.is_ready() {
            self.stuck = None;
            return written;
        }
        let mut stuck = self.stuck.take().unwrap_or_else(|| {
            let until = self.until();
            Stuck { until, timer: Box::pin(sleep_until(until.min(clock::now() + LOOK))) }
        });
        while stuck.timer.as_mut().poll(cx).is_ready() {
            let now = clock::now();
            if now >= stuck.until {
                return Poll::Ready(Err(io::ErrorKind::TimedOut.into()));
            }
            stuck.timer.as_mut().reset(stuck.until.min(now + LOOK));
        }
        self.stuck = Some(stuck);
        Poll::Pending
    }

    /// When a write that is stuck from now on is given up.
    fn until(&mut self) -> Instant {
        let now = clock::now();
        let Patience { write, response } = self.patience;
        let whole = if self.link.is_endless() { Due::Never } else { Due::At(now + response) };
        match *self.due.get_or_insert(whole) {
            Due::At(due) => due.min(now + write),
            Due::Never => now + write,
        }
    }

    /// As [`Self::watch`]; hyper flushes when it has nothing more to write, so one that is done is the end of a response.
    fn watch_flush(&mut self, cx: &mut Context<'_>, flushed: Poll<io::Result<()>>) -> Poll<io::Result<()>> {
        if flushed.is_ready() {
            self.due = None;
        }
        self.watch(cx, flushed)
    }
}

impl<S: AsyncRead + Unpin> AsyncRead for StallGuard<S> {
    fn poll_read(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        let before = buf.filled().len();
        let read = Pin::new(&mut self.socket).poll_read(cx, buf);
        if !self.link.is_upgraded() {
            self.line_ends.look(buf.filled_mut().get_mut(before..).unwrap_or_default());
        }
        read
    }
}

impl<S: AsyncWrite + Unpin> AsyncWrite for StallGuard<S> {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
        let written = Pin::new(&mut self.socket).poll_write(cx, buf);
        self.watch(cx, written)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bufs: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let written = Pin::new(&mut self.socket).poll_write_vectored(cx, bufs);
        self.watch(cx, written)
    }

    fn is_write_vectored(&self) -> bool {
        self.socket.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let flushed = Pin::new(&mut self.socket).poll_flush(cx);
        self.watch_flush(cx, flushed)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let shut = Pin::new(&mut self.socket).poll_shutdown(cx);
        self.watch(cx, shut)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::link::Endless;
    use tokio::io::{AsyncReadExt, AsyncWriteExt, DuplexStream, duplex};
    use tokio::time::sleep;

    const LIMIT: Duration = Duration::from_secs(10);
    const PATIENCE: Patience = Patience { write: LIMIT, response: Duration::from_secs(60) };

    /// Reads 16 bytes at a time, each just before the socket would count as stuck; gives up when there are no more.
    async fn drip(peer: &mut DuplexStream) {
        let mut buf = [0; 16];
        loop {
            sleep(LIMIT / 10 * 9).await;
            if peer.read(&mut buf).await.is_ok_and(|read| read == 0) {
                return;
            }
        }
    }

    #[tokio::test(start_paused = true)]
    async fn write_to_a_peer_that_never_reads_fails_after_the_limit() {
        let (socket, _peer) = duplex(16);
        let mut guard = StallGuard::new(socket, Link::for_test(clock::now()), PATIENCE);
        let begun = clock::now();
        let error = guard.write_all(&[0; 64]).await.unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::TimedOut);
        assert_eq!(clock::now() - begun, LIMIT);
    }

    #[tokio::test(start_paused = true)]
    async fn peer_that_reads_a_little_in_time_is_served() {
        let (socket, mut peer) = duplex(16);
        let mut guard = StallGuard::new(socket, Link::for_test(clock::now()), PATIENCE);
        let read = async {
            let mut buf = [0; 16];
            for _ in 0..4 {
                sleep(LIMIT / 10 * 9).await;
                peer.read_exact(&mut buf).await.expect("written");
            }
        };
        let (written, ()) = tokio::join!(guard.write_all(&[0; 64]), read);
        written.expect("never stuck for the whole limit");
    }

    #[tokio::test(start_paused = true)]
    async fn peer_that_reads_a_little_for_ever_is_given_up_in_the_end() {
        let (socket, mut peer) = duplex(16);
        let mut guard = StallGuard::new(socket, Link::for_test(clock::now()), PATIENCE);
        let begun = clock::now();
        let error = tokio::select! {
            written = guard.write_all(&[0; 1024]) => written.unwrap_err(),
            () = drip(&mut peer) => panic!("closed"),
        };
        assert_eq!(error.kind(), io::ErrorKind::TimedOut);
        assert_eq!(clock::now() - begun, PATIENCE.response);
    }

    #[tokio::test(start_paused = true)]
    async fn each_response_has_its_own_time() {
        let (socket, mut peer) = duplex(16);
        let mut guard = StallGuard::new(socket, Link::for_test(clock::now()), PATIENCE);
        let write = async {
            for _ in 0..10 {
                guard.write_all(&[0; 64]).await.expect("in time");
                guard.flush().await.expect("in time");
            }
        };
        tokio::select! {
            () = write => {}
            () = drip(&mut peer) => panic!("closed"),
        }
    }

    #[tokio::test(start_paused = true)]
    async fn stream_without_an_end_may_be_read_slowly_but_not_never() {
        let (socket, mut peer) = duplex(16);
        let link = Link::for_test(clock::now());
        link.set_endless(Endless::new(|| true));
        let mut guard = StallGuard::new(socket, link, PATIENCE);
        tokio::select! {
            written = guard.write_all(&[0; 1024]) => written.expect("never stuck"),
            () = drip(&mut peer) => panic!("closed"),
        }
        let error = guard.write_all(&[0; 1024]).await.unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::TimedOut);
    }

    /// It does not read, or slowly, and its token is taken back: a stream that can't write does not see it.
    #[tokio::test(start_paused = true)]
    async fn stream_whose_reader_may_not_be_there_any_more_ends_however_slowly_it_is_read() {
        for pace in [LIMIT * 2, LIMIT / 100] {
            let (socket, mut peer) = duplex(16);
            let link = Link::for_test(clock::now());
            let over = clock::now() + Duration::from_secs(2);
            link.set_endless(Endless::new(move || clock::now() < over));
            let mut guard = StallGuard::new(socket, link, PATIENCE);
            let read = async {
                let mut buf = [0; 1];
                loop {
                    sleep(pace).await;
                    let _ = peer.read(&mut buf).await;
                }
            };
            let error = tokio::select! {
                written = guard.write_all(&[0; 1024]) => written.unwrap_err(),
                () = read => unreachable!(),
            };
            assert_eq!(error.kind(), io::ErrorKind::PermissionDenied);
            assert!(clock::now() <= over + LOOK, "{pace:?}");
        }
    }

    #[tokio::test(start_paused = true)]
    async fn upgraded_socket_is_left_alone() {
        let (socket, _peer) = duplex(16);
        let link = Link::for_test(clock::now());
        link.set_upgraded();
        let mut guard = StallGuard::new(socket, link, PATIENCE);
        let outcome = tokio::time::timeout(PATIENCE.response * 2, guard.write_all(&[0; 64])).await;
        assert!(outcome.is_err(), "still waiting");
    }
}
