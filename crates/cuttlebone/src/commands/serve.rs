//! `cuttlebone serve`

use std::process::ExitCode;

use anyhow::{Context, Result};
use cuttlebone_server::Server;
use tokio_util::sync::CancellationToken;

use super::block_on;
use super::config_doc::print;
use crate::cli::ServeArgs;
use crate::config::{Config, Sources};
use crate::logging::{self, LogHandle};
use crate::signals::Signals;

pub(super) fn run(args: &ServeArgs) -> Result<ExitCode> {
    let sources = Sources::new(args.config.config.clone(), args.config.overrides());
    let config = sources.load()?;
    let log = logging::start(&config.log).map_err(anyhow::Error::msg)?;
    block_on(serve(config, sources, log))
}

async fn serve(config: Config, sources: Sources, log: LogHandle) -> Result<ExitCode> {
    let stop = CancellationToken::new();
    let signals = Signals::new().context("cannot listen to signals")?;
    let server = Server::bind(config.settings)?;
    announce(&server)?;
    tokio::select! {
        _ = server.run(stop.clone()) => {}
        () = signals.watch(stop, || reload(&sources, &log)) => {}
    }
    Ok(ExitCode::SUCCESS)
}

/// Says on standard output that connections are accepted: a program that started us waits for this line.
fn announce(server: &Server) -> Result<()> {
    let address = server.local_addr();
    match server.fingerprint() {
        None => print(&format!("listening on http://{address}\n"))?,
        Some(fingerprint) => {
            print(&format!("listening on https://{address}\ncertificate fingerprint (SHA-256) {fingerprint}\n"))?
        }
    };
    if let Some(address) = server.metrics_addr() {
        tracing::info!(%address, "serving /metrics");
    }
    Ok(())
}

/// Reads the configuration again and takes its log level. A bad one keeps the old.
fn reload(sources: &Sources, log: &LogHandle) {
    let result = sources.load().map_err(|faults| faults.to_string());
    match result.and_then(|config| log.set_level(&config.log.level).map(|()| config.log.level)) {
        Ok(level) => tracing::info!(%level, "reloaded the log level"),
        Err(faults) => tracing::error!(%faults, "kept the old configuration"),
    }
}
