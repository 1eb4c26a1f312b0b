//! What all pairs of a load count together.

use std::sync::atomic::{AtomicU64, Ordering};

use anyhow::Result;
use hdrhistogram::Histogram;
use parking_lot::Mutex;
use serde::Serialize;
use tokio::time::Instant;

use crate::fault::{self, Fault, Faults};

/// One minute: a slower round trip counts as this.
const MAX_NANOS: u64 = 60_000_000_000;

/// Counted by the pairs, read by the scenario.
#[derive(Debug)]
pub(crate) struct Tally {
    epoch: Instant,
    round_trips: AtomicU64,
    latencies: Mutex<Histogram<u64>>,
    faults: Mutex<Faults>,
}

/// Latency of round trips, in microseconds. A round trip is two forwards.
#[derive(Clone, Debug, Default, Serialize)]
pub struct Latency {
    /// Half are faster.
    pub p50_us: f64,
    /// One in a hundred is slower.
    pub p99_us: f64,
    /// One in a thousand is slower.
    pub p999_us: f64,
    /// The slowest.
    pub max_us: f64,
}

impl Tally {
    pub(crate) fn new() -> Result<Self> {
        Ok(Self {
            epoch: Instant::now(),
            round_trips: AtomicU64::new(0),
            latencies: Mutex::new(Histogram::new_with_max(MAX_NANOS, 3)?),
            faults: Mutex::default(),
        })
    }

    /// Nanoseconds since this began: the time that is sent round.
    pub(crate) fn nanos(&self, at: Instant) -> u64 {
        let elapsed = at.saturating_duration_since(self.epoch);
        u64::try_from(elapsed.as_nanos()).unwrap_or(u64::MAX)
    }

    /// Counts round trips by the times they were sent at.
    pub(crate) fn record(&self, sent: &[u64], now: u64) {
        self.round_trips.fetch_add(sent.len() as u64, Ordering::Relaxed);
        let mut latencies = self.latencies.lock();
        for sent in sent {
            latencies.saturating_record(now.saturating_sub(*sent).max(1));
        }
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

    /// Forgets the latencies so far.
    pub(crate) fn begin(&self) {
        self.latencies.lock().reset();
    }

    /// The latencies since [`Tally::begin`].
    pub(crate) fn latency(&self) -> Latency {
        let latencies = self.latencies.lock();
        let micros = |nanos: u64| nanos as f64 / 1000.0;
        let quantile = |q| micros(latencies.value_at_quantile(q));
        Latency {
            p50_us: quantile(0.5),
            p99_us: quantile(0.99),
            p999_us: quantile(0.999),
            max_us: micros(latencies.max()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn latencies_are_those_since_the_beginning() {
        let tally = Tally::new().unwrap();
        tally.record(&[0], 50_000_000);
        tally.begin();
        let sent: Vec<u64> = (1..=1000).map(|n| 1_000_000 - n * 1000).collect();
        tally.record(&sent, 1_000_000);
        let latency = tally.latency();
        assert!((latency.p50_us - 500.0).abs() < 1.0, "{latency:?}");
        assert!((latency.p99_us - 990.0).abs() < 2.0, "{latency:?}");
        assert!((latency.max_us - 1000.0).abs() < 2.0, "{latency:?}");
        assert_eq!(tally.round_trips(), 1001);
    }
}
