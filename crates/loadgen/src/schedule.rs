//! When messages are due, whatever the server does meanwhile. Pure arithmetic.

use std::time::Duration;

use tokio::time::Instant;

use crate::rng::Rng;

/// How the moments of an open loop lie.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Arrivals {
    /// At equal distances.
    Constant,
    /// As independent senders do: the distances are exponentially distributed.
    Poisson,
}

/// The moments of one sender.
#[derive(Clone, Debug)]
pub(crate) struct Schedule {
    next: Instant,
    mean: Duration,
    arrivals: Arrivals,
    rng: Rng,
}

impl Schedule {
    /// The first is at `first`, then one each `mean` on the average.
    pub(crate) fn new(first: Instant, mean: Duration, arrivals: Arrivals, seed: u64) -> Self {
        Self { next: first, mean, arrivals, rng: Rng::new(seed) }
    }

    /// That of the sender with this number, of `senders` that send `per_second` all together. They do not send in step.
    pub(crate) fn of_many(start: Instant, number: usize, senders: usize, per_second: f64, arrivals: Arrivals) -> Self {
        let mean = Duration::from_secs_f64(senders as f64 / per_second);
        let mut rng = Rng::new(0x5eed ^ number as u64);
        let wait = match arrivals {
            Arrivals::Constant => mean.mul_f64(number as f64 / senders as f64),
            Arrivals::Poisson => exponential(&mut rng, mean),
        };
        Self { rng, ..Self::new(start + wait, mean, arrivals, 0) }
    }

    /// When the next one is due.
    pub(crate) fn next(&self) -> Instant {
        self.next
    }

    /// Takes the next one if its time has come, and says when that was. What is not taken in time is not forgotten.
    pub(crate) fn take(&mut self, now: Instant) -> Option<Instant> {
        let due = self.next;
        if due > now {
            return None;
        }
        self.next += match self.arrivals {
            Arrivals::Constant => self.mean,
            Arrivals::Poisson => exponential(&mut self.rng, self.mean),
        };
        Some(due)
    }
}

fn exponential(rng: &mut Rng, mean: Duration) -> Duration {
    mean.mul_f64(-(1.0 - rng.fraction()).ln())
}

#[cfg(test)]
mod tests {
    use super::*;

    const MEAN: Duration = Duration::from_millis(10);

    fn moments(mut schedule: Schedule, start: Instant, count: usize) -> Vec<f64> {
        let never = start + Duration::from_secs(1_000_000);
        (0..count).map(|_| schedule.take(never).unwrap().duration_since(start).as_secs_f64()).collect()
    }

    #[test]
    fn a_constant_rate_has_equal_distances_however_late_it_is_asked() {
        let start = Instant::now();
        let mut schedule = Schedule::new(start, MEAN, Arrivals::Constant, 1);
        assert_eq!(schedule.take(start), Some(start));
        assert_eq!(schedule.take(start + MEAN / 2), None);
        // A second of standstill: the plan goes on as if nothing had been.
        let late = start + Duration::from_secs(1);
        let caught_up: Vec<_> = std::iter::from_fn(|| schedule.take(late)).collect();
        assert_eq!(caught_up.len(), 100);
        assert_eq!(caught_up[0], start + MEAN);
        assert_eq!(schedule.next(), start + 101 * MEAN);
    }

    #[test]
    fn poisson_arrivals_have_the_rate_and_the_spread() {
        let start = Instant::now();
        let moments = moments(Schedule::new(start, MEAN, Arrivals::Poisson, 7), start, 20_001);
        let gaps: Vec<f64> = moments.windows(2).map(|pair| pair[1] - pair[0]).collect();
        let mean = gaps.iter().sum::<f64>() / gaps.len() as f64;
        let variance = gaps.iter().map(|gap| (gap - mean).powi(2)).sum::<f64>() / gaps.len() as f64;
        assert!((mean - 0.01).abs() < 0.0003, "{mean}");
        assert!((variance.sqrt() / mean - 1.0).abs() < 0.05, "{variance}");
    }

    #[test]
    fn many_senders_together_keep_the_rate_and_do_not_send_in_step() {
        let start = Instant::now();
        for arrivals in [Arrivals::Constant, Arrivals::Poisson] {
            let end = start + Duration::from_secs(10);
            let mut all = Vec::new();
            for number in 0..20 {
                let mut schedule = Schedule::of_many(start, number, 20, 500.0, arrivals);
                all.extend(std::iter::from_fn(|| schedule.take(end)));
            }
            let count = all.len();
            all.sort_unstable();
            all.dedup();
            assert_eq!(all.len(), count, "two at the same moment");
            assert!((4700..5300).contains(&count), "{arrivals:?}: {count}");
        }
    }
}
