//! What a client remembers, so that a broken connection costs nothing (protocol.md 2.6). Pure: no clock, no I/O.
//!
//! Called by the client role. Invariants:
//!
//! 1. A forward that is written is counted and kept; what is over the bounds is forgotten, the oldest first.
//! 2. A `device_msg` is counted when it is read.
//! 3. Counts, what is kept and the token belong to one session. A new session begins all of them anew.

use std::collections::VecDeque;

/// How much a client keeps, in case the server asks for it again. What does not fit may be lost with a connection, and
/// then [`ClientEvent::Resumed`](crate::ClientEvent::Resumed) says so.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Resume {
    /// The number of messages (256).
    pub messages: usize,
    /// Their bytes, all together (1 MiB).
    pub bytes: usize,
}

impl Default for Resume {
    fn default() -> Self {
        Self { messages: 256, bytes: 1024 * 1024 }
    }
}

/// What the next `connect` says about resuming.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Ask<'a> {
    Nothing,
    New,
    Session { token: &'a str, received: u64 },
}

/// What a `device_info` begins.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Beginning {
    New,
    /// The session goes on. Not `complete`: messages in either direction may be lost.
    Resumed {
        complete: bool,
    },
}

/// The server says that it took more than was sent, or less than it had taken before.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Impossible;

/// The memory of one client.
#[derive(Debug)]
pub(crate) struct Memory {
    /// `None`: sessions are not resumed.
    bounds: Option<Resume>,
    token: Option<String>,
    /// How many `device_msg` were read.
    received: u64,
    /// How many forwards were written. The last of them are in `kept`.
    sent: u64,
    kept: VecDeque<String>,
    bytes: usize,
    /// How many forwards the server had taken when it said that it is about to restart.
    drained: Option<u64>,
    /// How many times the session was asked for since the last answer.
    asked: u32,
}

impl Memory {
    pub(crate) fn new(bounds: Option<Resume>) -> Self {
        Self { bounds, token: None, received: 0, sent: 0, kept: VecDeque::new(), bytes: 0, drained: None, asked: 0 }
    }

    /// A forward is written for the first time.
    pub(crate) fn on_forward(&mut self, text: &str) {
        let (Some(bounds), Some(_)) = (&self.bounds, &self.token) else { return };
        self.sent += 1;
        self.bytes += text.len();
        self.kept.push_back(text.to_owned());
        while self.kept.len() > bounds.messages || self.bytes > bounds.bytes {
            let forgotten = self.kept.pop_front();
            self.bytes -= forgotten.map_or(0, |text| text.len());
        }
    }

    /// A `device_msg` was read.
    pub(crate) fn on_device_message(&mut self) {
        self.received += 1;
    }

    /// The server is about to restart and has taken so many forwards.
    pub(crate) fn on_draining(&mut self, taken: u64) -> Result<(), Impossible> {
        if self.token.is_some() {
            self.not_more_than_sent(taken)?;
            self.drained = Some(taken);
        }
        Ok(())
    }

    /// `device_info` has come, with what it says about resuming. After a planned restart nothing is lost, though the next
    /// process does not know the counts. But if that was asked before and its answer did not arrive, what it sent after the
    /// answer may not have arrived either. After [`Beginning::Resumed`], what [`Memory::kept`] gives
    /// has to be written again, before anything else.
    pub(crate) fn on_device_info(
        &mut self,
        token: Option<String>,
        taken: Option<u64>,
    ) -> Result<Beginning, Impossible> {
        let drained = self.drained.take();
        let is_first_answer = std::mem::take(&mut self.asked) == 1;
        let was_asked = self.token.is_some();
        self.token = token.filter(|_| self.bounds.is_some());
        if !was_asked || self.token.is_none() {
            self.forget();
            return Ok(Beginning::New);
        }
        if taken.zip(drained).is_some_and(|(taken, before)| taken < before) {
            return Err(Impossible);
        }
        let complete = match taken.or(drained) {
            Some(known) => self.forget_taken(known)? && (taken.is_some() || is_first_answer),
            None => {
                self.forget();
                false
            }
        };
        if taken.is_none() {
            // Another process: it has heard of nothing yet.
            self.sent = self.kept.len() as u64;
            self.received = 0;
        }
        Ok(Beginning::Resumed { complete })
    }

    /// The session is over: the next one is new.
    pub(crate) fn on_over(&mut self) {
        self.token = None;
        self.drained = None;
        self.asked = 0;
        self.forget();
    }

