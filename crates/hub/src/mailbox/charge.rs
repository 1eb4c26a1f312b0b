//! What is held for one, and where it counts: one writer's messages in one mailbox, or a `device_info`.

use std::sync::Arc;

use super::budget::STEP;
use super::{Budget, Inbox};
use crate::sync::Ordering;

/// Whoever holds it tells it how many bytes there are, each time they change.
#[derive(Debug)]
pub(crate) struct Charge {
    reader: Arc<Budget>,
    writer: Option<Arc<Budget>>,
    /// That of this writer in what this reader has; looked for when something counts first.
    pair: Option<Arc<Budget>>,
    /// Bytes that are held, in steps.
    held: usize,
    /// How much of them counts.
    counted: usize,
    /// Whether a little of it does not count, and less than a step neither.
    has_free: bool,
}

impl Charge {
    /// Of nobody's messages yet. A little does not count.
    pub(crate) fn new(reader: Arc<Budget>) -> Self {
        reader.whole().charges.fetch_add(1, Ordering::Relaxed);
        Self { reader, writer: None, pair: None, held: 0, counted: 0, has_free: true }
    }

    /// One in which every byte counts.
    pub(crate) fn in_full(reader: Arc<Budget>) -> Self {
        Self { reader, writer: None, pair: None, held: 0, counted: 0, has_free: false }
    }

    pub(super) fn reader(&self) -> &Arc<Budget> {
        &self.reader
    }

    /// From now on a little of it does not count.
    pub(super) fn free_a_little(&mut self) {
        if !std::mem::replace(&mut self.has_free, true) {
            self.reader.whole().charges.fetch_add(1, Ordering::Relaxed);
        }
    }

    /// Holds so many bytes, if there is room for them.
    pub(crate) fn of(reader: Arc<Budget>, bytes: usize) -> Option<Self> {
        Self::new(reader).with(bytes)
    }

    /// The same, where every byte counts.
    pub(crate) fn of_all(reader: Arc<Budget>, bytes: usize) -> Option<Self> {
        Self::in_full(reader).with(bytes)
    }

    fn with(mut self, bytes: usize) -> Option<Self> {
        let may_hold = self.may_hold(bytes);
        may_hold.then(|| {
            self.hold(bytes);
            self
        })
    }

    /// Whether `bytes` may be held: no more than is held, or than is free, or than there is room for.
    pub(super) fn may_hold(&mut self, bytes: usize) -> bool {
        let counts = self.counts(bytes);
        counts <= self.counted || {
            let more = counts - self.counted;
            self.budget().has_room(more)
        }
    }

    /// So many bytes are held from now on.
    pub(crate) fn hold(&mut self, bytes: usize) {
        let before = self.held;
        if self.changes_to(bytes) {
            let counts = self.counts(bytes);
            // Less may be free than before: who gives something back was not asked for that.
            self.count(if self.held < before { counts.min(self.counted) } else { counts });
        }
    }

    /// As [`Self::hold`], where `moved` of what counted elsewhere counts here now, and more only as far as there is room for it.
    fn hold_moved(&mut self, bytes: usize, moved: usize) {
        self.changes_to(bytes);
        let counts = self.counts(bytes);
        if counts != self.counted {
            let may_count = (self.counted + moved).saturating_add(self.budget().room());
            self.count(counts.min(may_count));
        }
    }

    fn changes_to(&mut self, bytes: usize) -> bool {
        let now = self.in_steps(bytes);
        let before = std::mem::replace(&mut self.held, now);
        let held = &self.reader.whole().held;
        match now > before {
            true => held.fetch_add(now - before, Ordering::Relaxed),
            false => held.fetch_sub(before - now, Ordering::Relaxed),
        };
        now != before
    }

    /// How much of what is held counts.
    pub(super) fn counted(&self) -> usize {
        self.counted
    }

    /// How much would count if so many bytes were held; no less than does.
    pub(super) fn would_count(&self, bytes: usize) -> usize {
        self.counts(bytes).max(self.counted)
    }

    /// Whether what is held may count for another reader.
    pub(crate) fn may_be_read_by(&self, reader: &Budget) -> bool {
        std::ptr::eq(&*self.reader, reader) || reader.may_take_over(self.counted)
    }

    /// What is held counts for another reader from now on.
    pub(crate) fn read_by(&mut self, reader: &Arc<Budget>) {
        if !Arc::ptr_eq(&self.reader, reader) {
            self.moved(|charge| charge.reader = Arc::clone(reader));
        }
    }

    /// What is held counts as written by this one from now on.
    pub(super) fn written_by(&mut self, writer: &Arc<Budget>) {
        if !self.writer.as_ref().is_some_and(|present| Arc::ptr_eq(present, writer)) {
            self.moved(|charge| charge.writer = Some(Arc::clone(writer)));
        }
    }

    fn moved(&mut self, change: impl FnOnce(&mut Self)) {
        let counted = self.counted;
        self.count(0);
        self.pair = None;
        change(self);
        self.count(counted);
    }

    /// How much counts where so much is held.
    pub(super) fn counts(&self, bytes: usize) -> usize {
        let held = self.in_steps(bytes);
        // Nothing: no need to look.
        if held == 0 || !self.has_free { held } else { held.saturating_sub(self.reader.whole().free()) }
    }

