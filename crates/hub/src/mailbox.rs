//! One queue for everything that goes to a peer: forwards, the session's own replies, notices, the close.
//!
//! Invariants:
//! 1. Entries leave in the order they came (R1), but for a notice that is urgent (see [`Mailbox::urge`]).
//! 2. Forwards are bounded in frames and bytes, in all and for each sender, where one always fits into an empty queue; and in
//!    what all mailboxes hold (see [`Budget`]). Replies and notices are never refused; how many there can be is bounded by
//!    who sends them (see [`Inbox::is_read_blocked`]).
//! 3. After [`Mailbox::seal`] nothing more is taken (R6), but for a report, which goes in before the close until that is read.
//! 4. A mailbox has at most one reader, and may outlive its connection: the next one takes it over, and the former
//!    reader is told so. So it is for devices, and for clients that asked to be resumed.
//! 5. What a [`Sender`] has had taken changes in the critical section that takes it, so that after a takeover the count
//!    is exact.
//!
//! Wakers are woken after the lock is released.

mod budget;
mod charge;
mod entry;
mod held;
mod history;
mod inbox;
mod room;
mod sender;

use std::collections::VecDeque;
use std::sync::Arc;
use std::task::Waker;

use cuttlebone_proto::CloseCode;

use crate::item::{Item, Notice};
use crate::settings::Bound;
use crate::sync::{Mutex, MutexGuard};
pub use budget::{Budget, Budgets, Weights};
pub(crate) use charge::{Charge, Unwritten};
use entry::Entry;
use history::History;
pub use inbox::{Inbox, Mark, Received, Urgent};
use room::Waiter;
use sender::Taken;
pub(crate) use sender::{SendPermit, Sender};

/// What an entry takes beside its text, with what is known here of who sent it, who may have left.
const ENTRY_BYTES: usize = 256;

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
    /// What those forwards take of these for which their [`Sender`] is charged: all that are not free.
    of_senders: usize,
    /// Bytes that are queued to be sent again.
    replay: usize,
    /// Bytes of the greeting, until it is taken out.
    greeting: usize,
    bound: Bound,
    /// Bytes of the longest message that the peer can read of a [`Sender`].
    longest: usize,
    sealed: bool,
    evicted: bool,
    reader: u32,
    waker: Option<Waker>,
    /// Who waits for room, the first first.
    room: Vec<Waiter>,
    /// What the peer may ask for again, if it is one that does.
    history: Option<Box<History>>,
    /// What is held but for what senders are charged for.
    charge: Charge,
    /// What counted until it was taken out, and counts nowhere.
    out: usize,
}

/// Why a forward was not taken.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum PushError {
    /// The queue, or the sender's share of it, is at its bound, or all hold too much; the message comes back.
    Full(String),
    /// The peer can't read a message of this size. It counts as taken: it is answered with an error.
    TooLarge,
    /// The peer is being closed.
    Sealed,
    /// Another connection sends for this client now.
    Superseded,
}

/// What a client says that it has had.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Had {
    /// So many forwards, if it said so, of the count of this number; see [`History::count`].
    OfCount(u32, Option<u32>),
    /// Something of another process.
    Unknown,
}

impl Mailbox {
    /// Puts a message for a client in, of a device that is `writer`'s.
    ///
    /// # Errors
    /// [`PushError::Full`] at the bound, [`PushError::Sealed`] after [`Mailbox::seal`].
    pub(crate) fn push(&self, text: String, writer: &Arc<Budget>) -> Result<(), PushError> {
        let mut state = self.state.lock();
        if state.sealed {
            return Err(PushError::Sealed);
        }
        state.charge.written_by(writer);
        if !state.has_room(text.len(), None) || !state.may_hold(text.len()) {
            return Err(PushError::Full(text));
        }
        enter(state, text, None);
        Ok(())
    }

