//! A byte stream, of TCP with or without TLS, or of a unix socket.

use std::io::{self, IoSlice};
use std::pin::Pin;
use std::task::{Context, Poll};

use rustls::{ServerConnection, SupportedCipherSuite};
use tokio::io::{AsyncBufRead, AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::{TcpStream, UnixStream};
use tokio_rustls::server::TlsStream;

use crate::tls::BelowTls;

/// A connection whose TLS handshake, if any, is done.
#[derive(Debug)]
pub enum Stream {
    /// TCP as it is.
    Plain(TcpStream),
    /// A unix socket.
    Unix(UnixStream),
    /// TLS over TCP. Boxed, because it is many times larger.
    Tls(Box<TlsStream<BelowTls>>),
}

impl Stream {
    /// True if the bytes are encrypted.
    #[must_use]
    pub fn is_tls(&self) -> bool {
        matches!(self, Self::Tls(_))
    }

    /// The certificates that the peer showed, in DER, its own first; none if it showed none. Of a session that was resumed,
    /// those that it showed when it began.
    pub fn peer_certificates(&self) -> impl Iterator<Item = &[u8]> {
        let shown = match self {
            Self::Plain(_) | Self::Unix(_) => None,
            Self::Tls(io) => io.get_ref().1.peer_certificates(),
        };
        shown.unwrap_or_default().iter().map(AsRef::as_ref)
    }
}

impl AsyncRead for Stream {
    fn poll_read(self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        match self.get_mut() {
            Self::Plain(io) => Pin::new(io).poll_read(cx, buf),
            Self::Unix(io) => Pin::new(io).poll_read(cx, buf),
            Self::Tls(io) => poll_read_tls(io, cx, buf),
        }
    }
}

/// Before each record of TLS, and after it.
const HEADER: usize = 5;
const TAG: usize = 16;

/// The most records of one read. However little is in each, others have their turn.
const RECORDS: usize = 256;

/// Reads as much as there is room for, a record at a time: so the socket below hears of the data in one before it reads the
/// next. A fault after some data is met again by the next read.
fn poll_read_tls(io: &mut TlsStream<BelowTls>, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
    let before = buf.filled().len();
    for _ in 0..RECORDS {
        if buf.remaining() == 0 {
            break;
        }
        let data = match Pin::new(&mut *io).poll_fill_buf(cx) {
            Poll::Ready(Ok([])) => break,
            Poll::Ready(Ok(data)) => data,
            Poll::Ready(Err(_)) | Poll::Pending if buf.filled().len() > before => break,
            Poll::Ready(Err(error)) => return Poll::Ready(Err(error)),
            Poll::Pending => return Poll::Pending,
        };
        let count = data.len().min(buf.remaining());
        buf.put_slice(&data[..count]);
        Pin::new(&mut *io).consume(count);
        let (below, session) = io.get_mut();
        below.on_record(count + around(session));
    }
    Poll::Ready(Ok(()))
}

/// What is around the data of a record, in bytes. To the byte: whatever were forgiven beyond would pay for something else.
fn around(session: &ServerConnection) -> usize {
    let beside = match session.negotiated_cipher_suite() {
        // The kind of the record, in it.
        Some(SupportedCipherSuite::Tls13(_)) => 1,
        Some(SupportedCipherSuite::Tls12(suite)) => suite.aead_alg.key_block_shape().explicit_nonce_len,
        None => 0,
    };
    HEADER + beside + TAG
}

impl AsyncWrite for Stream {
    fn poll_write(self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        match self.get_mut() {
            Self::Plain(io) => Pin::new(io).poll_write(cx, bytes),
            Self::Unix(io) => Pin::new(io).poll_write(cx, bytes),
            Self::Tls(io) => Pin::new(io).poll_write(cx, bytes),
        }
    }

    fn poll_write_vectored(
        self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        slices: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        match self.get_mut() {
            Self::Plain(io) => Pin::new(io).poll_write_vectored(cx, slices),
            Self::Unix(io) => Pin::new(io).poll_write_vectored(cx, slices),
            Self::Tls(io) => Pin::new(io).poll_write_vectored(cx, slices),
        }
    }

    fn is_write_vectored(&self) -> bool {
        match self {
            Self::Plain(io) => io.is_write_vectored(),
            Self::Unix(io) => io.is_write_vectored(),
            Self::Tls(io) => io.is_write_vectored(),
        }
    }

    fn poll_flush(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        match self.get_mut() {
            Self::Plain(io) => Pin::new(io).poll_flush(cx),
            Self::Unix(io) => Pin::new(io).poll_flush(cx),
            Self::Tls(io) => Pin::new(io).poll_flush(cx),
        }
    }

    fn poll_shutdown(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        match self.get_mut() {
            Self::Plain(io) => Pin::new(io).poll_shutdown(cx),
            Self::Unix(io) => Pin::new(io).poll_shutdown(cx),
            Self::Tls(io) => Pin::new(io).poll_shutdown(cx),
        }
    }
}
