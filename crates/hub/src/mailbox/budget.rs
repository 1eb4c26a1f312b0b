//! What all mailboxes together may hold.

use crate::settings::Bound;
use crate::sync::{AtomicUsize, Ordering};

/// A mailbox tells what it holds in steps of this many bytes; less than one step is not counted.
const STEP: usize = 4 * 1024;
/// What one mailbox may hold when all together hold too much.
const TIGHT_BYTES: usize = 16 * 1024;

/// The bytes that all mailboxes hold, and may hold.
///
/// Over the bound each queue may hold a little only: the large ones are full from that moment on, and what rule R3 says of
/// full queues does the rest.
#[derive(Debug)]
pub(crate) struct Budget {
    used: AtomicUsize,
    max: usize,
}

impl Budget {
    pub(crate) fn new(max: usize) -> Self {
        Self { used: AtomicUsize::new(0), max }
    }

    /// Bytes that are held, to within a step for each mailbox.
    pub(crate) fn used(&self) -> usize {
        self.used.load(Ordering::Relaxed)
    }

    /// A mailbox that was charged `charged` holds `bytes` now. Gives what it is charged from here on.
    pub(super) fn change(&self, charged: usize, bytes: usize) -> usize {
        let now = bytes / STEP * STEP;
        if now > charged {
            self.used.fetch_add(now - charged, Ordering::Relaxed);
        } else if now < charged {
            self.used.fetch_sub(charged - now, Ordering::Relaxed);
        }
        now
    }

    /// What a queue of this bound may hold at the moment.
    pub(super) fn tighten(&self, bound: Bound) -> Bound {
        if self.used() <= self.max { bound } else { Bound { bytes: bound.bytes.min(TIGHT_BYTES), ..bound } }
    }
}