    /// Puts a client's message for its device in, and counts it as taken.
    ///
    /// # Errors
    /// As [`Mailbox::push`], [`PushError::TooLarge`] and [`PushError::Superseded`].
    pub(crate) fn push_from(&self, text: String, permit: &SendPermit) -> Result<(), PushError> {
        let mut state = self.state.lock();
        if !permit.is_current() {
            return Err(PushError::Superseded);
        }
        if state.sealed {
            return Err(PushError::Sealed);
        }
        if text.len() > state.longest {
            permit.count();
            // It may have waited for room.
            let room = state.leave_line(permit.sender());
            drop(state);
            wake_all(room);
            return Err(PushError::TooLarge);
        }
        // What waits is held already.
        let (is_free, waits) = (state.is_free(text.len()), state.waits(permit));
        let may_hold = |state: &State| permit.sender().may_hold(text.len(), state.charge.reader());
        if !state.has_room(text.len(), Some(permit.sender())) || !(is_free || waits || may_hold(&state)) {
            return Err(PushError::Full(text));
        }
        state.has_got_room(permit);
        let taken = permit.take(text.len(), (!is_free).then(|| state.charge.reader()));
        state.of_senders += if is_free { 0 } else { text.len() + ENTRY_BYTES };
        enter(state, text, Some(taken));
        Ok(())
    }

    /// Lets a new connection, which is `writer`'s, send for a client; permits of the former one are worth nothing from here on.
    /// Gives the new permit and how many messages were taken.
    pub(crate) fn supersede(&self, sender: &Arc<Sender>, writer: &Arc<Budget>) -> (SendPermit, u32) {
        let mut state = self.state.lock();
        let (permit, taken) = (sender.supersede(writer), sender.taken());
        let room = state.leave_line(sender);
        drop(state);
        wake_all(room);
        (permit, taken)
    }

    /// How many messages of a client were taken and have been read, or still will be.
    pub(crate) fn taken_from(&self, sender: &Sender) -> u32 {
        let _state = self.state.lock();
        sender.taken()
    }

    /// Begins to count a client's messages anew.
    pub(crate) fn forget_count(&self, sender: &Sender) {
        let _state = self.state.lock();
        sender.forget_count();
    }

    /// Puts a message in that must reach the device, be it by its next connection, or before the close that is queued.
    pub fn report(&self, text: String) {
        self.put(Entry::Report(text));
    }

    /// Puts a message of the server's own in; it concerns this connection only.
    pub fn reply(&self, text: String) {
        self.put(Entry::Reply(text));
    }

    /// Puts what a device says of itself in, if that may be held; false if not.
    pub(crate) fn greet(&self, text: String) -> bool {
        let mut state = self.state.lock();
        if !state.may_hold(text.len()) {
            return false;
        }
        put(state, Entry::Greeting(text));
        true
    }

    /// Whether what is held here may be held for `reader`, with a greeting of `len` bytes.
    pub(crate) fn may_be_read_by(&self, reader: &Budget, len: usize) -> bool {
        let mut state = self.state.lock();
        if std::ptr::eq(&**state.charge.reader(), reader) {
            return len == 0 || state.may_hold(len);
        }
        let here = state.charge.would_count(state.held_here() + len);
        reader.may_take_over(here + state.counted_of_senders())
    }

    /// Puts a notice in.
    pub fn notify(&self, notice: Notice) {
        self.put(Entry::Notice(notice));
    }

    /// Puts a [`Notice::Probe`] or a [`Notice::Refused`] in front of everything: it is seen even while a write is
    /// stuck, see [`Inbox::poll_urgent`]. Who is being closed is not refused anything more.
    pub(crate) fn urge(&self, notice: Notice) {
        let mut state = self.state.lock();
        if state.sealed && matches!(notice, Notice::Refused(_)) {
            return;
        }
        state.queue.push_front(Entry::Notice(notice));
        let waker = state.waker.take();
        drop(state);
        wake(waker);
    }

    /// Puts the last words in: what is queued is still delivered, nothing more is taken (R6).
    pub fn seal(&self, last_words: Option<String>, code: CloseCode) {
        self.finish(last_words, code, false);
    }

    /// As [`Mailbox::seal`], for a peer that does not read: what is queued for it is given up.
    pub fn evict(&self, error: String, code: CloseCode) {
        self.finish(Some(error), code, true);
    }

    /// Takes no more forwards, and gives up what is queued: nobody will read it. Forwards that were taken and not read
    /// count as not taken. Gives the reports that were never delivered.
    pub fn abandon(&self) -> Vec<String> {
        give_up(self.state.lock())
    }

