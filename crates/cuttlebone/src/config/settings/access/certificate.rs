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

/// Who vouches for certificates, if that is looked at. A file that is faulty has what it had in `old`, the other one what it has now.
pub(super) fn trust(
    (rules, tls): (&[RawCertificate], &RawTls),
    old: Option<&CertificateTrust>,
    check: &mut Check<'_>,
) -> Option<CertificateTrust> {
    if !is_looked_at(rules, tls) {
        return None;
    }
    let authorities = authorities(tls, check).or_else(|| old.cloned())?;
    if tls.client_crl_file.is_empty() {
        return Some(authorities);
    }
    without_revoked(&authorities, tls, check).or_else(|| old.map(|old| authorities.with_lists_of(old)))
}

/// Who vouches for the certificate that everybody needs.
pub(super) fn required(trust: Option<&CertificateTrust>, tls: &RawTls) -> Option<CertificateTrust> {
    trust.filter(|_| is_required(tls)).cloned()
}

/// Whose certificates are taken for whom, `None` where there is no rule.
pub(super) fn certificates(
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

fn authorities(tls: &RawTls, check: &mut Check<'_>) -> Option<CertificateTrust> {
    // That it is named is looked at with the rest of `[tls]`.
    let path = Some(tls.client_ca_file.as_str()).filter(|path| !path.is_empty())?;
    read("tls.client_ca_file", path, CertificateTrust::new, check)
}

fn without_revoked(authorities: &CertificateTrust, tls: &RawTls, check: &mut Check<'_>) -> Option<CertificateTrust> {
    let good = |lists: &str| authorities.clone().without_revoked(lists);
    read("tls.client_crl_file", &tls.client_crl_file, good, check)
}

fn read(
    key: &str,
    path: &str,
    good: impl FnOnce(&str) -> Result<CertificateTrust, TrustFault>,
    check: &mut Check<'_>,
) -> Option<CertificateTrust> {
    let text = files::read(Path::new(path), Others::MayRead).map_err(|fault| check.fault(key, fault)).ok()?;
    good(&text).map_err(|fault| check.fault(key, format!("{path} {fault}"))).ok()
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
    let name = if kind == NameKind::Dns { kind.spelled(name) } else { name.clone() };
    if !kind.is_spelled(&name) {
        let text =
            "names of hosts, and whatever may be one, are written in small letters here, and without a dot at the end";
        check.fault(&format!("{key}.{kind}"), text);
    }
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
