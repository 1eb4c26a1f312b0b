//! What one sender owes: which messages are due, and which wait for their answer. Pure arithmetic.

use std::collections::VecDeque;

use tokio::time::Instant;

use crate::schedule::Schedule;

/// When a sender sends.
#[derive(Clone, Debug)]
pub(crate) enum Pace {
    /// Whenever fewer than so many are under way.
    Closed { in_flight: usize },
    /// At the moments of a plan. Only beyond so many under way, which no memory would hold, messages are held back; each
    /// keeps the time it was due.
    Open { schedule: Schedule, most: usize },
}

/// The account of a sender.
#[derive(Clone, Debug)]
pub(crate) struct Ledger {
    pace: Pace,
    is_closed: bool,
    /// When those under way were due.
    under_way: VecDeque<Instant>,
    /// The number of the next message.
    next: u64,
}

impl Ledger {
    pub(crate) fn new(pace: Pace) -> Self {
        Self { pace, is_closed: false, under_way: VecDeque::new(), next: 0 }
    }

    /// Takes the next message that is due: its number, and when it was due.
    pub(crate) fn take(&mut self, now: Instant) -> Option<(u64, Instant)> {
        if self.is_closed {
            return None;
        }
        let due = match &mut self.pace {
            Pace::Closed { in_flight } => (self.under_way.len() < *in_flight).then_some(now),
            Pace::Open { schedule, most } if self.under_way.len() < *most => schedule.take(now),
            Pace::Open { .. } => None,
        }?;
        let number = self.next;
        self.next += 1;
        self.under_way.push_back(due);
        Some((number, due))
    }

    /// When to look again, if no answer comes before. `None`: not before an answer comes.
    pub(crate) fn wake(&self) -> Option<Instant> {
        match &self.pace {
            Pace::Open { schedule, most } if self.under_way.len() < *most => Some(schedule.next()),
            Pace::Open { .. } | Pace::Closed { .. } => None,
        }
    }

    /// The number of the answer that must come next; it is that of `next` when nothing is under way.
    pub(crate) fn expected(&self) -> u64 {
        self.next - self.under_way.len() as u64
    }

    /// Takes the oldest message under way as answered, and says when it was due.
    pub(crate) fn answer(&mut self) -> Option<Instant> {
        self.under_way.pop_front()
    }

    /// How many are under way.
    pub(crate) fn under_way(&self) -> usize {
        self.under_way.len()
    }

    /// The sender is out: it owes nothing more.
    pub(crate) fn close(&mut self) {
        self.is_closed = true;
        self.under_way.clear();
    }

    /// When the messages were due that are not answered, or not even sent, of those due from `start` to `end`.
    pub(crate) fn owed(&self, start: Instant, end: Instant) -> Vec<Instant> {
        let mut unsent = match (&self.pace, self.is_closed) {
            (Pace::Open { schedule, .. }, false) => Some(schedule.clone()),
            (Pace::Open { .. } | Pace::Closed { .. }, _) => None,
        };
        let unsent = std::iter::from_fn(|| unsent.as_mut()?.take(end));
        self.under_way.iter().copied().chain(unsent).filter(|due| (start..=end).contains(due)).collect()
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;
    use crate::schedule::Arrivals;

    const STEP: Duration = Duration::from_millis(10);

    fn open(start: Instant, most: usize) -> Ledger {
        Ledger::new(Pace::Open { schedule: Schedule::new(start, STEP, Arrivals::Constant, 1), most })
    }

    #[test]
    fn the_closed_loop_waits_for_answers_and_the_open_one_does_not() {
        let start = Instant::now();
        let late = start + 9 * STEP;
        let mut closed = Ledger::new(Pace::Closed { in_flight: 2 });
        assert_eq!(std::iter::from_fn(|| closed.take(late)).count(), 2);
        assert_eq!((closed.wake(), closed.take(late)), (None, None));
        closed.answer();
        assert_eq!(closed.take(late), Some((2, late)));
        let mut open = open(start, 100);
        assert_eq!(std::iter::from_fn(|| open.take(late)).count(), 10);
        assert_eq!(open.wake(), Some(start + 10 * STEP));
    }

    #[test]
    fn what_was_held_back_counts_from_when_it_was_due() {
        let start = Instant::now();
        let mut ledger = open(start, 1);
        assert_eq!(ledger.take(start), Some((0, start)));
        let late = start + 9 * STEP;
        assert_eq!((ledger.take(late), ledger.wake()), (None, None));
        assert_eq!(ledger.answer(), Some(start));
        assert_eq!(ledger.take(late), Some((1, start + STEP)));
    }

    #[test]
    fn answers_come_in_order() {
        let start = Instant::now();
        let mut ledger = open(start, 100);
        assert_eq!(ledger.expected(), 0);
        ledger.take(start + STEP);
        ledger.take(start + STEP);
        assert_eq!((ledger.expected(), ledger.under_way()), (0, 2));
        assert_eq!(ledger.answer(), Some(start));
        assert_eq!(ledger.expected(), 1);
    }

    #[test]
    fn a_window_owes_what_is_under_way_and_what_was_not_even_sent() {
        let start = Instant::now();
        let mut ledger = open(start, 2);
        let end = start + 4 * STEP;
        ledger.take(end);
        ledger.take(end);
        ledger.answer();
        let owed = |ledger: &Ledger, from| -> Vec<u128> {
            ledger.owed(from, end).iter().map(|due| due.duration_since(start).as_millis()).collect()
        };
        assert_eq!(owed(&ledger, start), [10, 20, 30, 40]);
        assert_eq!(owed(&ledger, start + 3 * STEP), [30, 40], "what was due before is not of this window");
        ledger.close();
        assert!(ledger.owed(start, end).is_empty() && ledger.take(end).is_none());
    }
}
