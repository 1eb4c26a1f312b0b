//! Names of tenants.

use std::fmt;
use std::str::FromStr;
use std::sync::Arc;

/// The name of a tenant: 1 to 64 of `A-Z a-z 0-9 . _ -`. Cheap to clone.
///
/// So it can stand in a file name, a URL and a log line as it is.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Tenant(Arc<str>);

/// Not a name of a tenant.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("a name here has 1 to {NAME_BYTES} characters of A-Z a-z 0-9 . _ -")]
pub struct InvalidName;

/// The longest name of a tenant or a token, in bytes.
const NAME_BYTES: usize = 64;

impl Tenant {
    /// The name as text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl FromStr for Tenant {
    type Err = InvalidName;

    fn from_str(name: &str) -> Result<Self, InvalidName> {
        check_name(name).map(|name| Self(name.into()))
    }
}

impl fmt::Display for Tenant {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl fmt::Debug for Tenant {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(&*self.0, f)
    }
}

/// `name`, if it is one: tenants and static tokens have the same kind.
pub(crate) fn check_name(name: &str) -> Result<&str, InvalidName> {
    let known = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'.' | b'_' | b'-');
    let good = !name.is_empty() && name.len() <= NAME_BYTES && name.bytes().all(known);
    if good { Ok(name) } else { Err(InvalidName) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tenant_is_a_short_plain_name() {
        for good in ["a", "lab-7", "A.b_9", &"x".repeat(64)] {
            assert_eq!(good.parse::<Tenant>().expect("a tenant").as_str(), good);
        }
        for bad in ["", "a b", "a/b", "\u{e4}", "a\n", &"x".repeat(65)] {
            assert_eq!(bad.parse::<Tenant>(), Err(InvalidName), "{bad:?}");
        }
    }
}
