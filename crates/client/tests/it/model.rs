//! A server that resumes clients and forgets nothing: what the client's promises are measured against.
//!
//! It has one client and what its device says is written down before. A restart begins another process: what that has
//! taken and sent is counted from 0.

use std::ops::ControlFlow;

use serde_json::Value;
use tokio::sync::watch;

use crate::fake::{CONFIG, FakeServer, Peer, device_msg, draining, session};

/// The device's messages are numbered from 1, and so are the client's.
pub(crate) struct Model {
    server: FakeServer,
    /// How many messages the device sends; half of them before a restart.
    says: usize,
    /// Restart when so many forwards were taken.
    restart_at: Option<usize>,
    /// The numbers of the forwards that were taken.
    pub(crate) taken: Vec<usize>,
    /// The last of them.
    last_taken: watch::Sender<usize>,
    /// How many sessions have begun.
    pub(crate) sessions: usize,
    /// How many times it has restarted.
    pub(crate) process: usize,
    /// What the present process counts from.
    taken_before: usize,
    sent_before: usize,
    sent: usize,
}

impl Model {
    pub(crate) fn new(server: FakeServer, says: usize, restart_at: Option<usize>) -> Self {
        Self {
            server,
            says,
            restart_at,
            taken: Vec::new(),
            last_taken: watch::Sender::new(0),
            sessions: 0,
            process: 0,
            taken_before: 0,
            sent_before: 0,
            sent: 0,
        }
    }

    /// To be asked for the number of the last forward that was taken.
    pub(crate) fn last_taken(&self) -> watch::Receiver<usize> {
        self.last_taken.subscribe()
    }

    /// Serves one connection after the other.
    pub(crate) async fn run(&mut self) {
        loop {
            if let Some(mut peer) = self.server.try_accept().await {
                // However it ends, another may come.
                let _ = self.serve(&mut peer).await;
            }
        }
    }

    /// `None` when the connection breaks.
    async fn serve(&mut self, peer: &mut Peer) -> Option<()> {
        let greeting = peer.next().await?;
        let greeting: Value = serde_json::from_str(greeting.as_text()?).expect("JSON");
        let counts = self.begin(&greeting);
        let token = format!("process {}", self.process);
        self.write(peer, CONFIG).await?;
        self.write(peer, &session(&token, counts)).await?;
        loop {
            // Both at once, and neither first: a client must not depend on it.
            tokio::select! {
                message = peer.next() => {
                    let message = message?;
                    if message.is_close() {
                        return Some(());
                    }
                    if self.take(message.as_text()?).is_break() {
                        return self.restart(peer).await;
                    }
                }
                () = tokio::task::yield_now(), if self.sent < self.may_send() => {
                    self.sent += 1;
                    let text = device_msg(self.sent);
                    self.write(peer, &text).await?;
                }
            }
        }
    }

    fn may_send(&self) -> usize {
        if self.restart_at.is_some() && self.process == 0 { self.says / 2 } else { self.says }
    }

    /// What the next `device_info` says about counts.
    fn begin(&mut self, greeting: &Value) -> Option<usize> {
        let Some(token) = greeting["cuttlebone_resume"].as_str() else {
            assert_eq!(greeting["cuttlebone_resume"], Value::Bool(true));
            self.sessions += 1;
            self.taken.clear();
            (self.taken_before, self.sent_before, self.sent) = (0, 0, 0);
            return None;
        };
        if token != format!("process {}", self.process) {
            // What this process has sent already is gone with the connection that it was sent on. Not the last message, which
            // ends the exchange.
            self.sent = self.sent.min(self.says - 1);
            (self.taken_before, self.sent_before) = (self.taken.len(), self.sent);
            return None;
        }
        let received = greeting["cuttlebone_received"].as_u64().expect("a number");
        self.sent = self.sent_before + usize::try_from(received).expect("small");
        Some(self.taken.len() - self.taken_before)
    }

    fn take(&mut self, text: &str) -> ControlFlow<()> {
        let forward: Value = serde_json::from_str(text).expect("JSON");
        let number = usize::try_from(forward["payload"].as_u64().expect("a number")).expect("small");
        self.taken.push(number);
        self.last_taken.send_replace(number);
        match self.restart_at {
            Some(n) if self.taken.len() == n && self.process == 0 => ControlFlow::Break(()),
            _ => ControlFlow::Continue(()),
        }
    }

    /// Says so, takes nothing more, and begins again with nothing but the knowledge of what was said.
    async fn restart(&mut self, peer: &mut Peer) -> Option<()> {
        let last = draining(self.taken.len() - self.taken_before);
        self.process += 1;
        (self.taken_before, self.sent_before) = (self.taken.len(), self.sent);
        self.write(peer, &last).await?;
        peer.try_close(1012).await;
        while peer.next().await.is_some() {}
        None
    }

    async fn write(&mut self, peer: &mut Peer, text: &str) -> Option<()> {
        peer.try_send(text).await.then_some(())
    }
}
