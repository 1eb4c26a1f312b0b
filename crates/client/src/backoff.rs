//! How long to wait before the next attempt. Pure: the random number comes in as an argument.

use std::time::Duration;

/// The longest pause where there is no reason to wait: only so that not everybody comes at once.
const SOON: Duration = Duration::from_millis(500);
/// A server holds a session whose connection broke for a while only (10 s by default). So for about that long no pause is so
/// long that this could pass in between.
const URGENT: Duration = Duration::from_secs(15);
const URGENT_PAUSE: Duration = Duration::from_secs(2);

/// The pauses between attempts to connect.
///
/// A session that lasted is made again soon: at a random moment within `first`, and within half a second. So is one that the
/// server ended for a restart. Further pauses double from `first` up to `cap`, each between half of it and the whole. While
/// a client's session may be resumed, none is longer than two seconds, until together they are 15 s.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Backoff {
    /// The first pause that is doubled.
    pub first: Duration,
    /// No pause is longer.
    pub cap: Duration,
    /// A session that lasted this long counts as a success: the pauses begin anew.
    pub stable: Duration,
    /// Give up after this many failures in a row. `None`: never.
    pub attempts: Option<u32>,
}

impl Default for Backoff {
    fn default() -> Self {
        Self {
            first: Duration::from_millis(500),
            cap: Duration::from_secs(30),
            stable: Duration::from_secs(5),
            attempts: None,
        }
    }
}

impl Backoff {
    /// No second attempt: the first failure is the end.
    pub fn never() -> Self {
        Self { attempts: Some(0), ..Self::default() }
    }
}

/// The state of one connection's pauses.
#[derive(Debug)]
pub(crate) struct Delays {
    settings: Backoff,
    /// In a row.
    failures: u32,
    doublings: u32,
    soon: bool,
    /// The pauses since a session was up, all together.
    paused: Duration,
}

impl Delays {
    pub(crate) fn new(settings: Backoff) -> Self {
        Self { settings, failures: 0, doublings: 0, soon: false, paused: Duration::ZERO }
    }

    /// Called when a session has begun or goes on.
    pub(crate) fn on_up(&mut self) {
        self.paused = Duration::ZERO;
    }

    /// Called when a session that the server had answered has ended.
    pub(crate) fn on_session_end(&mut self, lasted: Duration) {
        if lasted >= self.settings.stable {
            (self.failures, self.doublings, self.soon) = (0, 0, true);
        }
    }

    /// There is no reason to wait for the next attempt, however short the last one was.
    pub(crate) fn on_invited(&mut self) {
        self.soon = true;
    }

    /// The next pause, or `None` when it is time to give up. `random` is uniform over all of `u32`. `is_urgent`: a session
    /// waits, and not for long.
    pub(crate) fn next(&mut self, random: u32, is_urgent: bool) -> Option<Duration> {
        if self.settings.attempts.is_some_and(|n| self.failures >= n) {
            return None;
        }
        self.failures = self.failures.saturating_add(1);
        let part = f64::from(random) / f64::from(u32::MAX);
        if std::mem::take(&mut self.soon) {
            return Some(self.settings.first.min(SOON).mul_f64(part));
        }
        let doubled = 2u32.saturating_pow(self.doublings);
        self.doublings = self.doublings.saturating_add(1);
        let is_urgent = is_urgent && self.paused < URGENT;
        let cap = if is_urgent { self.settings.cap.min(URGENT_PAUSE) } else { self.settings.cap };
        let whole = self.settings.first.saturating_mul(doubled).min(cap);
        let pause = whole.mul_f64(0.5 + 0.5 * part);
        self.paused = self.paused.saturating_add(pause);
        Some(pause)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn delays(attempts: Option<u32>) -> Delays {
        Delays::new(Backoff {
            first: Duration::from_secs(1),
            cap: Duration::from_secs(6),
            stable: Duration::from_secs(5),
            attempts,
        })
    }

    #[test]
    fn pauses_double_up_to_the_cap() {
        let mut delays = delays(None);
        let pauses: Vec<_> = (0..5).map(|_| delays.next(u32::MAX, false)).collect();
        let expected = [1, 2, 4, 6, 6].map(|s| Some(Duration::from_secs(s)));
        assert_eq!(pauses, expected);
    }

    #[test]
    fn jitter_takes_at_most_half() {
        let mut delays = delays(None);
        assert_eq!(delays.next(0, false), Some(Duration::from_millis(500)));
        assert_eq!(delays.next(0, false), Some(Duration::from_secs(1)));
    }

    #[test]
    fn only_a_stable_session_starts_the_pauses_anew() {
        let mut delays = delays(None);
        delays.next(0, false);
        delays.on_session_end(Duration::from_secs(4));
        assert_eq!(delays.next(u32::MAX, false), Some(Duration::from_secs(2)));
        delays.on_session_end(Duration::from_secs(5));
        assert_eq!(delays.next(u32::MAX, false), Some(SOON));
        assert_eq!(delays.next(u32::MAX, false), Some(Duration::from_secs(1)));
    }

    #[test]
    fn first_attempt_after_a_session_comes_at_a_random_moment_within_half_a_second() {
        for (random, pause) in [(0, Duration::ZERO), (u32::MAX / 2, SOON / 2), (u32::MAX, SOON)] {
            let mut delays = delays(None);
            delays.on_session_end(Duration::from_secs(5));
            let next = delays.next(random, false).unwrap();
            assert!(next.abs_diff(pause) < Duration::from_millis(1), "{next:?}");
        }
    }

    #[test]
    fn invitation_shortens_one_pause_and_no_more() {
        let mut delays = delays(Some(3));
        delays.next(0, false);
        delays.on_invited();
        assert_eq!(delays.next(u32::MAX, false), Some(SOON));
        assert_eq!(delays.next(u32::MAX, false), Some(Duration::from_secs(2)));
        delays.on_invited();
        assert_eq!(delays.next(u32::MAX, false), None);
    }

    #[test]
    fn pauses_are_short_while_a_session_waits_for_15_seconds() {
        let mut delays = delays(None);
        let pauses: Vec<_> = (0..10).map(|_| delays.next(u32::MAX, true).unwrap().as_secs()).collect();
        assert_eq!(pauses, [1, 2, 2, 2, 2, 2, 2, 2, 6, 6]);
        // However short it lasts: the next one waits anew.
        delays.on_up();
        delays.on_session_end(Duration::from_secs(4));
        assert_eq!(delays.next(u32::MAX, true), Some(URGENT_PAUSE));
        assert_eq!(delays.next(u32::MAX, false), Some(Duration::from_secs(6)));
    }

    #[test]
    fn urgency_gives_no_further_attempt_and_no_longer_pause() {
        let mut delays = Delays::new(Backoff { first: SOON / 2, cap: SOON, attempts: Some(2), ..Backoff::default() });
        let pauses = [SOON / 2, SOON].map(Some).into_iter().chain([None]);
        for pause in pauses {
            assert_eq!(delays.next(u32::MAX, true), pause);
            delays.on_up();
        }
    }

    #[test]
    fn attempts_run_out() {
        let mut delays = delays(Some(1));
        assert!(delays.next(0, false).is_some());
        assert_eq!(delays.next(0, false), None);
    }

    #[test]
    fn a_year_of_failures_does_not_overflow() {
        let mut delays = delays(None);
        for _ in 0..100_000 {
            delays.next(u32::MAX, false);
        }
        assert_eq!(delays.next(u32::MAX, false), Some(Duration::from_secs(6)));
    }
}
