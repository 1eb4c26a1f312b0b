//! How long until many are there, or there again.

use std::fmt;

use serde::Serialize;

/// Points of the curve that are kept at most.
const POINTS: usize = 200;

/// How many were there when.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
pub struct Recovery {
    /// How many there should be.
    pub of: u64,
    /// How many came.
    pub came: u64,
    /// When the first was there, in seconds.
    pub first_seconds: Option<f64>,
    /// When 95 % of those there should be were there.
    pub p95_seconds: Option<f64>,
    /// When all were there.
    pub all_seconds: Option<f64>,
    /// Seconds, and how many were there.
    pub curve: Vec<(f64, u64)>,
}

impl Recovery {
    /// From the moments at which each of them came.
    pub(crate) fn new(of: usize, mut seconds: Vec<f64>) -> Self {
        seconds.sort_by(f64::total_cmp);
        let nth = |n: usize| n.checked_sub(1).and_then(|at| seconds.get(at)).copied();
        let step = seconds.len().div_ceil(POINTS).max(1);
        let counts = (1..=seconds.len()).filter(|n| n % step == 0 || *n == 1 || *n == seconds.len());
        Self {
            of: of as u64,
            came: seconds.len() as u64,
            first_seconds: nth(1),
            p95_seconds: nth((of * 95).div_ceil(100)),
            all_seconds: nth(of),
            curve: counts.map(|n| (seconds[n - 1], n as u64)).collect(),
        }
    }

    /// How many did not come.
    pub fn missing(&self) -> u64 {
        self.of - self.came.min(self.of)
    }
}

impl fmt::Display for Recovery {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let seconds = |at: Option<f64>| at.map_or_else(|| "never".to_owned(), |at| format!("{at:.2} s"));
        let Self { of, came, first_seconds, p95_seconds, all_seconds, .. } = self;
        let (first, most, all) = (seconds(*first_seconds), seconds(*p95_seconds), seconds(*all_seconds));
        write!(f, "{came} of {of}: the first after {first}, 95 % after {most}, all after {all}")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_moments_are_those_of_the_first_the_95th_and_the_last() {
        let seconds = (1..=100).rev().map(f64::from).collect();
        let recovery = Recovery::new(100, seconds);
        let moments = (recovery.first_seconds, recovery.p95_seconds, recovery.all_seconds);
        assert_eq!(moments, (Some(1.0), Some(95.0), Some(100.0)));
        assert_eq!(recovery.curve.len(), 100);
    }

    #[test]
    fn who_does_not_come_is_missing() {
        let recovery = Recovery::new(20, vec![0.5; 18]);
        assert_eq!((recovery.p95_seconds, recovery.all_seconds, recovery.missing()), (None, None, 2));
        assert_eq!(Recovery::new(20, vec![0.5; 19]).p95_seconds, Some(0.5));
        assert_eq!(Recovery::new(10, vec![0.5; 9]).p95_seconds, None, "9 of 10 are 90 %");
        assert_eq!(Recovery::new(3, Vec::new()).first_seconds, None);
    }

    #[test]
    fn long_curves_are_thinned_out_and_keep_their_ends() {
        let recovery = Recovery::new(5000, (1..=5000).map(f64::from).collect());
        assert!(recovery.curve.len() <= POINTS + 2, "{}", recovery.curve.len());
        assert_eq!((recovery.curve[0], recovery.curve.last().copied()), ((1.0, 1), Some((5000.0, 5000))));
    }
}
