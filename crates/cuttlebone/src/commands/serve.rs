//! `cuttlebone serve`

use std::process::ExitCode;

use anyhow::{Context, Result};
use cuttlebone_proto::IceServer;
use cuttlebone_server::{Server, ServerHandle, Sockets};
use tokio_util::sync::CancellationToken;

use super::block_on;
use super::config_doc::print;
use crate::cli::ServeArgs;
use crate::config::{Config, Sources};
use crate::logging::{self, LogHandle};
use crate::signals::Signals;
use crate::sockets;

pub(super) fn run(args: &ServeArgs) -> Result<ExitCode> {
    let sockets = sockets::inherited()?;
    let mut overrides = args.config.overrides();
    overrides.extend(sockets::overrides(&sockets)?);
    let sources = Sources::new(args.config.config.clone(), overrides);
    let config = sources.load()?;
    let log = logging::start(&config.log).map_err(anyhow::Error::msg)?;
    block_on(serve(config, sockets, sources, log))
}

async fn serve(config: Config, sockets: Sockets, sources: Sources, log: LogHandle) -> Result<ExitCode> {
    let stop = CancellationToken::new();
    let signals = Signals::new().context("cannot listen to signals")?;
    let mut ice_servers = config.settings.ice_servers.clone();
    let server = Server::bind_with(config.settings, sockets)?;
    let handle = server.handle();
    announce(&server)?;
    tokio::select! {
        _ = server.run(stop.clone()) => {}
        () = signals.watch(stop, || reload(&sources, &log, &handle, &mut ice_servers)) => {}
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

/// Reads the configuration again and takes its log level and its ICE servers. A bad one keeps the old.
fn reload(sources: &Sources, log: &LogHandle, handle: &ServerHandle, ice_servers: &mut Vec<IceServer>) {
    let result = sources.load().map_err(|faults| faults.to_string());
    match result.and_then(|config| log.set_level(&config.log.level).map(|()| config)) {
        Ok(config) => {
            let are_new = config.settings.ice_servers != *ice_servers;
            if are_new {
                *ice_servers = config.settings.ice_servers;
                handle.set_ice_servers(ice_servers);
            }
            tracing::info!(level = %config.log.level, ice_servers = are_new, "reloaded log.level and ice.servers");
        }
        Err(faults) => tracing::error!(%faults, "kept the old configuration"),
    }
}
