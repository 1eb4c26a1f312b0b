//! `[access]`: who may come, with the files that it names.

mod certificate;
mod jwt;

use std::fmt;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use cuttlebone_access::{Access, LineFault, Revoked, Settings, StaticTokens};
use cuttlebone_server::AccessSettings;

use super::super::raw::{RawAccess, RawConfig, RawTls};
use super::check::{Check, millis};
use crate::files::{self, Others};

/// The most faults of one file that are shown.
const MOST_FAULTS: usize = 20;

/// Who may come, as far as it can be read again while the server runs.
#[derive(Clone)]
pub(crate) struct Known {
    /// Recognises them.
    pub(crate) access: Arc<Access>,
    /// Static tokens.
    pub(crate) tokens: usize,
    /// Issuers of JSON Web Tokens.
    pub(crate) issuers: usize,
    /// Rules for certificates.
    pub(crate) certificates: usize,
    /// What is no fault, but should be looked at.
    pub(crate) warnings: Vec<String>,
}

impl fmt::Debug for Known {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { tokens, issuers, certificates, warnings, .. } = self;
        f.debug_struct("Known")
            .field("tokens", tokens)
            .field("issuers", issuers)
            .field("certificates", certificates)
            .field("warnings", warnings)
            .finish()
    }
}

/// Whether anybody is asked who they are: whether some kind of access is named, though it may have nobody in it.
pub(super) fn is_configured(raw: &RawAccess) -> bool {
    !raw.tokens_file.is_empty() || !raw.jwt.is_empty() || !raw.certificate.is_empty()
}

/// The files that are named.
pub(super) fn files(raw: &RawAccess, tls: &RawTls) -> Vec<PathBuf> {
    let own = [&raw.tokens_file, &raw.revoked_file].into_iter().filter(|path| !path.is_empty());
    let jwt = raw.jwt.iter().flat_map(|issuer| [&issuer.keys_file, &issuer.secret_file]).flatten();
    let trust = [&tls.client_ca_file, &tls.client_crl_file].into_iter();
    let trust = trust.filter(|path| !raw.certificate.is_empty() && !path.is_empty());
    own.chain(jwt).chain(trust).map(PathBuf::from).collect()
}

/// Reads the files, and puts all together.
pub(super) fn known(raw: &RawAccess, tls: &RawTls, check: &mut Check<'_>) -> Known {
    let tokens = lines("access.tokens_file", &raw.tokens_file, StaticTokens::parse, check);
    let revoked = lines("access.revoked_file", &raw.revoked_file, Revoked::parse, check);
    let (jwt, warnings) = jwt::issuers(&raw.jwt, check);
    let certificates = certificate::certificates(&raw.certificate, tls, check);
    let count = tokens.as_ref().map_or(0, StaticTokens::len);
    let access = Access::new(Settings { tokens, jwt, certificates, revoked: revoked.unwrap_or_default() });
    Known {
        access: Arc::new(access),
        tokens: count,
        issuers: raw.jwt.len(),
        certificates: raw.certificate.len(),
        warnings,
    }
}

/// What the server takes. `is_loopback` is whether nobody but this machine reaches it.
pub(super) fn settings(raw: &RawConfig, known: &Known, is_loopback: bool) -> AccessSettings {
    let anonymous = raw.server.allow_anonymous || (is_loopback && !is_configured(&raw.access));
    AccessSettings {
        access: Arc::clone(&known.access),
        anonymous,
        token_in_query: raw.access.token_in_query,
        failures: u32::try_from(raw.access.failures).unwrap_or(u32::MAX),
        failures_within: millis(raw.access.failures_within_ms),
        failure_delay: millis(raw.access.failure_delay_ms),
    }
}

/// A file that has something on each line; "" is none.
fn lines<T>(
    key: &str,
    path: &str,
    parse: impl FnOnce(&str) -> Result<T, Vec<LineFault>>,
    check: &mut Check<'_>,
) -> Option<T> {
    if path.is_empty() {
        return None;
    }
    let path = Path::new(path);
    let text = files::read(path, Others::MayRead).map_err(|fault| check.fault(key, fault)).ok()?;
    parse(&text).map_err(|faults| note(key, path, &faults, check)).ok()
}

fn note(key: &str, path: &Path, faults: &[LineFault], check: &mut Check<'_>) {
    for fault in faults.iter().take(MOST_FAULTS) {
        check.fault_in_file(path, fault.line, fault.fault.to_string());
    }
    if let more @ 1.. = faults.len().saturating_sub(MOST_FAULTS) {
        check.fault(key, format!("{} has {more} more faults", path.display()));
    }
}
