//! What a client keeps so that it can resume its session (section 2.6 of the protocol). No I/O.
//!
//! Written from the protocol, and not with the memory of `cuttlebone-client`: what measures whether something is lost must not
//! share the mistake that loses it.
//!
//! 1. Both sides count from 0: the client its `forward` and the `device_msg` it has had, the server the other way round.
//! 2. What was sent is kept, within bounds, until the server says that it took it.
//! 3. Where counts are gone, both sides count from 0 again, and what was under way may be lost. Only after a planned end,
//!    when the server's last message told its count, nothing is.

use std::collections::VecDeque;

use bytes::Bytes;

use crate::fault::Fault;

/// Forwards that are kept, and their bytes.
const MOST_KEPT: usize = 256;
const MOST_BYTES: usize = 1 << 20;

/// A client's session, over all its connections.
#[derive(Clone, Debug, Default)]
pub(crate) struct Resume {
    token: Option<String>,
    /// `device_msg` that came since both sides began to count.
    received: u64,
    /// Forwards that were sent since then.
    sent: u64,
    /// The last of them.
    kept: VecDeque<Bytes>,
    kept_bytes: usize,
    /// How many forwards the server took, by its last message before a planned end.
    drained: Option<u64>,
}

/// What a greeting means.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Welcome {
    /// A new session: the first one, or the server knows nothing of resuming.
    New,
    /// The old one; nothing is lost unless `gap` forwards were not kept long enough.
    Resumed { gap: u64 },
    /// The old one on another server, which knows what was taken: nothing is lost unless `gap` forwards were not kept.
    HandedOver { gap: u64 },
    /// The old one, but what was under way may be lost.
    Recounted,
}

