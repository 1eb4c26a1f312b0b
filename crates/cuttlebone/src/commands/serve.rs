//! `cuttlebone serve`

mod reload;

use std::process::ExitCode;
use std::sync::Arc;

use anyhow::{Context, Result};
use cuttlebone_server::{AuditSink, Server, Sockets};
use tokio::sync::Notify;
use tokio_util::sync::CancellationToken;

use super::block_on;
use super::config_doc::print;
use crate::audit::AuditLog;
use crate::cli::ServeArgs;
use crate::config::{Config, Known, Sources};
use crate::logging::{self, LogHandle};
use crate::signals::Signals;
use crate::{sockets, supervisor};
use reload::{Reload, Running};

pub(super) fn run(args: &ServeArgs) -> Result<ExitCode> {
    let sockets = sockets::inherited()?;
    let mut overrides = args.config.overrides();
    overrides.extend(sockets::overrides(&sockets)?);
    let sources = Sources::new(args.config.config.clone(), overrides);
    let config = sources.load()?;
    let log = logging::start(&config.log).map_err(anyhow::Error::msg)?;
    block_on(serve(config, sockets, sources, log))
}

async fn serve(mut config: Config, sockets: Sockets, sources: Sources, log: LogHandle) -> Result<ExitCode> {
    let stop = CancellationToken::new();
    let signals = Signals::new().context("cannot listen to signals")?;
    let hangup = Notify::new();
    let running = Running::new(&mut config);
    let audit = AuditLog::start(&config.audit).context("cannot open the audit log")?;
    config.settings.audit.sink = audit.clone().map(|log| Arc::new(log) as Arc<dyn AuditSink>);
    let is_anonymous = config.settings.access.anonymous;
    let (has_hook, has_proxies) = (config.settings.access.hook.is_some(), config.settings.proxy.is_used());
    let has_relay = config.settings.ice.has_relay();
    let server = Server::bind_with(config.settings, sockets)?;
    announce(&server)?;
    say_who_may_connect(&server, &config.known, is_anonymous, (has_hook, has_proxies));
    if is_anonymous && has_relay && (has_proxies || !server.local_addr().ip().is_loopback()) {
        tracing::warn!("whoever reaches this address and a device is given credentials for the TURN servers of [ice]");
    }
    let watched = supervisor::watch(server.handle(), stop.clone());
    // The sockets listen: whoever comes now waits for a moment at most.
    supervisor::ready();
    let reload = Reload::new(sources, log, server.handle(), audit, running);
    // Order: that the program stops is told before it may have done so.
    tokio::select! {
        biased;
        () = watched => {}
        _ = server.run(stop.clone()) => {}
        () = signals.watch(stop, || hangup.notify_one()) => {}
        () = reload.run(&hangup) => {}
    }
    Ok(ExitCode::SUCCESS)
}

/// Says on standard output that connections are accepted: a program that started us waits for this line.
fn announce(server: &Server) -> Result<()> {
    let address = server.local_addr();
    let scheme = if server.is_tls() { "https" } else { "http" };
    print(&format!("listening on {scheme}://{address}\n"))?;
    if let Some(fingerprint) = server.fingerprint() {
        print(&format!("certificate fingerprint (SHA-256) {fingerprint}\n"))?;
    }
    if let Some(address) = server.redirect_addr() {
        tracing::info!(%address, "sending plain HTTP on");
    }
    if let Some(address) = server.metrics_addr() {
        tracing::info!(%address, "serving /metrics");
    }
    Ok(())
}

/// Says in the log what an operator may not have meant.
fn say_who_may_connect(server: &Server, known: &Known, is_anonymous: bool, (has_hook, has_proxies): (bool, bool)) {
    let Known { tokens, issuers, users, certificates, .. } = *known;
    let address = server.local_addr();
    match (is_anonymous, address.ip().is_loopback() && !has_proxies) {
        (true, true) => tracing::info!(tokens, issuers, "no token is needed: everybody on this machine may connect"),
        (true, false) => {
            tracing::warn!(%address, tokens, issuers, "no token is needed: whoever reaches this address may connect")
        }
        (false, _) if known.sessions.is_some() => {
            tracing::info!(tokens, issuers, "a token is needed, or an account of the provider")
        }
        (false, _) if tokens + issuers + users + certificates == 0 && !has_hook => {
            tracing::warn!("a token is needed, and there is none that is good")
        }
        (false, _) => {
            tracing::info!(tokens, issuers, certificates, hook = has_hook, "a token or a certificate is needed")
        }
    }
    reload::warn(known);
}
