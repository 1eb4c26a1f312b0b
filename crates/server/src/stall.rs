//! A socket that gives up on a peer that does not read.
//!
//! Hyper has no timeout for writes: a peer that asks for something large and never reads would hold its place for ever. The
//! guard watches while HTTP is spoken; an upgraded connection has its own timeout and switches this one off.

use std::future::Future;
use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::time::{Sleep, sleep};

use crate::link::Link;

/// The socket, and since when a write is stuck.
pub(crate) struct StallGuard<S> {
    socket: S,
    link: Arc<Link>,
    limit: Duration,
    stuck: Option<Pin<Box<Sleep>>>,
}

impl<S> StallGuard<S> {
    pub(crate) fn new(socket: S, link: Arc<Link>, limit: Duration) -> Self {
        Self { socket, link, limit, stuck: None }
    }

    /// Passes a finished write on; for one that is stuck, waits until the limit has passed.
    fn watch<T>(&mut self, cx: &mut Context<'_>, written: Poll<io::Result<T>>) -> Poll<io::Result<T>> {
        if written.is_ready() || self.link.is_upgraded() {
            self.stuck = None;
            return written;
        }
        let limit = self.limit;
        let stuck = self.stuck.get_or_insert_with(|| Box::pin(sleep(limit)));
        ready!(stuck.as_mut().poll(cx));
        Poll::Ready(Err(io::ErrorKind::TimedOut.into()))
    }
}

impl<S: AsyncRead + Unpin> AsyncRead for StallGuard<S> {
    fn poll_read(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.socket).poll_read(cx, buf)
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
        self.watch(cx, flushed)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let shut = Pin::new(&mut self.socket).poll_shutdown(cx);
        self.watch(cx, shut)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use tokio::io::{AsyncReadExt, AsyncWriteExt, duplex};

    const LIMIT: Duration = Duration::from_secs(10);

    #[tokio::test(start_paused = true)]
    async fn write_to_a_peer_that_never_reads_fails_after_the_limit() {
        let (socket, _peer) = duplex(16);
        let mut guard = StallGuard::new(socket, Link::for_test(), LIMIT);
        let begun = crate::clock::now();
        let error = guard.write_all(&[0; 64]).await.unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::TimedOut);
        assert_eq!(crate::clock::now() - begun, LIMIT);
    }

    #[tokio::test(start_paused = true)]
    async fn peer_that_reads_a_little_in_time_is_served() {
        let (socket, mut peer) = duplex(16);
        let mut guard = StallGuard::new(socket, Link::for_test(), LIMIT);
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
    async fn upgraded_socket_is_left_alone() {
        let (socket, _peer) = duplex(16);
        let link = Link::for_test();
        link.set_upgraded();
        let mut guard = StallGuard::new(socket, link, LIMIT);
        let outcome = tokio::time::timeout(LIMIT * 2, guard.write_all(&[0; 64])).await;
        assert!(outcome.is_err(), "still waiting");
    }
}
