//! `[oidc]`: signing in at a provider, and what its claims mean.

use std::collections::BTreeMap;
use std::path::Path;

use cuttlebone_access::{IssuerFault, IssuerSettings, Patterns, Role, Roles, SessionKey, Sessions, TenantFrom};
use cuttlebone_server::{ClientSecret, LoginSettings};

use super::super::raw::RawOidc;
use super::check::{Check, count, millis};
use super::secrets;
use crate::files::{self, Others};

/// Whether a provider is named.
pub(super) fn is_configured(raw: &RawOidc) -> bool {
    !raw.issuer.is_empty()
}

/// What is accepted of those who sign in at the provider, if there is one.
pub(super) fn sessions(raw: &RawOidc, check: &mut Check<'_>) -> Option<Sessions> {
    if !is_configured(raw) {
        if !raw.client_id.is_empty() || !raw.public_url.is_empty() {
            check.fault("oidc.issuer", "is needed: who the provider is");
        }
        return None;
    }
    let tenant = match raw.tenant.as_str() {
        "" => TenantFrom::Claim(raw.tenant_claim.clone()),
        name => {
            let tenant = name.parse().map_err(|fault| check.fault("oidc.tenant", format!("{fault}")));
            TenantFrom::Fixed(tenant.ok()?)
        }
    };
    let rules = IssuerSettings {
        audiences: vec![raw.client_id.clone()],
        roles_claim: raw.roles_claim.clone(),
        role_names: role_names("oidc.roles", &raw.roles, check),
        devices_claim: raw.devices_claim.clone(),
        // Nothing is said there by default.
        devices: if raw.devices.is_empty() { None } else { patterns("oidc.devices", &raw.devices, check) },
        tenant,
        ..IssuerSettings::new(&raw.issuer)
    };
    let faults = match Sessions::new(rules) {
        Ok(sessions) => return Some(sessions),
        Err(faults) => faults,
    };
    for fault in faults {
        let key = match fault {
            IssuerFault::Issuer => "oidc.issuer",
            IssuerFault::Claim => "oidc",
            IssuerFault::RoleNames => "oidc.roles",
            // An empty client_id, which the server speaks of.
            _ => continue,
        };
        check.fault(key, fault.to_string());
    }
    None
}

/// What the server needs to send browsers to the provider, if there is one.
pub(super) fn login(raw: &RawOidc, check: &mut Check<'_>) -> Option<LoginSettings> {
    let client_secret = secret("oidc.client_secret", raw.client_secret.expose(), &raw.client_secret_file, check);
    let session_key = secret("oidc.session_key", raw.session_key.expose(), &raw.session_key_file, check);
    let key = session_key.and_then(|secret| {
        let file = if raw.session_key_file.is_empty() { "" } else { "_file" };
        secrets::key(&format!("oidc.session_key{file}"), &secret, SessionKey::new, check)
    });
    is_configured(raw).then(|| LoginSettings {
        issuer: raw.issuer.clone(),
        client_id: raw.client_id.clone(),
        client_secret: client_secret.map(ClientSecret::new),
        scopes: raw.scopes.clone(),
        public_url: raw.public_url.clone(),
        name: raw.name.clone(),
        session: millis(raw.session_ms),
        attempt: millis(raw.attempt_ms),
        metadata: millis(raw.metadata_ms),
        exchanges: count(raw.exchanges),
        key,
    })
}

/// A secret that stands in the configuration, or in the first line of a file that is nobody else's.
fn secret(key: &str, secret: &str, file: &str, check: &mut Check<'_>) -> Option<String> {
    let file_key = format!("{key}_file");
    match (secret, file) {
        ("", "") => None,
        (secret, "") => Some(secret.to_owned()),
        ("", file) => {
            let text = files::read(Path::new(file), Others::MayNothing);
            let text = text.map_err(|fault| check.fault(&file_key, fault)).ok()?;
            let line = text.lines().next().filter(|line| !line.is_empty()).map(ToOwned::to_owned);
            if line.is_none() {
                check.fault(&file_key, format!("{file}: the first line is empty"));
            }
            line
        }
        (_, _) => {
            let name = key.rsplit('.').next().unwrap_or(key);
            check.fault(&file_key, format!("give {name} or {name}_file, not both"));
            None
        }
    }
}

/// What others call our roles.
pub(super) fn role_names(key: &str, raw: &BTreeMap<String, String>, check: &mut Check<'_>) -> BTreeMap<String, Roles> {
    let mut roles = |(name, roles): (&String, &String)| {
        let parsed: Result<Roles, _> = roles.split(',').map(|role| role.trim().parse::<Role>()).collect();
        let parsed = parsed.map_err(|fault| check.fault(&format!("{key}.{name}"), format!("{fault}, not {roles:?}")));
        parsed.ok().map(|roles| (name.clone(), roles))
    };
    raw.iter().filter_map(&mut roles).collect()
}

/// Patterns of device ids.
pub(super) fn patterns(key: &str, raw: &[String], check: &mut Check<'_>) -> Option<Patterns> {
    Patterns::new(raw.iter().map(String::as_str)).map_err(|fault| check.fault(key, fault.to_string())).ok()
}
