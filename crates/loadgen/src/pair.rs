//! The two ends of a pair: one sends and checks, the other sends back.

use std::sync::Arc;
use std::time::Duration;

use parking_lot::Mutex;
use tokio::time::{Instant, timeout};
use tokio_util::sync::CancellationToken;

use crate::fault::Fault;
use crate::ledger::Ledger;
use crate::link::{BATCH, Incoming, Link};
use crate::sample::Sample;
use crate::tally::Tally;
use crate::timer::Timer;

/// How long the last messages may take after the end of the load.
const DRAIN: Duration = Duration::from_secs(5);

/// Sends everything back until `client_gone`. What breaks after `stop` is of no interest.
pub(crate) async fn echo<L: Link>(
    mut link: L,
    tally: Arc<Tally>,
    stop: CancellationToken,
    client_gone: CancellationToken,
) {
    let end = client_gone.run_until_cancelled(echo_on(&mut link)).await;
    match end {
        Some(_) if stop.is_cancelled() => {}
        Some(fault) => tally.fault(&fault),
        None => link.close().await,
    }
}

async fn echo_on<L: Link>(link: &mut L) -> Fault {
    let mut batch = Vec::with_capacity(BATCH);
    loop {
        if let Err(fault) = echo_batch(link, &mut batch).await {
            return fault;
        }
    }
}

/// Takes what is there and queues the answers, which leave with the next call.
pub(crate) async fn echo_batch<L: Link>(link: &mut L, batch: &mut Vec<Incoming>) -> Result<(), Fault> {
    link.receive(batch).await?;
    batch.drain(..).try_for_each(|message| link.queue(message.from, &message.payload))
}

/// What a sender shares with the others.
#[derive(Clone)]
pub(crate) struct Shared {
    pub(crate) tally: Arc<Tally>,
    pub(crate) timer: Timer,
    pub(crate) stop: CancellationToken,
}

/// The end that sends.
pub(crate) struct Sending<L> {
    link: L,
    sample: Sample,
    /// Also looked at by who measures.
    ledger: Arc<Mutex<Ledger>>,
    shared: Shared,
}

impl<L: Link> Sending<L> {
    pub(crate) fn new(link: L, sample: Sample, ledger: Arc<Mutex<Ledger>>, shared: Shared) -> Self {
        Self { link, sample, ledger, shared }
    }

    /// Sends and checks until told to stop, then waits for what is under way.
    pub(crate) async fn run(mut self) {
        let tally = Arc::clone(&self.shared.tally);
        let ledger = Arc::clone(&self.ledger);
        if let Err(fault) = self.send_and_check().await {
            tally.fault(&fault);
            ledger.lock().close();
            return;
        }
        match timeout(DRAIN, self.drain()).await {
            Ok(Ok(())) => self.link.close().await,
            Ok(Err(fault)) => tally.fault(&fault),
            Err(_late) => tally.fault(&Fault::Unanswered(ledger.lock().under_way() as u64)),
        }
        ledger.lock().close();
    }

    async fn send_and_check(&mut self) -> Result<(), Fault> {
        let Shared { timer, stop, .. } = self.shared.clone();
        let mut batch = Vec::with_capacity(BATCH);
        loop {
            self.queue_due()?;
            let wake = self.ledger.lock().wake();
            let due = async {
                match wake {
                    Some(at) => timer.until(at).await,
                    None => std::future::pending().await,
                }
            };
            // The stop comes first; then what has arrived, since its time is being measured. Receiving also sends.
            tokio::select! {
                biased;
                () = stop.cancelled() => return Ok(()),
                received = self.link.receive(&mut batch) => received?,
                () = due => {}
            }
            self.check(&mut batch)?;
        }
    }

    async fn drain(&mut self) -> Result<(), Fault> {
        let mut batch = Vec::new();
        while self.ledger.lock().under_way() > 0 {
            self.link.receive(&mut batch).await?;
            self.check(&mut batch)?;
        }
        Ok(())
    }

    fn queue_due(&mut self) -> Result<(), Fault> {
        let tally = &self.shared.tally;
        let now = Instant::now();
        let mut times = Vec::new();
        let mut ledger = self.ledger.lock();
        while let Some((number, due)) = ledger.take(now) {
            let time = tally.nanos(due);
            times.push(time);
            self.link.queue(0, self.sample.write(number, time))?;
        }
        drop(ledger);
        if !times.is_empty() {
            tally.sent(&times, tally.nanos(Instant::now()));
        }
        Ok(())
    }

    fn check(&mut self, batch: &mut Vec<Incoming>) -> Result<(), Fault> {
        if batch.is_empty() {
            return Ok(());
        }
        let tally = &self.shared.tally;
        let now = tally.nanos(Instant::now());
        let mut times = Vec::with_capacity(batch.len());
        let mut ledger = self.ledger.lock();
        for message in batch.drain(..) {
            let label = self.sample.read(&message.payload).ok_or(Fault::Altered)?;
            if label.sender != self.sample.sender() {
                return Err(Fault::Misdelivered(label.sender));
            }
            let (expected, got) = (ledger.expected(), label.number);
            let due = ledger.answer().map(|due| tally.nanos(due));
            if got != expected || due != Some(label.time) {
                return Err(Fault::Order { expected, got });
            }
            times.push(label.time);
        }
        drop(ledger);
        tally.answered(&times, now);
        Ok(())
    }
}
