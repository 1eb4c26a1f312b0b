//! The Python examples of the README against our server.

use anyhow::Result;

use super::tools;
use crate::server::Running;
use crate::shell::{self, command};

/// Starts a server and the example device, and lets the example client talk to it. The client may come first: it waits.
pub(super) fn run() -> Result<()> {
    tools::python("python", &["-c", "import websockets"], "websockets==17.4")?;
    let (_server, url) = Running::server()?;
    let _device = Running::start(command("python", &["examples/python/device.py", &url, "my-device"]))?;
    shell::run("python", &["examples/python/client.py", &url, "my-device"])
}
