//! Where the highest good rate lies. Pure arithmetic.

/// Below this there is nothing to find.
const LEAST: f64 = 1.0;
/// Above this there is nothing to find either.
const MOST: f64 = 1e7;

/// Doubles until a rate is not good any more, then halves the distance (as a factor) between the best and the worst.
#[derive(Clone, Debug)]
pub(crate) struct Search {
    first: f64,
    /// The highest that was good.
    good: Option<f64>,
    /// The lowest that was not.
    bad: Option<f64>,
    /// How near the two have to come: 0.05 is 5 %.
    precision: f64,
}

impl Search {
    pub(crate) fn new(first: f64, precision: f64) -> Self {
        Self { first, good: None, bad: None, precision }
    }

    /// The rate to try next; `None` when there is nothing more to find out.
    pub(crate) fn next(&self) -> Option<f64> {
        let next = match (self.good, self.bad) {
            (None, None) => self.first,
            (Some(good), None) => good * 2.0,
            (None, Some(bad)) => bad / 2.0,
            (Some(good), Some(bad)) if bad / good <= 1.0 + self.precision => return None,
            (Some(good), Some(bad)) => (good * bad).sqrt(),
        };
        (LEAST..=MOST).contains(&next).then_some(next)
    }

    /// What became of the rate.
    pub(crate) fn tell(&mut self, rate: f64, is_good: bool) {
        match is_good {
            true => self.good = Some(self.good.map_or(rate, |good| good.max(rate))),
            false => self.bad = Some(self.bad.map_or(rate, |bad| bad.min(rate))),
        }
    }

    /// The highest rate that was good.
    pub(crate) fn best(&self) -> Option<f64> {
        self.good
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn search(first: f64, limit: f64) -> (Option<f64>, usize) {
        let mut search = Search::new(first, 0.05);
        let mut tries = 0;
        while let Some(rate) = search.next() {
            search.tell(rate, rate <= limit);
            tries += 1;
        }
        (search.best(), tries)
    }

    #[test]
    fn the_limit_is_found_from_below_and_from_above() {
        for first in [10.0, 1000.0, 500_000.0] {
            let (best, tries) = search(first, 23_456.0);
            let best = best.unwrap();
            assert!(best <= 23_456.0 && best * 1.05 >= 23_456.0, "{best}");
            assert!(tries < 25, "{tries}");
        }
    }

    #[test]
    fn there_may_be_nothing_to_find() {
        assert_eq!(search(100.0, 0.0).0, None);
        assert_eq!(search(9e6, f64::INFINITY).0, Some(9e6));
    }
}
