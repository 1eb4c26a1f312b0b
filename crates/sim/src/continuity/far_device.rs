//! A device as they are in the field: it knows nothing of resuming, keeps its table of clients, and registers again.

use std::collections::BTreeMap;

use super::Continuity;
use super::book::SessionKey;
use super::line::{Down, Owner, Stage, Up};

#[derive(Debug)]
pub(super) struct FarDevice {
    number: usize,
    /// Its connection, while it has one.
    pub(super) line: Option<usize>,
    is_registered: bool,
    /// The `config` it has read last.
    pub(super) config: String,
    pub(super) clients: BTreeMap<u64, SessionKey>,
    /// How often it was gone for good, for a server: what that knew of its clients is forgotten.
    pub(super) lives: u64,
    /// Ids it was told are gone, and the server and the life in which it was: what it had sent before it read that is
    /// answered with the same again. Later nobody can know of it, and the client of that id may come back.
    gone: BTreeMap<u64, (SessionKey, (u64, u64))>,
}

impl FarDevice {
    pub(super) fn new(number: usize) -> Self {
        Self {
            number,
            line: None,
            is_registered: false,
            config: String::new(),
            lives: 0,
            clients: BTreeMap::new(),
            gone: BTreeMap::new(),
        }
    }
}

impl Continuity {
    pub(super) fn device_connects(&mut self, at: usize) {
        if self.devices[at].line.is_some() {
            return;
        }
        let line = self.open(Owner::Device(at));
        let device = &mut self.devices[at];
        device.line = Some(line);
        device.is_registered = false;
        let register = format!(r#"{{"message_type":"register","device_id":"d{}","device_info":1}}"#, device.number);
        self.lines[line].up.push_back(Up::Text(register));
    }

    /// For the server it is gone for good. Viewers that are attached hear of it; what was held for others is lost.
    pub(super) fn device_is_gone(&mut self, at: usize) {
        self.devices[at].lives += 1;
        for viewer in self.viewers.iter().filter(|viewer| viewer.device == at) {
            self.book.loses_all_down(viewer.session);
            self.book.may_be_reported(viewer.session);
        }
    }

    pub(super) fn device_sends(&mut self, at: usize) {
        let device = &self.devices[at];
        let Some(line) = device.line.filter(|_| device.is_registered && !device.clients.is_empty()) else { return };
        let chosen = self.dice.below(self.devices[at].clients.len());
        let Some((id, session)) = self.devices[at].clients.iter().nth(chosen) else { return };
        let (id, session) = (*id, *session);
        let number = self.book.sends_down(session);
        let more = self.some_length();
        let payload = format!(r#"{{"s":{session},"n":{number},"x":"{:more$}"}}"#, "");
        let text = format!(r#"{{"message_type":"forward","client_id":{id},"payload":{payload}}}"#);
        if let Stage::Ended(_) = self.lines[line].stage {
            // The server has given up on it already.
            return self.book.loses_down(session, number);
        }
        self.lines[line].up.push_back(Up::Text(text));
    }

    pub(super) fn device_reads(&mut self, at: usize) {
        let Some(line) = self.devices[at].line else { return };
        match self.lines[line].down.pop_front() {
            None => {}
            Some(Down::Text(text)) => self.device_reads_text(at, &text),
            Some(Down::Close) => {
                // It closes too, and sends nothing after that.
                self.lines[line].up.push_back(Up::Close);
                self.devices[at].line = None;
            }
        }
    }

    fn device_reads_text(&mut self, at: usize, text: &str) {
        let message: serde_json::Value = serde_json::from_str(text).expect("the server writes JSON");
        let (now, grace) = (self.now, self.registry.settings().client_grace);
        let device = &mut self.devices[at];
        let Some(process) = device.line.map(|line| self.lines[line].process) else { return };
        let id = message["client_id"].as_u64().unwrap_or_default();
        match message["message_type"].as_str() {
            Some("config") => (device.is_registered, device.config) = (true, text.to_owned()),
            Some("client_msg") => {
                let session = message["payload"]["s"].as_u64().expect("a session");
                let number = message["payload"]["n"].as_u64().expect("a number");
                if let Some((gone, life)) = device.gone.remove(&id) {
                    assert!(gone == session && life < (process, device.lives), "an id was used after it was gone");
                    self.book.is_back(session);
                }
                let known = *device.clients.entry(id).or_insert(session);
                assert_eq!(known, session, "a client id changed, or was used for a second client");
                self.book.device_reads(session, number, device.lives);
            }
            Some("client_disconnected") => match device.clients.remove(&id) {
                Some(session) => {
                    if self.not_expected.0.lock().contains(&id) {
                        self.book.may_be_reported(session);
                    }
                    device.gone.insert(id, (session, (process, device.lives)));
                    self.book.device_reads_gone(session, false, now, grace);
                }
                None => {
                    if let Some((session, told)) = device.gone.get_mut(&id) {
                        let life = (process, device.lives);
                        // A later server may have let the client come back, and it has left without a word.
                        if std::mem::replace(told, life) == life {
                            self.book.device_reads_gone(*session, true, now, grace);
                        }
                    }
                }
            },
            // Any error is a broken connection to it (protocol.md 3.1).
            _ => {
                if let Some(line) = device.line {
                    self.cut(line);
                }
            }
        }
    }
}
