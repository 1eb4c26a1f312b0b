//! Signed tokens that were verified before, so that the same ones are cheap when many come back at once.
//!
//! Two generations: what is used moves to the young one, and when that is full the old one is forgotten. So at most
//! [`MOST_KEPT`] are kept, what is used stays, and nothing is ever searched.

use std::collections::HashMap;
use std::mem;
use std::ops::Range;
use std::sync::Arc;

use parking_lot::Mutex;

use crate::principal::Principal;

/// The most tokens that are kept.
const MOST_KEPT: usize = 10_000;

type Hash = [u8; 32];

/// Verified tokens, by their hash.
#[derive(Default)]
pub(super) struct Cache(Mutex<Generations>);

#[derive(Default)]
struct Generations {
    young: HashMap<Hash, Entry>,
    old: HashMap<Hash, Entry>,
}

struct Entry {
    principal: Arc<Principal>,
    good: Range<u64>,
}

impl Cache {
    /// Whose token has this hash, if it is kept and good at `now`.
    pub(super) fn find(&self, hash: &Hash, now: u64) -> Option<Arc<Principal>> {
        let mut generations = self.0.lock();
        if let Some(entry) = generations.old.remove(hash) {
            generations.put(*hash, entry);
        }
        let entry = generations.young.get(hash)?;
        entry.good.contains(&now).then(|| Arc::clone(&entry.principal))
    }

    /// Keeps a token that is good during `good`, in seconds since 1970.
    pub(super) fn keep(&self, hash: Hash, principal: Arc<Principal>, good: Range<u64>) {
        self.0.lock().put(hash, Entry { principal, good });
    }
}

impl Generations {
    fn put(&mut self, hash: Hash, entry: Entry) {
        if self.young.len() >= MOST_KEPT / 2 {
            self.old = mem::take(&mut self.young);
        }
        self.young.insert(hash, entry);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::pattern::Patterns;
    use crate::principal::Grant;

    fn hash(of: usize) -> Hash {
        crate::digest::sha256(&[&of.to_be_bytes()])
    }

    fn keep(cache: &Cache, of: usize, good: Range<u64>) {
        let grant = Grant { devices: Patterns::all(), ..Grant::default() };
        cache.keep(hash(of), Arc::new(Principal::of_static_token(&of.to_string(), hash(of), grant)), good);
    }

    fn find(cache: &Cache, of: usize, now: u64) -> Option<String> {
        cache.find(&hash(of), now).map(|principal| principal.name().to_owned())
    }

    #[test]
    fn token_is_found_while_it_is_good() {
        let cache = Cache::default();
        keep(&cache, 1, 10..20);
        for (now, found) in [(9, false), (10, true), (19, true), (20, false)] {
            assert_eq!(find(&cache, 1, now).is_some(), found, "{now}");
        }
        assert_eq!(find(&cache, 1, 15).as_deref(), Some("1"));
        assert_eq!(find(&cache, 2, 15), None);
    }

    #[test]
    fn number_is_bounded_and_what_is_used_stays() {
        let cache = Cache::default();
        for of in 0..3 * MOST_KEPT {
            keep(&cache, of, 0..9);
            assert!(find(&cache, 0, 1).is_some(), "after {of}");
            let generations = cache.0.lock();
            assert!(generations.young.len() + generations.old.len() <= MOST_KEPT, "after {of}");
        }
        assert_eq!(find(&cache, 1, 1), None);
    }
}
