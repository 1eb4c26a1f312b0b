//! One queue for everything that goes to a peer: forwards, the session's own replies, notices, the close.
//!
//! Invariants:
//! 1. Entries leave in the order they came (R1).
//! 2. Forwards are bounded in frames and bytes; one always fits into an empty queue. Replies and notices are never
//!    refused; how many there can be is bounded by who sends them (see [`Inbox::is_read_blocked`]).
//! 3. After [`Mailbox::seal`] nothing more is taken (R6).
//! 4. A mailbox has at most one reader. A device's mailbox outlives its connection: the next one takes it over, and
//!    the former reader is told so.
//!
//! Wakers are woken after the lock is released.

use std::collections::VecDeque;
use std::sync::Arc;
use std::task::{Context, Poll, Waker};

use cuttlebone_proto::CloseCode;
use parking_lot::Mutex;
use tokio::sync::oneshot;

use crate::item::{Item, Notice};
use crate::settings::Bound;

/// A session's own replies that may be queued before its peer is no longer read.
const UNREAD_REPLIES: usize = 64;
/// Bytes after which [`Inbox::poll_receive`] takes nothing more out: a few large messages are a batch as well.
const BATCH_BYTES: usize = 16 * 1024;
/// A queue that has grown beyond this is given back to the allocator when it is empty.
const KEPT_CAPACITY: usize = 32;

/// The queue in front of one peer.
#[derive(Debug)]
pub struct Mailbox {
    state: Mutex<State>,
}

#[derive(Debug)]
struct State {
    queue: VecDeque<Entry>,
    frames: usize,
    bytes: usize,
    replies: usize,
    bound: Bound,
    sealed: bool,
    evicted: bool,
    reader: u32,
    waker: Option<Waker>,
    room: Vec<Waker>,
}

#[derive(Debug)]
enum Entry {
    Forward(String),
    Report(String),
    Reply(String),
    Notice(Notice),
    Close(CloseCode),
}

impl Entry {
    /// Written by the server, not passed on.
    fn is_own(&self) -> bool {
        matches!(self, Self::Report(_) | Self::Reply(_))
    }
}

/// Why a forward was not taken.
#[derive(Debug, PartialEq, Eq)]
pub enum PushError {
    /// The queue is at its bound; the message comes back.
    Full(String),
    /// The peer is being closed.
    Sealed,
}

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
    /// A [`Notice::Probe`].
    Probe(Notice),
}

impl Mailbox {
    /// Puts a peer's message in.
    ///
    /// # Errors
    /// [`PushError::Full`] at the bound, [`PushError::Sealed`] after [`Mailbox::seal`].
    pub fn push(&self, text: String) -> Result<(), PushError> {
        let mut state = self.state.lock();
        if state.sealed {
            return Err(PushError::Sealed);
        }
        if !state.has_room(text.len()) {
            return Err(PushError::Full(text));
        }
        state.frames += 1;
        state.bytes += text.len();
        state.queue.push_back(Entry::Forward(text));
        let waker = state.waker.take();
        drop(state);
        wake(waker);
        Ok(())
    }

    /// Puts a message in that must reach the device, be it by its next connection.
    pub fn report(&self, text: String) {
        self.put(Entry::Report(text));
    }

    /// Puts a message of the server's own in; it concerns this connection only.
    pub fn reply(&self, text: String) {
        self.put(Entry::Reply(text));
    }

    /// Puts a notice in.
    pub fn notify(&self, notice: Notice) {
        self.put(Entry::Notice(notice));
    }

    /// Puts a probe in front of everything: it is seen even while a write is stuck, see [`Inbox::poll_urgent`].
    pub(crate) fn probe(&self, probe: oneshot::Sender<()>) {
        let mut state = self.state.lock();
        state.queue.push_front(Entry::Notice(Notice::Probe(probe)));
        let waker = state.waker.take();
        drop(state);
        wake(waker);
    }

    /// Puts the last words in: what is queued is still delivered, nothing more is taken (R6).
    pub fn seal(&self, error: Option<String>, code: CloseCode) {
        self.finish(error, code, false);
    }

    /// As [`Mailbox::seal`], for a peer that does not read: what is queued for it is given up.
    pub fn evict(&self, error: String, code: CloseCode) {
        self.finish(Some(error), code, true);
    }

    /// Takes no more forwards, and gives up what is queued: the connection broke, nobody will read it. Gives the reports
    /// that were never delivered.
    pub fn abandon(&self) -> Vec<String> {
        let mut state = self.state.lock();
        state.sealed = true;
        let queue = std::mem::take(&mut state.queue);
        let room = state.clear();
        drop(state);
        room.into_iter().for_each(Waker::wake);
        queue.into_iter().filter_map(|entry| if let Entry::Report(text) = entry { Some(text) } else { None }).collect()
    }

    /// Whether a message of `len` bytes would be taken. If not, `cx` is woken when there is room again, or when the
    /// mailbox is sealed.
    pub fn poll_room(&self, cx: &mut Context<'_>, len: usize) -> Poll<()> {
        let mut state = self.state.lock();
        if state.sealed || state.has_room(len) {
            return Poll::Ready(());
        }
        if !state.room.iter().any(|waker| waker.will_wake(cx.waker())) {
            state.room.push(cx.waker().clone());
        }
        Poll::Pending
    }

