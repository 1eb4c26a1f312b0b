//! What was found out of tokens before, so that the same ones are cheap when many come back at once.

use std::collections::HashMap;
use std::mem;
use std::sync::atomic::{AtomicU64, Ordering};

use parking_lot::Mutex;

/// The SHA-256 of a token: what stands for it where the token itself is not needed.
pub type TokenHash = [u8; 32];

/// What may be remembered takes so many bytes, about, beside its place in the table.
pub trait Weighs {
    /// Bytes.
    fn bytes(&self) -> usize;
}

/// What is kept takes no more than so many bytes each, taken all together.
const BYTES_EACH: usize = 1024;

/// A bounded number of values, each for one token, and a KiB for each of them.
///
/// Two generations: what is used moves to the young one, and when that is full the old one is forgotten. So what is used
/// stays, and nothing is ever searched.
#[derive(Debug)]
pub struct Recent<V> {
    most: usize,
    generations: Mutex<Generations<V>>,
    forgotten: AtomicU64,
}

#[derive(Debug)]
struct Generations<V> {
    young: HashMap<TokenHash, V>,
    old: HashMap<TokenHash, V>,
    /// What the young ones take, no less than they do.
    bytes: usize,
}

impl<V: Clone + Weighs> Recent<V> {
    /// Keeps at most `most`, and at least two.
    #[must_use]
    pub fn new(most: usize) -> Self {
        let generations = Generations { young: HashMap::new(), old: HashMap::new(), bytes: 0 };
        Self { most, generations: Mutex::new(generations), forgotten: AtomicU64::new(0) }
    }

    /// What is kept for `hash`.
    #[must_use]
    pub fn find(&self, hash: &TokenHash) -> Option<V> {
        let mut generations = self.generations.lock();
        if let Some(value) = generations.old.remove(hash) {
            self.put(&mut generations, *hash, value);
        }
        generations.young.get(hash).cloned()
    }

    /// What is kept for `hash`, which is not used by that.
    #[must_use]
    pub fn peek(&self, hash: &TokenHash) -> Option<V> {
        let generations = self.generations.lock();
        generations.young.get(hash).or_else(|| generations.old.get(hash)).cloned()
    }

    /// Keeps `value` for `hash`, in place of what was.
    pub fn keep(&self, hash: TokenHash, value: V) {
        self.put(&mut self.generations.lock(), hash, value);
    }

    /// Forgets what is kept for `hash`.
    pub fn forget(&self, hash: &TokenHash) {
        let mut generations = self.generations.lock();
        generations.young.remove(hash);
        generations.old.remove(hash);
    }

    /// Forgets everything.
    pub fn clear(&self) {
        let mut generations = self.generations.lock();
        *generations = Generations { young: HashMap::new(), old: HashMap::new(), bytes: 0 };
    }

    /// How many are kept.
    #[must_use]
    pub fn len(&self) -> usize {
        let generations = self.generations.lock();
        generations.young.len() + generations.old.len()
    }

    /// Whether there is none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// How many were forgotten to make room.
    #[must_use]
    pub fn forgotten(&self) -> u64 {
        self.forgotten.load(Ordering::Relaxed)
    }

    fn put(&self, generations: &mut Generations<V>, hash: TokenHash, value: V) {
        generations.old.remove(&hash);
        let most = (self.most / 2).max(1);
        let is_full = generations.young.len() >= most && !generations.young.contains_key(&hash);
        if is_full || generations.bytes + value.bytes() > most.saturating_mul(BYTES_EACH) {
            let forgotten = mem::replace(&mut generations.old, mem::take(&mut generations.young));
            generations.bytes = 0;
            self.forgotten.fetch_add(forgotten.len() as u64, Ordering::Relaxed);
        }
        generations.bytes += value.bytes();
        generations.young.insert(hash, value);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    impl Weighs for usize {
        fn bytes(&self) -> usize {
            *self
        }
    }

    fn hash(of: usize) -> TokenHash {
        crate::digest::sha256(&[&of.to_be_bytes()])
    }

    #[test]
    fn number_is_bounded_and_what_is_used_stays() {
        let recent = Recent::new(100);
        for of in 0..300 {
            recent.keep(hash(of), of);
            assert_eq!(recent.find(&hash(0)), Some(0), "after {of}");
            assert!(recent.len() <= 100, "after {of}");
        }
        assert_eq!(recent.find(&hash(1)), None);
        assert_eq!(recent.forgotten() + recent.len() as u64, 300);
    }

    #[test]
    fn newest_value_counts_until_it_is_forgotten() {
        let recent = Recent::new(4);
        recent.keep(hash(1), 1);
        recent.keep(hash(2), 1);
        recent.keep(hash(3), 1);
        recent.keep(hash(1), 2);
        assert_eq!((recent.find(&hash(1)), recent.len()), (Some(2), 3));
        recent.forget(&hash(1));
        assert_eq!((recent.find(&hash(1)), recent.len()), (None, 2));
    }

    #[test]
    fn what_is_kept_is_bounded_in_bytes_too() {
        let recent = Recent::new(100);
        for of in 0..300 {
            recent.keep(hash(of), 10 * BYTES_EACH);
            assert!(recent.len() <= 10 && recent.find(&hash(of)).is_some(), "{of}");
        }
        assert_eq!(recent.forgotten() + recent.len() as u64, 300);
        recent.clear();
        assert!(recent.is_empty());
    }
}
