//! Slows those down who guess.
//!
//! Invariant: addresses that are remembered are bounded; beyond that the one whose last failure is oldest is forgotten.

use std::collections::HashMap;
use std::net::IpAddr;
use std::time::Duration;

use parking_lot::Mutex;
use tokio::time::Instant;

use super::AccessSettings;
use crate::admission::group;
use crate::clock;

/// Addresses that are remembered.
const REMEMBERED: usize = 16 * 1024;

/// The first delay; it doubles with each further failure.
const FIRST: Duration = Duration::from_millis(100);

/// The failures of each address.
#[derive(Debug)]
pub(crate) struct Throttle {
    free: u32,
    within: Duration,
    longest: Duration,
    failures: Mutex<HashMap<IpAddr, Failures>>,
}

#[derive(Debug, Clone, Copy)]
struct Failures {
    count: u32,
    first: Instant,
    last: Instant,
}

impl Throttle {
    pub(super) fn new(settings: &AccessSettings) -> Self {
        Self {
            free: settings.failures,
            within: settings.failures_within,
            longest: settings.failure_delay,
            failures: Mutex::default(),
        }
    }

    /// The address has failed. Gives how long its answer is to wait.
    pub(crate) fn failed(&self, address: IpAddr) -> Duration {
        let now = clock::now();
        let key = group(address);
        let mut failures = self.failures.lock();
        if failures.len() >= REMEMBERED && !failures.contains_key(&key) {
            self.make_room(&mut failures, now);
        }
        let known = failures.entry(key).or_insert(Failures { count: 0, first: now, last: now });
        if now - known.first > self.within {
            *known = Failures { count: 0, first: now, last: now };
        }
        known.count = known.count.saturating_add(1);
        known.last = now;
        let Some(beyond) = known.count.checked_sub(self.free + 1) else { return Duration::ZERO };
        FIRST.saturating_mul(1_u32.checked_shl(beyond).unwrap_or(u32::MAX)).min(self.longest)
    }

    fn make_room(&self, failures: &mut HashMap<IpAddr, Failures>, now: Instant) {
        failures.retain(|_, known| now - known.first <= self.within);
        if failures.len() >= REMEMBERED
            && let Some(oldest) = failures.iter().min_by_key(|(_, known)| known.last).map(|(key, _)| *key)
        {
            failures.remove(&oldest);
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
        let throttle = throttle();
        for number in 0..(REMEMBERED as u32 + 100) {
            throttle.failed(IpAddr::from(number.to_be_bytes()));
        }
        assert_eq!(throttle.failures.lock().len(), REMEMBERED);
    }
}
