//! What all mailboxes together may hold, and what one owner may of that.

use std::collections::HashMap;
use std::iter::successors;
use std::sync::{Arc, Weak};

use crate::party::{Owner, Realm};
use crate::sync::{AtomicUsize, Mutex, Ordering};

/// What is held is counted in steps of this many bytes; less than one step is not counted.
pub(super) const STEP: usize = 4 * 1024;
/// Up to so many steps of a writer in one mailbox do not count, and one step at least: fewer than these where there are so many
/// writers and mailboxes that it would come to more than this part of the bound.
const FREE_STEPS: usize = 4;
const FREE_PART: usize = 4;
/// A table of parts is looked through for those that nobody has any more when it has so many, or twice as many as were left.
const LOOKED_THROUGH: usize = 16;

/// The bytes that count for one: of all, of one realm, of one owner that reads, of one owner that writes to it. Each of these is a
/// part of the one before.
///
/// More is taken as long as what all four have, each times its weight, added up, is not more than the bound. So whoever has much
/// leaves room, and the more of it the less belongs to others: see [`Weights`]. Nothing else is ever taken, so that the bound holds
/// in all.
#[derive(Debug)]
pub struct Budget {
    used: AtomicUsize,
    weight: usize,
    within: Option<Arc<Budget>>,
    whose: Option<Whose>,
    parts: Mutex<Parts>,
    whole: Arc<Whole>,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash)]
enum Whose {
    Realm(Realm),
    Owner(Owner),
}

/// What counts how much: what all have counts once.
#[derive(Debug, Clone, Copy)]
pub struct Weights {
    realm: usize,
    reader: usize,
    writer: usize,
}

impl Weights {
    /// Of messages: who writes to one reader has 1/32 of the bound at most, one reader 1/16, one realm 1/4. Whoever comes when *h*
    /// others of its realm have one after another taken all that they can has (7/8)^*h* of that; where they are whole realms,
    /// (3/4)^*h*.
    pub const STEEP: Self = Self { realm: 3, reader: 12, writer: 16 };
    /// Of what is an owner's alone, as [`Self::STEEP`]: one owner has 1/32, one realm 1/4.
    pub const STEEP_FOR_OWNERS: Self = Self { realm: 3, reader: 28, writer: 0 };
    /// Of what is long and stays: one owner has 1/3 of the bound at most, one realm 1/2.
    pub const EVEN: Self = Self { realm: 1, reader: 1, writer: 1 };
}

/// What all budgets have in common.
#[derive(Debug)]
pub(super) struct Whole {
    max: usize,
    weights: Weights,
    /// Bytes that are held, those that do not count included.
    pub(super) held: AtomicUsize,
    /// How many writers are counted in how many mailboxes.
    pub(super) charges: AtomicUsize,
}

/// The budget of all, in which the others are found.
#[derive(Debug)]
pub struct Budgets {
    all: Arc<Budget>,
}

/// Those that somebody has; others may be there until it is looked through.
#[derive(Debug)]
struct Parts {
    found: HashMap<Whose, Weak<Budget>>,
    /// How many there may be before it is looked through.
    most: usize,
}

impl Budget {
    /// That of all.
    pub(super) fn new(max: usize, weights: Weights) -> Self {
        let whole = Whole { max, weights, held: AtomicUsize::new(0), charges: AtomicUsize::new(0) };
        let (whole, parts) = (Arc::new(whole), Mutex::default());
        Self { used: AtomicUsize::new(0), weight: 1, within: None, whose: None, parts, whole }
    }

    fn part(self: &Arc<Self>, whose: Whose) -> Arc<Self> {
        let Weights { realm, reader, writer } = self.whole.weights;
        let weight = match (&whose, &self.whose) {
            (Whose::Realm(_), _) => realm,
            (Whose::Owner(_), Some(Whose::Realm(_))) => reader,
            (Whose::Owner(_), _) => writer,
        };
        self.parts.lock().find(whose, |whose| Self {
            used: AtomicUsize::new(0),
            weight,
            within: Some(Arc::clone(self)),
            whose: Some(whose),
            parts: Mutex::default(),
            whole: Arc::clone(&self.whole),
        })
    }

    /// That of what this owner has of another's messages; the same where nobody knows whose they are.
    pub(super) fn of_writer(self: &Arc<Self>, writer: &Self) -> Arc<Self> {
        writer.whose.as_ref().map_or_else(|| Arc::clone(self), |writer| self.part(writer.clone()))
    }

