//! Buffers that a thread lends to the connection it polls: an idle connection has none, and a busy one does not ask the
//! allocator for each read and each write.
//!
//! Invariant: what is lent is given back before the connection waits ([`crate::Conn::settle`]), so that each thread has about
//! one of each kind. Where that is forgotten, the next connection gets a new one.

use std::cell::Cell;

/// One read takes at most this much. Larger costs cache misses, smaller system calls.
pub(super) const READ_BYTES: usize = 32 * 1024;
/// What goes out with one write is mostly less; a buffer that had to grow beyond twice this is not kept.
const WRITE_BYTES: usize = 32 * 1024;

thread_local! {
    static TO_READ: Cell<Vec<u8>> = const { Cell::new(Vec::new()) };
    static TO_WRITE: Cell<Vec<u8>> = const { Cell::new(Vec::new()) };
}

/// A buffer of [`READ_BYTES`], to read into.
pub(super) fn to_read() -> Vec<u8> {
    let buffer = TO_READ.take();
    if buffer.is_empty() { vec![0; READ_BYTES] } else { buffer }
}

/// Takes a buffer of [`to_read`] back.
pub(super) fn read(buffer: Vec<u8>) {
    TO_READ.set(buffer);
}

/// An empty buffer with room for what is to be written.
pub(super) fn to_write() -> Vec<u8> {
    let buffer = TO_WRITE.take();
    if buffer.capacity() == 0 { Vec::with_capacity(WRITE_BYTES) } else { buffer }
}

/// Takes a buffer of [`to_write`] back.
pub(super) fn written(mut buffer: Vec<u8>) {
    if buffer.capacity() <= 2 * WRITE_BYTES {
        buffer.clear();
        TO_WRITE.set(buffer);
    }
}
