//! A viewer that resumes its session, as protocol.md 2.6 says.

use super::book::SessionKey;
use super::line::{Down, Owner, Up};
use super::{Continuity, LARGE};

#[derive(Debug)]
pub(super) struct Viewer {
    pub(super) device: usize,
    pub(super) session: SessionKey,
    /// Its connection, while it has one.
    pub(super) line: Option<usize>,
    token: Option<String>,
    /// `device_msg` it has had since counting began.
    received: u64,
    /// The `config` it has read last.
    pub(super) config: String,
    /// What it has sent since counting began, and how many of them were written.
    sent: Vec<Sent>,
    written: usize,
    /// Whether it has read `device_info` on this connection.
    greeted: bool,
    /// The server said last that it stops, and nothing is lost: what comes next begins a new count.
    drained: Drained,
}

/// A message: its number, and how much longer it is than need be.
#[derive(Debug, Clone, Copy)]
struct Sent {
    number: u64,
    more: usize,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Drained {
    No,
    /// The close that follows has not been read.
    Told,
    /// No attempt was made since.
    Fresh,
    /// This connection is the first attempt.
    Trying,
}

impl Viewer {
    pub(super) fn new(device: usize, session: SessionKey) -> Self {
        Self {
            device,
            session,
            line: None,
            token: None,
            received: 0,
            config: String::new(),
            sent: Vec::new(),
            written: 0,
            greeted: false,
            drained: Drained::No,
        }
    }

    /// The session that it asks for; none if it asks for a new one.
    pub(super) fn resumes(&self) -> Option<SessionKey> {
        self.token.as_ref().map(|_| self.session)
    }

    /// Whether it has been attached since its server stopped.
    pub(super) fn is_back(&self) -> bool {
        self.drained == Drained::No
    }

    pub(super) fn is_attached(&self) -> bool {
        self.greeted && self.line.is_some()
    }
}

impl Continuity {
    /// Its connection is gone.
    pub(super) fn viewer_loses(&mut self, at: usize) {
        let viewer = &mut self.viewers[at];
        viewer.line = None;
        viewer.greeted = false;
        if viewer.drained != Drained::Fresh {
            viewer.drained = Drained::No;
        }
        self.book.is_away(viewer.session, Some(self.now));
    }

