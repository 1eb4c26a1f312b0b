//! Slows those down who guess.
//!
//! Invariant: addresses that are remembered are bounded, and so is the work for each failure: beyond the bound one of them is
//! forgotten early. Those whose time is over are looked for once a second at most.

use std::collections::HashMap;
use std::net::IpAddr;
use std::time::Duration;

use parking_lot::Mutex;
use tokio::time::Instant;

use super::AccessSettings;
use crate::admission::group;
use crate::clock;

/// How often the table is looked through, where it is full.
const SWEEP_EVERY: Duration = Duration::from_secs(1);

/// The first delay; it doubles with each further failure.
const FIRST: Duration = Duration::from_millis(100);

/// The failures of each address.
#[derive(Debug)]
pub(crate) struct Throttle {
    free: u32,
    within: Duration,
    longest: Duration,
    most: usize,
    table: Mutex<Table>,
}

#[derive(Debug, Default)]
struct Table {
    failures: HashMap<IpAddr, Failures>,
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
    pub(super) fn new(settings: &AccessSettings) -> Self {
        Self {
            free: settings.failures,
            within: settings.failures_within,
            longest: settings.failure_delay,
            most: settings.remembered,
            table: Mutex::default(),
        }
    }

    /// The address has failed. Gives how long its answer is to wait.
    pub(crate) fn failed(&self, address: IpAddr) -> Duration {
        let now = clock::now();
        let key = group(address);
        let mut table = self.table.lock();
        if table.failures.len() >= self.most && !table.failures.contains_key(&key) {
            table.make_room(now, self.within, self.most);
        }
        let known = table.failures.entry(key).or_insert(Failures { count: 0, first: now });
        if now - known.first > self.within {
            *known = Failures { count: 0, first: now };
        }
        known.count = known.count.saturating_add(1);
        let Some(beyond) = known.count.checked_sub(self.free.saturating_add(1)) else { return Duration::ZERO };
        FIRST.saturating_mul(1_u32.checked_shl(beyond).unwrap_or(u32::MAX)).min(self.longest)
    }

    /// How many addresses are remembered, and how many were forgotten before their time was over.
    pub(crate) fn remembered(&self) -> (usize, u64) {
        let table = self.table.lock();
        (table.failures.len(), table.forgotten)
    }
}

impl Table {
    fn make_room(&mut self, now: Instant, within: Duration, most: usize) {
        if self.swept.is_none_or(|swept| now - swept >= SWEEP_EVERY) {
            self.swept = Some(now);
            self.failures.retain(|_, known| now - known.first <= within);
        }
        if self.failures.len() >= most
            && let Some(any) = self.failures.keys().next().copied()
        {
            self.failures.remove(&any);
            self.forgotten += 1;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn throttle() -> Throttle {
        Throttle::new(&AccessSettings::default())
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
        let throttle = Throttle::new(&AccessSettings { remembered: 1_000, ..AccessSettings::default() });
        for number in 0..1_100_u32 {
            throttle.failed(IpAddr::from(number.to_be_bytes()));
        }
        assert_eq!(throttle.remembered(), (1_000, 100));
    }
}
