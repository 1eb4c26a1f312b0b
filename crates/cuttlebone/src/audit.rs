//! Where the audit log goes: standard output, or a file that is rotated.
//!
//! The server puts a line into a bounded queue and goes on; a thread of its own writes. Invariants: 1. nobody waits for
//! a disk or a reader: a line that finds the queue full, or can't be written, is lost and counted; 2. what is written
//! keeps its order, and says how many lines are missing as soon as nothing is queued; 3. what is written is on the disk
//! a second later; 4. the end of the program waits for what is queued, but not for long.

mod file;

use std::io::{self, Write};
use std::path::PathBuf;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::mpsc::{Receiver, RecvTimeoutError, SyncSender, TryRecvError, sync_channel};
use std::sync::{Arc, OnceLock};
use std::thread;
use std::time::{Duration, Instant};

use cuttlebone_server::{AuditSink, audit_lost_line};

use crate::last_write::{LAST_WRITE, wait_written};
use file::RotatingFile;
pub(crate) use file::check;

/// Lines that wait to be written; each has at most 1 KiB.
const QUEUED: usize = 4096;

/// How long what is written may be kept from the disk.
const SYNC_EVERY: Duration = Duration::from_secs(1);

/// The log of this process.
static LOG: OnceLock<AuditLog> = OnceLock::new();

/// Validated `[audit]`, but for what is the server's.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum AuditOutput {
    /// There is none.
    Off,
    /// Standard output.
    Stdout,
    /// A file.
    File {
        /// Its path; those that it was before have `.1`, `.2` and so on after it, the newest first.
        path: PathBuf,
        /// The longest that it gets.
        max_bytes: u64,
        /// How many of those that it was before are kept.
        keep: u32,
    },
}

/// The way into the queue.
#[derive(Debug, Clone)]
pub(crate) struct AuditLog {
    entries: SyncSender<Entry>,
    state: Arc<State>,
}

#[derive(Debug, Default)]
struct State {
    lost: AtomicU64,
    reopen: AtomicBool,
}

#[derive(Debug)]
enum Entry {
    Line(String),
    /// Everything before it is written once this is dropped.
    Mark {
        _done: SyncSender<()>,
    },
}

/// What lines are written to.
trait Out: Send {
    /// Writes a line. Where that fails, a file has nothing of it, if it can be taken back; standard output may have a
    /// part.
    fn append(&mut self, line: &[u8]) -> io::Result<()>;
    /// Brings what was written to the disk.
    fn sync(&mut self) -> io::Result<()>;
    /// Somebody has moved the file away: the next line goes to the one that is named so.
    fn reopen(&mut self);
}

impl AuditLog {
    /// Opens what lines go to, and starts to write. Called once. Gives nothing where there is no audit log.
    pub(crate) fn start(output: &AuditOutput) -> io::Result<Option<Self>> {
        let log = match output {
            AuditOutput::Off => return Ok(None),
            AuditOutput::Stdout => Self::before(Stdout)?,
            AuditOutput::File { path, max_bytes, keep } => Self::before(RotatingFile::open(path, *max_bytes, *keep)?)?,
        };
        Ok(Some(LOG.get_or_init(|| log).clone()))
    }

    fn before(out: impl Out + 'static) -> io::Result<Self> {
        let (entries, taken) = sync_channel(QUEUED);
        let state = Arc::<State>::default();
        let writer = Writer { out, state: Arc::clone(&state), told: 0, works: true, unsynced: None };
        thread::Builder::new().name("audit".into()).spawn(move || writer.run(&taken))?;
        Ok(Self { entries, state })
    }

    /// The file may have been moved away: the next line goes to a new one.
    pub(crate) fn reopen(&self) {
        self.state.reopen.store(true, Ordering::Relaxed);
    }

    /// Waits until everything so far is written, or for as long as it may take.
    fn flush(&self, longest: Duration) {
        wait_written(&self.entries, longest, |done| Entry::Mark { _done: done });
    }
}

impl AuditSink for AuditLog {
    fn put(&self, line: String) {
        if self.entries.try_send(Entry::Line(line)).is_err() {
            self.state.lost.fetch_add(1, Ordering::Relaxed);
        }
    }

    fn lost(&self) -> u64 {
        self.state.lost.load(Ordering::Relaxed)
    }
}

/// Waits, at the end of the program, until the audit log is written, or for half a second.
pub(crate) fn flush() {
    if let Some(log) = LOG.get() {
        log.flush(LAST_WRITE);
    }
}

/// The thread that writes.
struct Writer<O> {
    out: O,
    state: Arc<State>,
    /// How many lost lines the log tells of.
    told: u64,
    works: bool,
    /// When the first line was written that may not be on the disk.
    unsynced: Option<Instant>,
}

impl<O: Out> Writer<O> {
    fn run(mut self, entries: &Receiver<Entry>) {
        loop {
            match self.next(entries) {
                Ok(Entry::Line(line)) => self.line(&line),
                Ok(Entry::Mark { _done }) => self.sync(),
                Err(RecvTimeoutError::Timeout) => self.sync(),
                Err(RecvTimeoutError::Disconnected) => return,
            }
            if self.unsynced.is_some_and(|since| now() - since >= SYNC_EVERY) {
                self.sync();
            }
        }
    }

