//! Slows those down who guess: tokens, and what devices there are.
//!
//! Invariant: those who are remembered are bounded, and so is the work for each failure: beyond the bound one of them is
//! forgotten early. Those whose time is over are looked for once a second at most.

use std::borrow::Borrow;
use std::collections::HashMap;
use std::hash::Hash;
use std::net::IpAddr;
use std::time::Duration;

use parking_lot::Mutex;
use tokio::time::Instant;

use crate::admission::group;
use crate::clock;

/// How often the table is looked through, where it is full.
const SWEEP_EVERY: Duration = Duration::from_secs(1);

/// The first delay; it doubles with each further failure.
const FIRST: Duration = Duration::from_millis(100);

/// The failures of each address, or of each of whoever else is counted.
#[derive(Debug)]
pub(crate) struct Throttle<K = IpAddr> {
    free: u32,
    within: Duration,
    longest: Duration,
    most: usize,
    table: Mutex<Table<K>>,
}

#[derive(Debug)]
struct Table<K> {
    failures: HashMap<K, Failures>,
    swept: Option<Instant>,
    /// Addresses that were forgotten before their time was over.
    forgotten: u64,
}

#[derive(Debug, Clone, Copy)]
struct Failures {
    count: u32,
    first: Instant,
}

impl Throttle {
    /// An address has failed. Gives how long its answer is to wait.
    pub(crate) fn failed(&self, address: IpAddr) -> Duration {
        self.count(group(address))
    }
}

impl<K: Clone + Eq + Hash> Throttle<K> {
    /// So many failures are `free` within the time; each further one waits longer than the last, up to `longest`. So many are
    /// remembered at `most`.
    pub(crate) fn new((free, within): (u32, Duration), longest: Duration, most: usize) -> Self {
        let table = Table { failures: HashMap::new(), swept: None, forgotten: 0 };
        Self { free, within, longest, most, table: Mutex::new(table) }
    }

    /// One more failure. Gives how long its answer is to wait.
    pub(crate) fn count(&self, key: K) -> Duration {
        let now = clock::now();
        let mut table = self.table.lock();
        if table.failures.len() >= self.most && !table.failures.contains_key(&key) {
            table.make_room(now, self.within, self.most);
        }
        let known = table.failures.entry(key).or_insert(Failures { count: 0, first: now });
        if now - known.first > self.within {
            *known = Failures { count: 0, first: now };
        }
        known.count = known.count.saturating_add(1);
        self.delay_after(known.count)
    }

    /// How long whatever this one asks for next is to wait.
    pub(crate) fn delay<Q: Eq + Hash + ?Sized>(&self, key: &Q) -> Duration
    where
        K: Borrow<Q>,
    {
        let now = clock::now();
        let table = self.table.lock();
        let known = table.failures.get(key).filter(|known| now - known.first <= self.within);
        known.map_or(Duration::ZERO, |known| self.delay_after(known.count.saturating_add(1)))
    }

    fn delay_after(&self, count: u32) -> Duration {
        let Some(beyond) = count.checked_sub(self.free.saturating_add(1)) else { return Duration::ZERO };
        FIRST.saturating_mul(1_u32.checked_shl(beyond).unwrap_or(u32::MAX)).min(self.longest)
    }

    /// How many addresses are remembered, and how many were forgotten before their time was over.
    pub(crate) fn remembered(&self) -> (usize, u64) {
        let table = self.table.lock();
        (table.failures.len(), table.forgotten)
    }
}

impl<K: Clone + Eq + Hash> Table<K> {
    fn make_room(&mut self, now: Instant, within: Duration, most: usize) {
        if self.swept.is_none_or(|swept| now - swept >= SWEEP_EVERY) {
            self.swept = Some(now);
            self.failures.retain(|_, known| now - known.first <= within);
        }
        if self.failures.len() >= most
            && let Some(any) = self.failures.keys().next().cloned()
        {
            self.failures.remove(&any);
            self.forgotten += 1;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::gate::AccessSettings;

    fn throttle() -> Throttle {
        let AccessSettings { failures, failures_within, failure_delay, remembered, .. } = AccessSettings::default();
        Throttle::new((failures, failures_within), failure_delay, remembered)
    }

    #[tokio::test(start_paused = true)]
    async fn eleventh_failure_waits_and_each_further_one_longer_up_to_a_bound() {
        let throttle = throttle();
        let address = IpAddr::from([10, 0, 0, 1]);
        for _ in 0..10 {
            assert_eq!(throttle.failed(address), Duration::ZERO);
        }
        let delays: Vec<_> = (0..40).map(|_| throttle.failed(address)).collect();
        assert_eq!(delays[..3], [100, 200, 400].map(Duration::from_millis));
        assert_eq!(delays[39], Duration::from_secs(25));
        assert_eq!(throttle.failed(IpAddr::from([10, 0, 0, 2])), Duration::ZERO, "another address");
        tokio::time::advance(Duration::from_secs(30 * 60 + 1)).await;
        assert_eq!(throttle.failed(address), Duration::ZERO, "forgotten");
    }

    #[tokio::test(start_paused = true)]
    async fn what_is_asked_for_waits_as_long_as_one_failure_more_would() {
        let throttle = Throttle::new((2, Duration::from_secs(60)), Duration::from_secs(25), 10);
        for expected in [0, 0, 100, 200] {
            assert_eq!(throttle.delay(&"a"), Duration::from_millis(expected));
            throttle.count("a");
        }
        assert_eq!(throttle.delay(&"b"), Duration::ZERO);
        tokio::time::advance(Duration::from_secs(61)).await;
        assert_eq!(throttle.delay(&"a"), Duration::ZERO);
    }

    /// T55: an attacker has all addresses of a /64.
    #[tokio::test(start_paused = true)]
    async fn addresses_of_one_network_fail_together() {
        let throttle = throttle();
        for host in 0..10 {
            throttle.failed(IpAddr::from([0x2001, 0xdb8, 0, 0, 0, 0, 0, host]));
        }
        assert!(!throttle.failed(IpAddr::from([0x2001, 0xdb8, 0, 0, 9, 9, 9, 9])).is_zero());
    }

    #[tokio::test(start_paused = true)]
    async fn remembered_addresses_are_bounded() {
        let throttle = Throttle::new((10, Duration::from_secs(60)), Duration::from_secs(25), 1_000);
        for number in 0..1_100_u32 {
            throttle.failed(IpAddr::from(number.to_be_bytes()));
        }
        assert_eq!(throttle.remembered(), (1_000, 100));
    }
}
