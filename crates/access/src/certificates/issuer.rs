//! What is read of a certificate beside its names.

use std::ops::Range;

use x509_cert::der::Decode;
use x509_cert::ext::pkix::{BasicConstraints, KeyUsage, NameConstraints};
use x509_cert::{Certificate, TbsCertificate};

/// An authority: its certificate says that it may vouch for others.
#[derive(Debug, Clone)]
pub(super) struct Issuer {
    /// When it may, in seconds since 1970.
    pub(super) good: Range<u64>,
    /// Whether it may for some names only.
    pub(super) is_constrained: bool,
}

impl Issuer {
    /// `None` if the certificate is none of an authority, or can't be read.
    pub(super) fn read(der: &[u8]) -> Option<Self> {
        let certificate = Certificate::from_der(der).ok()?;
        let certificate = certificate.tbs_certificate();
        let basic = certificate.get_extension::<BasicConstraints>().ok()?;
        let usage = certificate.get_extension::<KeyUsage>().ok()?;
        let constraints = certificate.get_extension::<NameConstraints>().ok()?;
        let is_authority = basic.is_some_and(|(_, basic)| basic.ca);
        let may_sign = usage.is_none_or(|(_, usage)| usage.key_cert_sign());
        let issuer = Self { good: validity_of(certificate), is_constrained: constraints.is_some() };
        (is_authority && may_sign).then_some(issuer)
    }
}

/// When a certificate is good, in seconds since 1970, if that can be read.
pub(super) fn validity(der: &[u8]) -> Option<Range<u64>> {
    Certificate::from_der(der).ok().map(|certificate| validity_of(certificate.tbs_certificate()))
}

fn validity_of(certificate: &TbsCertificate) -> Range<u64> {
    let validity = certificate.validity();
    let (from, last) = (validity.not_before.to_unix_duration(), validity.not_after.to_unix_duration());
    from.as_secs()..last.as_secs() + 1
}
