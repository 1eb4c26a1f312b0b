//! A server whose TURN credentials are good for some seconds only, which no configuration allows.

use std::io::{self, Read as _, Write as _};
use std::time::Duration;

use clap::Parser;
use cuttlebone_ice::{ServerSettings, TurnSecret};
use cuttlebone_proto::IceServer;
use cuttlebone_testkit::{TestServer, local_settings};

/// Serves everybody on a free port of loopback, and tells them of one relay.
///
/// Prints `listening on http://ADDRESS`. Ends at the end of stdin.
#[derive(Debug, Parser)]
#[command(name = "short-lived-credentials")]
struct Arguments {
    /// The address of the relay, such as turn:127.0.0.1:3478.
    #[arg(long, value_name = "URL")]
    turn: String,
    /// The secret that the relay knows as well.
    #[arg(long, value_name = "TEXT")]
    secret: String,
    /// How long credentials are good for.
    #[arg(long, value_name = "SECONDS")]
    ttl_seconds: u64,
}

fn main() -> io::Result<()> {
    let Arguments { turn, secret, ttl_seconds } = Arguments::parse();
    let secret = TurnSecret::new(&secret).map_err(io::Error::other)?;
    let server = IceServer { urls: vec![turn], username: None, credential: None };
    let mut settings = local_settings();
    settings.ice.servers = vec![ServerSettings { secrets: vec![secret], ..server.into() }];
    settings.ice.ttl = Duration::from_secs(ttl_seconds);
    let runtime = tokio::runtime::Runtime::new()?;
    let server = runtime.block_on(async { TestServer::start(settings) }).map_err(io::Error::other)?;
    writeln!(io::stdout(), "listening on http://{}", server.address())?;
    io::stdin().read_to_end(&mut Vec::new())?;
    Ok(())
}
