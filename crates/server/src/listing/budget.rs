//! What the lists that are being read may come to, in memory.
//!
//! Invariants: 1. those of one reader come to an eighth of it at most, and those of one view to half, so that who reads none keeps nobody
//! else from theirs; 2. one is never too long by itself; 3. what is dropped is given back.

use std::collections::HashMap;
use std::hash::Hash;
use std::net::IpAddr;
use std::sync::Arc;

use parking_lot::Mutex;

use crate::admission::group;
use crate::caller::{Caller, View};
use crate::tables;

/// The part of all that is one reader's, and that of a view.
const OF_READER: usize = 8;
const OF_VIEW: usize = 2;

/// Who reads something in a view.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(super) struct Reader {
    pub(super) view: View,
    pub(super) who: Who,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(super) enum Who {
    /// All who see everything in the view, and share what is written for them.
    All,
    Principal(Box<str>),
    /// Nobody in particular.
    Address(IpAddr),
}

impl Reader {
    pub(super) fn of(caller: &Caller, address: IpAddr) -> Self {
        let who = match caller.principal() {
            Some(principal) => Who::Principal(principal.account().into()),
            None => Who::Address(group(address)),
        };
        Self { view: caller.view(), who }
    }
}

/// The memory of lists, in bytes.
#[derive(Debug)]
pub(super) struct Budget {
    most: usize,
    taken: Mutex<Taken>,
}

#[derive(Debug, Default)]
struct Taken {
    all: usize,
    of_view: HashMap<View, usize>,
    of_reader: HashMap<Reader, usize>,
}

/// What one list takes.
#[derive(Debug)]
pub(super) struct Share {
    budget: Arc<Budget>,
    reader: Reader,
    bytes: usize,
}

impl Budget {
    pub(super) fn new(most: usize) -> Arc<Self> {
        Arc::new(Self { most, taken: Mutex::default() })
    }

    /// Takes so many bytes, if there is nothing else, or room beside it.
    pub(super) fn take(self: &Arc<Self>, reader: Reader, bytes: usize) -> Option<Share> {
        let mut taken = self.taken.lock();
        let of_view = taken.of_view.get(&reader.view).copied().unwrap_or_default();
        let of_reader = taken.of_reader.get(&reader).copied().unwrap_or_default();
        let shares = [(taken.all, self.most), (of_view, self.most / OF_VIEW), (of_reader, self.most / OF_READER)];
        if shares.iter().any(|(taken, most)| *taken > 0 && taken.saturating_add(bytes) > *most) {
            return None;
        }
        taken.all += bytes;
        *taken.of_view.entry(reader.view.clone()).or_default() += bytes;
        *taken.of_reader.entry(reader.clone()).or_default() += bytes;
        Some(Share { budget: Arc::clone(self), reader, bytes })
    }

    /// What is taken.
    pub(super) fn bytes(&self) -> usize {
        self.taken.lock().all
    }
}

impl Drop for Share {
    fn drop(&mut self) {
        let mut taken = self.budget.taken.lock();
        taken.all -= self.bytes;
        give_back(&mut taken.of_view, &self.reader.view, self.bytes);
        give_back(&mut taken.of_reader, &self.reader, self.bytes);
    }
}

fn give_back<K: Eq + Hash>(taken: &mut HashMap<K, usize>, key: &K, bytes: usize) {
    let Some(own) = taken.get_mut(key) else { return };
    *own -= bytes;
    if *own == 0 {
        tables::remove(taken, key);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use cuttlebone_hub::Realm;

    fn one(view: &str, name: &str) -> Reader {
        Reader { view: View::Of(Realm::Tenant(view.into())), who: Who::Principal(name.into()) }
    }

    #[test]
    fn reader_has_an_eighth_and_a_view_half_and_all_together_no_more_than_all() {
        let budget = Budget::new(800);
        let take = |view: &str, name: &str, bytes| budget.take(one(view, name), bytes);
        let first = take("lab", "a", 60).expect("an eighth is 100");
        assert!(take("lab", "a", 41).is_none());
        let mut taken = vec![take("lab", "a", 40).expect("there is room")];
        assert!(take("lab", "a", 1).is_none());
        taken.extend(["b", "c", "d"].map(|name| take("lab", name, 100).expect("its own eighth")));
        assert!(take("lab", "e", 1).is_none(), "half is taken");
        taken.extend(["a", "b", "c", "d"].map(|name| take("other", name, 100).expect("the other half")));
        assert_eq!(budget.bytes(), 800);
        assert!(take("third", "a", 1).is_none(), "nothing is left");
        drop(first);
        assert!(take("third", "a", 60).is_some(), "given back");
        taken.clear();
        let left = budget.taken.lock();
        assert!(left.all == 0 && left.of_view.is_empty() && left.of_reader.is_empty());
    }

    #[test]
    fn list_is_never_too_long_by_itself() {
        let budget = Budget::new(16);
        let long = budget.take(one("lab", "a"), 1_000).expect("there is nothing else");
        assert!(budget.take(one("other", "b"), 1).is_none());
        drop(long);
        let _short = budget.take(one("lab", "b"), 1).expect("there is nothing else");
        assert!(budget.take(one("lab", "a"), 7).is_some(), "more than an eighth, but its only one");
        assert!(budget.take(one("other", "a"), 15).is_some(), "more than half, but the only one in its view");
        assert!(budget.take(one("other", "a"), 16).is_none(), "there is no room");
    }

    #[test]
    fn without_a_limit_there_is_room() {
        let budget = Budget::new(usize::MAX);
        let _taken: Vec<_> = (0..9).map(|_| budget.take(one("lab", "a"), usize::MAX / 128).expect("room")).collect();
    }

    #[test]
    fn nobody_in_particular_is_an_address() {
        let of = |address: &str| Reader::of(&Caller::ANYBODY, address.parse().expect("an address"));
        assert_eq!(of("192.0.2.7"), of("::ffff:192.0.2.7"));
        assert_eq!(of("2001:db8::1"), of("2001:db8::2"));
        assert_ne!(of("192.0.2.7"), of("192.0.2.8"));
    }
}
