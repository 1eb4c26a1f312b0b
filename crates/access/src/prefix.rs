//! What is put before the device ids of a principal.

use std::fmt;
use std::str::FromStr;
use std::sync::Arc;

/// The longest prefix, in bytes: half of the longest device id.
const PREFIX_BYTES: usize = 128;

/// What is put before the ids that a principal registers, so that the `cvd-1` of every host stays apart. Cheap to clone.
#[derive(Clone, PartialEq, Eq, Hash)]
pub struct Prefix(Arc<str>);

/// Not a prefix.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("a prefix has 1 to {PREFIX_BYTES} bytes and no control characters, such as lab7/")]
pub struct InvalidPrefix;

impl Prefix {
    /// The prefix as text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// The same text, shared.
    #[must_use]
    pub fn to_shared(&self) -> Arc<str> {
        Arc::clone(&self.0)
    }
}

impl FromStr for Prefix {
    type Err = InvalidPrefix;

    fn from_str(text: &str) -> Result<Self, InvalidPrefix> {
        let good = !text.is_empty() && text.len() <= PREFIX_BYTES && !text.chars().any(char::is_control);
        if good { Ok(Self(text.into())) } else { Err(InvalidPrefix) }
    }
}

impl fmt::Debug for Prefix {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(&*self.0, f)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn prefix_is_short_text_that_an_id_can_begin_with() {
        for good in ["lab7/", "a", "\u{e4} ", &"x".repeat(128)] {
            assert_eq!(good.parse::<Prefix>().expect("a prefix").as_str(), good);
        }
        for bad in ["", "a\n", "\u{9b}", &"x".repeat(129)] {
            assert_eq!(bad.parse::<Prefix>(), Err(InvalidPrefix), "{bad:?}");
        }
    }
}
