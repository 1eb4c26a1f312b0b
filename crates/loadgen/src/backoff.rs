//! How long to wait before the next attempt of a connection.

use std::time::Duration;

use crate::rng::Rng;

const FIRST: Duration = Duration::from_millis(100);
const LAST: Duration = Duration::from_secs(2);

/// Doubling pauses, each between half of itself and itself, so that many do not come in step.
#[derive(Clone, Debug)]
pub(crate) struct Backoff {
    next: Duration,
    rng: Rng,
}

impl Backoff {
    pub(crate) fn new(seed: u64) -> Self {
        Self { next: FIRST, rng: Rng::new(seed) }
    }

    /// After an attempt that failed.
    pub(crate) fn pause(&mut self) -> Duration {
        let pause = self.next.mul_f64(0.5 + self.rng.fraction() / 2.0);
        self.next = (self.next * 2).min(LAST);
        pause
    }

    /// After one that did not.
    pub(crate) fn reset(&mut self) {
        self.next = FIRST;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pauses_double_up_to_a_bound_and_begin_anew() {
        let mut backoff = Backoff::new(1);
        for most in [100, 200, 400, 800, 1600, 2000, 2000].map(Duration::from_millis) {
            let pause = backoff.pause();
            assert!(most / 2 <= pause && pause <= most, "{pause:?} of {most:?}");
        }
        backoff.reset();
        assert!(backoff.pause() <= FIRST);
    }
}