    /// Whose it is; nothing if it is that of all.
    pub(crate) fn owner(&self) -> Option<&Owner> {
        if let Some(Whose::Owner(owner)) = &self.whose { Some(owner) } else { None }
    }

    /// This, and all that it is a part of.
    fn chain(&self) -> impl Iterator<Item = &Self> {
        successors(Some(self), |part| part.within.as_deref())
    }

    /// How many bytes more may be held.
    pub(super) fn room(&self) -> usize {
        let (weighs, weight) = self.chain().fold((0_usize, 0), |(weighs, weight), part| {
            (weighs.saturating_add(part.used().saturating_mul(part.weight)), weight + part.weight)
        });
        self.whole.max.saturating_sub(weighs) / weight
    }

    /// Whether so many bytes more may be held.
    #[must_use]
    pub fn has_room(&self, more: usize) -> bool {
        more <= self.room()
    }

    /// Whether so many bytes that count for another may count here instead.
    pub(super) fn may_take_over(&self, bytes: usize) -> bool {
        bytes == 0 || self.has_room(bytes)
    }

    /// So many bytes more are held, be there room for them or not.
    pub fn add(&self, bytes: usize) {
        for part in self.chain() {
            part.used.fetch_add(bytes, Ordering::Relaxed);
        }
    }

    /// So many of the bytes that were added are not held any more.
    pub fn subtract(&self, bytes: usize) {
        for part in self.chain() {
            part.used.fetch_sub(bytes, Ordering::Relaxed);
        }
    }

    /// Bytes that count here.
    #[must_use]
    pub fn used(&self) -> usize {
        self.used.load(Ordering::Relaxed)
    }

    pub(super) fn whole(&self) -> &Whole {
        &self.whole
    }
}

impl Whole {
    /// What a writer may have in one mailbox without being counted.
    pub(super) fn free(&self) -> usize {
        let each = self.max / FREE_PART / self.charges.load(Ordering::Relaxed).max(1);
        (each / STEP).clamp(1, FREE_STEPS) * STEP
    }
}

impl Budgets {
    /// With a bound in bytes.
    #[must_use]
    pub fn new(max: usize, weights: Weights) -> Self {
        Self { all: Arc::new(Budget::new(max, weights)) }
    }

    /// Bytes that all hold.
    pub(crate) fn held(&self) -> usize {
        self.all.whole.held.load(Ordering::Relaxed)
    }

    /// The bound.
    #[must_use]
    pub fn max(&self) -> usize {
        self.all.whole.max
    }

    /// That of an owner; of nobody in particular, that of all.
    #[must_use]
    pub fn of(&self, owner: Option<&Owner>) -> Arc<Budget> {
        owner.map_or_else(
            || Arc::clone(&self.all),
            |owner| self.all.part(Whose::Realm(owner.realm.clone())).part(Whose::Owner(owner.clone())),
        )
    }
}

impl Parts {
    fn find(&mut self, whose: Whose, new: impl FnOnce(Whose) -> Budget) -> Arc<Budget> {
        if let Some(part) = self.found.get(&whose).and_then(Weak::upgrade) {
            return part;
        }
        if self.found.len() >= self.most {
            self.found.retain(|_, part| part.strong_count() > 0);
            self.most = LOOKED_THROUGH.max(2 * self.found.len());
            self.found.shrink_to(self.most);
        }
        let part = Arc::new(new(whose.clone()));
        self.found.insert(whose, Arc::downgrade(&part));
        part
    }
}

impl Default for Parts {
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

    /// What each of these, a reader and its writer, can have, when all take a step as long as they may.
    fn filled(budgets: &Budgets, pairs: &[(Owner, Owner)]) -> Vec<usize> {
        let of = |owner| budgets.of(Some(owner));
        let parts: Vec<_> = pairs.iter().map(|(reader, writer)| of(reader).of_writer(&of(writer))).collect();
        let mut has = vec![0; parts.len()];
        while parts.iter().zip(&mut has).fold(false, |taken, (part, has)| {
            let may = part.has_room(1);
            part.add(usize::from(may));
            *has += usize::from(may);
            taken || may
        }) {}
        parts.iter().zip(&has).for_each(|(part, has)| part.subtract(*has));
        has
    }

