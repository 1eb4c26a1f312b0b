//! Bytes that were read from the socket and not yet looked at.

use std::cell::Cell;

/// One read takes at most this much. Larger costs cache misses, smaller system calls.
const SCRATCH_BYTES: usize = 32 * 1024;

thread_local! {
    /// Lent to one connection for the time of one poll.
    static SCRATCH: Cell<Vec<u8>> = const { Cell::new(Vec::new()) };
}

/// Lends the scratch buffer of this thread.
pub(super) fn with_scratch<R>(body: impl FnOnce(&mut [u8]) -> R) -> R {
    let mut scratch = SCRATCH.take();
    if scratch.is_empty() {
        scratch = vec![0; SCRATCH_BYTES];
    }
    let result = body(&mut scratch);
    SCRATCH.set(scratch);
    result
}

/// What one read brought beyond the message that was asked for. Empty, and without memory, most of the
/// time.
#[derive(Debug, Default)]
pub(super) struct Inbox {
    bytes: Vec<u8>,
    consumed: usize,
}

impl Inbox {
    pub(super) fn is_empty(&self) -> bool {
        self.bytes.is_empty()
    }

    pub(super) fn unread(&mut self) -> &mut [u8] {
        self.bytes.get_mut(self.consumed..).unwrap_or_default()
    }

    /// Takes bytes off the front.
    pub(super) fn consume(&mut self, count: usize) {
        self.consumed += count;
        if self.consumed >= self.bytes.len() {
            self.bytes.clear();
            self.consumed = 0;
        }
    }

    /// Keeps the rest of a read. Only an empty inbox is asked.
    pub(super) fn keep(&mut self, rest: &[u8]) {
        self.bytes.extend_from_slice(rest);
    }

    /// Forgets everything and frees the memory.
    pub(super) fn clear(&mut self) {
        *self = Self::default();
    }

    pub(super) fn heap_bytes(&self) -> usize {
        self.bytes.capacity()
    }
}
