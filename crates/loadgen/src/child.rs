//! Parts of a scenario that run in a process of their own: this program again, with a hidden subcommand.

use std::path::{Path, PathBuf};
use std::process::Stdio;

use anyhow::{Context, Result};
use tokio::io::{AsyncBufReadExt, AsyncReadExt, BufReader};
use tokio::process::{ChildStdin, ChildStdout, Command};
use tokio::sync::oneshot;

/// This program, wherever it lies.
///
/// # Errors
/// When `/proc` does not say.
pub fn own_program() -> Result<PathBuf> {
    std::fs::read_link("/proc/self/exe").context("cannot find the program itself")
}

/// A child process that ends with this one: it reads its standard input and stops at the end of it.
pub(crate) struct Child {
    process: tokio::process::Child,
    /// Held, not written to: its end is the end of the child.
    stdin: Option<ChildStdin>,
    stdout: BufReader<ChildStdout>,
}

impl Child {
    /// # Errors
    /// When it can't be started.
    pub(crate) fn start(program: &Path, arguments: &[String]) -> Result<Self> {
        let mut process = Command::new(program)
            .args(arguments)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .kill_on_drop(true)
            .spawn()
            .with_context(|| format!("cannot start {}", program.display()))?;
        let stdout = process.stdout.take().context("a child without output")?;
        Ok(Self { stdin: process.stdin.take(), stdout: BufReader::new(stdout), process })
    }

    /// Its process id.
    ///
    /// # Errors
    /// When it has ended already.
    pub(crate) fn pid(&self) -> Result<u32> {
        self.process.id().context("the child has ended")
    }

    /// The next line it prints.
    ///
    /// # Errors
    /// When it prints no more.
    pub(crate) async fn line(&mut self) -> Result<String> {
        let mut line = String::new();
        self.stdout.read_line(&mut line).await?;
        anyhow::ensure!(!line.is_empty(), "the child process has ended");
        Ok(line.trim_end().to_owned())
    }

    /// Everything it prints until it ends by itself.
    ///
    /// # Errors
    /// When it fails.
    pub(crate) async fn output(mut self) -> Result<String> {
        let mut text = String::new();
        self.stdout.read_to_string(&mut text).await?;
        let status = self.process.wait().await?;
        anyhow::ensure!(status.success(), "the child process failed: {status}");
        Ok(text)
    }

    /// Tells it to end, and takes what it prints until then.
    ///
    /// # Errors
    /// When it fails.
    pub(crate) async fn finish(mut self) -> Result<String> {
        drop(self.stdin.take());
        self.output().await
    }

    /// Ends it and waits for that.
    ///
    /// # Errors
    /// When it can't be ended.
    pub(crate) async fn stop(mut self) -> Result<()> {
        self.process.kill().await.context("cannot end the child process")
    }
}

/// For the child: returns when the parent has gone or wants it to end.
pub(crate) async fn parent_gone() {
    let (gone, told) = oneshot::channel::<()>();
    // A thread of its own: tokio's would keep the runtime from ending.
    std::thread::spawn(move || {
        // An error here also means that nobody is there.
        let _ = std::io::copy(&mut std::io::stdin().lock(), &mut std::io::sink());
        drop(gone);
    });
    let _ = told.await;
}
