//! The socket below TLS, and how much comes by it that is no data.
//!
//! A peer that nobody knows yet can change its keys as often as it likes, and send records with nothing in them. Each costs more
//! than it does to send, and no rate of the layers above sees it.

use std::io::{self, IoSlice};
use std::pin::Pin;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::TcpStream;
use tokio::time::Instant;

/// Bytes that may come beside data in the long run, for each second: 700 records with nothing in them.
const PER_SECOND: u64 = 16 * 1024;

/// The same at once, less what a second forgives. A handshake is far shorter. Of data, TLS reads a record or two before it shows them.
const MOST: u64 = 48 * 1024;

/// A socket of which no more than this is read.
#[derive(Debug)]
pub struct BelowTls {
    tcp: TcpStream,
    beside: BesideData,
}

impl BelowTls {
    pub(super) fn new(tcp: TcpStream) -> Self {
        Self { tcp, beside: BesideData::new() }
    }

    /// A record of so many bytes came, with data in it: it is not beside data.
    pub(crate) fn on_record(&mut self, bytes: usize) {
        self.beside.bytes = self.beside.bytes.saturating_sub(bytes as u64);
    }
}

/// What came beside data.
#[derive(Debug)]
struct BesideData {
    /// Bytes that came, less those of records with data, less what time has forgiven.
    bytes: u64,
    /// When time last forgave something. The clock is read only where there is much to forgive.
    since: Instant,
}

impl BesideData {
    fn new() -> Self {
        Self { bytes: 0, since: Instant::now() }
    }

    /// So many bytes came, of which it is not known yet whether there are data in them. Gives whether that was not too much. Time
    /// forgives no more than a second's worth at once: whoever sent nothing for long has nothing to be forgiven for it.
    fn on_read(&mut self, bytes: usize) -> bool {
        self.bytes += bytes as u64;
        if self.bytes > MOST {
            let now = Instant::now();
            let passed = now.saturating_duration_since(self.since).min(Duration::from_secs(1));
            self.since = now;
            self.bytes = self.bytes.saturating_sub(passed.as_millis() as u64 * PER_SECOND / 1000);
        }
        self.bytes <= MOST
    }
}

impl AsyncRead for BelowTls {
    fn poll_read(self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        let below = self.get_mut();
        let before = buf.filled().len();
        ready!(Pin::new(&mut below.tcp).poll_read(cx, buf))?;
        if below.beside.on_read(buf.filled().len() - before) {
            return Poll::Ready(Ok(()));
        }
        Poll::Ready(Err(io::Error::new(io::ErrorKind::InvalidData, "too much that is no data comes by TLS")))
    }
}

impl AsyncWrite for BelowTls {
    fn poll_write(self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.get_mut().tcp).poll_write(cx, bytes)
    }

    fn poll_write_vectored(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        slices: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.get_mut().tcp).poll_write_vectored(cx, slices)
    }

    fn is_write_vectored(&self) -> bool {
        self.tcp.is_write_vectored()
    }

    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.get_mut().tcp).poll_flush(cx)
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.get_mut().tcp).poll_shutdown(cx)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// How much came, in pieces, before it was too much.
    fn at_once(beside: &mut BesideData) -> usize {
        (0..).take_while(|_| beside.on_read(256)).count() * 256
    }

    #[tokio::test(start_paused = true)]
    async fn so_much_at_once_however_long_nothing_came_before() {
        let mut beside = BesideData::new();
        assert_eq!(at_once(&mut beside), 48 * 1024);
        tokio::time::advance(Duration::from_secs(3600)).await;
        assert_eq!(at_once(&mut beside), 16 * 1024 - 256, "the last was too much");
        let mut beside = BesideData::new();
        tokio::time::advance(Duration::from_secs(3600)).await;
        assert_eq!(at_once(&mut beside), 64 * 1024);
    }

    #[tokio::test(start_paused = true)]
    async fn so_much_a_second_for_ever() {
        for (each, passes) in [(1600, true), (1800, false)] {
            let mut beside = BesideData::new();
            let mut passed = 0;
            while passed < 10_000 && beside.on_read(each) {
                passed += 1;
                tokio::time::advance(Duration::from_millis(100)).await;
            }
            assert_eq!(passed == 10_000, passes, "{each} ten times a second: {passed}");
        }
    }
}
