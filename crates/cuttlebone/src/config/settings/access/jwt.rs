//! `[[access.jwt]]`

use std::collections::BTreeMap;
use std::path::Path;

use cuttlebone_access::{Algorithm, IssuerFault, IssuerSettings, Jwt, JwtFault, KeyFault, KeySet, Roles, TenantFrom};

use super::super::super::raw::{RawJwt, RawTexts};
use super::super::check::Check;
use super::super::oidc::{patterns, role_names};
use super::super::secrets::lines;
use crate::files::{self, Others};

/// The key of the list.
const KEY: &str = "access.jwt";

/// All issuers.
pub(super) struct Issuers {
    pub(super) jwt: Option<Jwt>,
    /// What of their keys is left aside.
    pub(super) warnings: Vec<String>,
    /// What each has in its file.
    pub(super) keys: Vec<KeySet>,
}

/// All issuers. One whose file is faulty has the keys that it has in `old`.
pub(super) fn issuers(raw: &[RawJwt], old: &[KeySet], check: &mut Check<'_>) -> Issuers {
    let issuer = |(index, raw)| issuer(index, raw, old.get(index), check);
    let issuers: Vec<_> = raw.iter().enumerate().map(issuer).collect();
    let warnings = issuers.iter().flat_map(|(settings, keys)| {
        keys.skipped().iter().map(move |key| format!("{KEY} of {:?}: {key}; it is not used", settings.issuer))
    });
    let warnings = warnings.collect();
    let keys = issuers.iter().map(|(_, keys)| keys.clone()).collect();
    Issuers { jwt: together(raw, issuers, check), warnings, keys }
}

/// `None` if there is none, or they are faulty.
fn together(raw: &[RawJwt], issuers: Vec<(IssuerSettings, KeySet)>, check: &mut Check<'_>) -> Option<Jwt> {
    if raw.is_empty() {
        return None;
    }
    // The others are of one issuer each, and were noted with it.
    let note = |fault: JwtFault| {
        let of_name = raw.iter().rposition(|raw| raw.issuer == fault.issuer).unwrap_or_default();
        match fault.fault {
            IssuerFault::Twice => check.fault(&format!("{KEY}[{of_name}].issuer"), fault.fault.to_string()),
            IssuerFault::Number(_) => check.fault(KEY, fault.fault.to_string()),
            _ => {}
        }
    };
    Jwt::new(issuers).map_err(|faults| faults.into_iter().for_each(note)).ok()
}

/// One issuer, judged by itself, so that its faults have its number and its line.
fn issuer(index: usize, raw: &RawJwt, old: Option<&KeySet>, check: &mut Check<'_>) -> (IssuerSettings, KeySet) {
    let key = format!("{KEY}[{index}]");
    let settings = settings(&key, raw, check);
    let keys = keys(&key, raw, check).or_else(|| old.cloned()).unwrap_or_default();
    let faults = Jwt::new(vec![(settings.clone(), keys.clone())]).err().into_iter().flatten();
    for fault in faults {
        let name = match fault.fault {
            IssuerFault::Issuer => ".issuer",
            IssuerFault::Audience => ".audience",
            IssuerFault::Leeway => ".leeway_ms",
            IssuerFault::MaxAge => ".max_age_ms",
            IssuerFault::RoleNames => ".roles",
            IssuerFault::Claim | IssuerFault::Twice | IssuerFault::Number(_) => "",
            // It was said why.
            IssuerFault::NoKey | IssuerFault::KeysTwice => continue,
        };
        check.fault(&format!("{key}{name}"), fault.fault.to_string());
    }
    (settings, keys)
}

fn settings(key: &str, raw: &RawJwt, check: &mut Check<'_>) -> IssuerSettings {
    let default = IssuerSettings::new(&raw.issuer);
    let mut seconds = |name: &str, value: Option<u64>| {
        let value = value?;
        if !value.is_multiple_of(1000) {
            check.fault(&format!("{key}.{name}"), "whole seconds only: times in tokens have no parts of one");
        }
        Some(value / 1000)
    };
    let leeway = seconds("leeway_ms", raw.leeway_ms).unwrap_or(default.leeway);
    let max_age = seconds("max_age_ms", raw.max_age_ms).filter(|age| *age > 0);
    IssuerSettings {
        audiences: match &raw.audience {
            RawTexts::One(audience) => vec![audience.clone()],
            RawTexts::Several(audiences) => audiences.clone(),
        },
        leeway,
        max_age,
        roles_claim: raw.roles_claim.clone().unwrap_or(default.roles_claim),
        role_names: names(&format!("{key}.roles"), raw.roles.as_ref(), check),
        devices: raw.devices.as_ref().and_then(|devices| patterns(&format!("{key}.devices"), devices, check)),
        devices_claim: raw.devices_claim.clone().unwrap_or(default.devices_claim),
        tenant: tenant(key, raw, check).unwrap_or(default.tenant),
        jwks_url: raw.jwks_url.as_deref().map(str::to_owned),
        issuer: default.issuer,
    }
}

