//! `[[access.certificate]]`

use std::path::Path;

use cuttlebone_access::{
    CertificateRule, CertificateTrust, Certificates, NameKind, Role, Roles, RuleFault, TrustFault,
};

use super::super::super::raw::{RawCertificate, RawTexts, RawTls};
use super::super::check::Check;
use crate::files::{self, Others};

/// The key of the list.
const KEY: &str = "access.certificate";

/// Whether it is looked at who vouches for a certificate after the handshake, too.
pub(super) fn is_looked_at(rules: &[RawCertificate], tls: &RawTls) -> bool {
    !rules.is_empty() || is_required(tls)
}

fn is_required(tls: &RawTls) -> bool {
    tls.client_auth == "required"
}

/// Whose certificates are taken for whom, `None` where there is no rule; and who vouches for those that everybody needs.
pub(super) fn certificates(
    raw: &[RawCertificate],
    tls: &RawTls,
    check: &mut Check<'_>,
) -> (Option<Certificates>, Option<CertificateTrust>) {
    let trust = is_looked_at(raw, tls).then(|| trust(tls, check)).flatten();
    (by_rules(raw, trust.as_ref(), tls, check), trust.filter(|_| is_required(tls)))
}

fn by_rules(
    raw: &[RawCertificate],
    trust: Option<&CertificateTrust>,
    tls: &RawTls,
    check: &mut Check<'_>,
) -> Option<Certificates> {
    if raw.is_empty() {
        return None;
    }
    let rules: Vec<_> = raw.iter().enumerate().map(|(index, raw)| rule(index, raw, check)).collect();
    if tls.client_auth == "off" {
        check.fault(KEY, "needs tls.client_auth = \"optional\" or \"required\": nobody is asked for a certificate");
        return None;
    }
    let trust = trust?.clone();
    // What is faulty was noted, and leaves nothing to judge.
    let rules = rules.into_iter().collect::<Option<Vec<_>>>()?;
    match Certificates::new(trust, rules) {
        Ok(certificates) => Some(certificates),
        Err(faults) => {
            for (index, fault) in faults {
                note(index, fault, check);
            }
            None
        }
    }
}

fn note(index: usize, fault: RuleFault, check: &mut Check<'_>) {
    let key = match fault {
        RuleFault::NoRole => format!("{KEY}[{index}].roles"),
        RuleFault::NoDevices | RuleFault::Devices(_) | RuleFault::NoStar => format!("{KEY}[{index}].devices"),
        RuleFault::TooMany(_) => KEY.to_owned(),
    };
    check.fault(&key, fault.to_string());
}

fn trust(tls: &RawTls, check: &mut Check<'_>) -> Option<CertificateTrust> {
    let mut read = |key: &str, path: &str| {
        let read = files::read(Path::new(path), Others::MayRead);
        read.map_err(|fault| check.fault(key, fault)).ok()
    };
    // That it is named is looked at with the rest of `[tls]`.
    let authorities = read("tls.client_ca_file", Some(tls.client_ca_file.as_str()).filter(|path| !path.is_empty())?)?;
    let lists = match tls.client_crl_file.as_str() {
        "" => None,
        path => Some(read("tls.client_crl_file", path)?),
    };
    let mut good = |key: &str, path: &str, trust: Result<CertificateTrust, TrustFault>| {
        trust.map_err(|fault| check.fault(key, format!("{path} {fault}"))).ok()
    };
    let trust = good("tls.client_ca_file", &tls.client_ca_file, CertificateTrust::new(&authorities))?;
    match lists {
        None => Some(trust),
        Some(lists) => good("tls.client_crl_file", &tls.client_crl_file, trust.without_revoked(&lists)),
    }
}

fn rule(index: usize, raw: &RawCertificate, check: &mut Check<'_>) -> Option<CertificateRule> {
    let key = format!("{KEY}[{index}]");
    let name = name(&key, raw, check);
    let roles = texts(&raw.roles).map(str::parse::<Role>).collect::<Result<Roles, _>>();
    let roles = roles.map_err(|fault| check.fault(&format!("{key}.roles"), fault.to_string())).ok();
    let tenant = raw.tenant.as_deref().map(str::parse).transpose();
    let tenant = tenant.map_err(|fault| check.fault(&format!("{key}.tenant"), format!("{fault}"))).ok();
    let devices = raw.devices.as_ref().map(|devices| texts(devices).map(ToOwned::to_owned).collect());
    let (kind, name) = name?;
    Some(CertificateRule { kind, name, roles: roles?, devices, tenant: tenant? })
}

/// The one name that is given.
fn name(key: &str, raw: &RawCertificate, check: &mut Check<'_>) -> Option<(NameKind, cuttlebone_access::Pattern)> {
    let all = [&raw.dns, &raw.uri, &raw.email, &raw.common_name];
    let given: Vec<_> =
        NameKind::ALL.into_iter().zip(all).filter_map(|(kind, name)| Some((kind, name.as_ref()?))).collect();
    let [(kind, name)] = given[..] else {
        check.fault(key, "needs one of dns, uri, email and common_name");
        return None;
    };
    let name = if kind == NameKind::Dns { name.to_ascii_lowercase() } else { name.clone() };
    let pattern = name.parse().map_err(|fault| check.fault(&format!("{key}.{kind}"), format!("{fault}")));
    Some((kind, pattern.ok()?))
}

fn texts(raw: &RawTexts) -> impl Iterator<Item = &str> {
    let all = match raw {
        RawTexts::One(text) => std::slice::from_ref(text),
        RawTexts::Several(texts) => texts,
    };
    all.iter().map(String::as_str)
}