    /// Changes the bound. What is queued stays.
    pub(crate) fn set_bound(&self, bound: Bound) {
        self.state.lock().bound = bound;
    }

    /// Messages and bytes of peers that are queued.
    #[must_use]
    pub fn queued(&self) -> Bound {
        let state = self.state.lock();
        Bound { frames: state.frames, bytes: state.bytes }
    }

    /// Ends the right of the present reader.
    pub(crate) fn revoke(&self) {
        let mut state = self.state.lock();
        state.reader += 1;
        let waker = state.waker.take();
        drop(state);
        wake(waker);
    }

    /// Gives the mailbox to a new reader. It finds what `former` (its own mailbox so far) holds, then `greeting`,
    /// then what is queued here. Replies to the former connection are left out.
    pub(crate) fn adopt(self: &Arc<Self>, former: &Self, greeting: String, bound: Bound) -> Inbox {
        let carried = std::mem::take(&mut former.state.lock().queue);
        let mut state = self.state.lock();
        state.queue.retain(|entry| !matches!(entry, Entry::Reply(_)));
        state.queue.push_front(Entry::Reply(greeting));
        for entry in carried.into_iter().rev() {
            state.queue.push_front(entry);
        }
        state.replies = state.queue.iter().filter(|entry| entry.is_own()).count();
        state.bound = bound;
        state.reader += 1;
        let reader = state.reader;
        let waker = state.waker.take();
        drop(state);
        wake(waker);
        Inbox { mailbox: Arc::clone(self), reader }
    }

    /// The present reader.
    pub(crate) fn reader(self: &Arc<Self>) -> Inbox {
        Inbox { mailbox: Arc::clone(self), reader: self.state.lock().reader }
    }

    fn put(&self, entry: Entry) {
        let mut state = self.state.lock();
        if state.sealed {
            return;
        }
        state.replies += usize::from(entry.is_own());
        state.queue.push_back(entry);
        let waker = state.waker.take();
        drop(state);
        wake(waker);
    }

    fn finish(&self, error: Option<String>, code: CloseCode, evict: bool) {
        let mut state = self.state.lock();
        if state.sealed {
            return;
        }
        let room = if evict { state.clear() } else { std::mem::take(&mut state.room) };
        state.queue.extend(error.map(Entry::Reply));
        state.queue.push_back(Entry::Close(code));
        state.sealed = true;
        state.evicted = evict;
        let waker = state.waker.take();
        drop(state);
        wake(waker);
        room.into_iter().for_each(Waker::wake);
    }
}

impl State {
    fn has_room(&self, len: usize) -> bool {
        self.frames == 0 || (self.frames < self.bound.frames && self.bytes + len <= self.bound.bytes)
    }

    fn clear(&mut self) -> Vec<Waker> {
        self.queue = VecDeque::new();
        (self.frames, self.bytes, self.replies) = (0, 0, 0);
        std::mem::take(&mut self.room)
    }

    fn pop(&mut self) -> Option<Item> {
        Some(match self.queue.pop_front()? {
            Entry::Forward(text) => {
                self.frames -= 1;
                self.bytes -= text.len();
                Item::Text(text)
            }
            Entry::Reply(text) | Entry::Report(text) => {
                self.replies = self.replies.saturating_sub(1);
                Item::Text(text)
            }
            Entry::Notice(notice) => Item::Notice(notice),
            Entry::Close(code) => Item::Close(code),
        })
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
    #[must_use]
    pub fn new(bound: Bound) -> Self {
        let state = State {
            queue: VecDeque::new(),
            frames: 0,
            bytes: 0,
            replies: 0,
            bound,
            sealed: false,
            evicted: false,
            reader: 0,
            waker: None,
            room: Vec::new(),
        };
        Self { mailbox: Arc::new(Mailbox { state: Mutex::new(state) }), reader: 0 }
    }

    /// The mailbox itself, to put things in.
    #[must_use]
    pub fn mailbox(&self) -> &Arc<Mailbox> {
        &self.mailbox
    }

    /// Takes out entries until there are `most` in `items`, or 16 KiB of messages came. Cancel safe.
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
        let room = if state.has_room(0) { std::mem::take(&mut state.room) } else { Vec::new() };
        drop(state);
        room.into_iter().for_each(Waker::wake);
        Poll::Ready(Received::Items)
    }

