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

/// Bytes that may come beside data in the long run, for each second: as many as 700 records have around them.
const PER_SECOND: u64 = 16 * 1024;

/// The same at once. A handshake is far shorter. Of data, TLS reads a record or two before it shows them.
const MOST: u64 = 64 * 1024;

/// A socket of which no more than this is read.
#[derive(Debug)]
pub struct BelowTls {
    tcp: TcpStream,
    /// Bytes that came, less twice those of the data in them, less what time has forgiven.
    beside_data: u64,
    since: Instant,
}

impl BelowTls {
    pub(super) fn new(tcp: TcpStream) -> Self {
        Self { tcp, beside_data: 0, since: Instant::now() }
    }

    /// So much of what came was data. A record of more than a few bytes leaves nothing to forgive.
    pub(crate) fn on_data(&mut self, bytes: usize) {
        self.beside_data = self.beside_data.saturating_sub(2 * bytes as u64);
    }

    /// The clock is read only where there is much to forgive.
    fn on_read(&mut self, bytes: usize) -> io::Result<()> {
        self.beside_data += bytes as u64;
        if self.beside_data <= MOST {
            return Ok(());
        }
        let now = Instant::now();
        let passed = now.saturating_duration_since(self.since).min(Duration::from_secs(MOST / PER_SECOND));
        self.since = now;
        let forgiven = passed.as_millis() as u64 * PER_SECOND / 1000;
        self.beside_data = self.beside_data.saturating_sub(forgiven);
        if self.beside_data <= MOST {
            return Ok(());
        }
        Err(io::Error::new(io::ErrorKind::InvalidData, "too much that is no data comes by TLS"))
    }
}

impl AsyncRead for BelowTls {
    fn poll_read(self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        let below = self.get_mut();
        let before = buf.filled().len();
        ready!(Pin::new(&mut below.tcp).poll_read(cx, buf))?;
        Poll::Ready(below.on_read(buf.filled().len() - before))
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
