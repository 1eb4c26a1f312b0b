//! What changes while the server runs: with SIGHUP, or because a file of `[access]` or of the certificate did.
//!
//! Invariants: 1. a bad configuration or file keeps the old and says so, and no good file waits for a bad one, but for those
//! of a handshake (the server's certificate, authorities and lists), which change together; 2. a change of a
//! file takes nothing else of the configuration along; 3. files are looked at and read on a thread of their own: one that hangs
//! with its file system holds up the next reload, and nothing else.

use std::sync::Arc;
use std::time::Duration;

use cuttlebone_server::{ClientSettings, ServerHandle, TlsSettings};
use tokio::sync::Notify;
use tokio::time::{MissedTickBehavior, interval};

use crate::audit::AuditLog;
use crate::config::{self, Config, Known, RawConfig, Sources};
use crate::logging::LogHandle;
use crate::supervisor;
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
    ice: cuttlebone_ice::Settings,
    /// Of the last good configuration.
    raw: RawConfig,
    access_files: Watch,
    known: Known,
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
            ice: config.settings.ice.clone(),
            raw: config.raw.clone(),
            access_files: std::mem::take(&mut config.access_files),
            known: config.known.clone(),
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
                () = hangup.notified() => {
                    supervisor::reloading();
                    self.all().await;
                    supervisor::ready();
                }
                _ = looks.tick() => self.look().await,
            }
        }
    }

    /// Reads the configuration again, and takes what can be taken.
    async fn all(&mut self) {
        if let Some(audit) = &self.audit {
            audit.reopen();
        }
        let sources = self.sources.clone();
        let loaded = elsewhere(move || sources.load().map_err(|faults| faults.to_string())).await;
        let loaded = loaded.unwrap_or_else(|| Err("it can't be read".to_owned()));
        let loaded = loaded.and_then(|config| self.log.set_level(&config.log.level).map(|()| Box::new(config)));
        self.handle.note_reload("configuration", loaded.is_ok());
        match loaded {
            Ok(config) => self.take(config).await,
            Err(faults) => {
                tracing::error!(%faults, "kept the old configuration");
                self.files("the configuration is faulty, and the files of access are read").await;
                // A fault somewhere else is no reason to serve a certificate until it has expired.
                self.take_tls().await;
            }
        }
    }

    /// Looks at the files, and takes those that have changed.
    async fn look(&mut self) {
        let Running { access_files, tls_files, .. } = &mut self.running;
        let (mut access, mut tls) = (std::mem::take(access_files), std::mem::take(tls_files));
        let looked = elsewhere(move || (access.look(), tls.look(), access, tls)).await;
        let (has_access, has_tls, access, tls) = looked.unwrap_or_default();
        (self.running.access_files, self.running.tls_files) = (access, tls);
        if has_access {
            self.files("a file of access has changed").await;
        }
        if has_tls {
            self.take_tls().await;
        }
    }

    async fn take(&mut self, mut config: Box<Config>) {
        let keys = config::needs_restart(&self.running.started, &config.raw);
        self.keep_provider(&mut config).await;
        // First: whoever is shut out is not told of the new servers.
        self.take_access(&config.known);
        let ice = config.settings.ice;
        let has_new_servers = ice != self.running.ice;
        if has_new_servers {
            self.handle.set_ice(ice.clone());
            self.running.ice = ice;
        }
        let Known { tokens, issuers, certificates, .. } = config.known;
        let level = config.log.level;
        let ice = has_new_servers;
        tracing::info!(%level, ice, tokens, issuers, certificates, "reloaded log.level, ice and access");
        if !keys.is_empty() {
            tracing::warn!(keys = keys.join(" "), "these keys have changed, and are taken with the next start");
        }
        if self.running.is_anonymous && !config.settings.access.anonymous {
            tracing::warn!("whoever comes without a token is served until the next start, as before");
        }
        // A certificate that comes from elsewhere needs a restart.
        if self.running.started.tls.mode == config.raw.tls.mode {
            // What we make or get ourselves stays where it is: its folder and names are taken with the next start.
            if matches!(config.settings.tls, Some(TlsSettings::Files { .. })) {
                self.running.tls = config.settings.tls;
            }
            self.running.clients = config.settings.https.clients;
            self.running.tls_files = config.tls_files;
        }
        self.running.known = config.known;
        self.running.raw = config.raw;
        self.running.access_files = config.access_files;
        self.take_tls().await;
    }

    /// Whoever signs in does so at the provider of the start, and its claims go on to mean what they meant.
    async fn keep_provider(&self, config: &mut Config) {
        if !config::keep_provider(&self.running.raw, &mut config.raw) {
            return;
        }
        let (raw, old) = (config.raw.clone(), config.known.clone());
        if let Some((known, _)) = elsewhere(move || config::read_access(&raw, &old)).await {
            config.known = known;
        }
    }

    /// Reads the files of `[access]` again, for a reason.
    async fn files(&mut self, why: &'static str) {
        let (raw, old) = (self.running.raw.clone(), self.running.known.clone());
        let Some((known, faults)) = elsewhere(move || config::read_access(&raw, &old)).await else { return };
        self.take_access(&known);
        self.handle.note_reload("access", faults.is_empty());
        let Known { tokens, issuers, certificates, .. } = known;
        if faults.is_empty() {
            tracing::info!(tokens, issuers, certificates, "{why}: reloaded");
        } else {
            tracing::error!(%faults, tokens, issuers, certificates, "{why}: kept the old of each that is faulty");
        }
        self.running.known = known;
    }

    /// Reads the certificate again.
    async fn take_tls(&self) {
        let Some(settings) = self.running.tls.clone() else { return };
        let (handle, clients) = (self.handle.clone(), self.running.clients.clone());
        match elsewhere(move || handle.reload_tls(&settings, clients.as_ref())).await {
            Some(Ok(true)) => tracing::info!("another certificate is in use"),
            Some(Err(error)) => tracing::error!(%error, "kept the old certificate"),
            Some(Ok(false)) | None => {}
        }
    }

    fn take_access(&self, known: &Known) {
        self.handle.set_access(Arc::clone(&known.access));
        warn(known);
    }
}

/// Does what may wait for a file system on a thread of its own. `None` if it panics, which is logged by itself.
async fn elsewhere<T: Send + 'static>(work: impl FnOnce() -> T + Send + 'static) -> Option<T> {
    tokio::task::spawn_blocking(work).await.ok()
}

/// Logs what should be looked at.
pub(super) fn warn(known: &Known) {
    known.warnings.iter().for_each(|warning| tracing::warn!("{warning}"));
}
