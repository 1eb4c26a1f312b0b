//! Leaves a hook alone that fails, so that it is not asked the more the worse it does.

use std::time::Duration;

use tokio::time::Instant;

/// Failures in a row after which it is left alone.
const FAILURES: u32 = 5;
/// The first pause; it doubles with each further failure.
const FIRST: Duration = Duration::from_secs(1);
/// The longest.
const LONGEST: Duration = Duration::from_secs(30);

/// Whether a hook may be asked.
#[derive(Debug, Default)]
pub(super) struct Circuit {
    failures: u32,
    closed_until: Option<Instant>,
}

/// What a failure or an answer changes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Turn {
    /// It failed for the first time, or is left alone from now on.
    Worse,
    /// It answers again.
    Better,
    /// Nothing that is new.
    Same,
}

impl Circuit {
    /// Whether the hook may be asked now. In a pause nobody may, and after it one.
    pub(super) fn take(&mut self, now: Instant) -> bool {
        match self.closed_until {
            None => true,
            Some(until) if now < until => false,
            Some(_) => {
                self.failures = self.failures.saturating_add(1);
                self.closed_until = Some(now + self.pause());
                true
            }
        }
    }

    /// Whether nobody may ask now.
    pub(super) fn is_closed(&self, now: Instant) -> bool {
        self.closed_until.is_some_and(|until| now < until)
    }

    pub(super) fn on_answer(&mut self) -> Turn {
        let turn = if self.failures > 0 { Turn::Better } else { Turn::Same };
        *self = Self::default();
        turn
    }

    pub(super) fn on_failure(&mut self, now: Instant) -> Turn {
        // Those that were under way when it was found to fail say nothing new.
        if self.is_closed(now) {
            return Turn::Same;
        }
        self.failures = self.failures.saturating_add(1);
        if self.failures >= FAILURES {
            self.closed_until = Some(now + self.pause());
        }
        if self.failures == 1 || self.failures == FAILURES { Turn::Worse } else { Turn::Same }
    }

    fn pause(&self) -> Duration {
        let beyond = self.failures.saturating_sub(FAILURES);
        FIRST.saturating_mul(1_u32.checked_shl(beyond).unwrap_or(u32::MAX)).min(LONGEST)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::clock;

    const fn seconds(number: u64) -> Duration {
        Duration::from_secs(number)
    }

    #[tokio::test(start_paused = true)]
    async fn hook_that_fails_five_times_is_left_alone_and_then_asked_once() {
        let (mut circuit, start) = (Circuit::default(), clock::now());
        let turns: Vec<Turn> = (0..6).map(|_| circuit.on_failure(start)).collect();
        assert_eq!(turns, [Turn::Worse, Turn::Same, Turn::Same, Turn::Same, Turn::Worse, Turn::Same]);
        let mut asked = Vec::new();
        for at in 0..100 {
            let now = start + seconds(at);
            if circuit.take(now) {
                assert!(!circuit.take(now), "only one");
                circuit.on_failure(now);
                asked.push(at);
            }
        }
        assert_eq!(asked, [1, 3, 7, 15, 31, 61, 91]);
        assert_eq!(circuit.on_answer(), Turn::Better);
        assert!(circuit.take(start + seconds(100)) && circuit.take(start + seconds(100)));
        assert_eq!(circuit.on_answer(), Turn::Same);
    }

    #[tokio::test(start_paused = true)]
    async fn hook_that_fails_now_and_then_is_asked_on() {
        let mut circuit = Circuit::default();
        for _ in 0..20 {
            for _ in 0..4 {
                circuit.on_failure(clock::now());
            }
            assert!(circuit.take(clock::now()));
            circuit.on_answer();
        }
    }
}