    fn next(&mut self, entries: &Receiver<Entry>) -> Result<Entry, RecvTimeoutError> {
        match entries.try_recv() {
            Ok(entry) => return Ok(entry),
            Err(TryRecvError::Disconnected) => return Err(RecvTimeoutError::Disconnected),
            Err(TryRecvError::Empty) => {}
        }
        // What is queued came before what found no room.
        self.tell_of_lost();
        match self.unsynced {
            Some(_) => entries.recv_timeout(SYNC_EVERY),
            None => entries.recv().map_err(|_| RecvTimeoutError::Disconnected),
        }
    }

    fn line(&mut self, line: &str) {
        if self.state.reopen.swap(false, Ordering::Relaxed) {
            self.sync();
            self.out.reopen();
        }
        if !self.works {
            self.tell_of_lost();
        }
        if !self.append(line) {
            self.state.lost.fetch_add(1, Ordering::Relaxed);
        }
    }

    /// Says in the audit log itself what it lacks.
    fn tell_of_lost(&mut self) {
        let lost = self.state.lost.load(Ordering::Relaxed);
        if lost > self.told && self.append(&audit_lost_line(lost - self.told)) {
            self.told = lost;
        }
    }

    fn append(&mut self, line: &str) -> bool {
        let written = self.out.append(line.as_bytes());
        match &written {
            Ok(()) => drop(self.unsynced.get_or_insert_with(now)),
            Err(error) if self.works => tracing::error!(%error, "the audit log can't be written: lines are lost"),
            Err(_) => {}
        }
        if written.is_ok() && !self.works {
            tracing::warn!("the audit log can be written again");
        }
        self.works = written.is_ok();
        self.works
    }

    fn sync(&mut self) {
        if self.unsynced.take().is_some()
            && let Err(error) = self.out.sync()
        {
            tracing::warn!(%error, "the audit log can't be brought to the disk");
        }
    }
}

/// Standard output, where a service manager keeps it.
struct Stdout;

impl Out for Stdout {
    fn append(&mut self, line: &[u8]) -> io::Result<()> {
        let mut out = io::stdout().lock();
        out.write_all(line)?;
        out.flush()
    }

    fn sync(&mut self) -> io::Result<()> {
        Ok(())
    }

    fn reopen(&mut self) {}
}

#[expect(clippy::disallowed_methods, reason = "a thread of its own, that sees to the disk by the clock")]
fn now() -> Instant {
    Instant::now()
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::mpsc;

    const PATIENCE: Duration = Duration::from_secs(10);

    /// Passes on what is written, waits until it is taken, and fails where it is told to.
    struct Slow {
        taken: SyncSender<String>,
        is_full: Arc<AtomicBool>,
    }

    impl Out for Slow {
        fn append(&mut self, line: &[u8]) -> io::Result<()> {
            if self.is_full.load(Ordering::Relaxed) {
                return Err(io::ErrorKind::StorageFull.into());
            }
            let _ = self.taken.send(String::from_utf8_lossy(line).into_owned());
            Ok(())
        }

        fn sync(&mut self) -> io::Result<()> {
            Ok(())
        }

        fn reopen(&mut self) {}
    }

    fn log(room: usize) -> (AuditLog, mpsc::Receiver<String>, Arc<AtomicBool>) {
        let (taken, lines) = sync_channel(room);
        let is_full = Arc::<AtomicBool>::default();
        let log = AuditLog::before(Slow { taken, is_full: Arc::clone(&is_full) }).expect("a thread");
        (log, lines, is_full)
    }

    /// The number of lines that a line tells of.
    fn told(line: &str) -> Option<u64> {
        let line: serde_json::Value = serde_json::from_str(line).ok()?;
        (line["event"] == "lost").then(|| line["count"].as_u64())?
    }

    #[test]
    fn lines_that_nobody_takes_are_lost_and_told_after_those_that_were_queued() {
        let (log, lines, _) = log(0);
        let all = QUEUED as u64 + 100;
        for number in 0..all {
            log.put(format!("{number}\n"));
        }
        let lost = log.lost();
        // One is in the hands of the thread, if it was quick.
        assert!((99..=100).contains(&lost), "{lost}");
        for number in 0..all - lost {
            assert_eq!(lines.recv_timeout(PATIENCE).expect("written"), format!("{number}\n"));
        }
        assert_eq!(told(&lines.recv_timeout(PATIENCE).expect("told")), Some(lost));
    }

    #[test]
    fn full_disk_loses_lines_and_tells_how_many_when_it_is_not_any_more() {
        let (log, lines, is_full) = log(QUEUED);
        is_full.store(true, Ordering::Relaxed);
        for number in 0..10 {
            log.put(format!("{number}\n"));
        }
        log.flush(PATIENCE);
        assert_eq!(log.lost(), 10);
        is_full.store(false, Ordering::Relaxed);
        log.put("again\n".into());
        assert_eq!(told(&lines.recv_timeout(PATIENCE).expect("told")), Some(10));
        assert_eq!(lines.recv_timeout(PATIENCE).expect("written"), "again\n");
        assert_eq!((log.lost(), lines.try_recv().ok()), (10, None));
    }

    #[test]
    fn flush_waits_for_what_was_put() {
        let (log, lines, _) = log(QUEUED);
        for _ in 0..50 {
            log.put("x\n".into());
        }
        log.flush(PATIENCE);
        assert_eq!(lines.try_iter().count(), 50);
    }
}