    /// What to say when connecting. It counts as said.
    pub(crate) fn ask(&mut self) -> Ask<'_> {
        self.asked = self.asked.saturating_add(1);
        match (&self.bounds, &self.token) {
            (None, _) => Ask::Nothing,
            (Some(_), None) => Ask::New,
            (Some(_), Some(token)) => Ask::Session { token, received: self.received },
        }
    }

    /// Whether there is a session to resume.
    pub(crate) fn is_resumable(&self) -> bool {
        self.token.is_some()
    }

    /// What was written and may not have been taken, the oldest first.
    pub(crate) fn kept(&self) -> impl Iterator<Item = &str> {
        self.kept.iter().map(String::as_str)
    }

    /// Forgets what the server has taken. Whether all the rest is still kept; it is counted anew from `taken`.
    fn forget_taken(&mut self, taken: u64) -> Result<bool, Impossible> {
        let rest = self.not_more_than_sent(taken)?;
        while self.kept.len() as u64 > rest {
            let forgotten = self.kept.pop_front();
            self.bytes -= forgotten.map_or(0, |text| text.len());
        }
        let kept = self.kept.len() as u64;
        self.sent = taken + kept;
        Ok(kept == rest)
    }

    /// How many of those sent the server has not taken.
    fn not_more_than_sent(&self, taken: u64) -> Result<u64, Impossible> {
        self.sent.checked_sub(taken).ok_or(Impossible)
    }

    fn forget(&mut self) {
        (self.received, self.sent, self.bytes) = (0, 0, 0);
        self.kept.clear();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A client in a session that can be resumed, with these forwards written.
    fn memory(bounds: Resume, forwards: &[&str]) -> Memory {
        let mut memory = Memory::new(Some(bounds));
        assert_eq!(memory.on_device_info(Some("first".into()), None), Ok(Beginning::New));
        forwards.iter().for_each(|text| memory.on_forward(text));
        memory
    }

    /// Asks, and is answered.
    fn resume(memory: &mut Memory, taken: Option<u64>) -> (Beginning, Vec<&str>) {
        memory.ask();
        let beginning = memory.on_device_info(Some("next".into()), taken).unwrap();
        (beginning, memory.kept().collect())
    }

    const COMPLETE: Beginning = Beginning::Resumed { complete: true };
    const LOSSY: Beginning = Beginning::Resumed { complete: false };

    #[test]
    fn what_was_not_taken_is_written_again() {
        let mut memory = memory(Resume::default(), &["1", "2", "3"]);
        memory.on_device_message();
        assert_eq!(memory.ask(), Ask::Session { token: "first", received: 1 });
        assert_eq!(resume(&mut memory, Some(1)), (COMPLETE, vec!["2", "3"]));
        memory.on_forward("4");
        assert_eq!(memory.ask(), Ask::Session { token: "next", received: 1 });
        assert_eq!(resume(&mut memory, Some(3)), (COMPLETE, vec!["4"]));
        assert_eq!(resume(&mut memory, Some(4)), (COMPLETE, vec![]));
    }

    #[test]
    fn what_is_over_the_bounds_may_be_lost_and_is_counted_as_if_never_sent() {
        for bounds in [Resume { messages: 2, ..Resume::default() }, Resume { bytes: 2, ..Resume::default() }] {
            let mut memory = memory(bounds, &["1", "2", "3"]);
            assert_eq!(resume(&mut memory, Some(0)), (LOSSY, vec!["2", "3"]));
            // The server takes one of the two.
            assert_eq!(resume(&mut memory, Some(1)), (COMPLETE, vec!["3"]));
        }
    }

    #[test]
    fn what_is_over_the_bounds_by_itself_is_not_kept() {
        let mut memory = memory(Resume { bytes: 2, ..Resume::default() }, &["1", "long"]);
        assert_eq!(resume(&mut memory, Some(0)), (LOSSY, vec![]));
        memory.on_forward("2");
        assert_eq!(resume(&mut memory, Some(0)), (COMPLETE, vec!["2"]));
    }

    #[test]
    fn without_counts_both_count_anew_and_nothing_is_written_twice() {
        let mut memory = memory(Resume::default(), &["1", "2"]);
        memory.on_device_message();
        assert_eq!(resume(&mut memory, None), (LOSSY, vec![]));
        assert_eq!(memory.ask(), Ask::Session { token: "next", received: 0 });
        memory.on_forward("3");
        assert_eq!(resume(&mut memory, Some(0)), (COMPLETE, vec!["3"]));
    }

    #[test]
    fn planned_restart_loses_nothing_though_both_count_anew() {
        let mut memory = memory(Resume::default(), &["1", "2", "3"]);
        memory.on_device_message();
        assert_eq!(memory.on_draining(2), Ok(()));
        assert_eq!(resume(&mut memory, None), (COMPLETE, vec!["3"]));
        assert_eq!(memory.ask(), Ask::Session { token: "next", received: 0 });
        assert_eq!(resume(&mut memory, Some(1)), (COMPLETE, vec![]));
        // That restart is over: the next loss of the counts is not planned.
        assert_eq!(resume(&mut memory, None), (LOSSY, vec![]));
    }

    #[test]
    fn planned_restart_may_lose_when_the_first_to_be_asked_did_not_answer() {
        for (unanswered, expected) in [(0, COMPLETE), (1, LOSSY), (2, LOSSY)] {
            let mut memory = memory(Resume::default(), &["1", "2"]);
            assert_eq!(memory.on_draining(1), Ok(()));
            for _ in 0..unanswered {
                memory.ask();
            }
            // Nothing was written to those that did not answer.
            assert_eq!(resume(&mut memory, None), (expected, vec!["2"]));
            // The next restart is another.
            assert_eq!(memory.on_draining(0), Ok(()));
            assert_eq!(resume(&mut memory, None), (COMPLETE, vec!["2"]));
        }
    }

    #[test]
    fn counts_settle_how_often_it_was_asked() {
        let mut memory = memory(Resume::default(), &["1", "2"]);
        assert_eq!(memory.on_draining(1), Ok(()));
        memory.ask();
        assert_eq!(resume(&mut memory, Some(1)), (COMPLETE, vec!["2"]));
    }

    #[test]
    fn count_of_the_next_session_counts_more_than_that_of_the_draining_one() {
        let mut memory = memory(Resume::default(), &["1", "2", "3"]);
        memory.on_device_message();
        assert_eq!(memory.on_draining(1), Ok(()));
        assert_eq!(resume(&mut memory, Some(2)), (COMPLETE, vec!["3"]));
        assert_eq!(memory.ask(), Ask::Session { token: "next", received: 1 });
    }

    #[test]
    fn planned_restart_that_asks_for_more_than_is_kept_may_lose() {
        let mut memory = memory(Resume { messages: 1, ..Resume::default() }, &["1", "2", "3"]);
        assert_eq!(memory.on_draining(1), Ok(()));
        assert_eq!(resume(&mut memory, None), (LOSSY, vec!["3"]));
    }

    #[test]
    fn without_a_token_there_is_nothing_to_resume() {
        let mut memory = memory(Resume::default(), &["1"]);
        assert_eq!(memory.on_device_info(None, Some(0)), Ok(Beginning::New));
        assert!(!memory.is_resumable());
        memory.on_forward("2");
        assert_eq!(memory.kept().count(), 0);
        assert_eq!(memory.ask(), Ask::New);
    }

    #[test]
    fn session_that_is_over_leaves_nothing_behind() {
        let mut memory = memory(Resume::default(), &["1"]);
        memory.on_device_message();
        memory.on_draining(0).unwrap();
        memory.on_over();
        assert_eq!(memory.ask(), Ask::New);
        assert_eq!(memory.on_device_info(Some("second".into()), None), Ok(Beginning::New));
        assert_eq!(memory.ask(), Ask::Session { token: "second", received: 0 });
        assert_eq!(memory.kept().count(), 0);
    }

    #[test]
    fn nothing_is_asked_for_when_it_is_off() {
        let mut memory = Memory::new(None);
        assert_eq!(memory.on_device_info(Some("unasked".into()), None), Ok(Beginning::New));
        memory.on_forward("1");
        assert_eq!(memory.ask(), Ask::Nothing);
        assert_eq!(memory.kept().count(), 0);
    }

    #[test]
    fn server_whose_counts_do_not_fit_is_not_believed() {
        assert_eq!(memory(Resume::default(), &["1"]).on_draining(2), Err(Impossible));
        assert_eq!(memory(Resume::default(), &["1"]).on_device_info(Some("x".into()), Some(2)), Err(Impossible));
        let mut drained = memory(Resume::default(), &["1"]);
        drained.on_draining(1).unwrap();
        assert_eq!(drained.on_device_info(Some("x".into()), Some(0)), Err(Impossible));
    }
}
