//! How many refusals are written, so that nobody can fill the log, or push out what others did, by being refused.
//!
//! Invariants: 1. at most `most` are let through in a second of the clock, and of one address a quarter of them, so that a flood
//! does not hide another who is refused beside it; 2. each that is not is counted, and each count is told once.

use std::net::IpAddr;

/// Counts the refusals of one second.
#[derive(Debug)]
pub(super) struct Flood {
    most: u32,
    second: u64,
    written: u32,
    left_out: u64,
    /// At most `most` addresses: those of what was written.
    addresses: Vec<(Option<IpAddr>, u32)>,
}

/// What becomes of a refusal, and how many of an earlier second were left out and have not been told.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Verdict {
    Write { untold: u64 },
    LeaveOut { untold: u64 },
}

impl Verdict {
    pub(super) fn untold(self) -> u64 {
        match self {
            Self::Write { untold } | Self::LeaveOut { untold } => untold,
        }
    }
}

impl Flood {
    pub(super) fn new(most: u32) -> Self {
        Self { most, second: 0, written: 0, left_out: 0, addresses: Vec::new() }
    }

    /// A refusal of this address.
    pub(super) fn admit(&mut self, second: u64, address: Option<IpAddr>) -> Verdict {
        let untold = self.turn(second);
        let of_address = self.addresses.iter_mut().find(|(known, _)| *known == address);
        let share = self.most.div_ceil(4);
        if self.written >= self.most || of_address.as_ref().is_some_and(|(_, written)| *written >= share) {
            self.left_out += 1;
            return Verdict::LeaveOut { untold };
        }
        self.written += 1;
        match of_address {
            Some((_, written)) => *written += 1,
            None => self.addresses.push((address, 1)),
        }
        Verdict::Write { untold }
    }

    /// Another second may have begun. Gives how many were left out in the one before.
    pub(super) fn turn(&mut self, second: u64) -> u64 {
        // The clock may also have been set back.
        if second == self.second {
            return 0;
        }
        self.second = second;
        self.written = 0;
        self.addresses.clear();
        self.finish()
    }

    /// Gives how many were left out and have not been told.
    pub(super) fn finish(&mut self) -> u64 {
        std::mem::take(&mut self.left_out)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn address(number: u8) -> Option<IpAddr> {
        Some(IpAddr::from([192, 0, 2, number]))
    }

    #[test]
    fn refusals_of_one_second_are_bounded_and_the_rest_is_told_once() {
        let mut flood = Flood::new(8);
        let verdicts: Vec<_> = (0..100).map(|number| flood.admit(7, address(number))).collect();
        assert!(verdicts[..8].iter().all(|verdict| *verdict == Verdict::Write { untold: 0 }));
        assert!(verdicts[8..].iter().all(|verdict| *verdict == Verdict::LeaveOut { untold: 0 }));
        assert_eq!(flood.admit(8, address(1)), Verdict::Write { untold: 92 });
        assert_eq!(flood.admit(8, address(1)), Verdict::Write { untold: 0 });
        assert_eq!((flood.turn(9), flood.finish()), (0, 0));
    }

    #[test]
    fn one_address_leaves_room_for_others() {
        let mut flood = Flood::new(8);
        let written = |flood: &mut Flood, number| {
            (0..50).filter(|_| matches!(flood.admit(7, address(number)), Verdict::Write { .. })).count()
        };
        assert_eq!((written(&mut flood, 1), written(&mut flood, 2)), (2, 2));
        assert_eq!(flood.turn(8), 96);
    }

    #[test]
    fn a_clock_that_is_set_back_begins_a_new_second_and_none_at_all_writes_nothing() {
        let mut flood = Flood::new(1);
        assert_eq!(flood.admit(7, None), Verdict::Write { untold: 0 });
        assert_eq!(flood.admit(7, None), Verdict::LeaveOut { untold: 0 });
        assert_eq!(flood.admit(3, None), Verdict::Write { untold: 1 });
        let mut none = Flood::new(0);
        assert_eq!(none.admit(1, address(1)), Verdict::LeaveOut { untold: 0 });
        assert_eq!(none.finish(), 1);
    }
}
