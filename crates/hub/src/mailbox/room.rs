//! Room in a full mailbox, and the line of those who wait for it.
//!
//! Whoever waits longer comes first, as far as its own share has room: or small messages, of which there is always one that
//! fits, would keep a large one out for ever. A sender keeps its place until it has put its message in, or leaves.

use std::sync::Arc;
use std::task::{Context, Poll, Waker};

use super::sender::{SendPermit, Sender};
use super::{Mailbox, State, wake_all};
use crate::settings::Bound;

/// A sender that waits until a message of so many bytes finds room.
#[derive(Debug)]
pub(super) struct Waiter {
    sender: Arc<Sender>,
    epoch: u32,
    len: usize,
    /// `None` once it is woken, until it asks again.
    waker: Option<Waker>,
}

impl Mailbox {
    /// Whether a message of `len` bytes would be taken. If not, `cx` is woken when there is room for it, or when the
    /// mailbox is sealed.
    pub(crate) fn poll_room(&self, cx: &mut Context<'_>, len: usize, permit: &SendPermit) -> Poll<()> {
        let mut state = self.state.lock();
        let has_room = state.has_room(len, Some(permit.sender()));
        if state.sealed || has_room || !permit.is_current() {
            return Poll::Ready(());
        }
        let waker = Some(cx.waker().clone());
        permit.sender().wait_with(len, state.charge.reader());
        match state.room.iter_mut().find(|waiter| waiter.is_of(permit)) {
            Some(waiter) => (waiter.len, waiter.waker) = (len, waker),
            None => {
                let (sender, epoch) = (Arc::clone(permit.sender()), permit.epoch());
                state.room.push(Waiter { sender, epoch, len, waker });
            }
        }
        Poll::Pending
    }

    /// A sender does not wait for room any longer.
    pub(crate) fn stop_waiting(&self, permit: &SendPermit) {
        let mut state = self.state.lock();
        if !state.room.iter().any(|waiter| waiter.is_of(permit)) {
            return;
        }
        let room = state.leave_line(permit.sender());
        drop(state);
        wake_all(room);
    }

    /// Whether a message of `len` bytes may be held until there is room for it: not if all hold too much already.
    pub(crate) fn may_wait(&self, len: usize, permit: &SendPermit) -> bool {
        let state = self.state.lock();
        state.waits(permit) || permit.sender().may_hold(len, state.charge.reader())
    }
}

impl State {
    /// Whether a message fits, beside those of the senders that have waited longer.
    pub(super) fn has_room(&self, len: usize, sender: Option<&Arc<Sender>>) -> bool {
        let waits_longer = |waiter: &&Waiter| sender.is_none_or(|sender| !Arc::ptr_eq(&waiter.sender, sender));
        let before = self.room.iter().take_while(waits_longer).filter(|waiter| waiter.sender.has_room(waiter.len));
        let held = before.fold(self.held(), |held, waiter| held.with(waiter.len));
        sender.is_none_or(|sender| sender.has_room(len)) && held.leaves_room(len, self.bound)
    }

    /// To wake those for whom there is room now.
    pub(super) fn next_in_line(&mut self) -> Vec<Waker> {
        let (mut held, bound) = (self.held(), self.bound);
        let mut next = Vec::new();
        for Waiter { len, waker, .. } in self.room.iter_mut().filter(|waiter| waiter.sender.has_room(waiter.len)) {
            if !held.leaves_room(*len, bound) {
                break;
            }
            held = held.with(*len);
            next.extend(waker.take());
        }
        next
    }

    /// The message of a sender goes in: its place in the line is free. Nobody behind it has more room for that.
    pub(super) fn has_got_room(&mut self, permit: &SendPermit) {
        self.take_out(|waiter| waiter.is_of(permit));
    }

    /// Whether a sender waits here.
    pub(super) fn waits(&self, permit: &SendPermit) -> bool {
        self.room.iter().any(|waiter| waiter.is_of(permit))
    }

    /// A sender, whichever of its connections it is, leaves the line. Gives whom to wake: it, and who has room now.
    pub(super) fn leave_line(&mut self, sender: &Arc<Sender>) -> Vec<Waker> {
        let mut wakers = self.take_out(|waiter| Arc::ptr_eq(&waiter.sender, sender));
        wakers.extend(self.next_in_line());
        wakers
    }

    /// The line is dissolved. Gives whom to wake.
    pub(super) fn let_waiters_go(&mut self) -> Vec<Waker> {
        self.take_out(|_| true)
    }

    fn take_out(&mut self, is_one: impl Fn(&Waiter) -> bool) -> Vec<Waker> {
        let reader = self.charge.reader();
        let out = self.room.extract_if(.., |waiter| is_one(waiter));
        out.filter_map(|waiter| {
            waiter.sender.wait_with(0, reader);
            waiter.waker
        })
        .collect()
    }

    fn held(&self) -> Bound {
        Bound { frames: self.frames, bytes: self.bytes }
    }
}

impl Waiter {
    pub(super) fn sender(&self) -> &Arc<Sender> {
        &self.sender
    }

    fn is_of(&self, permit: &SendPermit) -> bool {
        Arc::ptr_eq(&self.sender, permit.sender()) && self.epoch == permit.epoch()
    }
}
