//! Times that are measured: percentiles, and the spread of a few figures.

use std::time::Duration;

use anyhow::{Context, Result};
use hdrhistogram::Histogram;
use parking_lot::Mutex;
use serde::Serialize;

/// One hour: what takes longer counts as this.
const MAX_NANOS: u64 = 3_600_000_000_000;
/// Three digits.
const DIGITS: u8 = 3;

/// Percentiles, in microseconds.
#[derive(Clone, Debug, Default, Serialize)]
pub struct Latency {
    /// How many were measured.
    pub count: u64,
    /// Half are faster.
    pub p50_us: f64,
    /// One in ten is slower.
    pub p90_us: f64,
    /// One in a hundred is slower.
    pub p99_us: f64,
    /// One in a thousand is slower.
    pub p999_us: f64,
    /// One in ten thousand is slower.
    pub p9999_us: f64,
    /// The slowest.
    pub max_us: f64,
}

/// Times that many tasks measure together.
#[derive(Debug)]
pub(crate) struct Recorder(Mutex<Histogram<u64>>);

impl Recorder {
    pub(crate) fn new() -> Result<Self> {
        Ok(Self(Mutex::new(Histogram::new_with_max(MAX_NANOS, DIGITS)?)))
    }

    pub(crate) fn record(&self, time: Duration) {
        self.record_nanos(std::iter::once(u64::try_from(time.as_nanos()).unwrap_or(u64::MAX)));
    }

    pub(crate) fn record_nanos(&self, nanos: impl Iterator<Item = u64>) {
        let mut histogram = self.0.lock();
        nanos.for_each(|nanos| histogram.saturating_record(nanos.max(1)));
    }

    pub(crate) fn reset(&self) {
        self.0.lock().reset();
    }

    pub(crate) fn latency(&self) -> Latency {
        let histogram = self.0.lock();
        let micros = |nanos: u64| nanos as f64 / 1000.0;
        let quantile = |q| micros(histogram.value_at_quantile(q));
        Latency {
            count: histogram.len(),
            p50_us: quantile(0.5),
            p90_us: quantile(0.9),
            p99_us: quantile(0.99),
            p999_us: quantile(0.999),
            p9999_us: quantile(0.9999),
            max_us: micros(histogram.max()),
        }
    }
}

/// Over some figures.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize)]
pub struct Spread {
    /// The smallest.
    pub min: f64,
    /// The middle one.
    pub median: f64,
    /// The largest.
    pub max: f64,
}

impl Spread {
    /// # Errors
    /// When there is no figure.
    pub(crate) fn of(figures: impl IntoIterator<Item = f64>) -> Result<Self> {
        let mut figures: Vec<f64> = figures.into_iter().collect();
        figures.sort_by(f64::total_cmp);
        let (min, max) = (*figures.first().context("no figures")?, figures[figures.len() - 1]);
        let middle = figures.len() / 2;
        let median =
            if figures.len() % 2 == 1 { figures[middle] } else { f64::midpoint(figures[middle - 1], figures[middle]) };
        Ok(Self { min, median, max })
    }
}

impl std::fmt::Display for Spread {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{:.2} (from {:.2} to {:.2})", self.median, self.min, self.max)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn percentiles_are_those_of_what_was_recorded() {
        let recorder = Recorder::new().unwrap();
        recorder.record(Duration::from_secs(50));
        recorder.reset();
        recorder.record_nanos((1..=10_000).map(|n| n * 1000));
        let latency = recorder.latency();
        for (got, wanted) in [
            (latency.p50_us, 5000.0),
            (latency.p90_us, 9000.0),
            (latency.p99_us, 9900.0),
            (latency.p999_us, 9990.0),
            (latency.p9999_us, 9999.0),
            (latency.max_us, 10_000.0),
        ] {
            assert!((got / wanted - 1.0).abs() < 0.001, "{got} for {wanted}: {latency:?}");
        }
        assert_eq!(latency.count, 10_000);
    }

    #[test]
    fn the_median_of_an_even_number_lies_between() {
        let spread = Spread::of([4.0, 1.0, 2.0, 3.0]).unwrap();
        assert_eq!(spread, Spread { min: 1.0, median: 2.5, max: 4.0 });
        assert_eq!(Spread::of([7.0]).unwrap(), Spread { min: 7.0, median: 7.0, max: 7.0 });
        assert!(Spread::of([]).is_err());
    }
}
