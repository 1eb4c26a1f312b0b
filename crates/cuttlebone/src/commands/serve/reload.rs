//! What changes while the server runs: with SIGHUP, or because a file of `[access]` did.
//!
//! Invariants: 1. a bad configuration or file keeps the old and says so, and no good file waits for a bad one; 2. a change of a
//! file takes nothing else of the configuration along; 3. files are looked at and read on a thread of their own: one that hangs
//! with its file system holds up the next reload, and nothing else.

use std::sync::Arc;
use std::time::Duration;

use cuttlebone_proto::IceServer;
use cuttlebone_server::ServerHandle;
use tokio::sync::Notify;
use tokio::time::{MissedTickBehavior, interval};

use crate::audit::AuditLog;
use crate::config::{self, Config, Known, RawAccess, RawConfig, RawOidc, Sources};
use crate::logging::LogHandle;
use crate::supervisor;
use crate::watch::Watch;

/// How often the files of `[access]` are looked at. A change is taken with the second look that sees it.
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
    oidc: RawOidc,
    access_files: Watch,
    known: Known,
}

impl Running {
    /// What a server that starts with this configuration has.
    pub(super) fn new(config: &mut Config) -> Self {
        Self {
            started: config.raw.clone(),
            is_anonymous: config.settings.access.anonymous,
            ice_servers: config.settings.ice_servers.clone(),
            access: config.raw.access.clone(),
            oidc: config.raw.oidc.clone(),
            access_files: std::mem::take(&mut config.access_files),
            known: config.known.clone(),
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
                _ = looks.tick() => if self.look().await { self.files("a file of access has changed").await },
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
        let loaded = loaded.and_then(|config| self.log.set_level(&config.log.level).map(|()| config));
        self.handle.note_reload("configuration", loaded.is_ok());
        match loaded {
            Ok(config) => self.take(config),
            Err(faults) => {
                tracing::error!(%faults, "kept the old configuration");
                self.files("the configuration is faulty, and the files of access are read").await;
            }
        }
    }

    /// Whether a file of `[access]` has changed.
    async fn look(&mut self) -> bool {
        let mut files = std::mem::take(&mut self.running.access_files);
        let looked = elsewhere(move || (files.look(), files)).await;
        let (has_changed, files) = looked.unwrap_or_default();
        self.running.access_files = files;
        has_changed
    }

    fn take(&mut self, config: Config) {
        let ice_servers = config.settings.ice_servers;
        let has_new_servers = ice_servers != self.running.ice_servers;
        if has_new_servers {
            self.handle.set_ice_servers(&ice_servers);
            self.running.ice_servers = ice_servers;
        }
        self.take_access(&config.known);
        let Known { tokens, issuers, .. } = config.known;
        let level = config.log.level;
        tracing::info!(%level, ice_servers = has_new_servers, tokens, issuers, "reloaded log.level, ice.servers and access");
        let keys = config::needs_restart(&self.running.started, &config.raw);
        if !keys.is_empty() {
            tracing::warn!(keys = keys.join(" "), "these keys have changed, and are taken with the next start");
        }
        if self.running.is_anonymous && !config.settings.access.anonymous {
            tracing::warn!("whoever comes without a token is served until the next start, as before");
        }
        self.running.known = config.known;
        self.running.access = config.raw.access;
        self.running.oidc = config.raw.oidc;
        self.running.access_files = config.access_files;
    }

    /// Reads the files of `[access]` again, for a reason.
    async fn files(&mut self, why: &'static str) {
        let Running { access, oidc, known, .. } = &self.running;
        let (access, oidc, old) = (access.clone(), oidc.clone(), known.clone());
        let Some((known, faults)) = elsewhere(move || config::read_access(&access, &oidc, &old)).await else { return };
        self.take_access(&known);
        self.handle.note_reload("access", faults.is_empty());
        let Known { tokens, issuers, .. } = known;
        if faults.is_empty() {
            tracing::info!(tokens, issuers, "{why}: reloaded");
        } else {
            tracing::error!(%faults, tokens, issuers, "{why}: kept the old of each that is faulty");
        }
        self.running.known = known;
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
