//! Starts the program with an environment of its own, and reads what it says.

use std::fs::Permissions;
use std::io::{BufRead, BufReader, Read};
use std::os::fd::AsFd;
use std::os::unix::fs::PermissionsExt;
use std::path::PathBuf;
use std::process::{Child, ChildStderr, ChildStdout, Command, Output, Stdio};
use std::time::Duration;

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use tokio::time::Instant;

/// For what the program is waited for at most.
const PATIENCE: Duration = Duration::from_secs(60);

/// The program, without any variable of ours.
pub(crate) fn program(args: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_cuttlebone"));
    command.args(args).env_clear().env("HOME", env!("CARGO_TARGET_TMPDIR")).stdin(Stdio::null());
    command
}

/// Runs it to its end.
pub(crate) fn run(args: &[&str]) -> Output {
    program(args).output().expect("runs")
}

pub(crate) fn stdout(output: &Output) -> String {
    String::from_utf8_lossy(&output.stdout).into_owned()
}

pub(crate) fn stderr(output: &Output) -> String {
    String::from_utf8_lossy(&output.stderr).into_owned()
}

/// Writes a file for one test; the name must be its own.
pub(crate) fn file(name: &str, text: &str) -> String {
    let path = PathBuf::from(env!("CARGO_TARGET_TMPDIR")).join(name);
    std::fs::write(&path, text).expect("writes");
    path.to_string_lossy().into_owned()
}

/// The same, with a mode.
pub(crate) fn file_with_mode(name: &str, text: &str, mode: u32) -> String {
    let path = file(name, text);
    std::fs::set_permissions(&path, Permissions::from_mode(mode)).expect("is ours");
    path
}

/// A running program; killed when dropped.
pub(crate) struct Running {
    child: Child,
    stdout: BufReader<ChildStdout>,
    stderr: BufReader<ChildStderr>,
}

impl Running {
    pub(crate) fn start(mut command: Command) -> Self {
        let mut child = command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().expect("starts");
        let stdout = BufReader::new(child.stdout.take().expect("piped"));
        let stderr = BufReader::new(child.stderr.take().expect("piped"));
        Self { child, stdout, stderr }
    }

    /// The next line of standard output; empty at its end.
    pub(crate) fn line(&mut self) -> String {
        let mut line = String::new();
        read_line(&mut self.stdout, &mut line);
        line.trim_end().to_owned()
    }

    /// Reads log lines until one has `part`; that line.
    pub(crate) fn log_line(&mut self, part: &str) -> String {
        let log = self.log_until(part);
        log.lines().next_back().unwrap_or_default().to_owned()
    }

    /// Reads log lines until one has `part`; all of them.
    pub(crate) fn log_until(&mut self, part: &str) -> String {
        let mut seen = String::new();
        loop {
            let from = seen.len();
            assert!(read_line(&mut self.stderr, &mut seen), "no {part:?} in:\n{seen}");
            if seen[from..].contains(part) {
                return seen;
            }
        }
    }

    pub(crate) fn signal(&self, name: &str) {
        let kill = Command::new("kill").args([name, &self.child.id().to_string()]).status().expect("kill runs");
        assert!(kill.success());
    }

    pub(crate) fn id(&self) -> u32 {
        self.child.id()
    }

    /// Stops it, and gives what it logged and nobody has read.
    pub(crate) fn stop_and_read_log(mut self) -> String {
        self.signal("-TERM");
        let mut log = String::new();
        self.stderr.read_to_string(&mut log).expect("UTF-8");
        log
    }

    /// What is left of standard output, up to its end.
    pub(crate) fn rest_of_output(&mut self) -> String {
        let mut rest = String::new();
        self.stdout.read_to_string(&mut rest).expect("UTF-8");
        rest
    }

    /// Waits for the end; the exit code.
    pub(crate) fn code(&mut self) -> Option<i32> {
        let begun = Instant::now();
        loop {
            if let Some(status) = self.child.try_wait().expect("is ours") {
                return status.code();
            }
            assert!(begun.elapsed() < PATIENCE, "it does not end");
            std::thread::park_timeout(Duration::from_millis(5));
        }
    }
}

/// Reads a line, and gives whether one came in time.
fn read_line(from: &mut BufReader<impl Read + AsFd>, line: &mut String) -> bool {
    if from.buffer().is_empty() {
        let patience = Timespec::try_from(PATIENCE).expect("short");
        let ready = poll(&mut [PollFd::new(from.get_ref(), PollFlags::IN)], Some(&patience)).expect("polls");
        if ready == 0 {
            return false;
        }
    }
    from.read_line(line).expect("reads") > 0
}

impl Drop for Running {
    fn drop(&mut self) {
        // It may have ended already.
        drop(self.child.kill());
        drop(self.child.wait());
    }
}
