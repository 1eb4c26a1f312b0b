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
            self.of_senders -= text.len() + ENTRY_BYTES;
            self.out += taken.sender.free(text.len(), self.charge.reader());
        }
    }

    /// Gives up what is queued and kept. Gives what was queued, and whom to wake.
    pub(super) fn clear(&mut self) -> (VecDeque<Entry>, Vec<Waker>) {
        let queue = std::mem::take(&mut self.queue);
        for entry in &queue {
            if let Entry::Forward { text, sender: Some(taken) } = entry {
                taken.sender.free(text.len(), self.charge.reader());
            }
        }
        self.history = None;
        (self.frames, self.bytes, self.of_senders, self.replies) = (0, 0, 0, 0);
        (self.replay, self.greeting) = (0, 0);
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

    /// Whether what comes next may be taken out, and written, together with `bytes` that were: as far as that is free, or counted
    /// here, or there is room for it.
    pub(super) fn may_leave(&self, bytes: usize) -> bool {
        let next = self.queue.front().map_or(0, Entry::len);
        bytes == 0 || next == 0 || {
            let counts = self.charge.counts_alone(bytes + next);
            counts == 0 || counts <= self.out.saturating_add(self.charge.reader().room())
        }
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
