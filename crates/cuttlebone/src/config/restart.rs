//! Which changes a running server does not take.

use std::collections::BTreeMap;

use toml::{Table, Value};

use super::raw::RawConfig;

/// What is read again while the server runs.
const READ_AGAIN: [&str; 24] = [
    "access.certificate",
    "access.jwt",
    "access.revoked_file",
    "access.tokens_file",
    "access.user",
    "access.verified_tokens",
    "ice.default_region",
    "ice.privacy",
    "ice.providers",
    "ice.regions",
    "ice.servers",
    "ice.ttl_ms",
    "log.level",
    "oidc.devices",
    "oidc.devices_claim",
    "oidc.roles",
    "oidc.roles_claim",
    "oidc.tenant",
    "oidc.tenant_claim",
    "tls.cert_file",
    "tls.client_auth",
    "tls.client_ca_file",
    "tls.client_crl_file",
    "tls.key_file",
];

/// The keys that have another value now and are taken with the next start only. A secret that stands in the configuration
/// itself is not compared.
pub(crate) fn needs_restart(before: &RawConfig, now: &RawConfig) -> Vec<String> {
    let (before, now) = (values(before), values(now));
    let differs =
        |(key, value): &(String, Value)| before.get(key) != Some(value) && !READ_AGAIN.contains(&key.as_str());
    now.into_iter().filter(differs).map(|(key, _)| key).collect()
}

/// Puts all of `[oidc]` that is in force in the place of what is said of another provider, or of none: that needs a restart, and
/// what it says of claims was not meant for the provider that people are sent to until then. Whether it did.
pub(crate) fn keep_provider(in_force: &RawConfig, now: &mut RawConfig) -> bool {
    let (in_force, now) = (&in_force.oidc, &mut now.oidc);
    let is_another = (&in_force.issuer, &in_force.client_id) != (&now.issuer, &now.client_id);
    if is_another {
        now.clone_from(in_force);
    }
    is_another
}

fn values(raw: &RawConfig) -> BTreeMap<String, Value> {
    let sections = Table::try_from(raw).unwrap_or_default();
    let keys = sections.into_iter().flat_map(|(section, keys)| {
        let Value::Table(keys) = keys else { return Vec::new() };
        keys.into_iter().map(|(key, value)| (format!("{section}.{key}"), value)).collect()
    });
    keys.collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn document_lists_what_is_read_again() {
        let document = include_str!("../../../../docs/CONFIG.md");
        let (_, list) = document.split_once("## Reading it again").expect("a part of the document");
        let lines: Vec<&str> = list.lines().take_while(|line| !line.starts_with("## ")).collect();
        for key in READ_AGAIN {
            let (section, name) = key.split_once('.').expect("a section and a key");
            let (section, name) = (format!("`[{section}]`"), format!("`{name}`"));
            let is_named = lines.iter().filter(|line| line.starts_with("- ")).any(|line| {
                let is_whole = line.contains(&format!("all of {section}"));
                line.contains(&format!("`{key}`")) || is_whole || (line.contains(&section) && line.contains(&name))
            });
            assert!(is_named, "{key}");
        }
    }
}
