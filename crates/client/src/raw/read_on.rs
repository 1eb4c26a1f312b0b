//! A stream whose failed writes do not end its reading, and whose answer to the upgrade has a bound.
//!
//! The WebSocket library reads nothing more once a write has failed. A server that closes says why before it hangs up, and
//! a write that comes too late must not cost what it said. It also reads a head of any length, again and again from its beginning.

use std::io;
use std::pin::Pin;
use std::task::{Context, Poll};

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

/// Keeps the first fault of writing to itself; from then on everything written goes nowhere.
#[derive(Debug)]
pub(super) struct ReadOn<S> {
    inner: S,
    fault: Option<(io::ErrorKind, String)>,
    /// Bytes that may still come before the connection is upgraded; nothing once it is.
    head: Option<usize>,
}

/// The longest answer to an upgrade.
const HEAD_BYTES: usize = 64 * 1024;

impl<S> ReadOn<S> {
    pub(super) fn new(inner: S) -> Self {
        Self { inner, fault: None, head: Some(HEAD_BYTES) }
    }

    /// The answer was there: what follows are frames, which the library bounds.
    pub(super) fn upgraded(&mut self) {
        self.head = None;
    }

    /// Why nothing can be written any more.
    pub(super) fn write_fault(&self) -> Option<io::Error> {
        self.fault.as_ref().map(|(kind, text)| io::Error::new(*kind, text.clone()))
    }

    /// The result of a write of `all` bytes as the library is told it.
    fn told(&mut self, result: io::Result<usize>, all: usize) -> io::Result<usize> {
        result.or_else(|error| {
            self.fault = Some((error.kind(), error.to_string()));
            Ok(all)
        })
    }
}

impl<S: AsyncRead + Unpin> AsyncRead for ReadOn<S> {
    fn poll_read(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        let Some(left) = self.head else { return Pin::new(&mut self.inner).poll_read(cx, buf) };
        if left == 0 {
            let fault = format!("the answer to the upgrade is longer than {HEAD_BYTES} bytes");
            return Poll::Ready(Err(io::Error::new(io::ErrorKind::InvalidData, fault)));
        }
        let before = buf.filled().len();
        let read = Pin::new(&mut self.inner).poll_read(cx, buf);
        self.head = Some(left.saturating_sub(buf.filled().len() - before));
        read
    }
}

impl<S: AsyncWrite + Unpin> AsyncWrite for ReadOn<S> {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
        if self.fault.is_some() {
            return Poll::Ready(Ok(buf.len()));
        }
        Pin::new(&mut self.inner).poll_write(cx, buf).map(|result| self.told(result, buf.len()))
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bufs: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let all = bufs.iter().map(|buf| buf.len()).sum();
        if self.fault.is_some() {
            return Poll::Ready(Ok(all));
        }
        Pin::new(&mut self.inner).poll_write_vectored(cx, bufs).map(|result| self.told(result, all))
    }

    fn is_write_vectored(&self) -> bool {
        self.inner.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        if self.fault.is_some() {
            return Poll::Ready(Ok(()));
        }
        Pin::new(&mut self.inner).poll_flush(cx).map(|result| self.told(result.map(|()| 0), 0).map(|_| ()))
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.inner).poll_shutdown(cx)
    }
}
