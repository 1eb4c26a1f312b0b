//! Log lines on their way to standard error, which may be a pipe that nobody reads.
//!
//! Whoever logs puts a line into a bounded queue and goes on; a thread of its own writes. Invariants: 1. logging never waits:
//! a line that finds the queue full is dropped and counted; 2. lines leave in the order they came; 3. the end of the program
//! waits for what is queued, but not for long.

use std::io::{self, Write};
use std::sync::OnceLock;
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::thread;
use std::time::Duration;

use tracing_subscriber::fmt::MakeWriter;

use crate::last_write::{LAST_WRITE, wait_written};

/// Lines that wait to be written.
const QUEUED: usize = 1024;

/// The queue of this process.
static LINES: OnceLock<Lines> = OnceLock::new();

enum Entry {
    Line(Vec<u8>),
    /// Everything before it is written once this is dropped.
    Mark {
        _done: SyncSender<()>,
    },
}

/// The way into the queue. Each write must be a whole line.
#[derive(Debug, Clone)]
pub(super) struct Lines(SyncSender<Entry>);

impl Lines {
    /// The queue before standard error.
    pub(super) fn start() -> io::Result<Self> {
        let lines = Self::before(io::stderr())?;
        Ok(LINES.get_or_init(|| lines).clone())
    }

    fn before(out: impl Write + Send + 'static) -> io::Result<Self> {
        let (sender, lines) = sync_channel(QUEUED);
        thread::Builder::new().name("log".into()).spawn(move || write(out, &lines))?;
        Ok(Self(sender))
    }

    /// Waits until everything that was logged so far is written, or for as long as it may take.
    fn flush(&self, longest: Duration) {
        wait_written(&self.0, longest, |done| Entry::Mark { _done: done });
    }
}

/// Waits, at the end of the program, until what was logged is written, or for half a second.
pub(crate) fn flush() {
    if let Some(lines) = LINES.get() {
        lines.flush(LAST_WRITE);
    }
}

fn write(mut out: impl Write, lines: &Receiver<Entry>) {
    let mut told = 0;
    loop {
        let entry = lines.try_recv().or_else(|_| {
            tell_of_dropped(&mut told);
            lines.recv()
        });
        match entry {
            // Nobody is left to be told that a log can't be written.
            Ok(Entry::Line(line)) => drop(out.write_all(&line)),
            Ok(Entry::Mark { .. }) => {}
            Err(_) => return,
        }
    }
}

/// Says in the log itself what it lacks, once there is room again.
fn tell_of_dropped(told: &mut u64) {
    let dropped = cuttlebone_server::dropped_log_lines();
    if dropped > *told {
        tracing::warn!(lines = dropped - *told, "log lines were dropped: they were not read in time");
        *told = dropped;
    }
}

impl Write for Lines {
    fn write(&mut self, line: &[u8]) -> io::Result<usize> {
        if self.0.try_send(Entry::Line(line.to_vec())).is_err() {
            cuttlebone_server::count_dropped_log_line();
        }
        Ok(line.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl<'a> MakeWriter<'a> for Lines {
    type Writer = Self;

    fn make_writer(&'a self) -> Self {
        self.clone()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::mpsc;

    /// Passes on what is written, and waits until it is taken.
    struct Slow(SyncSender<String>);

    impl Write for Slow {
        fn write(&mut self, line: &[u8]) -> io::Result<usize> {
            let _ = self.0.send(String::from_utf8_lossy(line).into_owned());
            Ok(line.len())
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    #[test]
    fn lines_that_nobody_takes_are_dropped_and_counted_and_the_others_keep_their_order() {
        let (sender, written) = mpsc::sync_channel(0);
        let mut lines = Lines::before(Slow(sender)).expect("a thread");
        let before = cuttlebone_server::dropped_log_lines();
        for number in 0..QUEUED + 100 {
            lines.write_all(number.to_string().as_bytes()).expect("never waits, never fails");
        }
        // One is in the hands of the thread, if it was quick.
        let dropped = cuttlebone_server::dropped_log_lines() - before;
        assert!((99..=100).contains(&dropped), "{dropped}");
        lines.flush(Duration::from_millis(20));
        drop(lines);
        let seen: Vec<String> = written.iter().collect();
        let expected: Vec<String> = (0..seen.len()).map(|number| number.to_string()).collect();
        assert_eq!(seen, expected);
        assert_eq!(seen.len() as u64 + dropped, QUEUED as u64 + 100);
    }

    #[test]
    fn flush_waits_for_what_was_logged() {
        let (sender, written) = mpsc::sync_channel(QUEUED);
        let mut lines = Lines::before(Slow(sender)).expect("a thread");
        for _ in 0..50 {
            lines.write_all(b"x").expect("queued");
        }
        lines.flush(Duration::from_secs(10));
        assert_eq!(written.try_iter().count(), 50);
    }
}
