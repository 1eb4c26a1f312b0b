//! A credential as it was presented.

use std::fmt;

use zeroize::Zeroizing;

use crate::digest::sha256;
use crate::recent::TokenHash;
use crate::{session, static_tokens};

/// A presented credential: 1 to 8,192 bytes of visible ASCII without a comma, which separates values in headers.
///
/// It is wiped when it is dropped, and its `Debug` is `***`.
#[derive(Clone)]
pub struct Token(Zeroizing<String>);

impl Token {
    /// The longest token, in bytes.
    pub const MAX_BYTES: usize = 8_192;

    /// `None` if no credential looks like that.
    #[must_use]
    pub fn new(text: &str) -> Option<Self> {
        let sized = !text.is_empty() && text.len() <= Self::MAX_BYTES;
        let visible = text.bytes().all(|byte| byte.is_ascii_graphic() && byte != b',');
        (sized && visible).then(|| Self(Zeroizing::new(text.to_owned())))
    }

    /// The secret itself.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// What stands for it where it is not needed itself.
    #[must_use]
    pub fn hash(&self) -> TokenHash {
        sha256(&[self.0.as_bytes()])
    }

    /// Whether it has something of a static token or of a session in it: then it is one of ours, also with something too much, or none
    /// at all.
    #[must_use]
    pub fn is_ours(&self) -> bool {
        [static_tokens::PREFIX, session::PREFIX].iter().any(|prefix| self.0.contains(prefix))
    }
}

impl fmt::Debug for Token {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("***")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn token_is_bounded_visible_ascii_without_a_comma() {
        for good in ["a", "cbt_x-_", "a.b.c", "~!\"#;=", &"x".repeat(Token::MAX_BYTES)] {
            assert_eq!(Token::new(good).expect("a token").as_str(), good);
        }
        for bad in ["", " ", "a b", "a,b", "a\n", "a\t", "\u{7f}", "\u{e9}", &"x".repeat(Token::MAX_BYTES + 1)] {
            assert!(Token::new(bad).is_none(), "{bad:?}");
        }
    }

    #[test]
    fn token_is_not_shown() {
        assert_eq!(format!("{:?}", Token::new("canary")), "Some(***)");
    }
}
