//! The timers of one connection, all behind one sleep.
//!
//! Invariant: what happens often (a frame came, a write ended) only stores; the times are compared when the sleep ends.

use cuttlebone_hub::Seat;
use tokio::time::Instant;

use super::far;
use crate::clock;
use crate::settings::Timeouts;

/// What a timer is due for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Due {
    /// Ping the peer.
    Ping,
    /// The peer began a message and does not end it.
    Message,
    /// Nothing came from the peer for too long.
    Idle,
    /// The peer does not read.
    Write,
}

#[derive(Debug)]
pub(super) struct Clocks {
    timeouts: Timeouts,
    heard: Instant,
    ping_at: Instant,
    message_until: Option<Instant>,
    write_until: Option<Instant>,
    unwritten: usize,
    closing: bool,
}

impl Clocks {
    pub(super) fn new(timeouts: Timeouts, now: Instant) -> Self {
        Self {
            timeouts,
            heard: now,
            ping_at: now + jittered(timeouts.ping),
            message_until: None,
            write_until: None,
            unwritten: 0,
            closing: false,
        }
    }

    /// When the next timer is due.
    pub(super) fn due(&self, seat: &Seat) -> Instant {
        let mut due = self.ping_at.min(self.heard + self.timeouts.idle);
        if self.closing {
            due = far(self.heard);
        }
        let seat = if self.closing { None } else { seat.deadline().map(Instant::from_std) };
        [seat, self.message_until, self.write_until].into_iter().flatten().fold(due, Instant::min)
    }

    /// What is due at `now`, one at a time.
    pub(super) fn on_timer(&mut self, now: Instant) -> Option<Due> {
        if self.write_until.is_some_and(|until| until <= now) {
            return Some(Due::Write);
        }
        if self.closing {
            return None;
        }
        if self.heard + self.timeouts.idle <= now {
            return Some(Due::Idle);
        }
        if self.message_until.is_some_and(|until| until <= now) {
            self.message_until = None;
            return Some(Due::Message);
        }
        if self.ping_at <= now {
            self.ping_at = now + jittered(self.timeouts.ping);
            return Some(Due::Ping);
        }
        None
    }

    /// Something came.
    pub(super) fn heard(&mut self, now: Instant) {
        self.heard = now;
    }

    /// The peer was asked for more: `assembling` if it is in the middle of a message, `is_message` if one was complete.
    /// A ping in the middle of a message gives it no more time.
    pub(super) fn reading(&mut self, assembling: bool, is_message: bool) {
        if !assembling || self.closing {
            self.message_until = None;
        } else if is_message || self.message_until.is_none() {
            self.message_until = Some(clock::now() + self.timeouts.message);
        }
    }

    /// The peer is not read for a while: an unfinished message is not its fault.
    pub(super) fn not_reading(&mut self) {
        self.message_until = None;
    }

    /// A write did not end; `unwritten` bytes are left. Gives whether some of it went since it got stuck.
    pub(super) fn writing(&mut self, unwritten: usize) -> bool {
        let is_progress = self.write_until.is_some() && unwritten < self.unwritten;
        if self.write_until.is_none() || (is_progress && !self.closing) {
            self.write_until = Some(clock::now() + self.timeouts.write);
        }
        self.unwritten = unwritten;
        is_progress
    }

    /// Everything is written.
    pub(super) fn written(&mut self) {
        if !self.closing {
            self.write_until = None;
        }
    }

    /// The server stops, and the peer has until then to read what is queued for it, or to close too.
    pub(super) fn parting(&mut self, until: Instant) {
        self.closing = true;
        self.write_until = Some(until);
        self.message_until = None;
    }

    /// From now on the whole rest has the time of one write.
    pub(super) fn closing(&mut self, now: Instant) {
        if !std::mem::replace(&mut self.closing, true) {
            self.write_until = Some(now + self.timeouts.write);
            self.message_until = None;
        }
    }
}

/// A tenth more or less, so that connections made together do not ping together.
fn jittered(interval: std::time::Duration) -> std::time::Duration {
    let mut random = [0_u8; 1];
    let _ = getrandom::fill(&mut random);
    interval.mul_f64(0.9 + f64::from(random[0]) / 1275.0)
}