fn names(key: &str, raw: Option<&BTreeMap<String, String>>, check: &mut Check<'_>) -> BTreeMap<String, Roles> {
    let Some(raw) = raw else { return BTreeMap::new() };
    if raw.is_empty() {
        check.fault(key, "is empty: leave it out where the issuer has our own names, or name what stands for a role");
    }
    role_names(key, raw, check)
}

fn tenant(key: &str, raw: &RawJwt, check: &mut Check<'_>) -> Option<TenantFrom> {
    match (&raw.tenant_claim, &raw.tenant) {
        (None, None) => None,
        (Some(claim), None) => Some(TenantFrom::Claim(claim.clone())),
        (None, Some(name)) => {
            let tenant = name.parse().map_err(|fault| check.fault(&format!("{key}.tenant"), format!("{fault}")));
            tenant.ok().map(TenantFrom::Fixed)
        }
        (Some(_), Some(_)) => {
            check.fault(&format!("{key}.tenant"), "give tenant or tenant_claim, not both");
            None
        }
    }
}

fn keys(key: &str, raw: &RawJwt, check: &mut Check<'_>) -> Option<KeySet> {
    let algorithm = raw.algorithm.as_deref().map(str::parse::<Algorithm>).transpose();
    let algorithm =
        algorithm.map_err(|_| check.fault(&format!("{key}.algorithm"), "is not one that is known here")).ok()?;
    let (name, path, others) = match (&raw.keys_file, &raw.jwks_url, &raw.secret_file) {
        (Some(path), None, None) => ("keys_file", path, Others::MayRead),
        (None, None, Some(path)) => ("secret_file", path, Others::MayNothing),
        (None, Some(_), None) => {
            if algorithm.is_some() {
                check.fault(&format!("{key}.algorithm"), "leave it out: a JWK Set says itself what its keys are for");
            }
            return None;
        }
        (None, None, None) => {
            check.fault(key, "needs keys_file, jwks_url or secret_file");
            return None;
        }
        (Some(_), Some(_), None) => {
            check.fault(&format!("{key}.jwks_url"), "give keys_file or jwks_url, not both");
            return None;
        }
        (_, _, Some(_)) => {
            check.fault(&format!("{key}.secret_file"), "give one of keys_file, jwks_url and secret_file");
            return None;
        }
    };
    let read = files::read(Path::new(path), others).and_then(|text| {
        let keys = match others {
            Others::MayNothing if is_json(&text) => {
                return Err(format!("{path}: is JSON: a JWK Set is named by keys_file or jwks_url"));
            }
            Others::MayNothing => secrets(&text, algorithm.unwrap_or(Algorithm::HS256)),
            Others::MayRead if !is_json(&text) => KeySet::from_pem(&text, algorithm),
            Others::MayRead if algorithm.is_none() => KeySet::from_jwks(&text),
            Others::MayRead => {
                return Err("leave out algorithm: a JWK Set says itself what its keys are for".to_owned());
            }
        };
        keys.map_err(|fault| format!("{path}: {fault}"))
    });
    read.map_err(|fault| check.fault(&format!("{key}.{name}"), fault)).ok()
}

fn is_json(text: &str) -> bool {
    text.trim_start().starts_with('{')
}

/// One secret a line: more than one while it is being changed. Lines that begin with `#` are none.
fn secrets(text: &str, algorithm: Algorithm) -> Result<KeySet, KeyFault> {
    let mut lines = lines(text).map(|(_, line)| line);
    let first = KeySet::from_secret(lines.next().unwrap_or_default().as_bytes(), algorithm)?;
    lines.try_fold(first, |keys, line| keys.and(KeySet::from_secret(line.as_bytes(), algorithm)?))
}
