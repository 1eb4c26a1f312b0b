//! The audit log: who did what to which device, from where, and how it ended.
//!
//! One line of JSON for each event; what it may have is `docs/audit.schema.json`, what it means is `docs/AUDIT.md`. Where the
//! lines go is the binary's business ([`AuditSink`]).
//!
//! Invariants: 1. nothing is written for a message that is forwarded; 2. a line has names, ids and addresses, never what a peer
//! sent to another, presented as a credential or described itself with; 3. a line is ASCII and at most 1 KiB long, its end
//! included; 4. refusals, of which anybody can cause as many as they like, are bounded a second, and what is left
//! out is told.

mod entry;
mod flood;
mod time;
mod trail;

use std::fmt;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use parking_lot::Mutex;
use tokio::time::interval;
use tokio_util::sync::CancellationToken;

use crate::admission::group;
use crate::caller::Caller;
use crate::clock;
use crate::context::Role;
use crate::metrics::Metrics;
use entry::Previous;
pub(crate) use entry::{Entry, Event, Outcome};
use flood::{Flood, Verdict};
use trail::Holders;
pub(crate) use trail::Trail;

/// How often it is looked whether something was left out that is not told yet.
const TELL_EVERY: Duration = Duration::from_secs(1);

/// Takes the lines of an audit log.
pub trait AuditSink: fmt::Debug + Send + Sync {
    /// Takes one line, with its end. Never waits: a line for which there is no room is lost, and counted.
    fn put(&self, line: String);

    /// How many lines were lost so far: no room, or they could not be written.
    fn lost(&self) -> u64;
}

/// Whether there is an audit log: `audit`.
#[derive(Debug, Clone)]
pub struct AuditSettings {
    /// Where lines go. `None` is nowhere: no audit log.
    pub sink: Option<Arc<dyn AuditSink>>,
    /// Refusals that are written in a second: `audit.refusals_per_second`.
    pub refusals_per_second: u32,
}

impl Default for AuditSettings {
    fn default() -> Self {
        Self { sink: None, refusals_per_second: 10 }
    }
}

/// The line that says how many lines were lost, for a sink that works again.
#[must_use]
pub fn audit_lost_line(lines: u64) -> String {
    Entry::new(Event::Lost).count(lines).line(clock::unix_ms())
}

/// The audit log of one server.
#[derive(Debug)]
pub(crate) struct Audit {
    sink: Option<Arc<dyn AuditSink>>,
    flood: Mutex<Flood>,
    holders: Holders,
    metrics: Arc<Metrics>,
    process: u32,
    connections: AtomicU64,
}

impl Audit {
    pub(crate) fn new(settings: &AuditSettings, metrics: Arc<Metrics>) -> Self {
        Self {
            sink: settings.sink.clone(),
            flood: Mutex::new(Flood::new(settings.refusals_per_second)),
            holders: Holders::default(),
            metrics,
            // Without random numbers the ids of two processes may be the same.
            process: getrandom::u32().unwrap_or_default(),
            connections: AtomicU64::new(0),
        }
    }

    /// What is remembered of a connection for its lines; nothing where there is no audit log.
    pub(crate) fn trail(self: &Arc<Self>, peer: SocketAddr, role: Role, caller: &Caller) -> Option<Box<Trail>> {
        self.sink.as_ref()?;
        let number = (self.process, self.connections.fetch_add(1, Ordering::Relaxed));
        Some(Box::new(Trail::new(Arc::clone(self), number, peer, role, caller.clone())))
    }

    /// Writes a line; one that anybody can cause only while there are few of them. Whether it is written, and not only counted.
    pub(crate) fn note(&self, entry: &Entry<'_>) -> bool {
        let Some(sink) = &self.sink else { return false };
        let now_ms = clock::unix_ms();
        if entry.is_for_nothing() {
            let verdict = self.flood.lock().admit(now_ms / 1000, entry.address().map(group));
            self.tell(sink, verdict.untold(), now_ms);
            if let Verdict::LeaveOut { .. } = verdict {
                self.metrics.audit_left_out();
                return false;
            }
        }
        self.put(sink, entry.line(now_ms));
        true
    }

    /// Lines that were lost so far.
    pub(crate) fn lost(&self) -> u64 {
        self.sink.as_ref().map_or(0, |sink| sink.lost())
    }

    /// Tells of what was left out, when nothing else is written, until `stop`; and then of the last of it.
    pub(crate) async fn run(&self, stop: &CancellationToken) {
        let Some(sink) = &self.sink else { return };
        let mut ticks = interval(TELL_EVERY);
        while stop.run_until_cancelled(ticks.tick()).await.is_some() {
            let now_ms = clock::unix_ms();
            let untold = self.flood.lock().turn(now_ms / 1000);
            self.tell(sink, untold, now_ms);
        }
        let untold = self.flood.lock().finish();
        self.tell(sink, untold, clock::unix_ms());
    }

    fn tell(&self, sink: &Arc<dyn AuditSink>, left_out: u64, now_ms: u64) {
        if left_out > 0 {
            self.put(sink, Entry::new(Event::LeftOut).count(left_out).line(now_ms));
        }
    }

    fn put(&self, sink: &Arc<dyn AuditSink>, line: String) {
        self.metrics.audit_line();
        sink.put(line);
    }
}
