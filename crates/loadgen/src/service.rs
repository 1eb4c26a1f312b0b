//! A server that is started and ended by us.

use std::process::Stdio;
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use cuttlebone_client::Endpoint;
use rustix::process::{Pid, Signal, kill_process};
use tokio::net::TcpStream;
use tokio::process::{Child, Command};
use tokio::time::{Instant, sleep, timeout};

const LOOK_EVERY: Duration = Duration::from_millis(5);

/// How a server is ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Ending {
    /// SIGTERM: it may say goodbye.
    Term,
    /// SIGKILL: it may not.
    Kill,
}

/// A process that listens.
#[derive(Debug)]
pub(crate) struct Service {
    process: Child,
}

impl Service {
    /// Starts a command line of the shell and waits until it listens.
    ///
    /// # Errors
    /// When it can't be started, ends at once, or does not listen within `patience`.
    pub(crate) async fn start(command: &str, endpoint: &Endpoint, patience: Duration) -> Result<Self> {
        let process = Command::new("/bin/sh")
            .args(["-c", &format!("exec {command}")])
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .kill_on_drop(true)
            .spawn()
            .with_context(|| format!("cannot start {command}"))?;
        let mut service = Self { process };
        let end = Instant::now() + patience;
        while TcpStream::connect((endpoint.host(), endpoint.port())).await.is_err() {
            if let Some(status) = service.process.try_wait()? {
                anyhow::bail!("{command} has ended: {status}");
            }
            ensure!(Instant::now() < end, "{command} does not listen at {endpoint}");
            sleep(LOOK_EVERY).await;
        }
        Ok(service)
    }

    /// Ends it and waits for that.
    ///
    /// # Errors
    /// When it does not end within `patience`.
    pub(crate) async fn end(mut self, how: Ending, patience: Duration) -> Result<()> {
        let pid = self.process.id().and_then(|pid| Pid::from_raw(pid.cast_signed())).context("it has ended already")?;
        let signal = match how {
            Ending::Term => Signal::TERM,
            Ending::Kill => Signal::KILL,
        };
        kill_process(pid, signal)?;
        timeout(patience, self.process.wait()).await.context("the server does not end")??;
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use tokio::net::TcpListener;

    const PATIENCE: Duration = Duration::from_secs(20);

    #[tokio::test]
    async fn a_process_is_started_and_ended_either_way() {
        // Somebody listens, so that the process counts as a server.
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let endpoint = Endpoint::parse(&format!("ws://{}", listener.local_addr().unwrap())).unwrap();
        for how in [Ending::Term, Ending::Kill] {
            let service = Service::start("cat /dev/zero", &endpoint, PATIENCE).await.unwrap();
            service.end(how, PATIENCE).await.unwrap();
        }
    }

    #[tokio::test]
    async fn a_process_that_does_not_serve_is_seen() {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let endpoint = Endpoint::parse(&format!("ws://{}", listener.local_addr().unwrap())).unwrap();
        drop(listener);
        let error = |command: &'static str, patience| {
            let endpoint = endpoint.clone();
            async move { Service::start(command, &endpoint, patience).await.unwrap_err().to_string() }
        };
        assert!(error("false", PATIENCE).await.contains("has ended"));
        assert!(error("cat /dev/zero", Duration::ZERO).await.contains("does not listen"));
    }
}
