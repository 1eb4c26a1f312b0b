//! A TCP proxy that spoils connections: commands are lines on stdin, and each is answered with a line.

use std::io::{self, BufRead as _, Write as _};
use std::net::SocketAddr;

use clap::Parser;
use cuttlebone_testkit::fault_proxy::FaultProxy;

/// Passes TCP connections on, and spoils them on command.
///
/// Prints `listening on ADDRESS`, then reads a command from each line of stdin and answers it with a line that begins
/// with `ok` or `error`. Ends, and resets its connections, at the end of stdin.
///
/// Commands: delay MS, stall, stall MS, slice BYTES, cut, cut-after up|down BYTES, half-close up|down, clear, to HOST:PORT,
/// counts. `up` is towards the server.
#[derive(Debug, Parser)]
#[command(name = "fault-proxy")]
struct Arguments {
    /// Where to listen; port 0 is any free port.
    #[arg(long, value_name = "ADDRESS", default_value = "127.0.0.1:0")]
    listen: SocketAddr,
    /// Where connections go; need not be there yet.
    #[arg(long, value_name = "HOST:PORT")]
    to: String,
}

fn main() -> io::Result<()> {
    let Arguments { listen, to } = Arguments::parse();
    let runtime = tokio::runtime::Runtime::new()?;
    let proxy = runtime.block_on(FaultProxy::listen(listen, &to))?;
    let mut out = io::stdout().lock();
    writeln!(out, "listening on {}", proxy.address())?;
    // Stdin blocks this thread only: the connections are on the threads of the runtime.
    for line in io::stdin().lock().lines() {
        match runtime.block_on(proxy.obey(&line?)) {
            Ok(answer) if answer.is_empty() => writeln!(out, "ok")?,
            Ok(answer) => writeln!(out, "ok {answer}")?,
            Err(error) => writeln!(out, "error {error}")?,
        }
    }
    Ok(())
}
