//! What the messages of many connections hold together while they come.

use std::fmt::Debug;
use std::sync::Arc;

use cuttlebone_ws::{Decoder, SMALL};

/// Whoever says how much the messages that come may hold, those of other connections counted.
///
/// Each connection has a limit for one message, and so many connections times that limit may be more than there is. A
/// message of which 16 KiB are there takes what it may come to, and is read on; where there is no room it is not read until
/// others are done (see [`crate::Conn::waits_for_others`]). It gives that back when the caller asks for what comes after it: a
/// message that is complete and has to wait is in memory as well. Small messages never wait, and cost nothing here.
pub trait Assembly: Debug + Send + Sync {
    /// Whether there is room for so many bytes. There has to be some day, whatever one connection waits for.
    fn has_room(&self, bytes: usize) -> bool;

    /// Takes so many bytes, if there is room for them.
    fn take(&self, bytes: usize) -> bool;

    /// Gives back what was taken.
    fn give_back(&self, bytes: usize);
}

/// What one connection's message has taken: back when it is done with or given up. Nothing, and small, where nobody counts.
#[derive(Debug, Default)]
pub(super) struct Part(Option<Box<Taken>>);

#[derive(Debug)]
struct Taken {
    of: Arc<dyn Assembly>,
    bytes: usize,
    is_complete: bool,
}

impl Part {
    pub(super) fn of(assembly: Arc<dyn Assembly>) -> Self {
        Self(Some(Box::new(Taken { of: assembly, bytes: 0, is_complete: false })))
    }

    /// How much of the message may be read now. Takes what it needs when it is not small any more.
    pub(super) fn room(&mut self, decoder: &Decoder) -> usize {
        let Some(taken) = &mut self.0 else { return usize::MAX };
        let unfinished = decoder.unfinished_bytes();
        if taken.bytes > 0 {
            usize::MAX
        } else if unfinished < SMALL {
            if taken.of.has_room(decoder.most_bytes()) { usize::MAX } else { SMALL - unfinished }
        } else if taken.of.take(decoder.announced_bytes()) {
            taken.bytes = decoder.announced_bytes();
            usize::MAX
        } else {
            0
        }
    }

    /// The message is complete, and will be looked at.
    pub(super) fn complete(&mut self) {
        if let Some(taken) = &mut self.0 {
            taken.is_complete = true;
        }
    }

    /// What comes after it is asked for.
    pub(super) fn next(&mut self) {
        if self.0.as_ref().is_some_and(|taken| taken.is_complete) {
            self.give_back();
        }
    }

    pub(super) fn give_back(&mut self) {
        if let Some(taken) = &mut self.0 {
            taken.is_complete = false;
            let bytes = std::mem::take(&mut taken.bytes);
            if bytes > 0 {
                taken.of.give_back(bytes);
            }
        }
    }
}

impl Drop for Part {
    fn drop(&mut self) {
        self.give_back();
    }
}
