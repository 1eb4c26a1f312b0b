//! WebSocket connections, after the upgrade.

mod assembly;
mod inbox;
mod lent;
mod meter;
mod outbox;

use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};

pub use assembly::Assembly;
pub use cuttlebone_ws::Limits;
use cuttlebone_ws::{Decoded, Decoder, Event};
pub use meter::DataRates;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

use self::assembly::Part;
use self::inbox::Inbox;
use self::meter::{Credit, Meter};
use self::outbox::Outbox;
use crate::conn::{Conn, Incoming, Outgoing, Pause, Violation};
use crate::rate::Rate;

/// The bounds of a connection.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Settings {
    /// What a message may be.
    pub limits: Limits,
    /// How many pings may come, and pongs that nobody asked for; more are a violation.
    pub control: Rate,
    /// How much may come; more has to wait.
    pub data: DataRates,
}

impl Default for Settings {
    /// Pings and pongs far above what any peer needs, and as many data as come.
    fn default() -> Self {
        Self { limits: Limits::default(), control: Rate { per_second: 10, burst: 50 }, data: DataRates::OFF }
    }
}

/// A WebSocket on which this program is the server.
#[derive(Debug)]
pub struct WsConn<IO> {
    io: IO,
    decoder: Decoder,
    inbox: Inbox,
    outbox: Outbox,
    meter: Meter,
    reading: Reading,
    part: Part,
    waits_for_others: bool,
    /// Pings of ours that no pong has come for.
    asked: u16,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Reading {
    /// Messages are read.
    Messages,
    /// The last message has come; whatever follows is thrown away.
    Discard,
    /// The peer hung up.
    Ended,
}

impl<IO: AsyncRead + AsyncWrite + Unpin + Send> WsConn<IO> {
    /// A connection whose handshake is done.
    #[must_use]
    pub fn new(io: IO, settings: Settings) -> Self {
        let outbox = Outbox::new(io.is_write_vectored());
        Self {
            io,
            decoder: Decoder::new(settings.limits),
            inbox: Inbox::default(),
            outbox,
            meter: Meter::new(settings.data, settings.control),
            reading: Reading::Messages,
            part: Part::default(),
            waits_for_others: false,
            asked: 0,
        }
    }

    /// What a message holds while it comes counts among those of others.
    #[must_use]
    pub fn sharing(mut self, assembly: Arc<dyn Assembly>) -> Self {
        self.part = Part::of(assembly);
        self
    }

    /// The payload of the last [`Incoming::Binary`], until the next poll.
    #[must_use]
    pub fn binary(&self) -> &[u8] {
        self.decoder.binary()
    }

    /// Queues a binary message. The signaling protocol has none; this is for peers of another one.
    pub fn queue_binary(&mut self, payload: &[u8]) {
        self.outbox.push_binary(payload);
    }

    /// Bytes of heap that this connection holds now.
    #[must_use]
    pub fn heap_bytes(&self) -> usize {
        self.decoder.heap_bytes() + self.inbox.heap_bytes() + self.outbox.heap_bytes()
    }

    /// Looks at what was read.
    fn read_inbox(&mut self) -> Option<Incoming> {
        let frames = self.decoder.frames();
        let Decoded { consumed, event } = self.decoder.decode(self.inbox.unread());
        self.inbox.consume(consumed);
        self.count(frames, event);
        event.map(|event| self.on_event(event))
    }

    /// Reads once from the socket.
    fn poll_read(&mut self, cx: &mut Context<'_>) -> Poll<Option<Incoming>> {
        let room = self.part.room(&self.decoder);
        if room == 0 {
            self.waits_for_others = true;
            return Poll::Pending;
        }
        let mut buffer = ReadBuf::new(self.inbox.room(room));
        let result = ready!(Pin::new(&mut self.io).poll_read(cx, &mut buffer));
        let count = buffer.filled().len();
        if result.is_err() || count == 0 {
            self.reading = Reading::Ended;
            self.rest();
            return Poll::Ready(Some(Incoming::Broken));
        }
        if self.reading == Reading::Discard {
            return Poll::Ready(None);
        }
        self.inbox.filled(count);
        self.meter.on_read(count);
        Poll::Ready(self.read_inbox())
    }

    /// Counts what came since there were `frames`.
    fn count(&mut self, frames: u32, event: Option<Event>) {
        let is_message = matches!(event, Some(Event::Text | Event::Binary));
        self.meter.on_frames(self.decoder.frames().wrapping_sub(frames), is_message);
    }

    /// Whether the peer may be read now; if not, what to say instead.
    fn poll_credit(&mut self) -> Poll<Option<Incoming>> {
        match self.meter.credit() {
            Credit::Read => Poll::Ready(None),
            Credit::Exceeded => Poll::Ready(Some(self.fail(Violation::RateExceeded))),
            Credit::Wait => {
                self.rest();
                Poll::Pending
            }
        }
    }

    /// Reads no further message.
    fn fail(&mut self, violation: Violation) -> Incoming {
        self.discard();
        Incoming::Violation(violation)
    }