    /// Changes the bound. What is queued stays.
    pub(crate) fn set_bound(&self, bound: Bound) {
        self.state.lock().bound = bound;
    }

    /// Takes no longer message than this from a [`Sender`].
    pub(crate) fn set_longest(&self, longest: usize) {
        self.state.lock().longest = longest;
    }

    /// From now on keeps what was read for a peer that may ask for it again.
    pub(crate) fn keep_history(&self, bound: Bound) {
        self.state.lock().history = Some(Box::new(History::new(bound)));
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

    /// Gives a device's mailbox to a new reader. It finds what `former` (its own mailbox so far) holds, then `greeting`,
    /// then what is queued here. Replies to the former connection are left out. Forwards longer than `longest` are, too:
    /// gives their senders.
    pub(crate) fn adopt(
        self: &Arc<Self>,
        former: &Self,
        greeting: String,
        bound: Bound,
        longest: usize,
    ) -> (Inbox, Vec<Arc<Sender>>) {
        let (carried, reader) = former.hand_on();
        let mut state = self.state.lock();
        state.read_by(&reader);
        let too_long = state.drop_longer_than(longest);
        (state.bound, state.longest) = (bound, longest);
        let (reader, waker) = state.hand_over(carried, Some(greeting), Vec::new(), Vec::new());
        state.charge();
        drop(state);
        wake(waker);
        (Inbox::of(Arc::clone(self), reader), too_long)
    }

    /// Gives a client's mailbox to its next connection, which says what it has had. It finds what `former` (its own mailbox
    /// so far) holds, then `greeting`, then the forwards that it has not had. `greeting` is told whether these are all, and
    /// the number of the count: if they are not, both sides count from 0 again.
    ///
    /// Gives the reader, and whether these are all; nothing when the mailbox is being closed.
    pub(crate) fn resume(
        self: &Arc<Self>,
        former: &Self,
        had: Had,
        greeting: impl FnOnce(bool, u32) -> String,
    ) -> Option<(Inbox, bool)> {
        let mut state = self.state.lock();
        if state.sealed {
            return None;
        }
        let history = state.history.as_mut()?;
        let (replay, is_whole) = match had {
            Had::OfCount(count, Some(received)) if count == history.count() => (history.after(received), true),
            Had::OfCount(..) => (None, false),
            // With a token of this process it would have read the greeting of this count: it has had nothing of it.
            Had::Unknown => (history.after(0), false),
        };
        let is_whole = is_whole && replay.is_some();
        let reports = history.take_reports();
        if replay.is_none() {
            history.forget();
        }
        let count = history.count();
        let (carried, reader) = former.hand_on();
        state.read_by(&reader);
        // Somebody is here for it, if that was not so before.
        state.charge.free_a_little();
        let (reader, waker) =
            state.hand_over(carried, Some(greeting(is_whole, count)), replay.unwrap_or_default(), reports);
        state.charge();
        drop(state);
        wake(waker);
        Some((Inbox::of(Arc::clone(self), reader), is_whole))
    }

    /// Whose it is.
    pub(crate) fn budget(&self) -> Arc<Budget> {
        Arc::clone(self.state.lock().charge.reader())
    }

    /// What another mailbox goes on with.
    fn hand_on(&self) -> (VecDeque<Entry>, Arc<Budget>) {
        let mut state = self.state.lock();
        (std::mem::take(&mut state.queue), Arc::clone(state.charge.reader()))
    }

    /// The present reader.
    pub(crate) fn reader(self: &Arc<Self>) -> Inbox {
        Inbox::of(Arc::clone(self), self.state.lock().reader)
    }

    fn put(&self, entry: Entry) {
        put(self.state.lock(), entry);
    }

    fn finish(&self, last_words: Option<String>, code: CloseCode, evict: bool) {
        let mut state = self.state.lock();
        if state.sealed {
            return;
        }
        let room = if evict { state.clear().1 } else { state.let_waiters_go() };
        state.queue.extend(last_words.map(Entry::Reply));
        state.queue.push_back(Entry::Close(code));
        state.sealed = true;
        state.evicted = evict;
        state.charge();
        let waker = state.waker.take();
        drop(state);
        wake(waker);
        wake_all(room);
    }
}

impl State {
    /// A new reader's queue: what it has so far, the greeting, what it asked for again, what else it may not have had, what is
    /// queued.
    fn hand_over(
        &mut self,
        carried: VecDeque<Entry>,
        greeting: Option<String>,
        replay: Vec<Arc<str>>,
        reports: Vec<String>,
    ) -> (u32, Option<Waker>) {
        // What was asked for before and not read is asked for again.
        self.queue.retain(|entry| !matches!(entry, Entry::Greeting(_) | Entry::Reply(_) | Entry::Replay(_)));
        self.replay = replay.iter().map(|text| text.len()).sum();
        self.greeting = greeting.as_ref().map_or(0, String::len);
        let replay = replay.into_iter().map(Entry::Replay).chain(reports.into_iter().map(Entry::Report));
        let front = carried.into_iter().chain(greeting.map(Entry::Greeting)).chain(replay);
        let mut queue: VecDeque<Entry> = front.collect();
        queue.append(&mut self.queue);
        self.queue = queue;
        self.replies = self.queue.iter().filter(|entry| entry.is_own()).count();
        self.reader += 1;
        (self.reader, self.waker.take())
    }

