//! How much may come in a time: token buckets.

use std::time::Duration;

const SECOND: u64 = 1_000_000_000;

/// So many a second in the long run, and so many at once.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Rate {
    /// A second, in the long run. 0: as many as come.
    pub per_second: u32,
    /// At once, after a pause that was long enough.
    pub burst: u32,
}

impl Rate {
    /// As many as come.
    pub const OFF: Self = Self { per_second: 0, burst: 0 };

    /// Whether there is no bound.
    #[must_use]
    pub const fn is_off(self) -> bool {
        self.per_second == 0
    }

    /// How long it takes until an empty bucket is full.
    #[must_use]
    pub fn filling(self) -> Duration {
        Duration::from_nanos(if self.is_off() { 0 } else { self.cost(u64::from(self.burst)) })
    }

    /// Nanoseconds in which `count` tokens come.
    fn cost(self, count: u64) -> u64 {
        count.saturating_mul(SECOND) / u64::from(self.per_second)
    }
}

/// A token bucket, stored as the moment at which it is full again.
///
/// Moments are nanoseconds since any beginning that its owner keeps. It may owe tokens: what has come already is spent, be
/// there enough of them or not.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Bucket(u64);

impl Bucket {
    /// Takes `count` tokens out.
    pub fn spend(&mut self, rate: Rate, count: u64, now: u64) {
        if !rate.is_off() {
            self.0 = self.0.max(now).saturating_add(rate.cost(count));
        }
    }

    /// From when on there is a token.
    #[must_use]
    pub fn ready_at(self, rate: Rate) -> u64 {
        self.holds_at(rate, 1)
    }

    /// Takes one token out; false, and nothing taken, if there is none.
    pub fn take(&mut self, rate: Rate, now: u64) -> bool {
        let is_there = self.ready_at(rate) <= now;
        if is_there {
            self.spend(rate, 1, now);
        }
        is_there
    }

    /// Whether at least half of the burst is there.
    #[must_use]
    pub fn is_half_full(self, rate: Rate, now: u64) -> bool {
        self.holds_at(rate, u64::from(rate.burst).div_ceil(2)) <= now
    }

    /// Whether nothing is missing: then it need not be kept.
    #[must_use]
    pub fn is_full(self, now: u64) -> bool {
        self.0 <= now
    }

    /// From when on there are `count` tokens.
    fn holds_at(self, rate: Rate, count: u64) -> u64 {
        if rate.is_off() {
            return 0;
        }
        self.0.saturating_add(rate.cost(count)).saturating_sub(rate.cost(u64::from(rate.burst)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const TENTH: u64 = SECOND / 10;
    const RATE: Rate = Rate { per_second: 10, burst: 3 };

    #[test]
    fn burst_then_rate() {
        let mut bucket = Bucket::default();
        let mut take = |now| bucket.take(RATE, now);
        assert_eq!([take(0), take(0), take(0), take(0)], [true, true, true, false]);
        assert_eq!([take(TENTH - 1), take(TENTH), take(TENTH)], [false, true, false]);
        let later = 3600 * SECOND;
        assert_eq!([take(later), take(later), take(later), take(later)], [true, true, true, false]);
    }

    #[test]
    fn what_came_without_a_token_is_owed() {
        let mut bucket = Bucket::default();
        bucket.spend(RATE, 3, 0);
        assert_eq!(bucket.ready_at(RATE), TENTH);
        bucket.spend(RATE, 5, 0);
        assert_eq!(bucket.ready_at(RATE), 6 * TENTH);
        assert!(!bucket.is_half_full(RATE, 7 * TENTH - 1) && bucket.is_half_full(RATE, 7 * TENTH));
        assert!(!bucket.is_full(8 * TENTH - 1) && bucket.is_full(8 * TENTH));
    }

    #[test]
    fn rate_that_is_off_bounds_nothing() {
        let mut bucket = Bucket::default();
        bucket.spend(Rate::OFF, u64::MAX, u64::MAX);
        assert!(bucket.take(Rate::OFF, 0) && bucket.is_full(0) && bucket.is_half_full(Rate::OFF, 0));
    }

    #[test]
    fn largest_numbers_do_no_harm() {
        let mut bucket = Bucket::default();
        let slow = Rate { per_second: 1, burst: u32::MAX };
        bucket.spend(slow, u64::MAX, u64::MAX);
        assert!(bucket.ready_at(slow) > 0 && !bucket.take(slow, 0));
        assert!(Bucket::default().take(Rate { per_second: u32::MAX, burst: 1 }, 0));
    }
}
