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
    /// A DNS name among the subject alternative names.
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

    /// The one spelling of a name that has several: a host is in lower case and has no dot at its end, the scheme of a URI that has
    /// a host is in lower case.
    #[must_use]
    pub fn spelled(self, name: &str) -> String {
        match self {
            Self::Dns => host(name),
            Self::Email => name.rsplit_once('@').map_or_else(|| host(name), |(of, at)| format!("{of}@{}", host(at))),
            Self::Uri => scheme(name).map_or_else(
                || name.to_owned(),
                |(scheme, rest)| {
                    let (of, path) = rest.split_at(end_of_authority(rest));
                    format!("{}://{}{path}", scheme.to_ascii_lowercase(), authority(of))
                },
            ),
            Self::CommonName => name.to_owned(),
        }
    }

    /// Whether a pattern is spelled as names are: where a host may be, it has no capitals, and no dot at the end.
    #[must_use]
    pub fn is_spelled(self, pattern: &str) -> bool {
        let star = pattern.find('*');
        let may_be_host = match self {
            Self::Dns => [pattern, ""],
            // What a * stands for may have the @ in it.
            Self::Email => [&pattern[pattern.rfind('@').or(star).unwrap_or(0)..], ""],
            Self::Uri => match (scheme(pattern), star) {
                (Some((scheme, rest)), _) => [&pattern[..scheme.len() + 3 + end_of_authority(rest)], ""],
                // What is before the first colon, or the *, may be a scheme.
                (None, Some(star)) => [&pattern[..pattern.find(':').unwrap_or(star).min(star)], &pattern[star..]],
                (None, None) => [""; 2],
            },
            Self::CommonName => [""; 2],
        };
        let is_capital = |char: char| char.is_ascii_uppercase();
        may_be_host.iter().all(|host| {
            !host.ends_with(['.', '@']) && !host.contains(".:") && !host.contains("//@") && !host.contains(is_capital)
        })
    }
}

/// The scheme of a URI that has a host, and what follows `://`.
fn scheme(uri: &str) -> Option<(&str, &str)> {
    let is_scheme = |scheme: &str| {
        let mut chars = scheme.chars();
        let is_one = |char: char| char.is_ascii_alphanumeric() || matches!(char, '+' | '-' | '.');
        chars.next().is_some_and(|first| first.is_ascii_alphabetic()) && chars.all(is_one)
    };
    uri.split_once("://").filter(|(scheme, _)| is_scheme(scheme))
}

fn end_of_authority(rest: &str) -> usize {
    rest.find(['/', '?', '#']).unwrap_or(rest.len())
}

/// A host, and what a URI may have around it: somebody, and a port. Nobody and no port are not written.
fn authority(text: &str) -> String {
    let (of, at) = text.rsplit_once('@').map_or(("", text), |(of, at)| (of, at));
    let of = if of.is_empty() { String::new() } else { format!("{of}@") };
    let is_port = |port: &str| port.chars().all(|char| char.is_ascii_digit());
    match at.rsplit_once(':').filter(|(_, port)| is_port(port)) {
        Some((at, "")) => format!("{of}{}", host(at)),
        Some((at, port)) => format!("{of}{}:{port}", host(at)),
        None => format!("{of}{}", host(at)),
    }
}

fn host(name: &str) -> String {
    name.strip_suffix('.').unwrap_or(name).to_ascii_lowercase()
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
    let (kind, name) = match name {
        GeneralName::DnsName(name) => (NameKind::Dns, name.as_str()),
        GeneralName::UniformResourceIdentifier(name) => (NameKind::Uri, name.as_str()),
        GeneralName::Rfc822Name(name) => (NameKind::Email, name.as_str()),
        _ => return None,
    };
    let spelled = kind.spelled(name);
    // With two dots at the end it is nobody's.
    Some((kind, (kind.spelled(&spelled) == spelled).then_some(spelled)))
}

/// A name becomes part of a pattern: a `*` in it would stand for others.
fn is_plain(name: &str) -> bool {
    !name.is_empty() && name.len() <= NAME_BYTES && !name.chars().any(|char| char == '*' || char.is_control())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn host_has_one_spelling_and_the_rest_is_as_it_is() {
        for (kind, name, spelled) in [
            (NameKind::Dns, "Eve.LAB.example.", "eve.lab.example"),
            (NameKind::Dns, "lab:", "lab:"),
            (NameKind::Email, "Eve@LAB.example", "Eve@lab.example"),
            (NameKind::Email, "Lab.example.", "lab.example"),
            (NameKind::Uri, "SPIFFE://Lab.example/Eve", "spiffe://lab.example/Eve"),
            (NameKind::Uri, "https://Eve@Lab.example?Q", "https://Eve@lab.example?Q"),
            (NameKind::Uri, "spiffe://Lab.example", "spiffe://lab.example"),
            (NameKind::Uri, "spiffe://Lab.:443/x", "spiffe://lab:443/x"),
            (NameKind::Uri, "spiffe://@Lab:/x", "spiffe://lab/x"),
            (NameKind::Uri, "urn:Eve", "urn:Eve"),
            (NameKind::Uri, "urn:Lab:eve://X", "urn:Lab:eve://X"),
            (NameKind::CommonName, "Eve.", "Eve."),
        ] {
            assert_eq!(kind.spelled(name), spelled);
        }
    }

    #[test]
    fn pattern_has_no_capitals_where_a_host_may_be() {
        for (kind, good, bad) in [
            (NameKind::Dns, "*.lab.example", "*.Lab.example"),
            (NameKind::Dns, "*", "lab."),
            (NameKind::Email, "Ops-*@lab.example", "Ops-*@Lab.example"),
            (NameKind::Email, "Ops-*", "Ops-*Lab"),
            (NameKind::Email, "lab.example", "Lab.example"),
            (NameKind::Uri, "spiffe://lab/Ops/*", "spiffe://Lab/Ops/*"),
            (NameKind::Uri, "spiffe://*.lab/Ops", "spiffe://lab*Ops"),
            (NameKind::Uri, "urn:Eve", "*//Lab.example/*"),
            (NameKind::Uri, "*", "spiffe://lab./x"),
            (NameKind::Uri, "urn:Lab:*", "spiffe://lab.:443/x"),
            (NameKind::Uri, "spiffe*", "SPIFFE*"),
            (NameKind::Uri, "spiffe:*", "SPIFFE:*"),
            (NameKind::CommonName, "Eve.", "Eve."),
        ] {
            assert!(kind.is_spelled(good), "{good}");
            assert!(!kind.is_spelled(bad) || kind == NameKind::CommonName, "{bad}");
        }
    }
}
