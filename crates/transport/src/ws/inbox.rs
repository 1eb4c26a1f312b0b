//! Bytes that were read from the socket and not yet looked at.

use super::lent::{self, READ_BYTES};

/// What a read brought. Empty, and without memory, while nothing comes.
///
/// Invariant: `from <= to <= bytes.len() <= READ_BYTES`. Small, for every idle connection has one.
#[derive(Debug, Default)]
pub(super) struct Inbox {
    bytes: Vec<u8>,
    from: u32,
    to: u32,
    is_lent: bool,
}

impl Inbox {
    pub(super) fn is_empty(&self) -> bool {
        self.from == self.to
    }

    pub(super) fn unread(&mut self) -> &mut [u8] {
        self.bytes.get_mut(self.from as usize..self.to as usize).unwrap_or_default()
    }

    /// Takes bytes off the front.
    pub(super) fn consume(&mut self, count: usize) {
        self.from = self.to.min(self.from + count as u32);
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
        self.to = count as u32;
    }

    /// Keeps what is unread, in memory of its own, and at most twice as much as that needs.
    pub(super) fn settle(&mut self) {
        if !self.is_lent && self.bytes.len() <= 2 * (self.to - self.from) as usize {
            return;
        }
        let unread = self.unread().to_vec();
        let bytes = std::mem::replace(&mut self.bytes, unread);
        if self.is_lent {
            lent::read(bytes);
        }
        (self.from, self.to, self.is_lent) = (0, self.bytes.len() as u32, false);
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
