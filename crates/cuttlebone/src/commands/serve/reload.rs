//! What changes while the server runs: with SIGHUP, or because a file of `[access]` or of the certificate did.
//!
//! Invariants: 1. a bad configuration or file keeps the old and says so; 2. a change of a file takes nothing else of the
//! configuration along.

use std::sync::Arc;
use std::time::Duration;

use cuttlebone_proto::IceServer;
use cuttlebone_server::{ClientSettings, ServerHandle, TlsSettings};
use tokio::sync::Notify;
use tokio::time::{MissedTickBehavior, interval};

use crate::audit::AuditLog;
use crate::config::{self, Config, Known, RawAccess, RawConfig, RawTls, Sources};
use crate::logging::LogHandle;
use crate::watch::Watch;

/// How often the files are looked at. A change is taken with the second look that sees it.
const LOOK: Duration = Duration::from_secs(1);

/// The running server, and what it was started with.
pub(super) struct Reload {
    sources: Sources,
    log: LogHandle,
    handle: ServerHandle,
    audit: Option<AuditLog>,
    running: Running,
}

/// What is in force.
pub(super) struct Running {
    /// The configuration of the start, for what is not read again.
    started: RawConfig,
    is_anonymous: bool,
    ice_servers: Vec<IceServer>,
    /// Of the last good configuration.
    access: RawAccess,
    access_files: Watch,
    raw_tls: RawTls,
    tls: Option<TlsSettings>,
    clients: Option<ClientSettings>,
    tls_files: Watch,
}

impl Running {
    /// What a server that starts with this configuration has.
    pub(super) fn new(config: &mut Config) -> Self {
        Self {
            started: config.raw.clone(),
            is_anonymous: config.settings.access.anonymous,
            ice_servers: config.settings.ice_servers.clone(),
            access: config.raw.access.clone(),
            access_files: std::mem::take(&mut config.access_files),
            raw_tls: config.raw.tls.clone(),
            tls: config.settings.tls.clone(),
            clients: config.settings.https.clients.clone(),
            tls_files: std::mem::take(&mut config.tls_files),
        }
    }
}

impl Reload {
    pub(super) fn new(
        sources: Sources,
        log: LogHandle,
        handle: ServerHandle,
        audit: Option<AuditLog>,
        running: Running,
    ) -> Self {
        Self { sources, log, handle, audit, running }
    }

    /// Runs until it is dropped.
    pub(super) async fn run(mut self, hangup: &Notify) {
        let mut looks = interval(LOOK);
        looks.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            tokio::select! {
                () = hangup.notified() => self.all(),
                _ = looks.tick() => self.look(),
            }
        }
    }

    fn look(&mut self) {
        if self.running.access_files.look() {
            self.files();
        }
        if self.running.tls_files.look() {
            self.take_tls();
        }
    }

    /// Reads the configuration again, and takes what can be taken.
    fn all(&mut self) {
        if let Some(audit) = &self.audit {
            audit.reopen();
        }
        let loaded = self.sources.load().map_err(|faults| faults.to_string());
        let loaded = loaded.and_then(|config| self.log.set_level(&config.log.level).map(|()| config));
        self.handle.note_reload("configuration", loaded.is_ok());
        match loaded {
            Ok(config) => self.take(config),
            Err(faults) => {
                tracing::error!(%faults, "kept the old configuration");
                // A fault somewhere else is no reason to serve a certificate until it has expired.
                self.take_tls();
            }
        }
    }

    fn take(&mut self, config: Config) {
        let ice_servers = config.settings.ice_servers;
        let has_new_servers = ice_servers != self.running.ice_servers;
        if has_new_servers {
            self.handle.set_ice_servers(&ice_servers);
            self.running.ice_servers = ice_servers;
        }
        self.take_access(&config.known);
        let Known { tokens, issuers, certificates, .. } = config.known;
        let level = config.log.level;
        let ice_servers = has_new_servers;
        tracing::info!(%level, ice_servers, tokens, issuers, certificates, "reloaded log.level, ice.servers and access");
        let keys = config::needs_restart(&self.running.started, &config.raw);
        if !keys.is_empty() {
            tracing::warn!(keys = keys.join(" "), "these keys have changed, and are taken with the next start");
        }
        if self.running.is_anonymous && !config.settings.access.anonymous {
            tracing::warn!("whoever comes without a token is served until the next start, as before");
        }
        // A certificate that comes from elsewhere needs a restart.
        if self.running.started.tls.mode == config.raw.tls.mode {
            self.running.tls = config.settings.tls;
            self.running.clients = config.settings.https.clients;
            self.running.tls_files = config.tls_files;
        }
        self.take_tls();
        self.running.access = config.raw.access;
        self.running.raw_tls = config.raw.tls;
        self.running.access_files = config.access_files;
    }

    /// Reads the files of `[access]` again.
    fn files(&mut self) {
        let read = config::read_access(&self.running.access, &self.running.raw_tls);
        self.handle.note_reload("access", read.is_ok());
        match read {
            Ok(known) => {
                self.take_access(&known);
                let Known { tokens, issuers, certificates, .. } = known;
                tracing::info!(tokens, issuers, certificates, "a file of access has changed: reloaded");
            }
            Err(faults) => tracing::error!(%faults, "a file of access has changed: kept the old"),
        }
    }

    /// Reads the certificate again.
    fn take_tls(&self) {
        let Some(settings) = &self.running.tls else { return };
        match self.handle.reload_tls(settings, self.running.clients.as_ref()) {
            Ok(true) => tracing::info!("another certificate is in use"),
            Ok(false) => {}
            Err(error) => tracing::error!(%error, "kept the old certificate"),
        }
    }

    fn take_access(&self, known: &Known) {
        self.handle.set_access(Arc::clone(&known.access));
        warn(known);
    }
}

/// Logs what should be looked at.
pub(super) fn warn(known: &Known) {
    known.warnings.iter().for_each(|warning| tracing::warn!("{warning}"));
}
