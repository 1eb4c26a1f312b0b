//! What one peer sends, against what it may send.
//!
//! Invariants: 1. the clock is read once for each read from the socket, and once whenever somebody asks while the peer is
//! held back; with all rates off never; 2. nothing is allocated; 3. what has come is never refused, only what follows waits:
//! except pings, and pongs that answer none of ours, of which too many are a violation.

use std::time::Duration;

use tokio::time::Instant;

use crate::conn::{Metered, Pause};
use crate::rate::{Bucket, Rate};

/// What a peer may send, in each of three ways of counting.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct DataRates {
    /// Messages.
    pub messages: Rate,
    /// Bytes as they are read from the socket; with TLS, those inside of it.
    pub bytes: Rate,
    /// Frames of any kind.
    pub frames: Rate,
    /// How long a peer may go on sending more than that; zero: for ever, it is only slowed.
    pub patience: Duration,
}

impl DataRates {
    /// As much as comes.
    pub const OFF: Self = Self { messages: Rate::OFF, bytes: Rate::OFF, frames: Rate::OFF, patience: Duration::ZERO };
}

/// Whether the peer may be read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Credit {
    /// It may.
    Read,
    /// Not before [`Meter::pause`] is over.
    Wait,
    /// It has sent too much for too long.
    Exceeded,
}

/// The buckets of one connection. Moments are nanoseconds since `epoch`.
#[derive(Debug)]
pub(super) struct Meter {
    rates: DataRates,
    control_rate: Rate,
    epoch: Instant,
    messages: Bucket,
    bytes: Bucket,
    frames: Bucket,
    control: Bucket,
    /// When the clock was read last.
    now: u64,
    held: Option<Held>,
    /// Since when the peer has been behind with what it sent.
    behind_since: Option<u64>,
}

#[derive(Debug, Clone, Copy)]
struct Held {
    by: Metered,
    until: u64,
}

impl Meter {
    pub(super) fn new(rates: DataRates, control_rate: Rate) -> Self {
        Self {
            rates,
            control_rate,
            epoch: Instant::now(),
            messages: Bucket::default(),
            bytes: Bucket::default(),
            frames: Bucket::default(),
            control: Bucket::default(),
            now: 0,
            held: None,
            behind_since: None,
        }
    }

    /// To be asked before the peer is read, and before what was read of it is looked at.
    pub(super) fn credit(&mut self) -> Credit {
        let Some(held) = self.held else { return Credit::Read };
        self.read_clock();
        if self.now >= held.until {
            self.held = None;
            self.note_recovery();
            return Credit::Read;
        }
        let patience = self.rates.patience.as_nanos();
        let behind = self.behind_since.map_or(0, |since| self.now.saturating_sub(since));
        if patience > 0 && u128::from(behind) >= patience { Credit::Exceeded } else { Credit::Wait }
    }

    /// The socket gave `count` bytes.
    pub(super) fn on_read(&mut self, count: usize) {
        if self.is_off() {
            return;
        }
        self.read_clock();
        self.note_recovery();
        self.bytes.spend(self.rates.bytes, count as u64, self.now);
        self.hold_if_empty(Metered::Bytes);
    }

    /// The socket had nothing, although it was allowed to: the peer is not behind any more.
    pub(super) fn on_nothing_to_read(&mut self) {
        self.behind_since = None;
    }

    /// `frames` began, and a message was complete or not.
    pub(super) fn on_frames(&mut self, frames: u32, is_message: bool) {
        if frames > 0 {
            self.frames.spend(self.rates.frames, frames.into(), self.now);
            self.hold_if_empty(Metered::Frames);
        }
        if is_message {
            self.messages.spend(self.rates.messages, 1, self.now);
            self.hold_if_empty(Metered::Messages);
        }
    }

    /// A ping came, or a pong that answers none of ours; false if that is one too many.
    pub(super) fn take_control(&mut self) -> bool {
        self.control.take(self.control_rate, self.now)
    }

    /// Until when the peer is not read.
    pub(super) fn pause(&self) -> Option<Pause> {
        self.held.map(|held| Pause { by: held.by, until: self.epoch + Duration::from_nanos(held.until) })
    }

    /// From now on everything is read: what comes is thrown away, or a close frame is waited for.
    pub(super) fn stop(&mut self) {
        self.rates = DataRates::OFF;
        self.held = None;
    }

    fn is_off(&self) -> bool {
        let DataRates { messages, bytes, frames, .. } = self.rates;
        [messages, bytes, frames, self.control_rate].into_iter().all(Rate::is_off)
    }

    fn read_clock(&mut self) {
        let since = Instant::now().saturating_duration_since(self.epoch);
        self.now = u64::try_from(since.as_nanos()).unwrap_or(u64::MAX);
    }

    /// Holds the peer back if this bucket has no token, for as long as the emptiest of them all asks for.
    fn hold_if_empty(&mut self, by: Metered) {
        let until = match by {
            Metered::Messages => self.messages.ready_at(self.rates.messages),
            Metered::Bytes => self.bytes.ready_at(self.rates.bytes),
            Metered::Frames => self.frames.ready_at(self.rates.frames),
        };
        if until <= self.now || self.held.is_some_and(|held| held.until >= until) {
            return;
        }
        self.held = Some(Held { by, until });
        self.behind_since.get_or_insert(self.now);
    }

    /// Where every bucket has got half of its burst back, the peer is not behind: whatever kept it from being read, it was
    /// not its rate.
    fn note_recovery(&mut self) {
        let DataRates { messages, bytes, frames, .. } = self.rates;
        if self.behind_since.is_some()
            && self.messages.is_half_full(messages, self.now)
            && self.bytes.is_half_full(bytes, self.now)
            && self.frames.is_half_full(frames, self.now)
        {
            self.behind_since = None;
        }
    }
}
