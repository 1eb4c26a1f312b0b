//! A client that resumes its session whenever its connection breaks.

use std::sync::Arc;

use bytes::Bytes;
use tokio::sync::watch;
use tokio::time::{Instant, sleep, timeout};
use tokio_util::sync::CancellationToken;

use super::DRAIN;
use super::board::Board;
use crate::backoff::Backoff;
use crate::fault::Fault;
use crate::link::Link;
use crate::link::dial::Dial;
use crate::link::ws::{Heard, WsLink};
use crate::load::PATIENCE;
use crate::resume::Resume;
use crate::sample::Sample;
use crate::schedule::Schedule;
use crate::timer::Timer;

pub(super) struct Client {
    pub(super) number: usize,
    pub(super) device_id: String,
    pub(super) dial: Dial,
    pub(super) board: Arc<Board>,
    pub(super) timer: Timer,
    pub(super) sample: Sample,
    pub(super) schedule: Schedule,
    pub(super) cut: watch::Receiver<u64>,
    pub(super) stop: CancellationToken,
    pub(super) resume: Resume,
    /// Messages sent so far.
    pub(super) sent: u64,
}

/// How a connection ended.
enum End {
    Stopped,
    CutByUs,
    Broke(Fault),
}

impl Client {
    pub(super) async fn run(mut self) {
        let stop = self.stop.clone();
        let mut backoff = Backoff::new(self.number as u64);
        let mut is_first = true;
        while let Some(result) = stop.run_until_cancelled(self.connect(is_first)).await {
            match result {
                Ok(mut link) => {
                    backoff.reset();
                    is_first = false;
                    match self.talk(&mut link).await {
                        End::Stopped => return self.say_goodbye(link).await,
                        End::CutByUs => {
                            self.board.client_broke(self.number, None);
                            continue;
                        }
                        End::Broke(fault) => self.board.client_broke(self.number, Some(&fault)),
                    }
                }
                Err(fault) => {
                    let is_over = fault.kind() == "error_cannot_resume";
                    self.board.heard_of(&fault);
                    if is_over {
                        self.resume.give_up();
                        continue;
                    }
                    stop.run_until_cancelled(sleep(backoff.pause())).await;
                }
            }
        }
    }

    async fn connect(&mut self, is_first: bool) -> Result<WsLink, Fault> {
        let greeted = WsLink::greeted(&self.dial, self.resume.connect(&self.device_id));
        let greeted = timeout(PATIENCE, greeted).await.unwrap_or(Err(Fault::Unanswered(1)));
        let (mut link, token, received) = greeted?;
        let welcome = self.resume.greet(token, received).inspect_err(|fault| self.board.fault(fault))?;
        for payload in self.resume.kept() {
            link.queue(0, payload)?;
        }
        self.board.client_came(self.number, welcome, is_first);
        Ok(link)
    }

    async fn talk(&mut self, link: &mut WsLink) -> End {
        self.cut.mark_unchanged();
        let (stop, timer) = (self.stop.clone(), self.timer.clone());
        loop {
            if let Err(fault) = self.queue_due(link) {
                return End::Broke(fault);
            }
            // The end comes first; then what has arrived. Hearing also writes.
            let heard = tokio::select! {
                biased;
                () = stop.cancelled() => return End::Stopped,
                _ = self.cut.changed() => return End::CutByUs,
                heard = link.hear() => heard,
                () = timer.until(self.schedule.next()) => continue,
            };
            if let Err(fault) = self.on_heard(heard) {
                return End::Broke(fault);
            }
        }
    }

    fn queue_due(&mut self, link: &mut WsLink) -> Result<(), Fault> {
        let now = Instant::now();
        while let Some(due) = self.schedule.take(now) {
            let payload = Bytes::copy_from_slice(self.sample.write(self.sent, self.board.nanos(due)));
            self.sent += 1;
            self.board.sent(self.number);
            self.resume.on_sent(payload.clone());
            link.queue(0, &payload)?;
        }
        Ok(())
    }

    fn on_heard(&mut self, heard: Result<Heard, Fault>) -> Result<(), Fault> {
        match heard? {
            Heard::Payload(said) => {
                self.resume.on_received();
                match self.sample.read(&said.payload) {
                    Some(label) if label.sender == self.sample.sender() => self.board.at_client(label),
                    Some(label) => self.board.fault(&Fault::Misdelivered(label.sender)),
                    None => self.board.fault(&Fault::Altered),
                }
            }
            Heard::Draining { received } => self.resume.on_draining(received),
            Heard::Config | Heard::DeviceInfo { .. } | Heard::Other => {}
        }
        Ok(())
    }

    /// Waits for the last answers. A connection that breaks now is not made again.
    async fn say_goodbye(&mut self, mut link: WsLink) {
        let answers = async {
            while !self.board.is_answered(self.number) {
                let heard = link.hear().await;
                if let Err(fault) = self.on_heard(heard) {
                    self.board.client_broke(self.number, Some(&fault));
                    return;
                }
            }
            let _ = timeout(PATIENCE, link.close()).await;
        };
        // What has not come by then counts as lost.
        let _ = timeout(DRAIN, answers).await;
    }
}
