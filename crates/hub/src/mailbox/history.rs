//! What was sent to a peer and may be asked for again. Source: protocol.md 2.6.

use std::collections::VecDeque;
use std::sync::Arc;

use super::ENTRY_BYTES;
use crate::settings::Bound;

/// The last forwards that a client was sent, bounded in frames and bytes.
#[derive(Debug)]
pub(super) struct History {
    pub(super) kept: VecDeque<Arc<str>>,
    /// The server's own that it must have had, and of which it is not known whether it has.
    pub(super) reports: VecDeque<String>,
    /// Of both.
    bytes: usize,
    bound: Bound,
    /// Forwards that were sent since counting began, those that are not kept any more included.
    sent: u32,
    /// Reports likewise.
    reported: u32,
    /// How often counting has begun anew.
    count: u32,
    /// A report is not kept any more, and it is not known whether the peer has had it.
    lost_report: bool,
}

impl History {
    pub(super) fn new(bound: Bound) -> Self {
        Self {
            kept: VecDeque::new(),
            reports: VecDeque::new(),
            bytes: 0,
            bound,
            sent: 0,
            reported: 0,
            count: 0,
            lost_report: false,
        }
    }

    /// What is kept takes so much.
    pub(super) fn held(&self) -> usize {
        self.bytes + (self.kept.len() + self.reports.len()) * ENTRY_BYTES
    }

    /// Forwards that were sent since counting began.
    pub(super) fn sent(&self) -> u32 {
        self.sent
    }

    /// How often counting has begun anew.
    pub(super) fn count(&self) -> u32 {
        self.count
    }

    /// Keeps a copy of what is sent now.
    pub(super) fn keep(&mut self, text: &str) {
        self.sent = self.sent.wrapping_add(1);
        self.bytes += text.len();
        self.kept.push_back(text.into());
        self.trim();
    }

    /// Keeps a report that is sent now.
    pub(super) fn keep_report(&mut self, text: &str) {
        self.reported = self.reported.wrapping_add(1);
        self.bytes += text.len();
        self.reports.push_back(text.to_owned());
        self.trim();
    }

    /// Keeps less. False if nothing is kept any more.
    pub(super) fn give_up_one(&mut self) -> bool {
        self.drop_first() || self.lose_report()
    }

    fn trim(&mut self) {
        let Bound { frames, bytes } = self.bound;
        while self.kept.len() > frames || (self.bytes > bytes && !self.kept.is_empty()) {
            self.drop_first();
        }
        while self.reports.len() > frames || (self.bytes > bytes && !self.reports.is_empty()) {
            self.lose_report();
        }
    }

    fn lose_report(&mut self) -> bool {
        let had_one = self.drop_report().is_some();
        self.lost_report |= had_one;
        had_one
    }

    /// Reports that the peer may not have had.
    pub(super) fn take_reports(&mut self) -> Vec<String> {
        let mut reports = Vec::with_capacity(self.reports.len());
        while let Some(text) = self.drop_report() {
            reports.push(text);
        }
        reports
    }

    /// Reports that were sent.
    pub(super) fn reported(&self) -> u32 {
        self.reported
    }

    /// The peer has had the first `received` of the reports.
    pub(super) fn confirm_reports(&mut self, received: u32) {
        let missing = self.reported.wrapping_sub(received) as usize;
        // One that says that it has had more than there were has said nothing.
        while missing < self.reports.len() && self.drop_report().is_some() {}
    }

    /// What came after the first `received`; nothing if that, and each report, is not there any more, or was never sent.
    pub(super) fn after(&mut self, received: u32) -> Option<Vec<Arc<str>>> {
        (self.confirm(received) && !self.lost_report).then(|| self.kept.iter().cloned().collect())
    }

    /// The peer has had the first `received`: they are not kept any longer. False if it can't have.
    pub(super) fn confirm(&mut self, received: u32) -> bool {
        let missing = self.sent.wrapping_sub(received) as usize;
        if missing > self.kept.len() {
            return false;
        }
        while self.kept.len() > missing {
            self.drop_first();
        }
        if self.kept.is_empty() {
            self.kept = VecDeque::new();
        }
        true
    }

    /// Counts from 0 again.
    pub(super) fn forget(&mut self) {
        *self = Self { count: self.count.wrapping_add(1), ..Self::new(self.bound) };
    }

    fn drop_report(&mut self) -> Option<String> {
        let text = self.reports.pop_front()?;
        self.bytes -= text.len();
        Some(text)
    }

    fn drop_first(&mut self) -> bool {
        let first = self.kept.pop_front();
        self.bytes -= first.as_ref().map_or(0, |text| text.len());
        first.is_some()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sent(texts: &[&str], bound: Bound) -> History {
        let mut history = History::new(bound);
        texts.iter().for_each(|text| history.keep(text));
        history
    }

    #[test]
    fn what_came_after_can_be_had_again_and_again() {
        let mut history = sent(&["a", "b", "c"], Bound { frames: 9, bytes: 99 });
        assert_eq!(history.after(1), Some(vec!["b".into(), "c".into()]));
        assert_eq!(history.after(1), Some(vec!["b".into(), "c".into()]));
        assert_eq!(history.after(3), Some(vec![]));
        assert_eq!((history.held(), history.sent()), (0, 3));
    }

    #[test]
    fn what_is_gone_or_was_never_sent_can_not_be_had() {
        let mut history = sent(&["a", "b", "c"], Bound { frames: 2, bytes: 99 });
        assert_eq!(history.after(0), None);
        assert_eq!(history.after(4), None);
        assert_eq!(history.after(1), Some(vec!["b".into(), "c".into()]));
        assert_eq!(history.after(0), None, "it was confirmed");
    }

    #[test]
    fn a_report_that_is_lost_is_said_to_be() {
        let mut history = sent(&["a"], Bound { frames: 2, bytes: 99 });
        (0..3).for_each(|_| history.keep_report("r"));
        assert_eq!(history.after(1), None);
        history.forget();
        assert_eq!(history.after(0), Some(vec![]));
    }

    #[test]
    fn it_is_bounded_in_bytes_too() {
        let mut history = sent(&["aaaa", "bbbb", "cc"], Bound { frames: 9, bytes: 6 });
        assert_eq!(history.held(), 6 + 2 * ENTRY_BYTES);
        assert_eq!(history.after(1), Some(vec!["bbbb".into(), "cc".into()]));
        history.keep("longer than all");
        assert_eq!((history.after(3), history.after(4)), (None, Some(vec![])));
    }
}
