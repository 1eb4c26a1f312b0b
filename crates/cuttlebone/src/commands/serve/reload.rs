//! What changes while the server runs: with SIGHUP, or because a file of `[access]` did.
//!
//! Invariants: 1. a bad configuration or file keeps the old and says so; 2. a change of a file takes nothing else of the
//! configuration along.

use std::sync::Arc;
use std::time::Duration;

use cuttlebone_server::ServerHandle;
use tokio::sync::Notify;
use tokio::time::{MissedTickBehavior, interval};

use crate::audit::AuditLog;
use crate::config::{self, Config, Known, RawAccess, RawConfig, Sources};
use crate::logging::LogHandle;
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
    ice: cuttlebone_ice::Settings,
    /// Of the last good configuration.
    access: RawAccess,
    access_files: Watch,
}

impl Running {
    /// What a server that starts with this configuration has.
    pub(super) fn new(config: &mut Config) -> Self {
        Self {
            started: config.raw.clone(),
            is_anonymous: config.settings.access.anonymous,
            ice: config.settings.ice.clone(),
            access: config.raw.access.clone(),
            access_files: std::mem::take(&mut config.access_files),
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
                _ = looks.tick() => if self.running.access_files.look() { self.files() },
            }
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
            Err(faults) => tracing::error!(%faults, "kept the old configuration"),
        }
    }

    fn take(&mut self, config: Config) {
        let ice = config.settings.ice;
        let has_new_servers = ice != self.running.ice;
        if has_new_servers {
            self.handle.set_ice(ice.clone());
            self.running.ice = ice;
        }
        self.take_access(&config.known);
        let Known { tokens, issuers, .. } = config.known;
        let level = config.log.level;
        tracing::info!(%level, ice = has_new_servers, tokens, issuers, "reloaded log.level, ice and access");
        let keys = config::needs_restart(&self.running.started, &config.raw);
        if !keys.is_empty() {
            tracing::warn!(keys = keys.join(" "), "these keys have changed, and are taken with the next start");
        }
        if self.running.is_anonymous && !config.settings.access.anonymous {
            tracing::warn!("whoever comes without a token is served until the next start, as before");
        }
        self.running.access = config.raw.access;
        self.running.access_files = config.access_files;
    }

    /// Reads the files of `[access]` again.
    fn files(&mut self) {
        let read = config::read_access(&self.running.access);
        self.handle.note_reload("access", read.is_ok());
        match read {
            Ok(known) => {
                self.take_access(&known);
                let Known { tokens, issuers, .. } = known;
                tracing::info!(tokens, issuers, "a file of access has changed: reloaded");
            }
            Err(faults) => tracing::error!(%faults, "a file of access has changed: kept the old"),
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
