//! What the claims of a verified token say.
//!
//! A claim that is `null` counts as missing. Of a claim that is there twice the last one counts (RFC 7519, 4).

mod roles;

use std::ops::Range;

use serde_json::{Map, Value};

use self::roles::roles;
use super::issuer::{IssuerSettings, TenantFrom};
use crate::denied::Denied;
use crate::pattern::Patterns;
use crate::principal::Grant;
use crate::tenant::Tenant;

/// The longest `sub` and `jti`, in bytes.
const NAME_BYTES: usize = 256;
/// The last second of the year 9999: a later time is a mistake.
const LAST_SECOND: u64 = 253_402_300_799;
/// The claim with what is put before the ids that are registered.
const PREFIX: &str = "cuttlebone_prefix";
/// The claim with the number of client connections at once.
const MAX_CLIENTS: &str = "cuttlebone_max_clients";
/// Every tenant.
const ALL_TENANTS: &str = "*";

/// What a token gives.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Accepted<'a> {
    pub(super) subject: &'a str,
    /// `jti`.
    pub(super) id: Option<&'a str>,
    pub(super) grant: Grant,
    /// When the token is accepted.
    pub(super) good: Range<u64>,
}

pub(crate) type Claims = Map<String, Value>;

/// Judges the claims of a token that `rules` are for. `now` is in seconds since 1970.
pub(super) fn check<'a>(claims: &'a Claims, rules: &IssuerSettings, now: u64) -> Result<Accepted<'a>, Denied> {
    if text(claims, "iss")? != Some(rules.issuer.as_str()) {
        return Err(Denied::Issuer);
    }
    check_audience(claims, rules)?;
    let (good, expires_at) = times(claims, rules, now)?;
    let grant = grant(claims, rules, expires_at)?;
    Ok(Accepted { subject: name(claims, "sub")?.ok_or(Denied::Claims)?, id: name(claims, "jti")?, grant, good })
}

pub(crate) fn check_audience(claims: &Claims, rules: &IssuerSettings) -> Result<(), Denied> {
    let audiences = strings(claims, "aud")?;
    let good = match &audiences {
        Some(audiences) => audiences.iter().any(|name| rules.audiences.iter().any(|ours| ours == name)),
        None => rules.audiences.is_empty(),
    };
    if good { Ok(()) } else { Err(Denied::Audience) }
}

/// When the token is accepted, and when it expires.
fn times(claims: &Claims, rules: &IssuerSettings, now: u64) -> Result<(Range<u64>, u64), Denied> {
    let expires = time(claims, "exp")?.ok_or(Denied::Claims)?;
    let issued = time(claims, "iat")?;
    let not_before = time(claims, "nbf")?.unwrap_or(0);
    let (from, oldest) = match rules.max_age {
        Some(age) => {
            let issued = issued.ok_or(Denied::TooOld)?;
            (not_before.max(issued), issued.saturating_add(age))
        }
        None => (not_before, u64::MAX),
    };
    let end = |time: u64| time.saturating_add(rules.leeway);
    let from = from.saturating_sub(rules.leeway);
    if now < from {
        Err(Denied::NotYet)
    } else if now >= end(expires) {
        Err(Denied::Expired)
    } else if now >= end(oldest) {
        Err(Denied::TooOld)
    } else {
        let expires = expires.min(oldest);
        Ok((from..end(expires), expires))
    }
}

/// What the claims give until `expires_at`.
pub(crate) fn grant(claims: &Claims, rules: &IssuerSettings, expires_at: u64) -> Result<Grant, Denied> {
    let roles = roles(claims, rules)?;
    if roles.is_empty() {
        return Err(Denied::NoRole);
    }
    let devices = match (strings(claims, &rules.devices_claim)?, &rules.devices) {
        (Some(patterns), _) => Patterns::new(patterns).map_err(|_| Denied::Claims)?,
        (None, Some(devices)) => devices.clone(),
        (None, None) if roles.need_devices() => return Err(Denied::NoDevices),
        (None, None) => Patterns::all(),
    };
    if roles.need_devices() && devices.is_empty() {
        return Err(Denied::NoDevices);
    }
    let all_tenants = names_all_tenants(claims, rules)?;
    if all_tenants && !roles.may_operate() {
        return Err(Denied::Claims);
    }
    Ok(Grant {
        roles,
        devices,
        tenant: if all_tenants { None } else { tenant(claims, rules)? },
        all_tenants,
        prefix: text(claims, PREFIX)?.map(|prefix| prefix.parse().map_err(|_| Denied::Claims)).transpose()?,
        max_clients: max_clients(claims)?,
        expires_at: Some(expires_at),
    })
}

