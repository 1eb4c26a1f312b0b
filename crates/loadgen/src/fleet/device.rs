//! A device that registers again whenever its connection breaks.

use std::sync::Arc;

use tokio::time::{sleep, timeout};
use tokio_util::sync::CancellationToken;

use super::board::Board;
use crate::backoff::Backoff;
use crate::fault::Fault;
use crate::link::dial::Dial;
use crate::link::ws::WsLink;
use crate::link::{Incoming, Link};
use crate::load::PATIENCE;
use crate::sample;

pub(super) struct Device {
    pub(super) number: usize,
    pub(super) id: String,
    pub(super) dial: Dial,
    pub(super) board: Arc<Board>,
    pub(super) stop: CancellationToken,
    /// Answers that came too late for the connection of their question.
    pub(super) unsent: Vec<Incoming>,
}

impl Device {
    pub(super) async fn run(mut self) {
        let mut backoff = Backoff::new(self.number as u64);
        let stop = self.stop.clone();
        while let Some(result) = stop.run_until_cancelled(self.register()).await {
            let pause = match result {
                Ok(link) => {
                    backoff.reset();
                    self.board.device_came(self.number);
                    match self.serve(link).await {
                        Some(fault) => self.board.device_broke(self.number, &fault),
                        None => return,
                    }
                    backoff.pause()
                }
                Err(fault) => {
                    self.board.heard_of(&fault);
                    backoff.pause()
                }
            };
            stop.run_until_cancelled(sleep(pause)).await;
        }
    }

    async fn register(&self) -> Result<WsLink, Fault> {
        let link = timeout(PATIENCE, WsLink::device(&self.dial, &self.id)).await;
        link.unwrap_or(Err(Fault::Unanswered(1)))
    }

    /// Sends everything back; `None` when told to stop, else why the connection ended.
    async fn serve(&mut self, mut link: WsLink) -> Option<Fault> {
        let stop = self.stop.clone();
        let end = stop.run_until_cancelled(self.echo(&mut link)).await;
        if end.is_none() {
            // A server that does not answer the goodbye must not hold us up.
            let _ = timeout(PATIENCE, link.close()).await;
        }
        end
    }

    async fn echo(&mut self, link: &mut WsLink) -> Fault {
        let mut batch = std::mem::take(&mut self.unsent);
        loop {
            for said in batch.drain(..) {
                if link.queue(said.from, &said.payload).is_err() {
                    self.unsent.push(said);
                }
            }
            if let Err(fault) = link.receive(&mut batch).await {
                return fault;
            }
            for said in &batch {
                match sample::label(&said.payload) {
                    Some(label) => self.board.at_device(label, said.from),
                    None => self.board.fault(&Fault::Altered),
                }
            }
        }
    }
}
