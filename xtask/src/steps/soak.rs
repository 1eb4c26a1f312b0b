//! A long run of pairs against our server: rate, latency, CPU and memory at its end.

use anyhow::Result;

use crate::server::Running;
use crate::shell::{cargo, command, run_command, target};

/// One connection may send as much as it can: the load is told by the arguments.
const NO_RATES: [(&str, &str); 6] = [
    ("CUTTLEBONE__LIMITS__CLIENT_MESSAGES_PER_SECOND", "0"),
    ("CUTTLEBONE__LIMITS__CLIENT_BYTES_PER_SECOND", "0"),
    ("CUTTLEBONE__LIMITS__CLIENT_FRAMES_PER_SECOND", "0"),
    ("CUTTLEBONE__LIMITS__DEVICE_MESSAGES_PER_SECOND", "0"),
    ("CUTTLEBONE__LIMITS__DEVICE_BYTES_PER_SECOND", "0"),
    ("CUTTLEBONE__LIMITS__DEVICE_FRAMES_PER_SECOND", "0"),
];

/// Starts an optimized server and puts a steady load on it. More arguments go to `loadgen pairs`.
pub(crate) fn with(seconds: u32, args: &[String]) -> Result<()> {
    cargo(&["build", "--release", "--locked", "-p", "cuttlebone", "-p", "cuttlebone-loadgen"])?;
    let program = |name: &str| target().join("release").join(name).to_string_lossy().into_owned();
    let (server, url) = Running::serve(&program("cuttlebone"), &NO_RATES)?;
    let (pid, seconds) = (server.id().to_string(), seconds.to_string());
    let load = ["pairs", "--url", &url, "--pid", &pid, "--duration", &seconds, "--rate", "2000"];
    let mut soak = command(&program("loadgen"), &load);
    soak.args(args);
    run_command(soak)
}
