//! The reading end of a mailbox.

use std::collections::VecDeque;
use std::sync::Arc;
use std::task::{Context, Poll, Waker};

use super::charge::Charge;
use super::entry::Entry;
use super::history::History;
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

/// How much a peer was sent, see [`Inbox::mark`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Mark {
    /// Messages of its device.
    pub forwards: u32,
    /// The server's own that it must have.
    pub reports: u32,
}

impl From<u64> for Mark {
    fn from(number: u64) -> Self {
        let [forwards, reports] = [number, number >> 32].map(|part| (part & u64::from(u32::MAX)) as u32);
        Self { forwards, reports }
    }
}

impl From<Mark> for u64 {
    fn from(mark: Mark) -> Self {
        Self::from(mark.reports) << 32 | Self::from(mark.forwards)
    }
}

/// The one reader of a mailbox.
#[derive(Debug, Clone)]
pub struct Inbox {
    mailbox: Arc<Mailbox>,
    reader: u32,
}

impl Inbox {
    /// An empty mailbox and its reader.
    pub(crate) fn new(bound: Bound, reader: Arc<Budget>) -> Self {
        Self::charged(bound, Charge::new(reader))
    }

    /// The same, where `charge` is told what is held.
    pub(crate) fn charged(bound: Bound, charge: Charge) -> Self {
        let state = State {
            queue: VecDeque::new(),
            frames: 0,
            bytes: 0,
            replies: 0,
            of_senders: 0,
            replay: 0,
            greeting: 0,
            bound,
            longest: usize::MAX,
            sealed: false,
            evicted: false,
            reader: 0,
            waker: None,
            room: Vec::new(),
            history: None,
            charge,
            out: 0,
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

    /// Takes out entries until there are `most` in `items`, or 32 KiB of messages came. What was taken out before is written.
    /// Cancel safe.
    pub fn poll_receive(&self, cx: &mut Context<'_>, most: usize, items: &mut Vec<Item>) -> Poll<Received> {
        let mut state = self.mailbox.state.lock();
        if state.reader != self.reader {
            return Poll::Ready(Received::Revoked);
        }
        state.out = 0;
        if state.queue.is_empty() {
            keep_waker(&mut state.waker, cx);
            return Poll::Pending;
        }
        let (mut bytes, counted) = (0, state.charge.counted());
        while items.len() < most && bytes < BATCH_BYTES {
            let Some(item) = state.pop() else { break };
            bytes += if let Item::Text(text) = &item { text.len() } else { 0 };
            items.push(item);
        }
        // What is written and kept is there twice.
        if state.history.is_some() {
            state.may_hold(bytes);
        }
        if state.queue.is_empty() && state.queue.capacity() > KEPT_CAPACITY {
            state.queue = VecDeque::new();
        }
        let room = state.next_in_line();
        state.charge();
        state.out += counted.saturating_sub(state.charge.counted());
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

    /// Whose it is, and how much of what this reader has taken out last counted: from now on it counts elsewhere.
    pub(super) fn moves_on(&self) -> (Arc<Budget>, usize) {
        let mut state = self.mailbox.state.lock();
        let moved = if state.reader == self.reader { std::mem::take(&mut state.out) } else { 0 };
        (Arc::clone(state.charge.reader()), moved)
    }

    /// What was taken out since counting began, if that is counted: a ping that carries it, and comes back, says that the peer has
    /// had all of it.
    #[must_use]
    pub fn mark(&self) -> Option<Mark> {
        let state = self.mailbox.state.lock();
        let unread = state.queue.iter().filter(|entry| matches!(entry, Entry::Replay(_))).count();
        let unread = u32::try_from(unread).unwrap_or(u32::MAX);
        let mark =
            |history: &History| Mark { forwards: history.sent().wrapping_sub(unread), reports: history.reported() };
        state.history.as_deref().map(mark)
    }

    /// The peer has had everything up to a [`Inbox::mark`]: it is not kept any longer.
    pub fn confirm(&self, mark: Mark) {
        let mut state = self.mailbox.state.lock();
        if state.reader == self.reader
            && let Some(history) = &mut state.history
        {
            if history.confirm(mark.forwards) {
                history.confirm_reports(mark.reports);
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
