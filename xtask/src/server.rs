//! Our own server in the background, for the steps that need one.

use std::io::{BufRead, BufReader};
use std::process::{Child, Command, Stdio};

use anyhow::{Context, Result, bail};

use crate::shell::{build, command};

/// A free port, for this machine only.
const SERVE: [&str; 5] = ["serve", "--listen", "127.0.0.1:0", "--metrics-listen", ""];

/// A program in the background; ended when dropped.
pub(crate) struct Running(Child);

impl Running {
    /// Starts a program.
    pub(crate) fn start(mut command: Command) -> Result<Self> {
        let name = command.get_program().to_string_lossy().into_owned();
        Ok(Self(command.stdout(Stdio::piped()).spawn().with_context(|| format!("cannot run {name}"))?))
    }

    /// Builds and starts our server; gives it and its address as `ws://…`, once it accepts.
    pub(crate) fn server() -> Result<(Self, String)> {
        Self::serve(&build("cuttlebone")?, &[])
    }

    /// Starts a server that is built already, with these variables.
    pub(crate) fn serve(program: &str, variables: &[(&str, &str)]) -> Result<(Self, String)> {
        let mut serve = command(program, &SERVE);
        serve.envs(variables.iter().copied());
        let mut server = Self::start(serve)?;
        let line = server.first_line()?;
        match line.strip_prefix("listening on http://") {
            Some(address) => Ok((server, format!("ws://{address}"))),
            None => bail!("the server did not start"),
        }
    }

    /// Its process id.
    pub(crate) fn id(&self) -> u32 {
        self.0.id()
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