fn tenant(claims: &Claims, rules: &IssuerSettings) -> Result<Option<Tenant>, Denied> {
    match &rules.tenant {
        TenantFrom::Fixed(tenant) => Ok(Some(tenant.clone())),
        TenantFrom::Claim(claim) => {
            let tenant = text(claims, claim)?.map(|name| name.parse().map_err(|_| Denied::Claims));
            tenant.transpose()
        }
    }
}

fn names_all_tenants(claims: &Claims, rules: &IssuerSettings) -> Result<bool, Denied> {
    match &rules.tenant {
        TenantFrom::Fixed(_) => Ok(false),
        TenantFrom::Claim(claim) => Ok(text(claims, claim)? == Some(ALL_TENANTS)),
    }
}

/// A positive whole number.
fn max_clients(claims: &Claims) -> Result<Option<u32>, Denied> {
    let number = |value: &Value| value.as_u64().and_then(|number| u32::try_from(number).ok()).filter(|most| *most > 0);
    claim(claims, MAX_CLIENTS).map(|value| number(value).ok_or(Denied::Claims)).transpose()
}

/// The claim of that name; or what a JSON Pointer leads to.
fn claim<'a>(claims: &'a Claims, name: &str) -> Option<&'a Value> {
    let value = match name.strip_prefix('/').map(|path| path.split_once('/').unwrap_or((path, ""))) {
        None => claims.get(name),
        Some((first, rest)) => {
            let inner = claims.get(&first.replace("~1", "/").replace("~0", "~"));
            if rest.is_empty() { inner } else { inner.and_then(|value| value.pointer(&format!("/{rest}"))) }
        }
    };
    value.filter(|value| !value.is_null())
}

/// A string.
pub(crate) fn text<'a>(claims: &'a Claims, name: &str) -> Result<Option<&'a str>, Denied> {
    claim(claims, name).map(|value| value.as_str().ok_or(Denied::Claims)).transpose()
}

/// A string of bounded length without control characters.
pub(crate) fn name<'a>(claims: &'a Claims, name: &str) -> Result<Option<&'a str>, Denied> {
    let text = text(claims, name)?;
    let is_good = |text: &str| !text.is_empty() && text.len() <= NAME_BYTES && !text.chars().any(char::is_control);
    if text.is_none_or(is_good) { Ok(text) } else { Err(Denied::Claims) }
}

/// A string, or an array of strings.
fn strings<'a>(claims: &'a Claims, name: &str) -> Result<Option<Vec<&'a str>>, Denied> {
    let texts = claim(claims, name).map(|value| match value {
        Value::String(text) => Some(vec![text.as_str()]),
        Value::Array(values) => values.iter().map(Value::as_str).collect(),
        _ => None,
    });
    texts.map(|texts| texts.ok_or(Denied::Claims)).transpose()
}

