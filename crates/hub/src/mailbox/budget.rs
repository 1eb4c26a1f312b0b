//! What all mailboxes together may hold, and what one owner may of that.

use std::collections::HashMap;
use std::hash::Hash;
use std::iter::successors;
use std::sync::{Arc, Weak};

use crate::party::{Owner, Realm};
use crate::settings::Bound;
use crate::sync::{AtomicUsize, Mutex, Ordering};

/// A mailbox tells what it holds in steps of this many bytes; less than one step is not counted.
const STEP: usize = 4 * 1024;
/// What one mailbox may hold when too much is held.
const TIGHT_BYTES: usize = 16 * 1024;
/// What counts of one realm in what all have, and of one owner in what its realm has: a half and a third of the bound.
const OF_REALM: usize = 2;
const OF_OWNER: usize = 3;
/// A table of parts is looked through for those that nobody has any more when it has so many, or twice as many as were left.
const LOOKED_THROUGH: usize = 64;

/// The bytes that mailboxes hold: of one owner, of all in one realm, or of all.
///
/// What an owner has, what its realm has and what all have may be as much as the bound, added up. So one alone can have a third of
/// it, several of one realm less than half, and who comes when others have taken what they can gets less.
///
/// Over it each queue of that owner may hold a little only, and one message if it is empty: the large ones are full from that moment
/// on, and what rule R3 says of full queues does the rest. Whoever has many queues can have more than its share by that; what is
/// beyond it does not count in the whole, so that others do not pay for it.
#[derive(Debug)]
pub(crate) struct Budget {
    /// Wraps below 0 for a moment, where two change it at once.
    used: AtomicUsize,
    max: usize,
    whole: Option<Whole>,
    /// Bytes that all hold.
    held: Arc<AtomicUsize>,
}

/// What a budget is a part of.
#[derive(Debug)]
struct Whole {
    budget: Arc<Budget>,
    /// How much of the part counts in it at most.
    most: usize,
}

/// The budget of all, and its parts.
#[derive(Debug)]
pub(crate) struct Budgets {
    all: Arc<Budget>,
    realms: Mutex<Parts<Realm>>,
    owners: Mutex<Parts<Owner>>,
}

/// Those that somebody has; others may be there until it is looked through.
#[derive(Debug)]
struct Parts<K> {
    found: HashMap<K, Weak<Budget>>,
    /// How many there may be before it is looked through.
    most: usize,
}

impl Budget {
    pub(crate) fn new(max: usize) -> Self {
        Self { used: AtomicUsize::new(0), max, whole: None, held: Arc::default() }
    }

    fn part(whole: &Arc<Self>, most: usize) -> Self {
        let (budget, held) = (Arc::clone(whole), Arc::clone(&whole.held));
        Self { whole: Some(Whole { budget, most }), held, ..Self::new(whole.max) }
    }

    /// Bytes that count here, to within a step for each mailbox.
    pub(super) fn used(&self) -> usize {
        not_below_zero(self.used.load(Ordering::Relaxed))
    }

    /// This, and all that it is a part of.
    fn chain(&self) -> impl Iterator<Item = &Self> {
        successors(Some(self), |part| part.whole.as_ref().map(|whole| &*whole.budget))
    }

    /// A mailbox that was charged `charged` holds `bytes` now. Gives what it is charged from here on.
    pub(super) fn change(&self, charged: usize, bytes: usize) -> usize {
        let now = bytes / STEP * STEP;
        if now != charged {
            let change = now.wrapping_sub(charged);
            self.held.fetch_add(change, Ordering::Relaxed);
            self.add(change);
        }
        now
    }

    /// Adds what may be less than 0, and to the whole what of it counts there.
    fn add(&self, change: usize) {
        let before = self.used.fetch_add(change, Ordering::Relaxed);
        if let Some(Whole { budget, most }) = &self.whole {
            let counts = |used| not_below_zero(used).min(*most);
            let change = counts(before.wrapping_add(change)).wrapping_sub(counts(before));
            if change != 0 {
                budget.add(change);
            }
        }
    }

    /// What a queue of this bound may hold at the moment.
    pub(super) fn tighten(&self, bound: Bound) -> Bound {
        let used = self.chain().fold(0, |used: usize, part| used.saturating_add(part.used()));
        if used <= self.max { bound } else { Bound { bytes: bound.bytes.min(TIGHT_BYTES), ..bound } }
    }
}

impl Budgets {
    pub(crate) fn new(max: usize) -> Self {
        Self { all: Arc::new(Budget::new(max)), realms: Mutex::default(), owners: Mutex::default() }
    }

    /// Bytes that all hold.
    pub(crate) fn held(&self) -> usize {
        self.all.held.load(Ordering::Relaxed)
    }

    /// That of an owner; of nobody in particular, that of all.
    pub(crate) fn of(&self, owner: Option<&Owner>) -> Arc<Budget> {
        let Some(owner) = owner else { return Arc::clone(&self.all) };
        let max = self.all.max;
        let realm = self.realms.lock().find(&owner.realm, || Budget::part(&self.all, max / OF_REALM));
        self.owners.lock().find(owner, || Budget::part(&realm, max / OF_OWNER))
    }
}

/// A number that wraps below 0.
fn not_below_zero(number: usize) -> usize {
    if number > isize::MAX.unsigned_abs() { 0 } else { number }
}

