//! Frames that wait to be written.

use std::io::{self, IoSlice};
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use cuttlebone_ws::{PendingPong, encode};
use tokio::io::AsyncWrite;

use super::lent;

/// A text of this size or more is not copied if nothing else waits.
const LARGE: usize = 16 * 1024;
/// What TLS may hold of what it took.
const HELD_BELOW: usize = crate::tls::UNSENT;

/// The writing half of a connection.
///
/// 1. Texts are put one after the other into `bytes`, which the thread lends; it leaves in one write, and what does not
///    leave at once is moved to memory of its own.
/// 2. `large` comes after `bytes`, and is a payload that was not worth copying.
/// 3. At most one pong and one ping are inside, and one more pong is owed: a peer that does not read can't
///    make this grow by control frames.
/// 4. Nothing is added behind a close frame.
#[derive(Debug)]
pub(super) struct Outbox {
    bytes: Vec<u8>,
    is_lent: bool,
    /// Of `bytes`. Queues end far below 4 GiB, and every idle connection has room for these two.
    written: u32,
    large: Vec<u8>,
    large_written: u32,
    pong: PendingPong,
    has_pong: bool,
    has_ping: bool,
    has_close: bool,
    vectored: bool,
    unflushed: bool,
}

impl Outbox {
    pub(super) fn new(vectored: bool) -> Self {
        Self {
            bytes: Vec::new(),
            is_lent: false,
            written: 0,
            large: Vec::new(),
            large_written: 0,
            pong: PendingPong::default(),
            has_pong: false,
            has_ping: false,
            has_close: false,
            vectored,
            unflushed: false,
        }
    }

    pub(super) fn push_text(&mut self, text: String) {
        if self.vectored && text.len() >= LARGE && self.is_empty() && !self.has_close {
            self.borrow();
            encode::text_header(&mut self.bytes, text.len());
            self.large = text.into_bytes();
        } else {
            self.push(|bytes| encode::text(bytes, &text));
        }
    }

    pub(super) fn push_binary(&mut self, payload: &[u8]) {
        self.push(|bytes| encode::binary(bytes, payload));
    }

    /// Gives whether it will be sent: while one waits, another is left out.
    pub(super) fn push_ping(&mut self, payload: &[u8]) -> bool {
        let is_sent = !self.has_ping;
        if is_sent {
            self.has_ping = true;
            self.push(|bytes| encode::ping(bytes, payload));
        }
        is_sent
    }

    pub(super) fn push_close(&mut self, code: Option<u16>, reason: &str) {
        self.push(|bytes| encode::close(bytes, code, reason));
        self.has_close = true;
    }

    /// Owes the answer to this ping, and no longer to an older one.
    pub(super) fn owe_pong(&mut self, payload: &[u8]) {
        if !self.has_close {
            self.pong.owe(payload);
        }
    }

    pub(super) fn queued_bytes(&self) -> usize {
        let waiting = self.bytes.len() - self.written as usize + self.large.len() - self.large_written as usize;
        if waiting > 0 {
            // Without the owed pong: a shorter one may take its place, and that would look as if something was written.
            return waiting;
        }
        let pong = if self.has_close { 0 } else { self.pong.encoded_len() };
        // TLS may hold some of what it took: it is not gone before the flush is done.
        pong.max(usize::from(self.unflushed))
    }

    /// What is lent is the thread's. What could not be flushed is held by TLS.
    pub(super) fn unwritten_memory(&self) -> usize {
        let own = if self.is_lent { 0 } else { self.bytes.capacity() };
        own + self.large.capacity() + if self.unflushed { HELD_BELOW } else { 0 }
    }

    pub(super) fn heap_bytes(&self) -> usize {
        self.bytes.capacity() + self.large.capacity() + self.pong.encoded_len()
    }

    pub(super) fn poll_flush<IO>(&mut self, io: &mut IO, cx: &mut Context<'_>) -> Poll<io::Result<()>>
    where
        IO: AsyncWrite + Unpin,
    {
        loop {
            self.write_pong();
            if self.is_empty() {
                break;
            }
            let Poll::Ready(written) = self.poll_write(Pin::new(io), cx) else {
                self.settle();
                // Without TLS there is nothing to flush.
                if let Poll::Ready(flushed) = Pin::new(io).poll_flush(cx) {
                    flushed?;
                    self.unflushed = false;
                }
                return Poll::Pending;
            };
            let count = written?;
            if count == 0 {
                return Poll::Ready(Err(io::ErrorKind::WriteZero.into()));
            }
            self.unflushed = true;
            self.advance(count);
        }
        if self.unflushed {
            ready!(Pin::new(io).poll_flush(cx))?;
            self.unflushed = false;
        }
        Poll::Ready(Ok(()))
    }

    fn is_empty(&self) -> bool {
        self.bytes.is_empty() && self.large.is_empty()
    }

    fn push(&mut self, encode: impl FnOnce(&mut Vec<u8>)) {
        if self.has_close {
            return;
        }
        // What was written goes away before it is more than what was not, else a peer that never quite
        // catches up would make the buffer grow for ever.
        if self.written as usize > self.bytes.len() / 2 {
            self.bytes.drain(..self.written as usize);
            self.written = 0;
        }
        if let Some(large) = self.large.get(self.large_written as usize..) {
            self.bytes.extend_from_slice(large);
            self.large = Vec::new();
            self.large_written = 0;
        }
        self.borrow();
        encode(&mut self.bytes);
    }

    /// Nothing waits to be written yet: the thread lends a buffer.
    fn borrow(&mut self) {
        if self.bytes.capacity() == 0 {
            self.bytes = lent::to_write();
            self.is_lent = true;
        }
    }

    /// Keeps what is not written, in memory of its own.
    pub(super) fn settle(&mut self) {
        if self.is_lent {
            let waiting = self.bytes.get(self.written as usize..).unwrap_or_default().to_vec();
            self.give_back(waiting);
        }
    }

    fn give_back(&mut self, instead: Vec<u8>) {
        let bytes = std::mem::replace(&mut self.bytes, instead);
        self.written = 0;
        if std::mem::take(&mut self.is_lent) {
            lent::written(bytes);
        }
    }

    /// Puts the owed pong behind what waits, unless one waits already.
    fn write_pong(&mut self) {
        if self.pong.is_owed() && !self.has_pong && !self.has_close {
            let mut pong = std::mem::take(&mut self.pong);
            self.push(|bytes| {
                pong.write(bytes);
            });
            self.has_pong = true;
        }
    }

    fn poll_write<IO: AsyncWrite>(&self, io: Pin<&mut IO>, cx: &mut Context<'_>) -> Poll<io::Result<usize>> {
        let bytes = self.bytes.get(self.written as usize..).unwrap_or_default();
        let large = self.large.get(self.large_written as usize..).unwrap_or_default();
        if large.is_empty() {
            io.poll_write(cx, bytes)
        } else {
            io.poll_write_vectored(cx, &[IoSlice::new(bytes), IoSlice::new(large)])
        }
    }

    /// Takes `count` bytes off the front, and frees everything when that was all.
    fn advance(&mut self, count: usize) {
        let from_bytes = count.min(self.bytes.len() - self.written as usize);
        self.written += from_bytes as u32;
        self.large_written += (count - from_bytes) as u32;
        if self.written as usize == self.bytes.len() && self.large_written as usize == self.large.len() {
            self.give_back(Vec::new());
            self.large = Vec::new();
            self.large_written = 0;
            self.has_pong = false;
            self.has_ping = false;
        }
    }
}
