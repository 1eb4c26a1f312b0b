//! The key of resume tokens.

use cuttlebone_hub::TokenKey;
use ring::hmac;

/// Bytes that a key from outside must have.
pub(crate) const KEY_BYTES: usize = 32;

/// What signs resume tokens: HMAC-SHA256. Servers with the same key honour each other's tokens.
#[derive(Clone)]
pub struct ResumeKey(hmac::Key);

impl ResumeKey {
    /// The key that `secret` stands for; `None` if it has fewer than 32 bytes.
    #[must_use]
    pub fn new(secret: &[u8]) -> Option<Self> {
        (secret.len() >= KEY_BYTES).then(|| Self(hmac::Key::new(hmac::HMAC_SHA256, secret)))
    }

    /// A key that nobody else has.
    pub(crate) fn random() -> Self {
        let mut secret = [0; KEY_BYTES];
        getrandom::fill(&mut secret).expect("the system has random numbers once it has started");
        Self(hmac::Key::new(hmac::HMAC_SHA256, &secret))
    }
}

impl TokenKey for ResumeKey {
    fn sign(&self, message: &[u8]) -> [u8; 32] {
        let mut tag = [0; 32];
        tag.copy_from_slice(hmac::sign(&self.0, message).as_ref());
        tag
    }

    fn verify(&self, message: &[u8], tag: &[u8]) -> bool {
        hmac::verify(&self.0, message, tag).is_ok()
    }
}

impl std::fmt::Debug for ResumeKey {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("***")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_short_secret_is_no_key() {
        assert!(ResumeKey::new(&[7; 31]).is_none());
    }

    #[test]
    fn the_same_secret_is_the_same_key_and_no_other_is() {
        let (one, same) = (ResumeKey::new(&[7; 32]).expect("a key"), ResumeKey::new(&[7; 32]).expect("a key"));
        assert!(same.verify(b"message", &one.sign(b"message")));
        assert!(!ResumeKey::random().verify(b"message", &one.sign(b"message")));
        assert!(!one.verify(b"massage", &one.sign(b"message")));
    }
}