    fn on_event(&mut self, event: Event) -> Incoming {
        if matches!(event, Event::Text | Event::Binary) {
            self.part.complete();
        }
        let incoming = match event {
            Event::Text => Incoming::Text,
            Event::Binary => Incoming::Binary,
            Event::Ping if !self.meter.take_control() => Incoming::Violation(Violation::ControlFlood),
            Event::Pong if !self.take_pong() => Incoming::Violation(Violation::ControlFlood),
            Event::Ping => {
                self.outbox.owe_pong(self.decoder.control());
                Incoming::Ping
            }
            Event::Pong => Incoming::Pong { mark: mark(self.decoder.control()) },
            Event::Close(code) => {
                self.outbox.push_close(code, "");
                Incoming::Closed(code)
            }
            Event::Violation(violation) => Incoming::Violation(violation.into()),
        };
        if matches!(incoming, Incoming::Closed(_) | Incoming::Violation(_)) {
            self.discard();
        }
        incoming
    }

    fn ping(&mut self, payload: &[u8]) {
        if self.outbox.push_ping(payload) {
            self.asked = self.asked.saturating_add(1);
        }
    }

    /// A pong came; false if it is one too many. One that answers a ping of ours is not the peer's own doing.
    fn take_pong(&mut self) -> bool {
        let Some(asked) = self.asked.checked_sub(1) else { return self.meter.take_control() };
        self.asked = asked;
        true
    }

    /// Frees what is of no use while nothing comes.
    fn rest(&mut self) {
        self.decoder.release();
        self.inbox.settle();
    }
}

impl<IO: AsyncRead + AsyncWrite + Unpin + Send> Conn for WsConn<IO> {
    fn poll_next(&mut self, cx: &mut Context<'_>) -> Poll<Incoming> {
        if self.reading == Reading::Ended {
            return Poll::Ready(Incoming::Broken);
        }
        self.waits_for_others = false;
        self.part.next();
        if let Some(instead) = ready!(self.poll_credit()) {
            return Poll::Ready(instead);
        }
        if !self.inbox.is_empty()
            && let Some(incoming) = self.read_inbox()
        {
            return Poll::Ready(incoming);
        }
        loop {
            if let Some(instead) = ready!(self.poll_credit()) {
                return Poll::Ready(instead);
            }
            match self.poll_read(cx) {
                Poll::Ready(Some(incoming)) => return Poll::Ready(incoming),
                Poll::Ready(None) => {}
                Poll::Pending => {
                    if !self.waits_for_others {
                        self.meter.on_nothing_to_read();
                    }
                    self.rest();
                    return Poll::Pending;
                }
            }
        }
    }

    fn pause(&self) -> Option<Pause> {
        self.meter.pause()
    }

    fn waits_for_others(&self) -> bool {
        self.waits_for_others
    }

    fn forget_message(&mut self) {
        self.part.next();
        self.rest();
    }

    fn discard(&mut self) {
        if self.reading == Reading::Messages {
            self.reading = Reading::Discard;
        }
        self.decoder.finish();
        self.decoder.release();
        self.part.give_back();
        self.inbox.clear();
        self.meter.stop();
    }

    fn text(&self) -> &str {
        self.decoder.text()
    }

    fn queue(&mut self, out: Outgoing) {
        if matches!(out, Outgoing::Close { .. }) {
            self.meter.stop();
        }
        match out {
            Outgoing::Text(text) => self.outbox.push_text(text),
            Outgoing::Ping { mark: None } => self.ping(&[]),
            Outgoing::Ping { mark: Some(mark) } => self.ping(&mark.to_be_bytes()),
            Outgoing::Close { code, reason } => self.outbox.push_close(Some(code.value()), reason),
        }
    }

    fn unwritten_memory(&self) -> usize {
        self.outbox.unwritten_memory()
    }

    fn queued_bytes(&self) -> usize {
        self.outbox.queued_bytes()
    }

    fn poll_flush(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.outbox.poll_flush(&mut self.io, cx)
    }

    fn poll_shutdown(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        ready!(self.poll_flush(cx))?;
        Pin::new(&mut self.io).poll_shutdown(cx)
    }

    fn assembling(&self) -> bool {
        self.reading == Reading::Messages && self.decoder.is_assembling()
    }

    fn settle(&mut self) {
        self.inbox.settle();
        self.outbox.settle();
    }
}

/// The mark of the ping that a pong answers.
fn mark(payload: &[u8]) -> Option<u64> {
    payload.try_into().ok().map(u64::from_be_bytes)
}

impl From<cuttlebone_ws::Violation> for Violation {
    fn from(violation: cuttlebone_ws::Violation) -> Self {
        match violation {
            cuttlebone_ws::Violation::NotUtf8 => Self::NotUtf8,
            cuttlebone_ws::Violation::TooLarge => Self::TooLarge,
            cuttlebone_ws::Violation::TooManyFragments => Self::TooManyFragments,
            cuttlebone_ws::Violation::Protocol => Self::Protocol,
        }
    }
}
