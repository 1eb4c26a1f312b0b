//! What arrived of a numbered sequence: lost, doubled, overtaken. Pure arithmetic.

use std::collections::BTreeSet;

/// What a number means.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Taken {
    /// It had not been there.
    New,
    /// It had not been there, but a later one had.
    Overtaken,
    /// It had been there.
    Doubled,
}

/// The numbers 0, 1, 2, … as they arrive.
#[derive(Clone, Debug, Default)]
pub(crate) struct Sequence {
    /// One more than the highest that arrived.
    next: u64,
    /// Below `next`, and not there.
    missing: BTreeSet<u64>,
}

impl Sequence {
    pub(crate) fn take(&mut self, number: u64) -> Taken {
        if number >= self.next {
            self.missing.extend(self.next..number);
            self.next = number + 1;
            return Taken::New;
        }
        match self.missing.remove(&number) {
            true => Taken::Overtaken,
            false => Taken::Doubled,
        }
    }

    /// How many different ones arrived.
    pub(crate) fn count(&self) -> u64 {
        self.next - self.missing.len() as u64
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_lost_doubled_and_overtaken_is_told_apart() {
        let mut sequence = Sequence::default();
        let taken: Vec<Taken> = [0, 1, 1, 4, 2, 2, 0, 5].map(|number| sequence.take(number)).into();
        use Taken::{Doubled, New, Overtaken};
        assert_eq!(taken, [New, New, Doubled, New, Overtaken, Doubled, Doubled, New]);
        assert_eq!(sequence.count(), 5, "3 is lost");
    }
}
