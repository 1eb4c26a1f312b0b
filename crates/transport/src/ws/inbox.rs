//! Bytes that were read from the socket and not yet looked at.

use super::lent::{self, READ_BYTES};

/// What a read brought. Empty, and without memory, while nothing comes.
///
/// Invariant: `from <= to <= bytes.len()`.
#[derive(Debug, Default)]
pub(super) struct Inbox {
    bytes: Vec<u8>,
    from: usize,
    to: usize,
    is_lent: bool,
}

impl Inbox {
    pub(super) fn is_empty(&self) -> bool {
        self.from == self.to
    }

    pub(super) fn unread(&mut self) -> &mut [u8] {
        self.bytes.get_mut(self.from..self.to).unwrap_or_default()
    }

    /// Takes bytes off the front.
    pub(super) fn consume(&mut self, count: usize) {
        self.from = self.to.min(self.from + count);
    }

    /// Room for one read, of at most `most` bytes. Only an empty inbox is asked.
    pub(super) fn room(&mut self, most: usize) -> &mut [u8] {
        if !self.is_lent {
            self.bytes = lent::to_read();
            self.is_lent = true;
        }
        (self.from, self.to) = (0, 0);
        self.bytes.get_mut(..most.min(READ_BYTES)).unwrap_or_default()
    }

    /// `count` bytes are in the room now.
    pub(super) fn filled(&mut self, count: usize) {
        self.to = count;
    }

    /// Keeps what is unread, in memory of its own, and at most twice as much as that needs.
    pub(super) fn settle(&mut self) {
        if !self.is_lent && self.bytes.len() <= 2 * (self.to - self.from) {
            return;
        }
        let unread = self.unread().to_vec();
        let bytes = std::mem::replace(&mut self.bytes, unread);
        if self.is_lent {
            lent::read(bytes);
        }
        (self.from, self.to, self.is_lent) = (0, self.bytes.len(), false);
    }

    /// Forgets everything.
    pub(super) fn clear(&mut self) {
        (self.from, self.to) = (0, 0);
        self.settle();
    }

    pub(super) fn heap_bytes(&self) -> usize {
        self.bytes.capacity()
    }
}
