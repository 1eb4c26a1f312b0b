//! What the unfinished messages of many connections hold together.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use cuttlebone_ws::{Decoder, SMALL};

/// A bound for the unfinished messages of all connections that share it.
///
/// Each connection has a limit for one message, and so many connections times that limit may be more than there is. A
/// message of which 16 KiB are there is given what it may come to, and is read on; beyond the bound it is not read until
/// others are done (see [`crate::Conn::waits_for_others`]). Whoever was given room can end its message, so there is always
/// one that goes on. Small messages never wait, and cost nothing here.
#[derive(Debug)]
pub struct Assembly {
    most: usize,
    given: AtomicUsize,
}

impl Assembly {
    /// With nothing in it.
    #[must_use]
    pub fn new(most: usize) -> Arc<Self> {
        Arc::new(Self { most, given: AtomicUsize::new(0) })
    }

    /// What was given to messages that are not complete, in bytes.
    #[must_use]
    pub fn bytes(&self) -> usize {
        self.given.load(Ordering::Relaxed)
    }

    /// What is given when `bytes` more are; nothing beyond the bound. The first one always has room.
    fn with(&self, given: usize, bytes: usize) -> Option<usize> {
        let sum = given.saturating_add(bytes);
        (given == 0 || sum <= self.most).then_some(sum)
    }

    fn take(&self, bytes: usize) -> bool {
        self.given.fetch_update(Ordering::Relaxed, Ordering::Relaxed, |given| self.with(given, bytes)).is_ok()
    }
}

/// What one connection's message was given: back when it is complete or given up.
#[derive(Debug, Default)]
pub(super) struct Part {
    of: Option<Arc<Assembly>>,
    bytes: usize,
}

impl Part {
    pub(super) fn of(assembly: &Arc<Assembly>) -> Self {
        Self { of: Some(Arc::clone(assembly)), bytes: 0 }
    }

    /// How much of the message may be read now. Takes what it needs when it is not small any more.
    pub(super) fn room(&mut self, decoder: &Decoder) -> usize {
        let Some(of) = &self.of else { return usize::MAX };
        let unfinished = decoder.unfinished_bytes();
        if self.bytes > 0 {
            usize::MAX
        } else if unfinished < SMALL {
            let has_room = of.with(of.bytes(), decoder.most_bytes()).is_some();
            if has_room { usize::MAX } else { SMALL - unfinished }
        } else if of.take(decoder.announced_bytes()) {
            self.bytes = decoder.announced_bytes();
            usize::MAX
        } else {
            0
        }
    }

    pub(super) fn give_back(&mut self) {
        let bytes = std::mem::take(&mut self.bytes);
        if let Some(of) = self.of.as_ref().filter(|_| bytes > 0) {
            of.given.fetch_sub(bytes, Ordering::Relaxed);
        }
    }
}

impl Drop for Part {
    fn drop(&mut self) {
        self.give_back();
    }
}
