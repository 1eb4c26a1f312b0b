//! Secrets that we share with a TURN server, and the credentials that are made from them.
//!
//! The scheme is the one of "A REST API For Access To TURN Services" (draft-uberti-behave-turn-rest-00), which coturn calls
//! `use-auth-secret`: the user name is `expiry:opaque`, the password is base64(HMAC-SHA1(secret, user name)).

use std::fmt;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use ring::digest::{SHA256, digest};
use ring::hmac::{self, HMAC_SHA1_FOR_LEGACY_USE_ONLY};

/// Bytes that a secret has at least. Whoever was given one credential can try secrets against it offline, as fast as they can
/// compute HMAC-SHA1. 32 bytes of text are 128 bits even where they are hexadecimal digits.
const LEAST_BYTES: usize = 32;

/// What stands in files that are copied, to be replaced.
const SAMPLES: [&str; 2] = ["replace-me", "changeme"];

/// A secret that a TURN server knows as well. Cheap to clone; never shown.
#[derive(Clone)]
pub struct TurnSecret {
    key: hmac::Key,
    /// To tell one secret from another, which a key does not.
    hash: [u8; 32],
}

/// Not fit to be a secret.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum UnfitSecret {
    /// It can be guessed.
    #[error("a secret has at least {LEAST_BYTES} bytes, such as `openssl rand -hex 32` gives")]
    Short,
    /// Everybody knows it.
    #[error("this is the text of a sample: make a secret of your own, such as `openssl rand -hex 32` gives")]
    Sample,
}

impl TurnSecret {
    /// The secret that `text` is.
    ///
    /// # Errors
    /// [`UnfitSecret`].
    pub fn new(text: &str) -> Result<Self, UnfitSecret> {
        if SAMPLES.iter().any(|sample| text.to_ascii_lowercase().starts_with(sample)) {
            return Err(UnfitSecret::Sample);
        }
        if text.len() < LEAST_BYTES { Err(UnfitSecret::Short) } else { Ok(Self::of(text.as_bytes())) }
    }

    fn of(secret: &[u8]) -> Self {
        let mut hash = [0; 32];
        hash.copy_from_slice(digest(&SHA256, secret).as_ref());
        Self { key: hmac::Key::new(HMAC_SHA1_FOR_LEGACY_USE_ONLY, secret), hash }
    }

    /// The password that goes with a user name.
    pub(crate) fn credential(&self, username: &str) -> String {
        STANDARD.encode(hmac::sign(&self.key, username.as_bytes()))
    }
}

/// The user name of a credential that is good until `expiry`, in seconds since 1970.
pub(crate) fn username(expiry: u64, opaque: &str) -> String {
    format!("{expiry}:{opaque}")
}

impl PartialEq for TurnSecret {
    fn eq(&self, other: &Self) -> bool {
        self.hash == other.hash
    }
}

impl Eq for TurnSecret {}

impl fmt::Debug for TurnSecret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("***")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn t45_credentials_are_those_of_the_vectors() {
        let north = TurnSecret::of(b"north");
        assert_eq!(north.credential(&username(1_700_000_000, "alice")), "Cd/49soE35ICqcJF/bCTn8Z4OyE=");
        assert_eq!(north.credential("1700000000"), "CWyHi3zCeWqXBir9thl4m+iZPRY=");
    }

    #[test]
    fn short_secrets_and_samples_are_refused() {
        assert_eq!(TurnSecret::new(&"a".repeat(31)).expect_err("short"), UnfitSecret::Short);
        assert!(TurnSecret::new(&"a".repeat(32)).is_ok());
        assert_eq!(TurnSecret::new("").expect_err("none"), UnfitSecret::Short);
        let sample = format!("REPLACE-ME{}", "-".repeat(32));
        assert_eq!(TurnSecret::new(&sample).expect_err("known"), UnfitSecret::Sample);
    }

    #[test]
    fn secrets_are_told_apart_and_not_shown() {
        let secret = |text: &str| TurnSecret::new(&text.repeat(4)).expect("long enough");
        assert_eq!(secret("canary-1"), secret("canary-1"));
        assert_ne!(secret("canary-1"), secret("canary-2"));
        assert_eq!(format!("{:?}", secret("canary-1")), "***");
    }
}
