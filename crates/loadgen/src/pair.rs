//! The two ends of a pair: one sends and checks, the other sends back.

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use tokio::time::{Instant, sleep_until, timeout};
use tokio_util::sync::CancellationToken;

use crate::fault::Fault;
use crate::link::{BATCH, Link};
use crate::sample::Sample;
use crate::tally::Tally;

/// How long the last messages may take after the end of the load.
const DRAIN: Duration = Duration::from_secs(5);

/// Sends everything back until `client_gone`. What breaks after `stop` is of no interest.
pub(crate) async fn echo<L: Link>(
    mut link: L,
    tally: Arc<Tally>,
    stop: CancellationToken,
    client_gone: CancellationToken,
) {
    let mut batch = Vec::with_capacity(BATCH);
    let end = client_gone.run_until_cancelled(echo_on(&mut link, &mut batch)).await;
    match end {
        Some(_) if stop.is_cancelled() => {}
        Some(fault) => tally.fault(&fault),
        None => link.close().await,
    }
}

async fn echo_on<L: Link>(link: &mut L, batch: &mut Vec<Bytes>) -> Fault {
    loop {
        if let Err(fault) = echo_batch(link, batch).await {
            return fault;
        }
    }
}

async fn echo_batch<L: Link>(link: &mut L, batch: &mut Vec<Bytes>) -> Result<(), Fault> {
    link.receive(batch).await?;
    for payload in batch.drain(..) {
        link.queue(&payload)?;
    }
    link.flush().await
}

/// When a pair sends.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Pace {
    /// Messages that may be under way at once.
    pub(crate) in_flight: usize,
    /// From one message to the next; `None`: as soon as there is room.
    pub(crate) interval: Option<Duration>,
    /// When to begin, so that the pairs do not send in step.
    pub(crate) first: Instant,
}

/// The end that sends.
pub(crate) struct Sending<L> {
    link: L,
    sample: Sample,
    pace: Pace,
    tally: Arc<Tally>,
    stop: CancellationToken,
    /// The number of the next message.
    next: u64,
    /// When the next message is due.
    due: Instant,
    /// When those under way were sent.
    under_way: VecDeque<u64>,
}

impl<L: Link> Sending<L> {
    pub(crate) fn new(link: L, sample: Sample, pace: Pace, tally: Arc<Tally>, stop: CancellationToken) -> Self {
        Self { link, sample, pace, tally, stop, next: 0, due: pace.first, under_way: VecDeque::new() }
    }

    /// Sends and checks until told to stop, then waits for what is under way.
    pub(crate) async fn run(mut self) {
        if let Err(fault) = self.send_and_check().await {
            self.tally.fault(&fault);
            return;
        }
        match timeout(DRAIN, self.drain()).await {
            Ok(Ok(())) => self.link.close().await,
            Ok(Err(fault)) => self.tally.fault(&fault),
            Err(_late) => self.tally.fault(&Fault::Unanswered(self.under_way.len() as u64)),
        }
    }

    async fn send_and_check(&mut self) -> Result<(), Fault> {
        let mut batch = Vec::with_capacity(BATCH);
        loop {
            self.send_due()?;
            self.link.flush().await?;
            let waits = self.pace.interval.is_some() && self.has_room();
            // The stop comes first; then what has arrived, since its time is being measured.
            tokio::select! {
                biased;
                () = self.stop.cancelled() => return Ok(()),
                received = self.link.receive(&mut batch) => received?,
                () = sleep_until(self.due), if waits => {}
            }
            self.check(&mut batch)?;
        }
    }

    async fn drain(&mut self) -> Result<(), Fault> {
        let mut batch = Vec::new();
        while !self.under_way.is_empty() {
            self.link.receive(&mut batch).await?;
            self.check(&mut batch)?;
        }
        Ok(())
    }

    fn has_room(&self) -> bool {
        self.under_way.len() < self.pace.in_flight
    }

    fn send_due(&mut self) -> Result<(), Fault> {
        let now = Instant::now();
        let mut was_held_back = false;
        while self.has_room() {
            let Some(interval) = self.pace.interval else {
                self.send(self.tally.nanos(now))?;
                continue;
            };
            if self.due > now {
                break;
            }
            // What could not be sent in time because too much was under way counts from when it was due. The timer's
            // own lateness of a millisecond does not count.
            was_held_back |= now - self.due > interval;
            let time = if was_held_back { self.due } else { now };
            self.due += interval;
            self.send(self.tally.nanos(time))?;
        }
        Ok(())
    }

    fn send(&mut self, time: u64) -> Result<(), Fault> {
        self.link.queue(self.sample.write(self.next, time))?;
        self.next += 1;
        self.under_way.push_back(time);
        Ok(())
    }

    fn check(&mut self, batch: &mut Vec<Bytes>) -> Result<(), Fault> {
        if batch.is_empty() {
            return Ok(());
        }
        let now = self.tally.nanos(Instant::now());
        let mut sent = Vec::with_capacity(batch.len());
        for payload in batch.drain(..) {
            let (got, time) = self.sample.read(&payload).ok_or(Fault::Altered)?;
            let expected = self.next - self.under_way.len() as u64;
            if got != expected || self.under_way.pop_front() != Some(time) {
                return Err(Fault::Order { expected, got });
            }
            sent.push(time);
        }
        self.tally.record(&sent, now);
        Ok(())
    }
}
