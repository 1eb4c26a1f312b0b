//! A client as one of the senders into its device's mailbox.
//!
//! Invariant: everything here is read and changed under the lock of that mailbox only; the atomics are for the compiler.

use std::sync::Arc;

use cuttlebone_proto::ClientId;

use super::charge::Charge;
use super::{Budget, ENTRY_BYTES};
use crate::settings::Bound;
use crate::sync::{AtomicU32, AtomicUsize, Mutex, Ordering};

/// What one client has in its device's mailbox, and has had taken.
#[derive(Debug)]
pub(crate) struct Sender {
    client_id: ClientId,
    share: Bound,
    frames: AtomicUsize,
    bytes: AtomicUsize,
    /// Bytes of its messages that count, and of one that waits for room.
    counting: AtomicUsize,
    waiting: AtomicUsize,
    charge: Mutex<Charge>,
    taken: AtomicU32,
    epoch: AtomicU32,
    /// How often counting has begun anew.
    count: AtomicU32,
}

/// Which of a client's messages an entry is.
#[derive(Debug)]
pub(super) struct Taken {
    pub(super) sender: Arc<Sender>,
    /// Whether its bytes count for the sender, and not among what is free in the mailbox.
    pub(super) counts: bool,
    /// Its number, from 1, in the count of the other number.
    number: u32,
    count: u32,
}

/// The right of one connection of a client to send. A later connection's permit makes it worthless.
#[derive(Debug)]
pub(crate) struct SendPermit {
    sender: Arc<Sender>,
    epoch: u32,
}

impl Sender {
    /// A client that may have `share` at a time in a mailbox of `reader`.
    pub(crate) fn new(client_id: ClientId, share: Bound, reader: Arc<Budget>) -> Arc<Self> {
        Arc::new(Self {
            client_id,
            share,
            frames: AtomicUsize::new(0),
            bytes: AtomicUsize::new(0),
            counting: AtomicUsize::new(0),
            waiting: AtomicUsize::new(0),
            charge: Mutex::new(Charge::in_full(reader)),
            taken: AtomicU32::new(0),
            epoch: AtomicU32::new(0),
            count: AtomicU32::new(0),
        })
    }

    /// The client.
    pub(crate) fn client_id(&self) -> ClientId {
        self.client_id
    }

    /// Messages taken, those left out that were never read.
    pub(super) fn taken(&self) -> u32 {
        self.taken.load(Ordering::Relaxed)
    }

    /// Another connection, which is `writer`'s, sends for it from now on.
    pub(super) fn supersede(self: &Arc<Self>, writer: &Arc<Budget>) -> SendPermit {
        self.charge.lock().written_by(writer);
        let epoch = self.epoch.fetch_add(1, Ordering::Relaxed).wrapping_add(1);
        SendPermit { sender: Arc::clone(self), epoch }
    }

    pub(super) fn forget_count(&self) {
        self.taken.store(0, Ordering::Relaxed);
        self.count.fetch_add(1, Ordering::Relaxed);
    }

    /// Whether its share has room for a message of `len` bytes.
    pub(super) fn has_room(&self, len: usize) -> bool {
        let held = Bound { frames: self.frames.load(Ordering::Relaxed), bytes: self.bytes.load(Ordering::Relaxed) };
        held.leaves_room(len, self.share)
    }

    /// Whether a message of `len` bytes may be held besides, wherever that is.
    pub(super) fn may_hold(&self, len: usize, reader: &Arc<Budget>) -> bool {
        let mut charge = self.charge.lock();
        charge.read_by(reader);
        charge.may_hold(self.held() + len + ENTRY_BYTES)
    }

    /// A message of so many bytes waits for room, or none does (0).
    pub(super) fn wait_with(&self, len: usize, reader: &Arc<Budget>) {
        let waits = if len > 0 { len + ENTRY_BYTES } else { 0 };
        if self.waiting.swap(waits, Ordering::Relaxed) != waits {
            self.tell(reader);
        }
    }

    /// A message of `len` bytes left the mailbox.
    pub(super) fn free(&self, len: usize) {
        self.frames.fetch_sub(1, Ordering::Relaxed);
        self.bytes.fetch_sub(len, Ordering::Relaxed);
    }

    /// It is one that counted. Gives how much less counts.
    pub(super) fn free_counted(&self, len: usize, reader: &Arc<Budget>) -> usize {
        self.counting.fetch_sub(len + ENTRY_BYTES, Ordering::Relaxed);
        self.tell(reader)
    }

    /// How much of what it has here counts.
    pub(super) fn counted(&self) -> usize {
        self.charge.lock().counted()
    }

    /// What it has here counts for another reader.
    pub(super) fn read_by(&self, reader: &Arc<Budget>) {
        self.charge.lock().read_by(reader);
    }

    /// Gives how much less counts.
    fn tell(&self, reader: &Arc<Budget>) -> usize {
        let mut charge = self.charge.lock();
        charge.read_by(reader);
        let before = charge.counted();
        charge.hold(self.held());
        before.saturating_sub(charge.counted())
    }

    fn held(&self) -> usize {
        self.counting.load(Ordering::Relaxed) + self.waiting.load(Ordering::Relaxed)
    }
}

impl Taken {
    /// Nobody will read this message: it was not taken, and what came after it was not either, be it a message that was
    /// refused.
    pub(super) fn take_back(&self) {
        let sender = &self.sender;
        if self.count == sender.count.load(Ordering::Relaxed) {
            sender.taken.store(sender.taken().min(self.number.saturating_sub(1)), Ordering::Relaxed);
        }
    }
}

impl SendPermit {
    pub(super) fn is_current(&self) -> bool {
        self.sender.epoch.load(Ordering::Relaxed) == self.epoch
    }

    pub(super) fn epoch(&self) -> u32 {
        self.epoch
    }

    pub(super) fn sender(&self) -> &Arc<Sender> {
        &self.sender
    }

    /// Counts a message of `len` bytes as queued and taken; `counts_for`: where the bytes count, if they do.
    pub(super) fn take(&self, len: usize, counts_for: Option<&Arc<Budget>>) -> Taken {
        self.sender.frames.fetch_add(1, Ordering::Relaxed);
        self.sender.bytes.fetch_add(len, Ordering::Relaxed);
        if let Some(reader) = counts_for {
            self.sender.counting.fetch_add(len + ENTRY_BYTES, Ordering::Relaxed);
            self.sender.tell(reader);
        }
        self.count();
        let sender = Arc::clone(&self.sender);
        let (number, count) = (sender.taken(), sender.count.load(Ordering::Relaxed));
        Taken { sender, counts: counts_for.is_some(), number, count }
    }

    pub(super) fn count(&self) {
        self.sender.taken.store(self.sender.taken().wrapping_add(1), Ordering::Relaxed);
    }
}
