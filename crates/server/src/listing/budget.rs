//! What the lists that are being read may come to, in memory.
//!
//! Invariants: 1. those of one reader come to a quarter of it at most, so that who reads none keeps nobody else from theirs; 2. one is
//! never too long by itself; 3. what is dropped is given back.

use std::collections::HashMap;
use std::sync::Arc;

use parking_lot::Mutex;

use crate::caller::{Caller, View};
use crate::tables;

/// The part of all that is one reader's.
const SHARE: usize = 4;

/// Who reads: a principal what is written for it alone, or all who see everything in a view what they share.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(super) enum Reader {
    All(View),
    One(Box<str>),
}

impl Reader {
    /// By itself. Nobody in particular is all of them.
    pub(super) fn of(caller: &Caller) -> Self {
        match caller.principal() {
            Some(principal) => Self::One(principal.account().into()),
            None => Self::All(caller.view()),
        }
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
    of: HashMap<Reader, usize>,
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
        let own = taken.of.get(&reader).copied().unwrap_or_default();
        let has_room = |taken: usize, most: usize| taken == 0 || taken.saturating_add(bytes) <= most;
        if !has_room(taken.all, self.most) || !has_room(own, self.most / SHARE) {
            return None;
        }
        taken.all += bytes;
        *taken.of.entry(reader.clone()).or_default() += bytes;
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
        let Some(own) = taken.of.get_mut(&self.reader) else { return };
        *own -= self.bytes;
        if *own == 0 {
            tables::remove(&mut taken.of, &self.reader);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn one(name: &str) -> Reader {
        Reader::One(name.into())
    }

    #[test]
    fn reader_has_a_quarter_and_all_together_no_more_than_all() {
        let budget = Budget::new(400);
        let take = |name: &str, bytes| budget.take(one(name), bytes);
        let first = take("a", 60).expect("a quarter is 100");
        assert!(take("a", 41).is_none());
        let mut taken = vec![take("a", 40).expect("there is room")];
        assert!(take("a", 1).is_none());
        taken.extend(["b", "c", "d"].map(|name| take(name, 100).expect("its own quarter")));
        assert_eq!(budget.bytes(), 400);
        assert!(take("e", 1).is_none(), "nothing is left");
        drop(first);
        assert!(take("e", 60).is_some(), "given back");
        taken.clear();
        assert!(budget.bytes() == 0 && budget.taken.lock().of.is_empty());
    }

    #[test]
    fn list_is_never_too_long_by_itself() {
        let budget = Budget::new(10);
        let long = budget.take(one("a"), 1_000).expect("there is nothing else");
        assert!(budget.take(one("b"), 1).is_none());
        drop(long);
        let _short = budget.take(one("b"), 1).expect("there is nothing else");
        assert!(budget.take(one("a"), 9).is_some(), "more than a quarter, but its only one");
        assert!(budget.take(one("a"), 10).is_none(), "there is no room");
    }

    #[test]
    fn without_a_limit_there_is_room() {
        let budget = Budget::new(usize::MAX);
        let _taken: Vec<_> = (0..9).map(|_| budget.take(one("a"), usize::MAX / 64).expect("room")).collect();
    }
}
