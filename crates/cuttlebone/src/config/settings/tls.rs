//! `[tls]`

use std::ffi::OsString;
use std::net::SocketAddr;
use std::path::{Path, PathBuf};
use std::time::Duration;

use cuttlebone_server::{AcmeSettings, ClientSettings, HttpsSettings, TlsError, TlsSettings};

use super::super::raw::{RawConfig, RawTls};
use super::acme;
use super::check::{Check, number_or_auto};
use super::network::address;
use crate::files::{self, Others};

/// What `hsts_max_age_s = "auto"` means for a certificate that browsers take.
const YEAR_S: u64 = 365 * 24 * 60 * 60;

/// The files that are named, and read again.
pub(super) fn watched(raw: &RawTls) -> Vec<PathBuf> {
    let pair = [&raw.cert_file, &raw.key_file].into_iter().filter(|_| raw.mode == "files");
    let trust = [&raw.client_ca_file, &raw.client_crl_file].into_iter().filter(|_| raw.client_auth != "off");
    pair.chain(trust).filter(|path| !path.is_empty()).map(PathBuf::from).collect()
}

/// How clients are asked for a certificate. The files are read here already, so that a bad one is a fault like any other,
/// and one that others may change.
fn clients(raw: &RawTls, check: &mut Check<'_>) -> Option<ClientSettings> {
    let required = match raw.client_auth.as_str() {
        "off" => {
            let named = [("tls.client_ca_file", &raw.client_ca_file), ("tls.client_crl_file", &raw.client_crl_file)];
            for (key, _) in named.into_iter().filter(|(_, path)| !path.is_empty()) {
                check.fault(
                    key,
                    "needs tls.client_auth = \"optional\" or \"required\": nobody is asked for a certificate",
                );
            }
            return None;
        }
        "optional" => false,
        "required" => true,
        other => {
            check.fault("tls.client_auth", format!("expected \"off\", \"optional\" or \"required\", not {other:?}"));
            return None;
        }
    };
    if raw.client_ca_file.is_empty() {
        check.fault("tls.client_ca_file", "is needed to ask clients for a certificate");
        return None;
    }
    let crl_file = Some(PathBuf::from(&raw.client_crl_file)).filter(|path| !path.as_os_str().is_empty());
    let settings = ClientSettings { ca_file: (&raw.client_ca_file).into(), crl_file, required };
    let mut is_readable = true;
    for path in settings.files() {
        if let Err(fault) = files::read(path, Others::MayRead) {
            check.fault(key_of_clients(path, &settings), fault);
            is_readable = false;
        }
    }
    if is_readable && let Err(error) = settings.check() {
        let path = if let TlsError::Clients { path, .. } = &error { path } else { &settings.ca_file };
        check.fault(key_of_clients(path, &settings), error.to_string());
    }
    Some(settings)
}

/// What there is beside the certificate.
pub(super) fn https(raw: &RawTls, check: &mut Check<'_>) -> HttpsSettings {
    let redirect = Some(raw.redirect_listen.as_str()).filter(|text| !text.is_empty());
    let auto = if matches!(raw.mode.as_str(), "off" | "self-signed") { 0 } else { YEAR_S };
    let hsts = number_or_auto("tls.hsts_max_age_s", &raw.hsts_max_age_s, check).unwrap_or(auto);
    HttpsSettings {
        clients: clients(raw, check),
        redirect_listen: redirect.map(|text| address("tls.redirect_listen", text, check)),
        hsts_max_age: Duration::from_secs(hsts),
    }
}

/// Where the certificate comes from, and how it is got if it has to be.
pub(super) fn certificate(
    raw: &RawConfig,
    listen: SocketAddr,
    check: &mut Check<'_>,
    variables: &[(OsString, OsString)],
) -> (Option<TlsSettings>, Option<AcmeSettings>) {
    let tls = &raw.tls;
    match tls.mode.as_str() {
        "off" => {
            let named = [("tls.cert_file", &tls.cert_file), ("tls.key_file", &tls.key_file)];
            for (key, _) in named.into_iter().filter(|(_, path)| !path.is_empty()) {
                check.fault(key, "is used with tls.mode = \"files\" alone, and tls.mode is \"off\"");
            }
            (None, None)
        }
        "files" => (pair(tls, check), None),
        "self-signed" => {
            let ip = listen.ip();
            let own = !ip.is_unspecified() && !ip.is_loopback();
            let names = own.then(|| ip.to_string()).into_iter().collect();
            let state_dir = needed_state_dir(tls, check, variables);
            (state_dir.map(|state_dir| TlsSettings::SelfSigned { state_dir, names }), None)
        }
        "acme" => {
            let state_dir = needed_state_dir(tls, check, variables);
            let acme = state_dir.and_then(|state_dir| acme::acme(&raw.acme, state_dir, check));
            (acme.as_ref().map(|acme| TlsSettings::Kept { file: acme.certificate_file() }), acme)
        }
        other => {
            let known = "\"off\", \"files\", \"self-signed\" or \"acme\"";
            check.fault("tls.mode", format!("expected {known}, not {other:?}"));
            (None, None)
        }
    }
}

fn needed_state_dir(raw: &RawTls, check: &mut Check<'_>, variables: &[(OsString, OsString)]) -> Option<PathBuf> {
    let found = state_dir(&raw.state_dir, variables);
    if found.is_none() {
        check.fault("tls.state_dir", "is needed: neither XDG_STATE_HOME nor HOME is set");
    }
    found
}

/// The files are read here already, so that a bad one is a fault of the configuration like any other.
fn pair(raw: &RawTls, check: &mut Check<'_>) -> Option<TlsSettings> {
    let mut named = true;
    for (key, value) in [("tls.cert_file", &raw.cert_file), ("tls.key_file", &raw.key_file)] {
        if value.is_empty() {
            check.fault(key, "is needed with tls.mode = \"files\"");
            named = false;
        }
    }
    let settings = TlsSettings::Files { cert_file: (&raw.cert_file).into(), key_file: (&raw.key_file).into() };
    if named && let Err(error) = settings.load() {
        check.fault(key_of(&error), error.to_string());
    }
    Some(settings)
}

/// The key that names this file.
fn key_of_clients(path: &Path, settings: &ClientSettings) -> &'static str {
    if settings.crl_file.as_deref() == Some(path) { "tls.client_crl_file" } else { "tls.client_ca_file" }
}

/// The key that names the file at fault.
fn key_of(error: &TlsError) -> &'static str {
    match error {
        TlsError::OpenKey { .. } | TlsError::NoKey { .. } => "tls.key_file",
        _ => "tls.cert_file",
    }
}

fn state_dir(configured: &str, variables: &[(OsString, OsString)]) -> Option<PathBuf> {
    if !configured.is_empty() {
        return Some(configured.into());
    }
    let variable = |name: &str| {
        let found = variables.iter().find(|(key, value)| key == name && !value.is_empty());
        found.map(|(_, value)| PathBuf::from(value))
    };
    let base = variable("XDG_STATE_HOME").or_else(|| Some(variable("HOME")?.join(".local/state")))?;
    Some(base.join("cuttlebone"))
}