    /// What can't wait until a write that is under way has ended. Cancel safe.
    pub fn poll_urgent(&self, cx: &mut Context<'_>) -> Poll<Urgent> {
        let mut state = self.mailbox.state.lock();
        if state.evicted || state.reader != self.reader {
            return Poll::Ready(Urgent::Cut);
        }
        if let Some(Entry::Notice(Notice::Probe(_))) = state.queue.front()
            && let Some(Item::Notice(probe)) = state.pop()
        {
            return Poll::Ready(Urgent::Probe(probe));
        }
        keep_waker(&mut state.waker, cx);
        Poll::Pending
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

fn wake(waker: Option<Waker>) {
    if let Some(waker) = waker {
        waker.wake();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SMALL: Bound = Bound { frames: 2, bytes: 10 };

    fn take(inbox: &Inbox, most: usize) -> Vec<String> {
        let mut items = Vec::new();
        let _ = inbox.poll_receive(&mut Context::from_waker(Waker::noop()), most, &mut items);
        items.into_iter().map(|item| if let Item::Text(text) = item { text } else { format!("{item:?}") }).collect()
    }

    #[test]
    fn r1_own_replies_do_not_overtake_queued_frames() {
        let inbox = Inbox::new(SMALL);
        inbox.mailbox().push("a".into()).expect("room");
        inbox.mailbox().reply("b".into());
        inbox.mailbox().push("c".into()).expect("room");
        assert_eq!(take(&inbox, 2), ["a", "b"]);
        assert_eq!(take(&inbox, 2), ["c"]);
    }

    #[test]
    fn forwards_are_bounded_in_frames_and_bytes() {
        let inbox = Inbox::new(SMALL);
        inbox.mailbox().push("123456".into()).expect("room");
        assert_eq!(inbox.mailbox().push("12345".into()), Err(PushError::Full("12345".into())));
        inbox.mailbox().push("1234".into()).expect("room");
        assert_eq!(inbox.mailbox().push(String::new()), Err(PushError::Full(String::new())));
        inbox.mailbox().reply("never refused".into());
        take(&inbox, 9);
        inbox.mailbox().push("x".repeat(100)).expect("one message fits into an empty queue");
    }

    #[test]
    fn room_wakes_who_waits_for_it() {
        let inbox = Inbox::new(SMALL);
        let mut cx = Context::from_waker(Waker::noop());
        inbox.mailbox().push("1234567890".into()).expect("room");
        assert!(inbox.mailbox().poll_room(&mut cx, 1).is_pending());
        take(&inbox, 1);
        assert!(inbox.mailbox().poll_room(&mut cx, 1).is_ready());
        assert!(inbox.mailbox().state.lock().room.is_empty());
    }

    #[test]
    fn r6_sealed_is_drained_to_the_close_and_takes_nothing_more() {
        let inbox = Inbox::new(SMALL);
        inbox.mailbox().push("a".into()).expect("room");
        inbox.mailbox().seal(Some("error".into()), CloseCode::Policy);
        assert_eq!(inbox.mailbox().push("late".into()), Err(PushError::Sealed));
        inbox.mailbox().reply("late".into());
        inbox.mailbox().seal(Some("late".into()), CloseCode::Normal);
        assert_eq!(take(&inbox, 9), ["a", "error", "Close(Policy)"]);
    }

    #[test]
    fn evicted_gives_up_what_is_queued() {
        let inbox = Inbox::new(SMALL);
        inbox.mailbox().push("a".into()).expect("room");
        assert!(inbox.poll_urgent(&mut Context::from_waker(Waker::noop())).is_pending());
        inbox.mailbox().evict("slow".into(), CloseCode::TooSlow);
        let urgent = inbox.poll_urgent(&mut Context::from_waker(Waker::noop()));
        assert!(matches!(urgent, Poll::Ready(Urgent::Cut)));
        assert_eq!(take(&inbox, 9), ["slow", "Close(TooSlow)"]);
    }

    #[test]
    fn a_probe_is_seen_before_what_is_queued_and_while_a_write_is_stuck() {
        let inbox = Inbox::new(SMALL);
        inbox.mailbox().push("a".into()).expect("room");
        inbox.mailbox().probe(oneshot::channel().0);
        let urgent = inbox.poll_urgent(&mut Context::from_waker(Waker::noop()));
        assert!(matches!(urgent, Poll::Ready(Urgent::Probe(Notice::Probe(_)))));
        inbox.mailbox().probe(oneshot::channel().0);
        assert!(take(&inbox, 1)[0].contains("Probe"));
        assert_eq!(take(&inbox, 9), ["a"]);
    }

    #[test]
    fn a_new_reader_is_greeted_before_what_was_held() {
        let first = Inbox::new(SMALL);
        first.mailbox().push("held".into()).expect("room");
        let second = Inbox::new(SMALL);
        second.mailbox().reply("own".into());
        let second = first.mailbox().adopt(second.mailbox(), "config".into(), SMALL);
        assert_eq!(take(&second, 9), ["own", "config", "held"]);
        assert!(!first.is_current());
        let mut items = Vec::new();
        let revoked = first.poll_receive(&mut Context::from_waker(Waker::noop()), 1, &mut items);
        assert_eq!(revoked, Poll::Ready(Received::Revoked));
    }

    #[test]
    fn a_peer_that_reads_no_replies_is_not_read() {
        let inbox = Inbox::new(SMALL);
        for _ in 0..UNREAD_REPLIES {
            assert!(!inbox.is_read_blocked());
            inbox.mailbox().reply("x".into());
        }
        assert!(inbox.is_read_blocked());
        take(&inbox, 1);
        assert!(!inbox.is_read_blocked());
    }
}
