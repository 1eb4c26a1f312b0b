//! The reading end of a mailbox.

use std::collections::VecDeque;
use std::sync::Arc;
use std::task::{Context, Poll, Waker};

use super::entry::Entry;
use super::{Budget, Mailbox, State, give_up, wake_all};
use crate::item::{Item, Notice};
use crate::settings::Bound;
use crate::sync::Mutex;

/// A session's own replies that may be queued before its peer is no longer read.
pub(super) const UNREAD_REPLIES: usize = 64;
/// Bytes after which [`Inbox::poll_receive`] takes nothing more out: a few large messages are a batch as well.
const BATCH_BYTES: usize = 32 * 1024;
/// A queue that has grown beyond this is given back to the allocator when it is empty.
const KEPT_CAPACITY: usize = 32;

/// What a reader finds.
#[derive(Debug, PartialEq, Eq)]
pub enum Received {
    /// Entries were taken out.
    Items,
    /// Another connection reads this mailbox now.
    Revoked,
}

/// What a reader has to know even while a write is stuck.
#[derive(Debug)]
pub enum Urgent {
    /// The peer must be closed without waiting for what was written to it: it was evicted, or another connection reads
    /// this mailbox.
    Cut,
    /// A [`Notice::Probe`] or a [`Notice::Refused`].
    Notice(Notice),
}

/// The one reader of a mailbox.
#[derive(Debug, Clone)]
pub struct Inbox {
    mailbox: Arc<Mailbox>,
    reader: u32,
}

impl Inbox {
    /// An empty mailbox and its reader.
    pub(crate) fn new(bound: Bound, budget: Arc<Budget>) -> Self {
        let state = State {
            queue: VecDeque::new(),
            frames: 0,
            bytes: 0,
            replies: 0,
            replay: 0,
            bound,
            longest: usize::MAX,
            sealed: false,
            evicted: false,
            reader: 0,
            waker: None,
            room: Vec::new(),
            history: None,
            budget,
            charged: 0,
        };
        Self::of(Arc::new(Mailbox { state: Mutex::new(state) }), 0)
    }

    /// Another, of the same peer.
    pub(crate) fn another(&self, bound: Bound) -> Self {
        Self::new(bound, self.mailbox.budget())
    }

    pub(super) fn of(mailbox: Arc<Mailbox>, reader: u32) -> Self {
        Self { mailbox, reader }
    }

    /// The mailbox itself, to put things in.
    #[must_use]
    pub fn mailbox(&self) -> &Arc<Mailbox> {
        &self.mailbox
    }

    /// Takes out entries until there are `most` in `items`, or 32 KiB of messages came. Cancel safe.
    pub fn poll_receive(&self, cx: &mut Context<'_>, most: usize, items: &mut Vec<Item>) -> Poll<Received> {
        let mut state = self.mailbox.state.lock();
        if state.reader != self.reader {
            return Poll::Ready(Received::Revoked);
        }
        if state.queue.is_empty() {
            keep_waker(&mut state.waker, cx);
            return Poll::Pending;
        }
        let mut bytes = 0;
        while items.len() < most && bytes < BATCH_BYTES {
            let Some(item) = state.pop() else { break };
            bytes += if let Item::Text(text) = &item { text.len() } else { 0 };
            items.push(item);
        }
        if state.queue.is_empty() && state.queue.capacity() > KEPT_CAPACITY {
            state.queue = VecDeque::new();
        }
        let room = state.next_in_line();
        state.charge();
        drop(state);
        wake_all(room);
        Poll::Ready(Received::Items)
    }

    /// What can't wait until a write that is under way has ended. Cancel safe.
    pub fn poll_urgent(&self, cx: &mut Context<'_>) -> Poll<Urgent> {
        let mut state = self.mailbox.state.lock();
        if state.evicted || state.reader != self.reader {
            return Poll::Ready(Urgent::Cut);
        }
        if let Some(Entry::Notice(Notice::Probe(_) | Notice::Refused(_))) = state.queue.front()
            && let Some(Item::Notice(notice)) = state.pop()
        {
            return Poll::Ready(Urgent::Notice(notice));
        }
        keep_waker(&mut state.waker, cx);
        Poll::Pending
    }

    /// Forwards that were taken out since counting began, if they are counted: a ping that carries the number, and comes
    /// back, says that the peer has had them.
    #[must_use]
    pub fn mark(&self) -> Option<u32> {
        let mut state = self.mailbox.state.lock();
        let state = &mut *state;
        // A peer may leave pings unanswered, or answer them with something else: what it makes us keep is bounded all the same.
        if let Some(history) = &mut state.history {
            history.trim(&state.budget);
            history.mark();
        }
        state.charge();
        let unread = state.queue.iter().filter(|entry| matches!(entry, Entry::Replay(_))).count();
        let unread = u32::try_from(unread).unwrap_or(u32::MAX);
        state.history.as_ref().map(|history| history.sent().wrapping_sub(unread))
    }

    /// The peer has had everything up to a [`Inbox::mark`]: it is not kept any longer.
    pub fn confirm(&self, mark: u32) {
        let mut state = self.mailbox.state.lock();
        if state.reader == self.reader
            && let Some(history) = &mut state.history
        {
            if history.confirm(mark) {
                history.confirm_reports();
            }
            state.charge();
        }
    }

    /// As [`Mailbox::abandon`], unless another connection has taken the mailbox over.
    pub(crate) fn abandon(&self) {
        let state = self.mailbox.state.lock();
        if state.reader == self.reader {
            give_up(state);
        }
    }

    /// Whether nobody else has taken the mailbox over.
    #[must_use]
    pub fn is_current(&self) -> bool {
        self.mailbox.state.lock().reader == self.reader
    }

    /// Whether this is the present reader of `mailbox`.
    pub(crate) fn is_reader_of(&self, mailbox: &Arc<Mailbox>) -> bool {
        Arc::ptr_eq(&self.mailbox, mailbox) && self.is_current()
    }

    /// Whether the peer has left so many replies unread that it should not be read either.
    #[must_use]
    pub fn is_read_blocked(&self) -> bool {
        self.mailbox.state.lock().replies >= UNREAD_REPLIES
    }
}

fn keep_waker(slot: &mut Option<Waker>, cx: &Context<'_>) {
    match slot {
        Some(waker) => waker.clone_from(cx.waker()),
        None => *slot = Some(cx.waker().clone()),
    }
}