    fn in_steps(&self, bytes: usize) -> usize {
        if self.has_free { in_steps(bytes) } else { bytes }
    }

    fn count(&mut self, counts: usize) {
        let before = std::mem::replace(&mut self.counted, counts);
        if counts > before {
            self.budget().add(counts - before);
        } else if counts < before {
            self.budget().subtract(before - counts);
        }
    }

    fn budget(&mut self) -> &Budget {
        match &self.writer {
            Some(writer) => self.pair.get_or_insert_with(|| self.reader.of_writer(writer)),
            None => &self.reader,
        }
    }
}

/// What came out of a mailbox and is still being written, by one connection. Nothing, and small, most of the time.
///
/// What counted in the mailbox counts here, and what did not does if there is room: nobody asks whether it may be written.
#[derive(Debug, Default)]
pub(crate) struct Unwritten(Option<Box<Charge>>);

impl Unwritten {
    /// So many bytes are not written yet to the reader of `inbox`.
    pub(crate) fn hold(&mut self, bytes: usize, inbox: &Inbox) {
        if in_steps(bytes) > 0 {
            let (reader, moved) = inbox.moves_on();
            self.0.get_or_insert_with(|| Box::new(Charge::new(reader))).hold_moved(bytes, moved);
        } else if self.0.is_some() {
            self.0 = None;
        }
    }
}

impl Drop for Charge {
    fn drop(&mut self) {
        self.hold(0);
        self.reader.whole().charges.fetch_sub(usize::from(self.has_free), Ordering::Relaxed);
    }
}

/// What a charge sees of so many bytes.
fn in_steps(bytes: usize) -> usize {
    bytes / STEP * STEP
}

#[cfg(test)]
mod tests {
    use super::super::{Budgets, Weights};
    use super::*;
    use crate::party::{Owner, Realm};

    const FREE: usize = 16 * 1024;

    fn budgets(max: usize) -> (Budgets, [Arc<Budget>; 3]) {
        let budgets = Budgets::new(max, Weights::EVEN);
        let parts = ["x", "y", "z"].map(|name| budgets.of(Some(&Owner { realm: Realm::Common, name: name.into() })));
        (budgets, parts)
    }

    #[test]
    fn a_little_is_free_and_what_is_more_counts_where_it_belongs() {
        let (budgets, [x, y, z]) = budgets(1 << 20);
        let mut charge = Charge::new(Arc::clone(&x));
        charge.written_by(&z);
        charge.hold(FREE + STEP - 1);
        assert_eq!((budgets.held(), x.used(), budgets.of(None).used()), (FREE, 0, 0));
        charge.hold(FREE + STEP);
        let all = || budgets.of(None).used();
        assert_eq!((x.used(), x.of_writer(&z).used(), z.used(), all()), (STEP, STEP, 0, STEP));
        charge.read_by(&y);
        assert_eq!((x.used(), y.used(), y.of_writer(&z).used(), all()), (0, STEP, STEP, STEP));
        charge.written_by(&x);
        assert_eq!((y.of_writer(&z).used(), y.of_writer(&x).used(), y.used()), (0, STEP, STEP));
        drop(charge);
        assert_eq!((budgets.held(), y.used(), all()), (0, 0, 0));
    }

    #[test]
    fn it_may_hold_what_there_is_room_for_and_never_less_than_it_does() {
        let (_, [x, y, z]) = budgets(256 * 1024);
        let [mut first, mut second] = [&y, &z].map(|writer| {
            let mut charge = Charge::new(Arc::clone(&x));
            charge.written_by(writer);
            charge
        });
        assert!(first.may_hold(64 * 1024 + FREE) && !first.may_hold(64 * 1024 + FREE + STEP), "a quarter");
        first.hold(64 * 1024 + FREE);
        assert!(first.may_hold(64 * 1024 + FREE) && second.may_hold(16 * 1024 + FREE));
        assert!(!second.may_hold(20 * 1024 + FREE), "a quarter of what is left");
        second.hold(200 * 1024);
        assert!(second.may_hold(200 * 1024) && !second.may_hold(204 * 1024), "it was not asked");
    }

    #[test]
    fn what_was_free_counts_for_nobody_when_less_is_free_and_some_of_it_is_given_back() {
        let (_, [x, ..]) = budgets(1 << 20);
        let mut charge = Charge::new(Arc::clone(&x));
        charge.hold(FREE);
        let many: Vec<_> = (0..100).map(|_| Charge::new(Arc::clone(&x))).collect();
        charge.hold(FREE - STEP);
        assert_eq!(x.used(), 0);
        assert!(charge.may_hold(FREE) && x.used() == 0);
        charge.hold(FREE);
        assert_eq!(x.used(), FREE - STEP, "that was asked for");
        drop((many, charge));
        assert_eq!(x.used(), 0);
    }

    #[test]
    fn two_who_change_at_once_leave_nothing_behind() {
        let (budgets, [x, y, z]) = budgets(1 << 20);
        std::thread::scope(|scope| {
            for (reader, writer) in [(&x, &z), (&x, &z), (&y, &x)] {
                let mut charge = Charge::new(Arc::clone(reader));
                charge.written_by(writer);
                scope.spawn(move || (0..100_000).for_each(|number| charge.hold(number % 7 * 2 * STEP)));
            }
        });
        assert_eq!((budgets.held(), budgets.of(None).used(), x.used()), (0, 0, 0));
    }
}
