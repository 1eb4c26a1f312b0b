//! The configuration: defaults, then the file, then `CUTTLEBONE__SECTION__KEY` variables, then flags.
//!
//! Owns reading, merging and checking. Invariants:
//! 1. `default.toml` is the reference: every key is in it, with its default and its meaning.
//! 2. Nothing is ignored: an unknown key or variable is a fault, and so is a named file that is missing.
//! 3. All faults are shown at once, each with its key and where it was written.
//! 4. A secret is never in a message.
//!
//! The commands call [`Sources::load`].

mod accounts;
mod environment;
mod fault;
mod file;
mod merge;
mod raw;
mod restart;
mod secret;
mod settings;

use std::ffi::OsString;
use std::path::PathBuf;

pub(crate) use fault::{Fault, Faults};
pub(crate) use merge::Override;
pub(crate) use raw::RawConfig;
pub(crate) use restart::{keep_provider, needs_restart};
pub(crate) use settings::Known;

use crate::audit::AuditOutput;
use crate::logging::LogSettings;
use crate::watch::Watch;
use file::ConfigFile;
use merge::Merged;

/// The documented defaults: the reference of every key.
pub(crate) const DEFAULTS: &str = include_str!("config/default.toml");

/// Where a configuration comes from, besides the defaults.
#[derive(Debug, Clone, Default)]
pub(crate) struct Sources {
    /// The file named by `--config`.
    pub(crate) file: Option<PathBuf>,
    /// The environment, all of it.
    pub(crate) variables: Vec<(OsString, OsString)>,
    /// What flags set.
    pub(crate) flags: Vec<Override>,
}

/// A configuration without a fault.
#[derive(Debug)]
pub(crate) struct Config {
    /// What the server takes.
    pub(crate) settings: cuttlebone_server::Settings,
    /// Where the audit log goes. It is opened, and given to the settings, when the server starts.
    pub(crate) audit: AuditOutput,
    /// What logging takes.
    pub(crate) log: LogSettings,
    /// Who may connect, of the same as in the settings.
    pub(crate) known: Known,
    /// The files that [`Config::known`] was read from, watched since before.
    pub(crate) access_files: Watch,
    /// The files of the certificate, watched since before they were read.
    pub(crate) tls_files: Watch,
    /// The merged values as written, to print them.
    pub(crate) raw: RawConfig,
}

impl Sources {
    /// The named file, this process's environment, and flags.
    pub(crate) fn new(file: Option<PathBuf>, flags: Vec<Override>) -> Self {
        Self { file, variables: std::env::vars_os().collect(), flags }
    }

    /// Reads, merges and checks. Errors: every fault there is.
    pub(crate) fn load(&self) -> Result<Config, Faults> {
        let mut merged = Merged::new();
        if let Some(path) = &self.file {
            merged.add_file(path, ConfigFile::read(path)?);
        }
        merged.add_variables(self.variables.iter().cloned());
        merged.add_flags(self.flags.clone());
        let (raw, faults) = merged.typed()?;
        settings::check(raw, &merged, faults, &self.variables)
    }
}

/// Reads again who may connect: the files that `[access]` names, and those of `[tls]` that vouch for them, as they were
/// named when `old` was read. A faulty file keeps what it had, and only that; every fault there is comes along.
pub(crate) fn read_access(raw: &RawConfig, old: &Known) -> (Known, Faults) {
    settings::known(raw, old)
}

#[cfg(test)]
mod tests;
