//! `[ice]`: STUN and TURN servers, and for whom they are.
//!
//! What can't be read has a stand-in, so that its fault has no others in its train.

use std::path::Path;
use std::time::Duration;

use cuttlebone_ice::{
    InvalidNetwork, Network, Privacy, ProviderSettings, Region, RequestBody, Scope, ServerSettings, Settings,
    TurnSecret,
};
use cuttlebone_proto::IceServer;

use super::super::raw::{RawIce, RawIceProvider, RawIceRegion, RawIceServer};
use super::super::secret::Secret;
use super::check::{Check, millis};
use super::secrets;
use crate::files::{self, Others};

/// The section, and what the faults of its keys begin with.
pub(super) const KEY: &str = "ice";

/// How long a credential may be good for: not so short that a session has to be told all the time, and not so long that one who
/// was let in once can use the relay for long after.
const TTL: std::ops::RangeInclusive<Duration> = Duration::from_secs(300)..=Duration::from_secs(24 * 60 * 60);

/// Secrets of one server: the one in use, and those that are on their way in or out.
const MOST_SECRETS: usize = 8;

/// All as written, with the files that are named. What it means together is judged by [`cuttlebone_ice`].
pub(super) fn settings(raw: &RawIce, check: &mut Check<'_>) -> Settings {
    let ttl = millis(raw.ttl_ms);
    if !TTL.contains(&ttl) {
        let (least, most) = (TTL.start().as_millis(), TTL.end().as_millis());
        check.fault("ice.ttl_ms", format!("must be {least} to {most}, is {}", raw.ttl_ms));
    }
    Settings {
        servers: raw.servers.iter().enumerate().map(|(index, server)| entry(index, server, check)).collect(),
        providers: raw.providers.iter().enumerate().map(|(index, raw)| provider(index, raw, check)).collect(),
        regions: raw.regions.iter().enumerate().map(|(index, raw)| region(index, raw, check)).collect(),
        default_region: Some(raw.default_region.clone()).filter(|name| !name.is_empty()),
        privacy: privacy(&raw.privacy, check),
        ttl,
    }
}

fn entry(index: usize, raw: &RawIceServer, check: &mut Check<'_>) -> ServerSettings {
    let key = format!("{KEY}.servers[{index}]");
    let secret = raw.credential.as_ref().map(Secret::expose);
    let credential = secrets::read(&format!("{key}.credential"), secret, raw.credential_file.as_deref(), check);
    let credential = credential.or_else(|| raw.credential_file.clone());
    ServerSettings {
        server: IceServer { urls: raw.urls.clone(), username: raw.username.clone(), credential },
        secrets: turn_secrets(&key, raw, check),
        scope: scope(&key, (raw.tenants.as_deref(), raw.regions.as_deref()), check),
    }
}

/// Those of `secrets`, or the lines of `secrets_file`.
fn turn_secrets(key: &str, raw: &RawIceServer, check: &mut Check<'_>) -> Vec<TurnSecret> {
    let file_key = format!("{key}.secrets_file");
    let secrets = match &raw.secrets_file {
        Some(path) => {
            if !raw.secrets.is_empty() {
                check.fault(&file_key, "give secrets or secrets_file, not both");
            }
            of_file(&file_key, Path::new(path), check)
        }
        None => {
            let all = raw.secrets.iter().enumerate();
            all.map(|(index, secret)| {
                let fit = TurnSecret::new(secret.expose());
                fit.unwrap_or_else(|fault| {
                    check.fault(&format!("{key}.secrets[{index}]"), fault.to_string());
                    stand_in()
                })
            })
            .collect()
        }
    };
    if secrets.len() > MOST_SECRETS {
        let named = if raw.secrets_file.is_some() { file_key } else { format!("{key}.secrets") };
        check.fault(&named, format!("has at most {MOST_SECRETS} secrets"));
    }
    secrets
}

/// One secret a line; lines without anything are none, and lines that begin with `#` neither.
fn of_file(key: &str, path: &Path, check: &mut Check<'_>) -> Vec<TurnSecret> {
    let text = match files::read(path, Others::MayNothing) {
        Ok(text) => text,
        Err(fault) => {
            check.fault(key, fault);
            return vec![stand_in()];
        }
    };
    let mut found = Vec::new();
    for (line, secret) in secrets::lines(&text) {
        found.push(TurnSecret::new(secret).unwrap_or_else(|fault| {
            check.fault_in_file(path, line, fault.to_string());
            stand_in()
        }));
    }
    if found.is_empty() {
        check.fault(key, format!("{} has no secret in it", path.display()));
        found.push(stand_in());
    }
    found
}

/// For a secret that is a fault: nothing is served with it.
fn stand_in() -> TurnSecret {
    TurnSecret::new(&"-".repeat(64)).expect("long enough")
}

fn provider(index: usize, raw: &RawIceProvider, check: &mut Check<'_>) -> ProviderSettings {
    let key = format!("{KEY}.providers[{index}]");
    let body = match raw.body.as_str() {
        "json" => RequestBody::Json,
        "form" => RequestBody::Form,
        _ => {
            check.fault(
                &format!("{key}.body"),
                "expected \"json\" (as Cloudflare has it) or \"form\" (as Twilio has it)",
            );
            RequestBody::Json
        }
    };
    let secret_key = format!("{key}.secret");
    let secret = match (&raw.secret, &raw.secret_file) {
        (Some(secret), Some(_)) => {
            check.fault(&format!("{secret_key}_file"), "give secret or secret_file, not both");
            Some(secret.expose().to_owned())
        }
        (secret, None) => secret.as_ref().map(|secret| secret.expose().to_owned()),
        (None, Some(path)) => match files::read(Path::new(path), Others::MayNothing) {
            Ok(text) => Some(text.lines().next().unwrap_or_default().to_owned()),
            Err(fault) => {
                check.fault(&format!("{secret_key}_file"), fault);
                Some("-".to_owned())
            }
        },
    };
    ProviderSettings {
        url: raw.url.to_string(),
        body,
        username: raw.username.clone(),
        secret: secret.unwrap_or_default(),
        scope: scope(&key, (raw.tenants.as_deref(), raw.regions.as_deref()), check),
    }
}

fn region(index: usize, raw: &RawIceRegion, check: &mut Check<'_>) -> Region {
    let all = raw.networks.iter().enumerate();
    let networks = all.map(|(at, text)| {
        text.parse().unwrap_or_else(|fault: InvalidNetwork| {
            check.fault(&format!("{KEY}.regions[{index}].networks[{at}]"), fault.to_string());
            Network::ALL
        })
    });
    let networks = networks.collect();
    Region { name: raw.name.clone(), networks }
}

fn privacy(raw: &str, check: &mut Check<'_>) -> Privacy {
    match raw {
        "all" => Privacy::All,
        "relay-only" => Privacy::RelayOnly,
        _ => {
            check.fault("ice.privacy", "expected \"all\" or \"relay-only\"");
            Privacy::All
        }
    }
}

/// For whom it is: for everybody where nothing is said. An empty list would say nobody, or everybody.
fn scope(key: &str, (tenants, regions): (Option<&[String]>, Option<&[String]>), check: &mut Check<'_>) -> Scope {
    let mut named = |name: &str, all: Option<&[String]>, whom: &str| {
        if all.is_some_and(<[String]>::is_empty) {
            check.fault(&format!("{key}.{name}"), format!("is empty: leave it out for {whom}, or name some"));
        }
        all.unwrap_or_default().to_vec()
    };
    Scope { tenants: named("tenants", tenants, "all tenants"), regions: named("regions", regions, "all regions") }
}
