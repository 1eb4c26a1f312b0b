//! What all pairs of a load count together.

use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use anyhow::Result;
use parking_lot::Mutex;
use tokio::time::Instant;

use crate::fault::{self, Fault, Faults};
use crate::latency::{Latency, Recorder};

/// A message that is sent so long after it was due was sent late: the sender, and not only the scheduler, fell behind.
pub(crate) const LATE: Duration = Duration::from_millis(1);

/// Counted by the pairs, read by the scenario. Times are nanoseconds since the epoch of the tally.
#[derive(Debug)]
pub(crate) struct Tally {
    epoch: Instant,
    round_trips: AtomicU64,
    /// Messages due from here to there are measured, whenever their answer comes.
    from: AtomicU64,
    to: AtomicU64,
    latencies: Recorder,
    /// How late messages were sent, and how many of them were [`LATE`].
    lateness: Recorder,
    late: AtomicU64,
    faults: Mutex<Faults>,
}

impl Tally {
    pub(crate) fn new() -> Result<Self> {
        Ok(Self {
            epoch: Instant::now(),
            round_trips: AtomicU64::new(0),
            from: AtomicU64::new(0),
            to: AtomicU64::new(u64::MAX),
            latencies: Recorder::new()?,
            lateness: Recorder::new()?,
            late: AtomicU64::new(0),
            faults: Mutex::default(),
        })
    }

    /// The time that is sent round.
    pub(crate) fn nanos(&self, at: Instant) -> u64 {
        let elapsed = at.saturating_duration_since(self.epoch);
        u64::try_from(elapsed.as_nanos()).unwrap_or(u64::MAX)
    }

    /// Messages that were due at these times have left at `now`.
    pub(crate) fn sent(&self, due: &[u64], now: u64) {
        let measured = || due.iter().filter(|due| self.is_measured(**due)).map(|due| now.saturating_sub(*due));
        self.lateness.record_nanos(measured());
        let late = measured().filter(|late| Duration::from_nanos(*late) > LATE).count();
        self.late.fetch_add(late as u64, Ordering::Relaxed);
    }

    /// Counts round trips by the times their messages were due.
    pub(crate) fn answered(&self, due: &[u64], now: u64) {
        self.round_trips.fetch_add(due.len() as u64, Ordering::Relaxed);
        self.waited(due, now);
    }

    /// Messages that were due at these times have waited until `now` at least, answered or not.
    pub(crate) fn waited(&self, due: &[u64], now: u64) {
        let measured = due.iter().filter(|due| self.is_measured(**due));
        self.latencies.record_nanos(measured.map(|due| now.saturating_sub(*due)));
    }

    pub(crate) fn fault(&self, fault: &Fault) {
        fault::count(&mut self.faults.lock(), fault);
    }

    pub(crate) fn round_trips(&self) -> u64 {
        self.round_trips.load(Ordering::Relaxed)
    }

    pub(crate) fn faults(&self) -> Faults {
        self.faults.lock().clone()
    }

    /// Forgets what was measured so far, and measures what is due from now on.
    pub(crate) fn begin(&self, now: Instant) {
        self.from.store(self.nanos(now), Ordering::Relaxed);
        self.to.store(u64::MAX, Ordering::Relaxed);
        self.latencies.reset();
        self.lateness.reset();
        self.late.store(0, Ordering::Relaxed);
    }

    /// What is due after `now` is not measured any more.
    pub(crate) fn end(&self, now: Instant) {
        self.to.store(self.nanos(now), Ordering::Relaxed);
    }

    /// Round trips of what was measured.
    pub(crate) fn latency(&self) -> Latency {
        self.latencies.latency()
    }

    /// How late it was sent, and how many messages came more than [`LATE`] behind.
    pub(crate) fn lateness(&self) -> (Latency, u64) {
        (self.lateness.latency(), self.late.load(Ordering::Relaxed))
    }

    fn is_measured(&self, due: u64) -> bool {
        (self.from.load(Ordering::Relaxed)..=self.to.load(Ordering::Relaxed)).contains(&due)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_due_in_the_window_is_measured_whenever_it_is_answered() {
        let tally = Tally::new().unwrap();
        let at = |millis| tally.epoch + Duration::from_millis(millis);
        let nanos = |millis: u64| millis * 1_000_000;
        tally.answered(&[nanos(1)], nanos(5));
        tally.begin(at(100));
        tally.answered(&[nanos(99), nanos(100)], nanos(150));
        tally.end(at(200));
        tally.answered(&[nanos(200), nanos(201)], nanos(900));
        let latency = tally.latency();
        assert_eq!((latency.count, tally.round_trips()), (2, 5));
        assert!(
            (latency.p50_us - 50_000.0).abs() < 100.0 && (latency.max_us - 700_000.0).abs() < 1000.0,
            "{latency:?}"
        );
    }

    #[test]
    fn who_sends_late_is_told() {
        let tally = Tally::new().unwrap();
        tally.sent(&[1_000_000, 2_000_000], 2_500_000);
        let (lateness, late) = tally.lateness();
        assert_eq!((lateness.count, late), (2, 1));
        assert!((lateness.max_us - 1500.0).abs() < 2.0, "{lateness:?}");
    }
}