    /// What one more of these has when others have taken all that they can, one after another.
    fn late(budgets: &Budgets, before: &[(Owner, Owner)], late: (Owner, Owner)) -> usize {
        let of = |owner| budgets.of(Some(owner));
        let hogs: Vec<_> = before
            .iter()
            .map(|(reader, writer)| {
                let bytes = filled(budgets, &[(reader.clone(), writer.clone())])[0];
                let part = of(reader).of_writer(&of(writer));
                part.add(bytes);
                (part, bytes)
            })
            .collect();
        let has = filled(budgets, &[late])[0];
        hogs.iter().for_each(|(part, bytes)| part.subtract(*bytes));
        has
    }

    #[test]
    fn whoever_has_much_leaves_room() {
        let budgets = Budgets::new(32_000, Weights::STEEP);
        let [hog, viewer, other] = ["hog", "viewer", "other"].map(|name| owner("a", name));
        let many = |count: usize| (0..count).map(|number| owner("a", &number.to_string()));
        assert_eq!(filled(&budgets, &[(hog.clone(), viewer.clone())]), [1000], "1/32");
        let writers: Vec<_> = many(200).map(|writer| (hog.clone(), writer)).collect();
        assert!((1950..=2000).contains(&filled(&budgets, &writers).iter().sum::<usize>()), "one reader: 1/16");
        let readers: Vec<_> = many(200).map(|reader| (reader, viewer.clone())).collect();
        assert!((7600..=8000).contains(&filled(&budgets, &readers).iter().sum::<usize>()), "one realm: a quarter");

        let flood = [(hog.clone(), viewer.clone())];
        assert_eq!(late(&budgets, &flood, (hog, other.clone())), 500, "another writes to the same reader");
        assert_eq!(late(&budgets, &flood, (other.clone(), viewer)), 875, "the same writes to another");
        assert_eq!(late(&budgets, &flood, (owner("b", "x"), owner("b", "y"))), 968, "another realm");
        let left = |hogs| late(&budgets, &readers[..hogs], (other.clone(), other.clone()));
        assert!((250..=263).contains(&left(10)) && (60..=70).contains(&left(20)), "{} {}", left(10), left(20));
        assert!(late(&budgets, &readers, (owner("b", "x"), owner("b", "y"))) >= 740, "but it is one realm");
        let realms = (0..4).flat_map(|realm| {
            let realm = realm.to_string();
            many(40).map(move |Owner { name, .. }| (owner(&realm, &name), owner(&realm, &name)))
        });
        assert!((315..=330).contains(&late(&budgets, &realms.collect::<Vec<_>>(), (other.clone(), other))));
        assert_eq!(budgets.all.used(), 0, "all is given back");
    }

    #[test]
    fn what_is_long_and_stays_has_more_of_it() {
        let budgets = Budgets::new(6_000, Weights::EVEN);
        let parts = ["a", "b"].map(|realm| budgets.of(Some(&owner(realm, "x"))));
        let fill = |part: &Budget| (0..6_000).filter(|_| part.has_room(1)).map(|_| part.add(1)).count();
        assert_eq!([fill(&parts[0]), fill(&parts[1])], [2000, 1333]);
    }

    #[test]
    fn less_is_free_where_there_are_many() {
        let whole = |max, charges| Whole {
            max,
            weights: Weights::STEEP,
            held: AtomicUsize::new(0),
            charges: AtomicUsize::new(charges),
        };
        let free = |max, charges| whole(max, charges).free();
        assert_eq!([free(usize::MAX, 0), free(1 << 26, 1000), free(0, 0)], [16 * 1024, 16 * 1024, 4 * 1024]);
        assert_eq!([free(1 << 26, 2000), free(1 << 26, 100_000)], [8 * 1024, 4 * 1024]);
    }

    #[test]
    fn parts_that_nobody_has_are_forgotten() {
        let budgets = Budgets::new(STEP, Weights::EVEN);
        let kept: Vec<_> = (0..10).map(|number| budgets.of(Some(&owner("a", &number.to_string())))).collect();
        assert!(Arc::ptr_eq(&kept[3], &budgets.of(Some(&owner("a", "3")))), "one for each");
        assert!(!Arc::ptr_eq(&kept[3], &budgets.of(Some(&owner("b", "3")))), "of each realm");
        for number in 0..1000 {
            drop(budgets.of(Some(&owner(&number.to_string(), "x"))));
            drop(budgets.of(Some(&owner("a", &format!("x{number}")))));
        }
        let realm = kept[3].within.as_ref().expect("it is in one");
        for parts in [&budgets.all.parts, &realm.parts] {
            assert!(parts.lock().found.len() <= 2 * LOOKED_THROUGH);
        }
        assert!(Arc::ptr_eq(&kept[3], &budgets.of(Some(&owner("a", "3")))));
    }
}
