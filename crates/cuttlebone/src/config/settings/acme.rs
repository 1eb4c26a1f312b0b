//! `[acme]`

use std::path::{Path, PathBuf};
use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use cuttlebone_server::{AcmeChallenge, AcmeSettings, ExternalAccount, FetchError, FetchSettings, Fetcher};

use super::super::raw::RawAcme;
use super::check::{Check, millis};
use crate::files::{self, Others};

const DAY_S: u64 = 24 * 60 * 60;

/// The most days that make sense: no authority gives longer ones.
const MOST_DAYS: u64 = 398;

/// How a certificate is got; the ranges of values are the server's to judge. `state_dir` is where it is kept.
pub(super) fn acme(raw: &RawAcme, state_dir: PathBuf, check: &mut Check<'_>) -> Option<AcmeSettings> {
    if !raw.accept_terms {
        let text = "must be true with tls.mode = \"acme\": you accept the terms of service of the authority";
        check.fault("acme.accept_terms", text);
    }
    if !(1..=MOST_DAYS).contains(&raw.renew_before_days) {
        check.fault("acme.renew_before_days", format!("must be 1 to {MOST_DAYS}, is {}", raw.renew_before_days));
    }
    let challenge = match raw.challenge.as_str() {
        "http-01" => AcmeChallenge::Http01,
        "tls-alpn-01" => AcmeChallenge::TlsAlpn01,
        other => {
            check.fault("acme.challenge", format!("expected \"http-01\" or \"tls-alpn-01\", not {other:?}"));
            return None;
        }
    };
    let ca_file = Some(PathBuf::from(&raw.ca_file)).filter(|path| !path.as_os_str().is_empty());
    let fetch = FetchSettings { ca_file: ca_file.clone(), ..FetchSettings::default() };
    if let Err(FetchError::Ca { path, reason }) = Fetcher::new(&fetch) {
        check.fault("acme.ca_file", format!("{}: {reason}", path.display()));
    }
    Some(AcmeSettings {
        domains: raw.domains.iter().map(|name| name.to_ascii_lowercase()).collect(),
        contact: raw.contact.iter().map(|contact| uri(contact)).collect(),
        directory_url: raw.directory_url.to_string(),
        challenge,
        ca_file,
        state_dir,
        renew_before: Duration::from_secs(raw.renew_before_days.saturating_mul(DAY_S)),
        external_account: external_account(raw, check),
        retry: millis(raw.retry_ms),
        retry_max: millis(raw.retry_max_ms),
    })
}

/// A mail address is the usual contact, and need not be written as a URI.
fn uri(contact: &str) -> String {
    if contact.contains(':') { contact.to_owned() } else { format!("mailto:{contact}") }
}

fn external_account(raw: &RawAcme, check: &mut Check<'_>) -> Option<ExternalAccount> {
    let (kid, path) = (&raw.external_account_kid, &raw.external_account_hmac_file);
    let key = "acme.external_account_hmac_file";
    match (kid.as_str(), path.as_str()) {
        ("", "") => None,
        ("", _) => {
            check.fault("acme.external_account_kid", "is needed with acme.external_account_hmac_file");
            None
        }
        (_, "") => {
            check.fault(key, "is needed with acme.external_account_kid");
            None
        }
        (kid, path) => {
            let text =
                files::read(Path::new(path), Others::MayNothing).map_err(|fault| check.fault(key, fault)).ok()?;
            let hmac = URL_SAFE_NO_PAD.decode(text.trim().trim_end_matches('='));
            let hmac = hmac.ok().filter(|hmac| !hmac.is_empty());
            if hmac.is_none() {
                check.fault(key, format!("{path} has no key in it, as base64 for URLs"));
            }
            Some(ExternalAccount { kid: kid.to_owned(), hmac: hmac? })
        }
    }
}