impl Resume {
    /// The first message of a connection.
    pub(crate) fn connect(&self, device_id: &str) -> String {
        let id = serde_json::Value::from(device_id);
        let head = format!(r#"{{"message_type":"connect","device_id":{id},"cuttlebone_resume":"#);
        match &self.token {
            None => head + "true}",
            Some(token) => {
                let (token, received) = (serde_json::Value::from(token.as_str()), self.received);
                format!(r#"{head}{token},"cuttlebone_received":{received}}}"#)
            }
        }
    }

    /// A payload is sent for the first time.
    pub(crate) fn on_sent(&mut self, payload: Bytes) {
        self.sent += 1;
        self.kept_bytes += payload.len();
        self.kept.push_back(payload);
        while self.kept.len() > MOST_KEPT || self.kept_bytes > MOST_BYTES {
            self.drop_first();
        }
    }

    /// A `device_msg` has come.
    pub(crate) fn on_received(&mut self) {
        self.received += 1;
    }

    /// The server has told that it will end, and how many forwards it took.
    pub(crate) fn on_draining(&mut self, taken: u64) {
        self.drained = Some(taken);
    }

    /// The session can't be resumed: the next connection begins a new one.
    pub(crate) fn give_up(&mut self) {
        *self = Self::default();
    }

    /// `device_info` has come, with this token and this count. What is kept now is to be sent again, before anything new.
    ///
    /// # Errors
    /// When the server counts more than was sent.
    pub(crate) fn greet(&mut self, token: Option<String>, received: Option<u64>) -> Result<Welcome, Fault> {
        let was_there = self.token.is_some();
        let drained = self.drained.take();
        let Some(token) = token else {
            self.give_up();
            return Ok(Welcome::New);
        };
        self.token = Some(token);
        match (received, drained) {
            _ if !was_there => {
                self.count_anew();
                self.forget_all();
                Ok(Welcome::New)
            }
            (Some(taken), _) => Ok(Welcome::Resumed { gap: self.forget_taken(taken)? }),
            (None, Some(taken)) => {
                let gap = self.forget_taken(taken)?;
                self.count_anew();
                self.sent = self.kept.len() as u64;
                Ok(Welcome::HandedOver { gap })
            }
            (None, None) => {
                self.count_anew();
                self.forget_all();
                Ok(Welcome::Recounted)
            }
        }
    }

    /// What is to be sent again after a greeting.
    pub(crate) fn kept(&self) -> impl Iterator<Item = &Bytes> {
        self.kept.iter()
    }

    /// Forgets what the server has; how many it has not and are not kept either.
    fn forget_taken(&mut self, taken: u64) -> Result<u64, Fault> {
        if taken > self.sent {
            return Err(Fault::Protocol(format!("the server counts {taken} forwards of {}", self.sent)));
        }
        let missing = self.sent - taken;
        while self.kept.len() as u64 > missing {
            self.drop_first();
        }
        Ok(missing - self.kept.len() as u64)
    }

    fn drop_first(&mut self) {
        if let Some(payload) = self.kept.pop_front() {
            self.kept_bytes -= payload.len();
        }
    }

    fn forget_all(&mut self) {
        self.kept.clear();
        self.kept_bytes = 0;
    }

    fn count_anew(&mut self) {
        self.received = 0;
        self.sent = 0;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A session of the token `t`, with so many sent and received.
    fn session(sent: u64, received: u64) -> Resume {
        let mut resume = Resume::default();
        assert_eq!(resume.greet(Some("t".into()), None).unwrap(), Welcome::New);
        (0..sent).for_each(|n| resume.on_sent(n.to_string().into()));
        (0..received).for_each(|_| resume.on_received());
        resume
    }

    fn kept(resume: &Resume) -> Vec<&str> {
        resume.kept().map(|payload| std::str::from_utf8(payload).unwrap()).collect()
    }

    #[test]
    fn the_first_message_asks_and_the_next_ones_resume() {
        let first = Resume::default().connect("d\"");
        assert_eq!(first, r#"{"message_type":"connect","device_id":"d\"","cuttlebone_resume":true}"#);
        let next = session(3, 2).connect("d");
        let expected = r#"{"message_type":"connect","device_id":"d","cuttlebone_resume":"t","cuttlebone_received":2}"#;
        assert_eq!(next, expected);
    }

    #[test]
    fn what_the_server_did_not_take_is_sent_again_and_the_counts_go_on() {
        let mut resume = session(5, 2);
        assert_eq!(resume.greet(Some("u".into()), Some(3)).unwrap(), Welcome::Resumed { gap: 0 });
        assert_eq!(kept(&resume), ["3", "4"]);
        assert!(resume.connect("d").contains(r#""u","cuttlebone_received":2"#));
        assert_eq!(resume.greet(Some("v".into()), Some(5)).unwrap(), Welcome::Resumed { gap: 0 });
        assert_eq!(kept(&resume), [""; 0]);
    }

    #[test]
    fn without_counts_both_begin_at_zero_and_what_was_under_way_is_given_up() {
        let mut resume = session(5, 2);
        assert_eq!(resume.greet(Some("u".into()), None).unwrap(), Welcome::Recounted);
        assert_eq!(kept(&resume), [""; 0]);
        assert!(resume.connect("d").contains(r#""cuttlebone_received":0"#));
        resume.on_sent("a".into());
        assert_eq!(resume.greet(Some("v".into()), Some(0)).unwrap(), Welcome::Resumed { gap: 0 });
        assert_eq!(kept(&resume), ["a"]);
    }

    #[test]
    fn a_planned_end_hands_over_by_the_count_of_the_last_message() {
        let mut resume = session(5, 2);
        resume.on_draining(3);
        assert_eq!(resume.greet(Some("u".into()), None).unwrap(), Welcome::HandedOver { gap: 0 });
        assert_eq!(kept(&resume), ["3", "4"]);
        // Both count from 0 again; what was sent again is counted.
        assert!(resume.connect("d").contains(r#""cuttlebone_received":0"#));
        assert_eq!(resume.greet(Some("v".into()), Some(1)).unwrap(), Welcome::Resumed { gap: 0 });
        assert_eq!(kept(&resume), ["4"]);
    }

    #[test]
    fn a_count_in_the_greeting_counts_more_than_that_of_the_last_message() {
        let mut resume = session(5, 2);
        resume.on_draining(3);
        assert_eq!(resume.greet(Some("u".into()), Some(4)).unwrap(), Welcome::Resumed { gap: 0 });
        assert_eq!(kept(&resume), ["4"]);
        assert_eq!(resume.greet(Some("v".into()), None).unwrap(), Welcome::Recounted, "the last message is used up");
    }

    #[test]
    fn what_is_kept_is_bounded_and_a_gap_is_told() {
        let mut resume = session(MOST_KEPT as u64 + 10, 0);
        assert_eq!(resume.kept().count(), MOST_KEPT);
        assert_eq!(resume.greet(Some("u".into()), Some(4)).unwrap(), Welcome::Resumed { gap: 6 });
        let mut resume = session(0, 0);
        (0..3).for_each(|_| resume.on_sent(vec![b'1'; MOST_BYTES / 2].into()));
        assert_eq!(resume.kept().count(), 2);
    }

    #[test]
    fn a_server_without_the_extension_gives_new_sessions() {
        let mut resume = Resume::default();
        assert_eq!(resume.greet(None, None).unwrap(), Welcome::New);
        resume.on_sent("a".into());
        assert!(resume.connect("d").contains("\"cuttlebone_resume\":true"));
        assert_eq!(resume.greet(None, None).unwrap(), Welcome::New);
        assert_eq!(resume.kept().count(), 0);
    }

    #[test]
    fn a_session_that_is_over_is_begun_anew_and_wrong_counts_are_seen() {
        let mut resume = session(5, 2);
        assert_eq!(resume.greet(Some("u".into()), Some(6)).unwrap_err().kind(), "protocol");
        resume.give_up();
        assert!(resume.connect("d").contains("\"cuttlebone_resume\":true"));
    }
}
