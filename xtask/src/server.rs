//! Our own server in the background, for the steps that need one.

use std::io::{BufRead, BufReader};
use std::process::{Child, ChildStderr, Command, ExitStatus, Stdio};

use anyhow::{Context, Result, bail};

use crate::shell::{build, command};

/// A free port, for this machine only.
const SERVE: [&str; 5] = ["serve", "--listen", "127.0.0.1:0", "--metrics-listen", ""];

/// A program in the background; ended when dropped.
pub(crate) struct Running(Child);

impl Running {
    /// Starts a program whose standard output is ours.
    pub(crate) fn start(mut command: Command) -> Result<Self> {
        command.stdout(Stdio::piped());
        Self::spawn(command)
    }

    /// Starts a program as it was prepared.
    pub(crate) fn spawn(mut command: Command) -> Result<Self> {
        let name = command.get_program().to_string_lossy().into_owned();
        Ok(Self(command.spawn().with_context(|| format!("cannot run {name}"))?))
    }

    /// Builds and starts our server; gives it and its address as `ws://…`, once it accepts.
    pub(crate) fn server() -> Result<(Self, String)> {
        Self::listening(command(&build("cuttlebone")?, &SERVE))
    }

    /// Starts a server; gives it and its address as `ws://…`, once it accepts.
    pub(crate) fn listening(serve: Command) -> Result<(Self, String)> {
        let (server, address) = Self::announced(serve, "listening on http://")?;
        Ok((server, format!("ws://{address}")))
    }

    /// Starts a server with TLS; gives it and its address without a scheme, once it accepts.
    pub(crate) fn encrypted(serve: Command) -> Result<(Self, String)> {
        Self::announced(serve, "listening on https://")
    }

    fn announced(serve: Command, announcement: &str) -> Result<(Self, String)> {
        let mut server = Self::start(serve)?;
        let line = server.first_line()?;
        match line.strip_prefix(announcement) {
            Some(address) => Ok((server, address.to_owned())),
            None => bail!("the server did not start"),
        }
    }

    /// Its standard error, once, if it was prepared to be ours.
    pub(crate) fn stderr(&mut self) -> Option<ChildStderr> {
        self.0.stderr.take()
    }

    /// How it ended, if it has.
    pub(crate) fn try_wait(&mut self) -> Result<Option<ExitStatus>> {
        Ok(self.0.try_wait()?)
    }

    fn first_line(&mut self) -> Result<String> {
        let mut line = String::new();
        match &mut self.0.stdout {
            Some(stdout) => BufReader::new(stdout).read_line(&mut line)?,
            None => bail!("its output is not ours"),
        };
        Ok(line.trim_end().to_owned())
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        // It may have ended already.
        drop(self.0.kill());
        drop(self.0.wait());
    }
}