    fn drop_longer_than(&mut self, longest: usize) -> Vec<Arc<Sender>> {
        let mut senders = Vec::new();
        let mut kept = VecDeque::with_capacity(self.queue.len());
        for entry in std::mem::take(&mut self.queue) {
            match entry {
                Entry::Forward { text, sender } if text.len() > longest => {
                    self.leaves(&text, sender.as_ref());
                    senders.extend(sender.map(|taken| taken.sender));
                }
                entry => kept.push_back(entry),
            }
        }
        self.queue = kept;
        senders
    }

    fn pop(&mut self) -> Option<Item> {
        Some(match self.queue.pop_front()? {
            Entry::Forward { text, sender } => {
                self.leaves(&text, sender.as_ref());
                if let Some(history) = &mut self.history {
                    history.keep(&text);
                }
                Item::Text(text)
            }
            Entry::Greeting(text) => {
                self.replies = self.replies.saturating_sub(1);
                self.greeting -= text.len();
                Item::Text(text)
            }
            Entry::Report(text) => {
                self.replies = self.replies.saturating_sub(1);
                if let Some(history) = &mut self.history {
                    history.keep_report(&text);
                }
                Item::Text(text)
            }
            Entry::Reply(text) => {
                self.replies = self.replies.saturating_sub(1);
                Item::Text(text)
            }
            Entry::Replay(text) => {
                self.replay -= text.len();
                Item::Text((*text).to_owned())
            }
            Entry::Notice(notice) => Item::Notice(notice),
            Entry::Close(code) => Item::Close(code),
        })
    }
}

fn put(mut state: MutexGuard<'_, State>, entry: Entry) {
    let is_in_time = || matches!((&entry, state.queue.back()), (Entry::Report(_), Some(Entry::Close(_))));
    if state.sealed && !is_in_time() {
        return;
    }
    if let Entry::Greeting(text) = &entry {
        state.greeting += text.len();
        state.charge();
    }
    let at = state.queue.len() - usize::from(state.sealed);
    state.replies += usize::from(entry.is_own());
    state.queue.insert(at, entry);
    let waker = state.waker.take();
    drop(state);
    wake(waker);
}

fn enter(mut state: MutexGuard<'_, State>, text: String, sender: Option<Taken>) {
    state.frames += 1;
    state.bytes += text.len();
    state.queue.push_back(Entry::Forward { text, sender });
    state.charge();
    let waker = state.waker.take();
    drop(state);
    wake(waker);
}

fn give_up(mut state: MutexGuard<'_, State>) -> Vec<String> {
    state.sealed = true;
    let (queue, room) = state.clear();
    queue.iter().filter_map(Entry::taken).for_each(|taken| taken.take_back());
    state.charge();
    drop(state);
    wake_all(room);
    queue.into_iter().filter_map(|entry| if let Entry::Report(text) = entry { Some(text) } else { None }).collect()
}

fn wake_all(wakers: Vec<Waker>) {
    wakers.into_iter().for_each(Waker::wake);
}

fn wake(waker: Option<Waker>) {
    if let Some(waker) = waker {
        waker.wake();
    }
}

#[cfg(test)]
mod tests;
