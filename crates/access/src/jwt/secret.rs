//! What a shared secret must not be.

use std::collections::HashSet;

use jsonwebtoken::Algorithm;

use super::key::{KeyFault, UnfitKey};

/// The fewest different bytes of a secret. 32 random hexadecimal digits have fewer once in 20 million times, and random bytes
/// never.
const FEWEST_DIFFERENT: usize = 8;

/// Words of secrets in documentation. Such a secret was copied.
const SAMPLES: &[&str] =
    &["secret", "password", "changeme", "change-me", "change_me", "example", "sample", "cuttlebone", "your-"];

/// Checks a secret for an algorithm.
pub(super) fn check(secret: &[u8], algorithm: Algorithm) -> Result<(), KeyFault> {
    let least = match algorithm {
        Algorithm::HS256 => 32,
        Algorithm::HS384 => 48,
        Algorithm::HS512 => 64,
        _ => return Err(KeyFault::Unfit(UnfitKey::Algorithm)),
    };
    if secret.len() < least {
        return Err(KeyFault::ShortSecret(least));
    }
    if is_sample(secret) { Err(KeyFault::SampleSecret) } else { Ok(()) }
}

/// Whether a secret was copied from documentation, or can be guessed.
#[must_use]
pub fn is_sample(secret: &[u8]) -> bool {
    let different: HashSet<u8> = secret.iter().copied().collect();
    let steps = secret.windows(2).filter(|pair| matches!(pair, [a, b] if a.wrapping_add(1) == *b)).count();
    let text = String::from_utf8_lossy(secret).to_ascii_lowercase();
    different.len() < FEWEST_DIFFERENT || steps > secret.len() / 2 || SAMPLES.iter().any(|sample| text.contains(sample))
}
