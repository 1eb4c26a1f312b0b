//! The keys of an issuer that come from a URL: when to fetch them, and for how long they are good.
//!
//! Who fetches gives the time, since any moment of its own, and tells what came. Invariants: 1. keys are good for `stale` since
//! the fetch that brought them began, however much they are used; 2. no two fetches begin within `min_refetch`, but for those
//! that try to get the first keys; 3. a token asks for one at most once between two refreshes, for each name of a key; 4. one
//! fetch is for all who wait; 5. what is remembered of names is bounded.

use std::collections::HashSet;
use std::sync::Arc;
use std::time::Duration;

use super::key::KeySet;

/// The most names of keys that are remembered. Those beyond are not, and [`RemoteRules::min_refetch`] bounds what they do.
const MOST_NAMES: usize = 1_024;
/// The first pause while no keys have come; it doubles with each failure, up to `min_refetch`.
const FIRST_PAUSE: Duration = Duration::from_secs(1);

/// What is known of the keys of an issuer.
#[derive(Debug, Clone)]
pub enum Keys {
    /// These.
    Known(Arc<KeySet>),
    /// Nothing yet.
    Awaited,
    /// Too old: a key may have been withdrawn since.
    Outdated,
}

/// Which key a token needs, and where it would be.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct WantedKey {
    /// Where the keys of its issuer are.
    pub url: String,
    /// Its name; empty for a token that names none.
    pub kid: String,
}

/// When to fetch.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct RemoteRules {
    /// How old keys become before they are fetched again.
    pub refresh: Duration,
    /// How long after a fetch the next may begin.
    pub min_refetch: Duration,
    /// How old keys may become if no fetch brings any.
    pub stale: Duration,
}

/// The keys at one URL.
#[derive(Debug)]
pub struct RemoteKeys {
    rules: RemoteRules,
    keys: Option<(Arc<KeySet>, Duration)>,
    /// When the last fetch began.
    begun: Option<Duration>,
    is_running: bool,
    /// When the next one is to begin.
    next: Duration,
    /// Of the first fetches, those that failed.
    failures: u32,
    /// Names that tokens asked for since the last fetch ended.
    sought: HashSet<Box<str>>,
    /// Those that a fetch since the last refresh was for.
    answered: HashSet<Box<str>>,
}

impl RemoteKeys {
    /// None yet; to be fetched at once.
    #[must_use]
    pub fn new(rules: RemoteRules, now: Duration) -> Self {
        Self {
            rules,
            keys: None,
            begun: None,
            is_running: false,
            next: now,
            failures: 0,
            sought: HashSet::new(),
            answered: HashSet::new(),
        }
    }

    /// When [`RemoteKeys::begin`] is to be called next: `None` while a fetch runs.
    #[must_use]
    pub fn next_fetch(&self) -> Option<Duration> {
        (!self.is_running).then_some(self.next)
    }

    /// When the keys will be too old, if no others come.
    #[must_use]
    pub fn outdated_at(&self) -> Option<Duration> {
        self.keys.as_ref().map(|(_, from)| from.saturating_add(self.rules.stale))
    }

    /// Whether a fetch runs.
    #[must_use]
    pub fn is_running(&self) -> bool {
        self.is_running
    }

    /// A fetch begins.
    pub fn begin(&mut self, now: Duration) {
        self.is_running = true;
        self.begun = Some(now);
        if self.sought.is_empty() {
            self.answered.clear();
        }
    }

    /// The fetch that runs brought `keys`. Whether they are others than before. The next is after nine tenths of the time to
    /// all of it: `jitter` is how many 255ths of that tenth to leave out.
    pub fn on_keys(&mut self, keys: KeySet, jitter: u8) -> bool {
        let begun = self.end();
        let earlier = self.rules.refresh / 10 * u32::from(jitter) / 255;
        self.next = begun.saturating_add(self.rules.refresh.saturating_sub(earlier));
        self.failures = 0;
        let room = MOST_NAMES.saturating_sub(self.answered.len());
        self.answered.extend(self.sought.drain().take(room));
        let is_new = self.keys.as_ref().is_none_or(|(old, _)| !old.is_same(&keys));
        let keys = match self.keys.take() {
            Some((old, _)) if !is_new => old,
            _ => Arc::new(keys),
        };
        self.keys = Some((keys, begun));
        is_new
    }

    /// The fetch that runs brought nothing that could be used.
    pub fn on_failure(&mut self) {
        let begun = self.end();
        let pause = FIRST_PAUSE.saturating_mul(1_u32.checked_shl(self.failures).unwrap_or(u32::MAX));
        let pause = if self.keys.is_none() { pause.min(self.rules.min_refetch) } else { self.rules.min_refetch };
        self.failures = self.failures.saturating_add(1);
        self.next = begun.saturating_add(pause);
        self.sought.clear();
    }

    /// A token names a key that is not there. Whether a fetch that runs or is due now may bring it.
    pub fn want(&mut self, kid: &str, now: Duration) -> bool {
        if !self.is_running && now < self.next {
            let too_soon = self.begun.is_some_and(|begun| now < begun.saturating_add(self.rules.min_refetch));
            if too_soon || self.answered.contains(kid) {
                return false;
            }
            self.next = now;
        }
        if self.sought.len() < MOST_NAMES {
            self.sought.insert(kid.into());
        }
        true
    }

    /// What is known at `now`.
    #[must_use]
    pub fn at(&self, now: Duration) -> Keys {
        match &self.keys {
            None => Keys::Awaited,
            Some((_, from)) if now >= from.saturating_add(self.rules.stale) => Keys::Outdated,
            Some((keys, _)) => Keys::Known(Arc::clone(keys)),
        }
    }

    /// How old the keys are; `None` before the first came.
    #[must_use]
    pub fn age(&self, now: Duration) -> Option<Duration> {
        self.keys.as_ref().map(|(_, from)| now.saturating_sub(*from))
    }

    /// The fetch that runs is over. When it began.
    fn end(&mut self) -> Duration {
        self.is_running = false;
        self.begun.unwrap_or_default()
    }
}
