//! A long run of pairs against our server: rate, latency, CPU and memory at its end.

use anyhow::Result;

use crate::server::Running;
use crate::shell::{cargo, command, run_command, target};

/// Starts an optimized server and puts a steady load on it. More arguments go to `loadgen pairs`.
pub(crate) fn with(seconds: u32, args: &[String]) -> Result<()> {
    cargo(&["build", "--release", "--locked", "-p", "cuttlebone", "-p", "cuttlebone-loadgen"])?;
    let program = |name: &str| target().join("release").join(name).to_string_lossy().into_owned();
    let (server, url) = Running::serve(&program("cuttlebone"))?;
    let (pid, seconds) = (server.id().to_string(), seconds.to_string());
    let load = ["pairs", "--url", &url, "--pid", &pid, "--duration", &seconds, "--rate", "2000"];
    let mut soak = command(&program("loadgen"), &load);
    soak.args(args);
    run_command(soak)
}
