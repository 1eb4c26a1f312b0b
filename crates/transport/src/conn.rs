//! The seam between a connection task and its socket.

use std::future::{Future, poll_fn};
use std::io;
use std::task::{Context, Poll};

use cuttlebone_proto::CloseCode;
use tokio::time::Instant;

/// What came from the peer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Incoming {
    /// A text message: read it with [`Conn::text`].
    Text,
    /// A binary message.
    Binary,
    /// A ping. The answer is queued already.
    Ping,
    /// A pong.
    Pong {
        /// What the ping carried that it answers; a peer may send anything.
        mark: Option<u64>,
    },
    /// A close frame, with its code if it had one. The answer is queued already.
    Closed(Option<u16>),
    /// The peer broke a rule.
    Violation(Violation),
    /// The connection ended without a close frame, or after one.
    Broken,
}

/// How a peer can break the rules of the transport.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Violation {
    /// A text or a close reason is not UTF-8.
    NotUtf8,
    /// A message is too large.
    TooLarge,
    /// A message has too many fragments.
    TooManyFragments,
    /// A frame breaks RFC 6455.
    Protocol,
    /// More pings and pongs than anyone needs.
    ControlFlood,
    /// More than its rate for too long.
    RateExceeded,
}

/// What of a peer is counted against its rate.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Metered {
    /// Messages.
    Messages,
    /// Bytes.
    Bytes,
    /// Frames of any kind.
    Frames,
}

impl Metered {
    /// Everything that is counted.
    pub const ALL: [Self; 3] = [Self::Messages, Self::Bytes, Self::Frames];
}

/// A peer that has sent more than its rate is not read for a while.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Pause {
    /// Which rate it was that asks for the longest wait.
    pub by: Metered,
    /// When it is read again.
    pub until: Instant,
}

/// What goes to the peer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Outgoing {
    /// A text message.
    Text(String),
    /// A ping. While one waits to be written, another is left out.
    Ping {
        /// Comes back with the pong: then the peer has read everything that was queued before.
        mark: Option<u64>,
    },
    /// A close frame. Whatever is queued after it is left out.
    Close {
        /// Why.
        code: CloseCode,
        /// Why, in words for a person: at most 123 bytes are sent.
        reason: &'static str,
    },
}

/// One connection that carries messages.
///
/// After [`Incoming::Violation`] and [`Incoming::Closed`] no further message is read, but what is queued
/// can still be flushed, so that an error text goes out before the close. Polling on discards what the
/// peer still sends, and ends with [`Incoming::Broken`] when it hangs up: a socket that is closed with
/// unread bytes is reset by the kernel, and the peer may never see the close frame.
pub trait Conn: Send + Unpin {
    /// The next thing that came. Cancel safe.
    ///
    /// A text stays readable by [`Self::text`] until the next call. [`Incoming::Broken`] comes again and
    /// again. During a [`Self::pause`] it is pending and wakes nobody: the caller polls again when that is over.
    fn poll_next(&mut self, cx: &mut Context<'_>) -> Poll<Incoming>;

    /// Until when nothing is read from the peer, because it has sent more than its rate. What is queued is written all the
    /// same. A close that is queued ends the pause.
    fn pause(&self) -> Option<Pause>;

    /// True if the last [`Self::poll_next`] read nothing because the messages of many connections hold too much while they come,
    /// and this one's is not small. Nobody is woken when that is over: the caller polls again after a while.
    fn waits_for_others(&self) -> bool;

    /// No message is wanted any more: whatever comes is thrown away, and an unfinished one is freed.
    fn discard(&mut self);

    /// The text of the last [`Incoming::Text`].
    fn text(&self) -> &str;

    /// The last message is not needed any more: it is freed, or it would be kept until the next call of [`Self::poll_next`].
    fn forget_message(&mut self);

    /// Puts something into the outbound buffer. Never blocks, never writes.
    fn queue(&mut self, out: Outgoing);

    /// Bytes of memory that hold what is not written yet: it is freed as a whole. To be asked after [`Self::settle`]: what
    /// the thread has lent does not count.
    fn unwritten_memory(&self) -> usize;

    /// Bytes that are not written yet. More than 0 as long as [`Self::poll_flush`] has something to do. From one pending
    /// flush to the next it gets less only by what was written: an owed pong, which a shorter one may replace, counts
    /// only while nothing else waits.
    fn queued_bytes(&self) -> usize;

    /// Writes what is queued. Ready when all of it has left. Cancel safe.
    ///
    /// # Errors
    /// Those of the socket; the connection is of no further use.
    fn poll_flush(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>>;

    /// Writes what is queued and ends the outbound direction. Reading goes on. Cancel safe.
    ///
    /// # Errors
    /// Those of the socket; the connection is of no further use.
    fn poll_shutdown(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>>;

    /// True while a message has begun and is not complete, be it half a frame.
    fn assembling(&self) -> bool;

    /// To be called when the caller is about to wait: gives back buffers that the thread has lent, and keeps no more than
    /// what was read and not looked at, and what is not written. The text of the last message stays.
    fn settle(&mut self);
}

/// The polls of [`Conn`] as futures.
pub trait ConnExt: Conn {
    /// [`Conn::poll_next`] as a future. Cancel safe.
    fn next(&mut self) -> impl Future<Output = Incoming> + Send {
        poll_fn(|cx| self.poll_next(cx))
    }

    /// [`Conn::poll_flush`] as a future. Cancel safe.
    fn flush(&mut self) -> impl Future<Output = io::Result<()>> + Send {
        poll_fn(|cx| self.poll_flush(cx))
    }

    /// [`Conn::poll_shutdown`] as a future. Cancel safe.
    fn shutdown(&mut self) -> impl Future<Output = io::Result<()>> + Send {
        poll_fn(|cx| self.poll_shutdown(cx))
    }
}

impl<C: Conn + ?Sized> ConnExt for C {}