    pub(super) fn viewer_connects(&mut self, at: usize) {
        if self.viewers[at].line.is_some() {
            return;
        }
        let line = self.open(Owner::Viewer(at));
        let viewer = &mut self.viewers[at];
        viewer.line = Some(line);
        if viewer.drained == Drained::Fresh {
            viewer.drained = Drained::Trying;
        }
        let (device, received) = (viewer.device, viewer.received);
        let resume = match &viewer.token {
            None => "true".to_owned(),
            Some(token) => format!(r#""{token}","cuttlebone_received":{received}"#),
        };
        let connect = format!(r#"{{"message_type":"connect","device_id":"d{device}","cuttlebone_resume":{resume}}}"#);
        self.lines[line].up.push_back(Up::Text(connect));
    }

    pub(super) fn viewer_sends(&mut self, at: usize) {
        let more = self.some_length();
        let viewer = &mut self.viewers[at];
        let number = self.book.sends_up(viewer.session);
        if more == LARGE && viewer.device == 0 {
            // It may be refused.
            self.book.loses_up(viewer.session, number);
        }
        viewer.sent.push(Sent { number, more });
        self.viewer_writes(at);
    }

    /// Writes what is not written yet, if there is a connection for it.
    fn viewer_writes(&mut self, at: usize) {
        let viewer = &mut self.viewers[at];
        let Some(line) = viewer.line.filter(|_| viewer.greeted) else { return };
        for Sent { number, more } in viewer.sent.iter().skip(viewer.written) {
            let session = viewer.session;
            let payload = format!(r#"{{"s":{session},"n":{number},"x":"{:more$}"}}"#, "");
            let text = format!(r#"{{"message_type":"forward","payload":{payload}}}"#);
            self.lines[line].up.push_back(Up::Text(text));
        }
        viewer.written = viewer.sent.len();
    }

    /// A clean close: the session is over.
    pub(super) fn viewer_leaves(&mut self, at: usize) {
        let viewer = &mut self.viewers[at];
        let Some(line) = viewer.line.filter(|_| viewer.greeted) else { return };
        self.lines[line].up.push_back(Up::Close);
        self.begin_anew(at);
    }

    fn begin_anew(&mut self, at: usize) {
        self.book.is_given_up(self.viewers[at].session);
        let device = self.viewers[at].device;
        self.viewers[at] = Viewer::new(device, self.book.begin(device));
    }

    pub(super) fn viewer_reads(&mut self, at: usize) {
        let Some(line) = self.viewers[at].line else { return };
        match self.lines[line].down.pop_front() {
            None => {}
            Some(Down::Text(text)) => self.viewer_reads_text(at, &text),
            Some(Down::Close) => {
                let viewer = &mut self.viewers[at];
                if viewer.drained == Drained::Told {
                    viewer.drained = Drained::Fresh;
                }
                self.lines[line].is_cut = true;
                self.viewer_loses(at);
            }
        }
    }

    fn viewer_reads_text(&mut self, at: usize, text: &str) {
        let message: serde_json::Value = serde_json::from_str(text).expect("the server writes JSON");
        let count = message["cuttlebone_received"].as_u64();
        match message["message_type"].as_str() {
            Some("config") => self.viewers[at].config = text.to_owned(),
            Some("device_info") => {
                self.viewers[at].token = message["cuttlebone_resume"].as_str().map(ToOwned::to_owned);
                self.viewer_is_greeted(at, count);
            }
            Some("device_msg") => {
                self.viewers[at].received += 1;
                let payload = &message["payload"];
                let session = self.viewers[at].session;
                assert_eq!(payload["s"].as_u64(), Some(session), "a message for another client");
                self.book.viewer_reads(session, payload["n"].as_u64().expect("a number"));
            }
            Some("cuttlebone_draining") => self.viewer_is_drained(at, count.expect("a count")),
            // One of its messages was too large for its device; the session goes on.
            _ if message["cuttlebone_code"] == "too_large_for_device" => {}
            _ => {
                assert!(message["error"].is_string(), "a message without a type is an error: {text}");
                // The session is over, whatever it says.
                if let Some(line) = self.viewers[at].line {
                    self.lines[line].is_cut = true;
                }
                self.begin_anew(at);
            }
        }
    }

    fn viewer_is_greeted(&mut self, at: usize, count: Option<u64>) {
        let viewer = &mut self.viewers[at];
        match count {
            Some(taken) => {
                viewer.written = usize::try_from(taken).expect("few");
                assert!(viewer.written <= viewer.sent.len(), "more was taken than was sent");
            }
            // A new count.
            None => {
                viewer.sent.drain(..viewer.written);
                let unsent = viewer.sent.len() as u64;
                (viewer.written, viewer.received) = (0, 0);
                if viewer.drained != Drained::Trying {
                    self.book.is_told(viewer.session, unsent);
                }
            }
        }
        let viewer = &mut self.viewers[at];
        (viewer.greeted, viewer.drained) = (true, Drained::No);
        // On a server that stops it is on its way to the next already.
        if viewer.line.is_none_or(|line| !self.lines[line].is_stopped) {
            self.book.is_away(viewer.session, None);
        }
        self.viewer_writes(at);
    }

    /// Nothing is under way any more; what was not taken is to be sent again.
    fn viewer_is_drained(&mut self, at: usize, taken: u64) {
        let viewer = &mut self.viewers[at];
        viewer.sent.drain(..usize::try_from(taken).expect("few"));
        (viewer.written, viewer.received) = (0, 0);
        viewer.greeted = false;
        viewer.drained = Drained::Told;
    }
}
