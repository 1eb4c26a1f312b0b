//! What a mailbox holds, and whether it may hold more.

use std::collections::VecDeque;
use std::sync::Arc;
use std::task::Waker;

use super::entry::Entry;
use super::room::Waiter;
use super::sender::Taken;
use super::{Budget, ENTRY_BYTES, State};

impl State {
    /// A forward is not in the queue any more.
    pub(super) fn leaves(&mut self, text: &str, sender: Option<&Taken>) {
        self.frames -= 1;
        self.bytes -= text.len();
        if let Some(taken) = sender {
            taken.sender.free(text.len());
            if taken.counts {
                self.of_senders -= text.len() + ENTRY_BYTES;
                self.out += taken.sender.free_counted(text.len(), self.charge.reader());
            }
        }
    }

    /// Whether a message of `len` bytes does not count here: a little of what a mailbox holds does not, whoever sent it.
    pub(super) fn is_free(&self, len: usize) -> bool {
        self.charge.counts(self.held_here() + len + ENTRY_BYTES) == 0
    }

    /// Gives up what is queued and kept. Gives what was queued, and whom to wake.
    pub(super) fn clear(&mut self) -> (VecDeque<Entry>, Vec<Waker>) {
        let queue = std::mem::take(&mut self.queue);
        for entry in &queue {
            if let Entry::Forward { text, sender } = entry {
                self.leaves(text, sender.as_ref());
            }
        }
        self.history = None;
        (self.replies, self.replay, self.greeting) = (0, 0, 0);
        (queue, self.let_waiters_go())
    }

    /// What is held here counts for this reader from now on.
    pub(super) fn read_by(&mut self, reader: &Arc<Budget>) {
        if !Arc::ptr_eq(self.charge.reader(), reader) {
            self.charge.read_by(reader);
            self.queue.iter().filter_map(Entry::taken).for_each(|taken| taken.sender.read_by(reader));
            self.room.iter().for_each(|waiter| waiter.sender().read_by(reader));
        }
    }

    /// How much of what senders are charged for counts.
    pub(super) fn counted_of_senders(&self) -> usize {
        let mut senders: Vec<_> = self.queue.iter().filter_map(Entry::taken).map(|taken| &taken.sender).collect();
        senders.extend(self.room.iter().map(Waiter::sender));
        senders.sort_unstable_by_key(|sender| Arc::as_ptr(sender));
        senders.dedup_by_key(|sender| Arc::as_ptr(sender));
        senders.into_iter().map(|sender| sender.counted()).sum()
    }

    /// What is held but for what senders are charged for.
    pub(super) fn held_here(&self) -> usize {
        let queued = self.bytes + self.frames * ENTRY_BYTES - self.of_senders;
        let kept = self.history.as_ref().map_or(0, |history| history.held());
        // What is to be sent again is there once, unless it is not kept any more.
        queued + kept.max(self.replay) + self.greeting
    }

    /// Whether a message of `len` bytes may be held besides. What may be asked for again makes room for what was not sent yet.
    pub(super) fn may_hold(&mut self, len: usize) -> bool {
        loop {
            let held = self.held_here();
            if self.charge.may_hold(held + len + ENTRY_BYTES) {
                return true;
            }
            if !self.keep_less() {
                return false;
            }
        }
    }

    fn keep_less(&mut self) -> bool {
        let is_less = self.history.as_mut().is_some_and(|history| history.give_up_one());
        if is_less {
            self.charge();
        }
        is_less
    }

    /// Tells what is held here.
    pub(super) fn charge(&mut self) {
        let held = self.held_here();
        self.charge.hold(held);
    }
}
