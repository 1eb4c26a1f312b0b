//! What is wrong at the moment, and the signals for what goes wrong once.

use std::num::NonZeroUsize;
use std::time::Duration;

use parking_lot::Mutex;
use tokio::sync::watch;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use super::{Counts, Direction};

/// How long nothing passes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Stall {
    Never,
    Until(Instant),
    Forever,
}

/// Faults that last, and where new connections go.
#[derive(Debug, Clone)]
pub(super) struct Faults {
    pub(super) target: String,
    pub(super) delay: Duration,
    pub(super) stall: Stall,
    pub(super) slice: Option<NonZeroUsize>,
}

/// What the owner of a proxy and its connections share.
#[derive(Debug)]
pub(super) struct Shared {
    pub(super) faults: watch::Sender<Faults>,
    pub(super) counts: watch::Sender<Counts>,
    pub(super) generation: Mutex<Generation>,
    /// For each direction, how many bytes may pass before the cut.
    budgets: Mutex<[Option<u64>; 2]>,
    running: CancellationToken,
}

/// The connections that one cut ends.
#[derive(Debug)]
pub(super) struct Generation {
    pub(super) connections: TaskTracker,
    signals: Signals,
}

/// What happens once to a connection.
#[derive(Debug, Clone)]
pub(super) struct Signals {
    pub(super) cut: CancellationToken,
    half_close: [CancellationToken; 2],
}

/// How many bytes may be written now.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Grant {
    pub(super) bytes: usize,
    /// The cut follows them.
    pub(super) last: bool,
}

impl Shared {
    pub(super) fn new(target: String, running: CancellationToken) -> Self {
        let faults = Faults { target, delay: Duration::ZERO, stall: Stall::Never, slice: None };
        Self {
            faults: watch::Sender::new(faults),
            counts: watch::Sender::new(Counts::default()),
            generation: Mutex::new(Generation::new(&running)),
            budgets: Mutex::default(),
            running,
        }
    }

    /// Tells the open connections to reset; the tracker says when they have.
    pub(super) fn cut(&self) -> TaskTracker {
        let next = Generation::new(&self.running);
        let old = std::mem::replace(&mut *self.generation.lock(), next);
        old.signals.cut.cancel();
        old.connections.close();
        old.connections
    }

    pub(super) fn half_close(&self, direction: Direction) {
        let signal = &mut self.generation.lock().signals.half_close[direction as usize];
        std::mem::take(signal).cancel();
    }

    pub(super) fn set_budget(&self, direction: Direction, bytes: Option<u64>) {
        self.budgets.lock()[direction as usize] = bytes;
    }

    pub(super) fn clear(&self) {
        *self.budgets.lock() = [None; 2];
        self.faults.send_modify(|faults| {
            let target = std::mem::take(&mut faults.target);
            *faults = Faults { target, delay: Duration::ZERO, stall: Stall::Never, slice: None };
        });
    }

    /// Takes up to `wanted` bytes out of what may pass before the cut.
    pub(super) fn grant(&self, direction: Direction, wanted: usize) -> Grant {
        let budget = &mut self.budgets.lock()[direction as usize];
        let Some(left) = *budget else {
            return Grant { bytes: wanted, last: false };
        };
        let bytes = usize::try_from(left).unwrap_or(usize::MAX).min(wanted);
        let left = left - bytes as u64;
        let last = left == 0;
        *budget = Some(left).filter(|_| !last);
        Grant { bytes, last }
    }
}

impl Generation {
    fn new(running: &CancellationToken) -> Self {
        let signals = Signals { cut: running.child_token(), half_close: Default::default() };
        Self { connections: TaskTracker::new(), signals }
    }

    pub(super) fn signals(&self) -> Signals {
        self.signals.clone()
    }
}

impl Signals {
    pub(super) fn half_close(&self, direction: Direction) -> &CancellationToken {
        &self.half_close[direction as usize]
    }
}
