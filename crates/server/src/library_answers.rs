//! The answers that the HTTP library gives by itself, to a head that is too long or broken: they get the headers that every
//! response carries ([`headers::secure`]). Without them a page of another site learns which answer it was, and by a head that is just
//! too long with our cookie, whether there is one.

use std::io;
use std::pin::Pin;
use std::sync::{Arc, LazyLock};
use std::task::{Context, Poll, ready};

use http::HeaderMap;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

use crate::headers;
use crate::link::Link;

/// The longest of them, in bytes. None of ours is so short.
const BARE: usize = 256;

/// A socket on which they are completed.
pub(crate) struct Completed<S> {
    socket: S,
    link: Arc<Link>,
    /// What is left to be written of one.
    left: Vec<u8>,
}

impl<S> Completed<S> {
    pub(crate) fn new(socket: S, link: Arc<Link>) -> Self {
        Self { socket, link, left: Vec::new() }
    }
}

impl<S: AsyncWrite + Unpin> Completed<S> {
    /// One that is to be written in place of what the library writes.
    fn completed(&self, written: &[u8]) -> Option<Vec<u8>> {
        static HEADERS: LazyLock<Vec<u8>> = LazyLock::new(|| {
            let mut map = HeaderMap::new();
            headers::secure(&mut map);
            let line = |(name, value): (&http::HeaderName, &http::HeaderValue)| {
                [name.as_str().as_bytes(), b": ", value.as_bytes(), b"\r\n"].concat()
            };
            map.iter().flat_map(line).collect()
        });
        let head = written.strip_suffix(b"\r\n").filter(|_| self.is_bare(written))?;
        Some([head, &HEADERS, b"\r\n"].concat())
    }

    /// No text of a peer is such: of what we pass on, strings have no line ends.
    fn is_bare(&self, written: &[u8]) -> bool {
        let is_short = written.len() < BARE && written.starts_with(b"HTTP/1.1 4");
        is_short && written.ends_with(b"\r\n\r\n") && !self.link.is_upgraded()
    }

    fn write_left(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        while !self.left.is_empty() {
            let written = ready!(Pin::new(&mut self.socket).poll_write(cx, &self.left))?;
            if written == 0 {
                return Poll::Ready(Err(io::ErrorKind::WriteZero.into()));
            }
            self.left.drain(..written);
        }
        Poll::Ready(Ok(()))
    }
}

impl<S: AsyncRead + Unpin> AsyncRead for Completed<S> {
    fn poll_read(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.socket).poll_read(cx, buf)
    }
}

impl<S: AsyncWrite + Unpin> AsyncWrite for Completed<S> {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &[u8]) -> Poll<io::Result<usize>> {
        ready!(self.write_left(cx))?;
        if let Some(completed) = self.completed(buf) {
            // It is written by the flush that follows.
            self.left = completed;
            return Poll::Ready(Ok(buf.len()));
        }
        Pin::new(&mut self.socket).poll_write(cx, buf)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bufs: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        if let Some(first) = bufs.first().filter(|first| self.is_bare(first)) {
            return self.poll_write(cx, first);
        }
        ready!(self.write_left(cx))?;
        Pin::new(&mut self.socket).poll_write_vectored(cx, bufs)
    }

    fn is_write_vectored(&self) -> bool {
        self.socket.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        ready!(self.write_left(cx))?;
        Pin::new(&mut self.socket).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        ready!(self.write_left(cx))?;
        Pin::new(&mut self.socket).poll_shutdown(cx)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::clock;
    use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _, duplex};

    const BARE_ANSWER: &[u8] =
        b"HTTP/1.1 431 Request Header Fields Too Large\r\nconnection: close\r\ncontent-length: 0\r\n\r\n";

    async fn written(link: Arc<Link>, parts: &[&[u8]]) -> String {
        let (near, mut far) = duplex(16);
        let mut socket = Completed::new(near, link);
        let mut text = String::new();
        let write = async {
            for part in parts {
                socket.write_all(part).await.expect("written");
            }
            socket.shutdown().await.expect("shut");
        };
        let (read, ()) = tokio::join!(far.read_to_string(&mut text), write);
        read.expect("text");
        text
    }

    #[tokio::test]
    async fn answer_of_the_library_gets_our_headers_and_nothing_else_does() {
        let link = Link::for_test(clock::now());
        let text = written(Arc::clone(&link), &[BARE_ANSWER, b"after"]).await;
        let (head, after) = text.split_once("\r\n\r\n").expect("a head");
        assert!(head.starts_with("HTTP/1.1 431 Request Header Fields Too Large\r\nconnection: close\r\n"), "{head}");
        assert!(head.contains("\r\ncross-origin-resource-policy: same-origin"), "{head}");
        assert!(head.contains("\r\ncross-origin-opener-policy: same-origin") && after == "after", "{text}");
        let long = [b"HTTP/1.1 404 Not Found\r\nx: ".as_slice(), &[b'x'; 256], b"\r\n\r\n"].concat();
        for other in [&long[..], b"HTTP/1.1 431 without an end", b"HTTP/1.1 200 OK\r\n\r\n"] {
            assert_eq!(written(Arc::clone(&link), &[other]).await.as_bytes(), other);
        }
        link.set_upgraded();
        assert_eq!(written(link, &[BARE_ANSWER]).await.as_bytes(), BARE_ANSWER);
    }
}
