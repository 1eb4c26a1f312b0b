//! `[access]`: who may come, with the files that it names.

mod certificate;
mod jwt;
mod user;

use std::fmt;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use cuttlebone_access::{
    Access, CertificateTrust, KeySet, LineFault, Revoked, Sessions, Settings, StaticTokens, Users,
};
use cuttlebone_server::{AccessSettings, HookSettings};

use super::super::raw::{RawAccess, RawConfig, RawJwt, RawTls};
use super::check::{Check, count, millis};
use super::{elsewhere, oidc};
use crate::files::{self, Others};

/// The most faults of one file that are shown.
const MOST_FAULTS: usize = 20;
/// The most verified tokens that may be remembered.
const MOST_VERIFIED: u64 = 10_000_000;

/// Who may come, as far as it can be read again while the server runs.
#[derive(Clone)]
pub(crate) struct Known {
    /// Recognises them.
    pub(crate) access: Arc<Access>,
    /// Static tokens.
    pub(crate) tokens: usize,
    /// Issuers of JSON Web Tokens.
    pub(crate) issuers: usize,
    /// Rules for users of this machine.
    pub(crate) users: usize,
    /// Those who sign in at a provider.
    pub(crate) sessions: Option<Sessions>,
    /// Rules for certificates.
    pub(crate) certificates: usize,
    /// What is no fault, but should be looked at.
    pub(crate) warnings: Vec<String>,
    /// What each file has.
    files: Files,
}

/// What the files have: one that can't be read again keeps it.
#[derive(Clone, Default)]
struct Files {
    tokens: Option<StaticTokens>,
    revoked: Option<Revoked>,
    /// One for each issuer.
    keys: Vec<KeySet>,
    /// Those who vouch for certificates, and what they have withdrawn.
    trust: Option<CertificateTrust>,
    /// Not of a file of ours, but names are looked up in those of the system.
    users: Option<Users>,
}

impl fmt::Debug for Known {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { tokens, issuers, users, sessions, certificates, warnings, .. } = self;
        let mut known = f.debug_struct("Known");
        known.field("tokens", tokens).field("issuers", issuers).field("users", users).field("sessions", sessions);
        known.field("certificates", certificates).field("warnings", warnings).finish()
    }
}

/// Whether anybody is asked who they are: whether some kind of access is named, though it may have nobody in it.
pub(super) fn is_configured(raw: &RawConfig) -> bool {
    let RawConfig { access, oidc, hook, .. } = raw;
    let is_listed = !access.tokens_file.is_empty() || !access.jwt.is_empty() || !access.user.is_empty();
    is_listed || !access.certificate.is_empty() || oidc::is_configured(oidc) || !hook.url.is_empty()
}

/// The files that are named.
pub(super) fn files(raw: &RawAccess, tls: &RawTls) -> Vec<PathBuf> {
    let own = [&raw.tokens_file, &raw.revoked_file].into_iter().filter(|path| !path.is_empty());
    let jwt = raw.jwt.iter().flat_map(|issuer| [&issuer.keys_file, &issuer.secret_file]).flatten();
    let trust = [&tls.client_ca_file, &tls.client_crl_file].into_iter();
    let trust = trust.filter(|path| certificate::is_looked_at(&raw.certificate, tls) && !path.is_empty());
    own.chain(jwt).chain(trust).map(PathBuf::from).collect()
}

/// Reads the files, and puts all together. A faulty one has what it had in `old`, which was read by the same configuration.
pub(super) fn known(raw: &RawConfig, old: Option<&Known>, check: &mut Check<'_>) -> Known {
    let RawConfig { access: raw, oidc, tls, .. } = raw;
    let old = old.map(|known| known.files.clone()).unwrap_or_default();
    let tokens = lines("access.tokens_file", &raw.tokens_file, StaticTokens::parse, check).or(old.tokens);
    let revoked = lines("access.revoked_file", &raw.revoked_file, Revoked::parse, check).or(old.revoked);
    let issuers = jwt::issuers(&raw.jwt, &old.keys, check);
    let trust = certificate::trust((&raw.certificate, tls), old.trust.as_ref(), check);
    let users = user::users(&raw.user, check).or(old.users);
    let certificates = certificate::certificates(&raw.certificate, trust.as_ref(), tls, check);
    let required = certificate::required(trust.as_ref(), tls);
    let mut warnings = issuers.warnings;
    warnings.extend(revoked.iter().flat_map(|revoked| strangers(revoked, &raw.jwt, &oidc.issuer)));
    let files = Files { tokens, revoked, keys: issuers.keys, trust, users };
    let sessions = oidc::sessions(oidc, check);
    let settings = Settings {
        tokens: files.tokens.clone(),
        jwt: issuers.jwt,
        users: files.users.clone().unwrap_or_default(),
        sessions: sessions.clone(),
        certificates,
        required,
        revoked: files.revoked.clone().unwrap_or_default(),
        verified: verified(raw.verified_tokens, check),
    };
    Known {
        access: Arc::new(Access::new(settings)),
        tokens: files.tokens.as_ref().map_or(0, StaticTokens::len),
        issuers: raw.jwt.len(),
        users: raw.user.len(),
        sessions,
        certificates: raw.certificate.len(),
        warnings,
        files,
    }
}

/// What is to be said of issuers that are named in the file of who is revoked, and nowhere else. What stands there may be anything, a
/// token too: it is not shown.
fn strangers(revoked: &Revoked, jwt: &[RawJwt], provider: &str) -> Vec<String> {
    let is_known = |kind, issuer| match kind {
        "oidc" => issuer == provider,
        _ => jwt.iter().any(|raw| raw.issuer == issuer),
    };
    let text = |kind: &str| {
        let number = revoked.issuers().filter(|(of, issuer)| *of == kind && !is_known(*of, *issuer)).count();
        (number > 0).then(|| {
            format!(
                "access.revoked_file: {number} of {kind} name an issuer that is not configured, and shut nobody out"
            )
        })
    };
    ["jwt", "jti", "oidc"].into_iter().filter_map(text).collect()
}

/// What the server takes. `is_of_this_machine` is whether nobody else reaches it.
pub(super) fn settings(
    raw: &RawConfig,
    known: &Known,
    (hook, is_of_this_machine): (Option<HookSettings>, bool),
    check: &mut Check<'_>,
) -> AccessSettings {
    let anonymous = raw.server.allow_anonymous || (is_of_this_machine && !is_configured(raw));
    AccessSettings {
        access: Arc::clone(&known.access),
        anonymous,
        token_in_query: raw.access.token_in_query,
        failures: u32::try_from(raw.access.failures).unwrap_or(u32::MAX),
        failures_within: millis(raw.access.failures_within_ms),
        failure_delay: millis(raw.access.failure_delay_ms),
        login: oidc::login(&raw.oidc, check),
        remembered: count(raw.access.remembered_addresses),
        jwks: elsewhere::jwks(&raw.access),
        hook,
    }
}

fn verified(raw: u64, check: &mut Check<'_>) -> usize {
    if !(2..=MOST_VERIFIED).contains(&raw) {
        check.fault("access.verified_tokens", format!("must be 2 to {MOST_VERIFIED}"));
    }
    count(raw)
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
