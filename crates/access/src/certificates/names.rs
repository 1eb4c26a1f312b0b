//! The names in a certificate.

use std::fmt;
use std::str::FromStr;

use x509_cert::Certificate;
use x509_cert::der::Decode;
use x509_cert::der::asn1::ObjectIdentifier;
use x509_cert::ext::pkix::SubjectAltName;
use x509_cert::ext::pkix::name::{DirectoryString, GeneralName};

/// The longest name that is looked at, in bytes.
const NAME_BYTES: usize = 253;

/// Where in a certificate a name stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum NameKind {
    /// A DNS name among the subject alternative names. Compared in lower case.
    Dns,
    /// A URI among them.
    Uri,
    /// A mail address among them.
    Email,
    /// The first common name of the subject. A second one is none that can be read.
    CommonName,
}

/// No kind of name is called so.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("the kinds are dns, uri, email and common_name")]
pub struct UnknownKind;

impl NameKind {
    /// Every kind.
    pub const ALL: [Self; 4] = [Self::Dns, Self::Uri, Self::Email, Self::CommonName];

    /// As identities and the configuration call it.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Dns => "dns",
            Self::Uri => "uri",
            Self::Email => "email",
            Self::CommonName => "common_name",
        }
    }
}

impl FromStr for NameKind {
    type Err = UnknownKind;

    fn from_str(name: &str) -> Result<Self, UnknownKind> {
        Self::ALL.into_iter().find(|kind| kind.name() == name).ok_or(UnknownKind)
    }
}

impl fmt::Display for NameKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// Where in a subject a common name stands.
const COMMON_NAME: ObjectIdentifier = ObjectIdentifier::new_unwrap("2.5.4.3");

/// What is read of the certificate of a peer.
pub(super) struct Leaf {
    /// Its names, and `None` for one that is none for us. Nobody knows then which rule it was meant for.
    names: Vec<(NameKind, Option<String>)>,
    /// An authority vouches for it that may do so for some names only: nothing keeps it to them in the common name.
    is_constrained: bool,
}

impl Leaf {
    /// `None` if it can't be read.
    pub(super) fn read(der: &[u8], is_constrained: bool) -> Option<Self> {
        let certificate = Certificate::from_der(der).ok()?;
        let certificate = certificate.tbs_certificate();
        let alternative = certificate.get_extension::<SubjectAltName>().ok()?.map(|(_, names)| names.0);
        let mut names: Vec<_> = alternative.unwrap_or_default().iter().filter_map(of_general).collect();
        let parts = certificate.subject().iter().filter(|part| part.oid == COMMON_NAME);
        names.extend(parts.enumerate().map(|(at, part)| {
            let name = DirectoryString::try_from(&part.value).ok().filter(|_| at == 0);
            (NameKind::CommonName, name.map(|name| name.value().into_owned()))
        }));
        let plain = |name: Option<String>| name.filter(|name| is_plain(name));
        let names = names.into_iter().map(|(kind, name)| (kind, plain(name))).collect();
        Some(Self { names, is_constrained })
    }

    /// Whether an authority vouches for its names of a kind.
    pub(super) fn is_vouched_for(&self, kind: NameKind) -> bool {
        kind != NameKind::CommonName || !self.is_constrained
    }

    /// Its names of a kind, in their order.
    pub(super) fn of(&self, wanted: NameKind) -> impl Iterator<Item = Option<&str>> {
        self.names.iter().filter(move |(kind, _)| *kind == wanted).map(|(_, name)| name.as_deref())
    }
}

fn of_general(name: &GeneralName) -> Option<(NameKind, Option<String>)> {
    match name {
        GeneralName::DnsName(name) => Some((NameKind::Dns, Some(name.as_str().to_ascii_lowercase()))),
        GeneralName::UniformResourceIdentifier(name) => Some((NameKind::Uri, Some(name.as_str().to_owned()))),
        GeneralName::Rfc822Name(name) => Some((NameKind::Email, Some(name.as_str().to_owned()))),
        _ => None,
    }
}

/// A name becomes part of a pattern: a `*` in it would stand for others.
fn is_plain(name: &str) -> bool {
    !name.is_empty() && name.len() <= NAME_BYTES && !name.chars().any(|char| char == '*' || char.is_control())
}
