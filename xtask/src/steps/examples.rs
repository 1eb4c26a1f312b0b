//! The Python examples of the README against our server.

use std::io::{BufRead, BufReader};
use std::process::{Child, Command, Stdio};

use anyhow::{Context, Result, bail};

use super::tools;
use crate::shell::{self, command};

/// A server on a free port, for this machine only.
const SERVE: [&str; 5] = ["serve", "--listen", "127.0.0.1:0", "--metrics-listen", ""];

/// Starts a server and the example device, and lets the example client talk to it. The client may come first: it waits.
pub(super) fn run() -> Result<()> {
    tools::python("python", &["-c", "import websockets"], "websockets")?;
    let program = shell::build("cuttlebone")?;
    let mut server = Running::start(command(&program, &SERVE))?;
    let url = server.first_line()?.replace("listening on http://", "ws://");
    let _device = Running::start(command("python", &["examples/python/device.py", &url, "my-device"]))?;
    shell::run("python", &["examples/python/client.py", &url, "my-device"])
}

/// A program in the background; ended when dropped.
struct Running(Child);

impl Running {
    fn start(mut command: Command) -> Result<Self> {
        let name = command.get_program().to_string_lossy().into_owned();
        Ok(Self(command.stdout(Stdio::piped()).spawn().with_context(|| format!("cannot run {name}"))?))
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