impl<K: Eq + Hash + Clone> Parts<K> {
    fn find(&mut self, key: &K, new: impl FnOnce() -> Budget) -> Arc<Budget> {
        if let Some(part) = self.found.get(key).and_then(Weak::upgrade) {
            return part;
        }
        if self.found.len() >= self.most {
            self.found.retain(|_, part| part.strong_count() > 0);
            self.most = LOOKED_THROUGH.max(2 * self.found.len());
            self.found.shrink_to(self.most);
        }
        let part = Arc::new(new());
        self.found.insert(key.clone(), Arc::downgrade(&part));
        part
    }
}

impl<K> Default for Parts<K> {
    fn default() -> Self {
        Self { found: HashMap::new(), most: LOOKED_THROUGH }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn owner(realm: &str, name: &str) -> Owner {
        Owner { realm: Realm::Tenant(realm.into()), name: name.into() }
    }

    /// What each of these owners can have, when all take a step as long as they may.
    fn filled(budgets: &Budgets, owners: &[Owner]) -> Vec<usize> {
        let parts: Vec<_> = owners.iter().map(|owner| budgets.of(Some(owner))).collect();
        let mut has = vec![0; parts.len()];
        while parts.iter().zip(&mut has).fold(false, |taken, (part, has)| {
            let may = part.tighten(Bound { frames: 1, bytes: usize::MAX }).bytes == usize::MAX;
            *has = part.change(*has, *has + if may { STEP } else { 0 });
            taken || may
        }) {}
        for (part, has) in parts.iter().zip(&has) {
            part.change(*has, 0);
        }
        has.iter().map(|bytes| bytes / STEP).collect()
    }

    #[test]
    fn owners_leave_room_to_others() {
        let budgets = Budgets::new(3000 * STEP);
        assert_eq!(filled(&budgets, &[owner("a", "x")]), [1001], "a third, and the step that is too much");
        let alone = filled(&budgets, &[owner("a", "x"), owner("b", "y")]);
        assert!(alone.iter().all(|has| (749..=752).contains(has)), "{alone:?}");
        // However many one tenant has.
        let mut many: Vec<_> = (0..100).map(|number| owner("a", &number.to_string())).collect();
        let of_a = filled(&budgets, &many);
        assert!(of_a.iter().sum::<usize>() <= 1500 + 100 && of_a.iter().all(|has| *has >= 14), "{of_a:?}");
        many.push(owner("b", "y"));
        let both = filled(&budgets, &many);
        assert!(both[100] >= 500, "a third of what they have left, and they were first: {both:?}");
        assert_eq!((budgets.held(), budgets.all.used()), (0, 0), "all is given back");
    }

    /// It has many queues, each of which may hold a little.
    #[test]
    fn what_one_has_beyond_its_share_is_its_own_matter() {
        let budgets = Budgets::new(30 * STEP);
        let [greedy, same, other] =
            [("a", "x"), ("a", "y"), ("b", "x")].map(|(realm, name)| budgets.of(Some(&owner(realm, name))));
        let is_tight = |part: &Budget| part.tighten(Bound { frames: 1, bytes: usize::MAX }).bytes < usize::MAX;
        let mut charged: Vec<_> = (0..100).map(|_| greedy.change(0, STEP)).collect();
        assert_eq!((budgets.held(), budgets.all.used()), (100 * STEP, 10 * STEP));
        assert!(is_tight(&greedy) && !is_tight(&same) && !is_tight(&other));
        // Another of its realm, as greedy: they come to half of all.
        charged.extend((0..100).map(|_| same.change(0, STEP)));
        assert_eq!((budgets.held(), budgets.all.used()), (200 * STEP, 15 * STEP));
        assert!(is_tight(&same) && !is_tight(&other));
        for (number, charged) in charged.into_iter().enumerate() {
            (if number < 100 { &greedy } else { &same }).change(charged, 0);
        }
        assert_eq!((budgets.held(), budgets.all.used(), greedy.used()), (0, 0, 0));
    }

    #[test]
    fn two_who_change_at_once_leave_nothing_behind() {
        let budgets = Budgets::new(3 * STEP);
        let parts = ["x", "y"].map(|name| budgets.of(Some(&owner("a", name))));
        std::thread::scope(|scope| {
            for part in [&parts[0], &parts[0], &parts[1]] {
                scope.spawn(move || {
                    for _ in 0..100_000 {
                        let charged = part.change(0, STEP);
                        part.change(charged, 0);
                    }
                });
            }
        });
        assert_eq!((budgets.held(), budgets.all.used(), parts[0].used()), (0, 0, 0));
    }

    #[test]
    fn parts_that_nobody_has_are_forgotten() {
        let budgets = Budgets::new(STEP);
        let kept: Vec<_> = (0..10).map(|number| budgets.of(Some(&owner("a", &number.to_string())))).collect();
        assert!(Arc::ptr_eq(&kept[3], &budgets.of(Some(&owner("a", "3")))), "one for each");
        assert!(!Arc::ptr_eq(&kept[3], &budgets.of(Some(&owner("b", "3")))), "of each realm");
        for number in 0..1000 {
            drop(budgets.of(Some(&owner(&number.to_string(), "x"))));
        }
        assert!(
            budgets.owners.lock().found.len() <= LOOKED_THROUGH && budgets.realms.lock().found.len() <= LOOKED_THROUGH
        );
        assert!(Arc::ptr_eq(&kept[3], &budgets.of(Some(&owner("a", "3")))));
    }
}