/// A time: a number of seconds after 1970, of which a fraction is cut off. A string is none (CVE-2026-25537).
fn time(claims: &Claims, name: &str) -> Result<Option<u64>, Denied> {
    let time = claim(claims, name).map(|value| {
        let whole = value.as_u64();
        let time = whole.or_else(|| value.as_f64().filter(|time| time.is_finite()).map(|time| time as u64));
        time.filter(|time| (1..=LAST_SECOND).contains(time)).ok_or(Denied::Claims)
    });
    time.transpose()
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::role::{Role, Roles};

    const NOW: u64 = 1_800_000_000;

    /// Claims that are good, with those of `changes` in place of theirs.
    fn claims(changes: &Value) -> Claims {
        let mut claims = json!({
            "iss": "https://idp.example",
            "sub": "alice",
            "exp": NOW + 300,
            "cuttlebone_roles": "client",
            "cuttlebone_devices": "lab7/*",
        });
        let all = claims.as_object_mut().expect("an object");
        all.append(&mut changes.as_object().expect("an object").clone());
        all.clone()
    }

    fn rules() -> IssuerSettings {
        IssuerSettings::new("https://idp.example")
    }

    fn outcome(rules: &IssuerSettings, changes: &Value) -> Result<(), Denied> {
        check(&claims(changes), rules, NOW).map(|_| ())
    }

    #[test]
    fn claims_give_roles_devices_and_a_tenant() {
        let claims = claims(&json!({"cuttlebone_tenant": "lab", "jti": "4711", "scope": "x"}));
        let accepted = check(&claims, &rules(), NOW).expect("good");
        assert_eq!((accepted.subject, accepted.id), ("alice", Some("4711")));
        assert_eq!(accepted.good, 0..NOW + 360);
        assert_eq!(accepted.grant.roles, Roles::NONE.with(Role::Client));
        assert_eq!(accepted.grant.devices, Patterns::new(["lab7/*"]).expect("patterns"));
        assert_eq!(accepted.grant.tenant.as_ref().map(Tenant::as_str), Some("lab"));
        assert_eq!(accepted.grant.expires_at, Some(NOW + 300));
    }

    /// T39: clocks may differ by the leeway, and a time is a number.
    #[test]
    fn t39_leeway_is_given_at_both_ends_and_a_time_is_a_number() {
        for (changes, expected) in [
            (json!({"exp": NOW - 59}), Ok(())),
            (json!({"exp": NOW - 60}), Err(Denied::Expired)),
            (json!({"exp": NOW - 61}), Err(Denied::Expired)),
            (json!({"nbf": NOW + 60}), Ok(())),
            (json!({"nbf": NOW + 61}), Err(Denied::NotYet)),
            (json!({"exp": 9_999_999_999.5}), Ok(())),
            (json!({"exp": "9999999999"}), Err(Denied::Claims)),
            (json!({"exp": 1e300}), Err(Denied::Claims)),
            (json!({"exp": -1}), Err(Denied::Claims)),
            (json!({"exp": -1.5}), Err(Denied::Claims)),
            (json!({"exp": 0}), Err(Denied::Claims)),
            (json!({"exp": LAST_SECOND + 1}), Err(Denied::Claims)),
            (json!({"exp": u64::MAX}), Err(Denied::Claims)),
            (json!({"exp": null}), Err(Denied::Claims)),
            (json!({"exp": [NOW + 300]}), Err(Denied::Claims)),
            (json!({"nbf": "1"}), Err(Denied::Claims)),
            (json!({"iat": "1"}), Err(Denied::Claims)),
        ] {
            assert_eq!(outcome(&rules(), &changes), expected, "{changes}");
        }
        let mut without = claims(&json!({}));
        without.remove("exp");
        assert_eq!(check(&without, &rules(), NOW).map(|_| ()), Err(Denied::Claims));
    }

    /// T39: a token may be only so old, whatever its expiry.
    #[test]
    fn t39_token_is_too_old_after_its_greatest_age() {
        let rules = IssuerSettings { max_age: Some(100), ..rules() };
        for (changes, expected) in [
            (json!({"iat": NOW}), Ok(())),
            (json!({"iat": NOW - 159}), Ok(())),
            (json!({"iat": NOW - 160}), Err(Denied::TooOld)),
            (json!({"iat": NOW + 60}), Ok(())),
            (json!({"iat": NOW + 61}), Err(Denied::NotYet)),
            (json!({}), Err(Denied::TooOld)),
        ] {
            assert_eq!(outcome(&rules, &changes), expected, "{changes}");
        }
        let claims = claims(&json!({"iat": NOW - 20}));
        let accepted = check(&claims, &rules, NOW).expect("good");
        assert_eq!((accepted.grant.expires_at, accepted.good), (Some(NOW + 80), NOW - 80..NOW + 140));
    }

    #[test]
    fn issuer_and_audience_are_those_that_are_meant() {
        let ours = IssuerSettings { audiences: vec!["a".into(), "b".into()], ..rules() };
        for (changes, with_audience, without) in [
            (json!({"aud": "b"}), Ok(()), Err(Denied::Audience)),
            (json!({"aud": ["x", "a"]}), Ok(()), Err(Denied::Audience)),
            (json!({"aud": "ab"}), Err(Denied::Audience), Err(Denied::Audience)),
            (json!({"aud": []}), Err(Denied::Audience), Err(Denied::Audience)),
            (json!({"aud": ["a", 1]}), Err(Denied::Claims), Err(Denied::Claims)),
            (json!({"aud": 7}), Err(Denied::Claims), Err(Denied::Claims)),
            (json!({}), Err(Denied::Audience), Ok(())),
            (json!({"iss": "https://idp.example/", "aud": "a"}), Err(Denied::Issuer), Err(Denied::Issuer)),
            (json!({"iss": null, "aud": "a"}), Err(Denied::Issuer), Err(Denied::Issuer)),
        ] {
            assert_eq!(outcome(&ours, &changes), with_audience, "{changes}");
            assert_eq!(outcome(&rules(), &changes), without, "{changes}");
        }
    }

    #[test]
    fn subject_and_id_are_bounded_text() {
        for bad in [json!(""), json!(7), json!("a\nb"), json!("\u{9b}"), json!("x".repeat(257)), json!(["alice"])] {
            assert_eq!(outcome(&rules(), &json!({"sub": bad})), Err(Denied::Claims), "{bad}");
            assert_eq!(outcome(&rules(), &json!({"jti": bad})), Err(Denied::Claims), "{bad}");
        }
        assert_eq!(outcome(&rules(), &json!({"sub": null})), Err(Denied::Claims));
        assert_eq!(outcome(&rules(), &json!({"sub": "x".repeat(256), "jti": null})), Ok(()));
    }

    #[test]
    fn devices_are_needed_by_who_registers_or_reaches_them() {
        for (changes, expected) in [
            (json!({"cuttlebone_devices": ["a", "b*"]}), Ok("[\"a\", \"b*\"]")),
            (json!({"cuttlebone_devices": "a, b"}), Ok("[\"a, b\"]")),
            (json!({"cuttlebone_devices": null}), Err(Denied::NoDevices)),
            (json!({"cuttlebone_devices": []}), Err(Denied::NoDevices)),
            (json!({"cuttlebone_devices": null, "cuttlebone_roles": "device"}), Err(Denied::NoDevices)),
            (json!({"cuttlebone_devices": null, "cuttlebone_roles": "observer"}), Ok("[\"*\"]")),
            (json!({"cuttlebone_devices": [], "cuttlebone_roles": "observer"}), Ok("[]")),
            (json!({"cuttlebone_devices": "x", "cuttlebone_roles": "admin"}), Ok("[\"x\"]")),
            (json!({"cuttlebone_devices": ""}), Err(Denied::Claims)),
            (json!({"cuttlebone_devices": [1]}), Err(Denied::Claims)),
            (json!({"cuttlebone_devices": vec!["a"; 65]}), Err(Denied::Claims)),
        ] {
            let claims = claims(&changes);
            let given = check(&claims, &rules(), NOW).map(|accepted| format!("{:?}", accepted.grant.devices));
            assert_eq!(given, expected.map(str::to_owned), "{changes}");
        }
    }

    #[test]
    fn tenant_is_the_claims_or_the_issuers() {
        let fixed = IssuerSettings { tenant: TenantFrom::Fixed("lab".parse().expect("a tenant")), ..rules() };
        for (changes, claimed) in [
            (json!({"cuttlebone_tenant": "other"}), Ok(Some("other"))),
            (json!({}), Ok(None)),
            (json!({"cuttlebone_tenant": "a b"}), Err(Denied::Claims)),
            (json!({"cuttlebone_tenant": ["a"]}), Err(Denied::Claims)),
        ] {
            let claims = claims(&changes);
            let given = check(&claims, &rules(), NOW).map(|accepted| accepted.grant.tenant);
            assert_eq!(given, claimed.map(|name| name.map(|name| name.parse().expect("a tenant"))), "{changes}");
            let given = check(&claims, &fixed, NOW).expect("good").grant.tenant;
            assert_eq!(given.as_ref().map(Tenant::as_str), Some("lab"), "{changes}");
        }
    }

    #[test]
    fn prefix_and_number_of_clients_are_what_they_can_be_or_the_token_is_denied() {
        for (changes, expected) in [
            (json!({}), Ok((None, None))),
            (json!({"cuttlebone_prefix": "lab7/", "cuttlebone_max_clients": 3}), Ok((Some("lab7/"), Some(3)))),
            (json!({"cuttlebone_prefix": null, "cuttlebone_max_clients": null}), Ok((None, None))),
            (json!({"cuttlebone_prefix": ""}), Err(Denied::Claims)),
            (json!({"cuttlebone_prefix": ["a"]}), Err(Denied::Claims)),
            (json!({"cuttlebone_max_clients": 0}), Err(Denied::Claims)),
            (json!({"cuttlebone_max_clients": -1}), Err(Denied::Claims)),
            (json!({"cuttlebone_max_clients": "3"}), Err(Denied::Claims)),
            (json!({"cuttlebone_max_clients": 4_294_967_296_u64}), Err(Denied::Claims)),
        ] {
            let claims = claims(&changes);
            let given =
                check(&claims, &rules(), NOW).map(|accepted| (accepted.grant.prefix, accepted.grant.max_clients));
            let expected =
                expected.map(|(prefix, most): (Option<&str>, _)| (prefix.map(|text| text.parse().expect("one")), most));
            assert_eq!(given, expected, "{changes}");
        }
    }

    #[test]
    fn every_tenant_is_for_who_administers_or_watches_only() {
        let fixed = IssuerSettings { tenant: TenantFrom::Fixed("lab".parse().expect("a tenant")), ..rules() };
        for (roles, expected) in [
            ("admin", Ok(true)),
            ("observer", Ok(true)),
            ("admin observer", Ok(true)),
            ("client", Err(Denied::Claims)),
            ("admin device", Err(Denied::Claims)),
        ] {
            let claims = claims(&json!({"cuttlebone_tenant": "*", "cuttlebone_roles": roles}));
            let given = check(&claims, &rules(), NOW).map(|accepted| accepted.grant.all_tenants);
            assert_eq!(given, expected, "{roles}");
            let given = check(&claims, &fixed, NOW).expect("good").grant;
            assert!(!given.all_tenants && given.tenant.is_some(), "{roles}");
        }
    }

    #[test]
    fn names_of_claims_are_configured() {
        let rules = IssuerSettings {
            roles_claim: "https://idp.example/roles".into(),
            devices_claim: "groups".into(),
            ..rules()
        };
        let changes = json!({"https://idp.example/roles": ["observer"], "groups": "a", "cuttlebone_roles": "admin"});
        let claims = claims(&changes);
        let accepted = check(&claims, &rules, NOW).expect("good");
        assert_eq!(accepted.grant.roles, Roles::NONE.with(Role::Observer));
        assert_eq!(accepted.grant.devices, Patterns::new(["a"]).expect("patterns"));
    }

    #[test]
    fn claim_within_a_claim_is_found_by_its_path() {
        for (path, at, found) in [
            ("/realm_access/roles", json!({"realm_access": {"roles": ["observer"]}}), true),
            ("/a~1b/c~0d/0", json!({"a/b": {"c~d": ["observer"]}}), true),
            ("/roles", json!({"roles": "observer"}), true),
            ("realm_access.roles", json!({"realm_access": {"roles": ["observer"]}}), false),
            ("realm_access.roles", json!({"realm_access.roles": ["observer"]}), true),
            ("/realm_access/roles", json!({"/realm_access/roles": ["observer"]}), false),
            ("/realm_access/roles", json!({"realm_access": ["observer"]}), false),
            ("/", json!({"roles": "observer"}), false),
        ] {
            let rules = IssuerSettings { roles_claim: path.into(), ..rules() };
            assert_eq!(outcome(&rules, &at), if found { Ok(()) } else { Err(Denied::NoRole) }, "{path} {at}");
        }
    }

    #[test]
    fn patterns_of_the_settings_are_of_those_whose_token_names_none() {
        let rules = IssuerSettings { devices: Some(Patterns::new(["lab8/*"]).expect("patterns")), ..rules() };
        for (changes, expected) in [
            (json!({"cuttlebone_devices": null}), Ok("[\"lab8/*\"]")),
            (json!({}), Ok("[\"lab7/*\"]")),
            (json!({"cuttlebone_devices": []}), Err(Denied::NoDevices)),
            (json!({"cuttlebone_devices": null, "cuttlebone_roles": "admin"}), Ok("[\"lab8/*\"]")),
        ] {
            let claims = claims(&changes);
            let given = check(&claims, &rules, NOW).map(|accepted| format!("{:?}", accepted.grant.devices));
            assert_eq!(given, expected.map(str::to_owned), "{changes}");
        }
        let nothing = IssuerSettings { devices: Some(Patterns::new([]).expect("none")), ..rules };
        for (role, expected) in [("admin", Ok("[]")), ("client", Err(Denied::NoDevices))] {
            let claims = claims(&json!({"cuttlebone_devices": null, "cuttlebone_roles": role}));
            let given = check(&claims, &nothing, NOW).map(|accepted| format!("{:?}", accepted.grant.devices));
            assert_eq!(given, expected.map(str::to_owned), "{role}");
        }
    }
}
