//! The cryptography of WebRTC, without a further C library.
//!
//! str0m takes its cryptography from outside, and its ready-made sets bring AWS-LC or OpenSSL along. So this one is put
//! together here: hashes and AEAD from `ring`, which TLS needs anyway, single AES blocks from `aes`, and DTLS from
//! `dimpl` with its Rust primitives. Nothing is invented, and each primitive is checked against published test vectors.

mod dtls;
mod srtp;

use ring::digest::{self, SHA1_FOR_LEGACY_USE_ONLY, SHA256};
use ring::hmac::{self, HMAC_SHA1_FOR_LEGACY_USE_ONLY};
use str0m::crypto::{CryptoProvider, Sha1HmacProvider, Sha1Provider, Sha256Provider};

/// What str0m needs, for [`str0m::RtcConfig::set_crypto_provider`].
#[must_use]
pub fn crypto_provider() -> CryptoProvider {
    CryptoProvider {
        srtp_provider: &srtp::Srtp,
        sha1_hmac_provider: &Hashes,
        sha1_provider: &Hashes,
        sha256_provider: &Hashes,
        dtls_provider: &dtls::Dtls,
    }
}

#[derive(Debug)]
struct Hashes;

/// STUN signs its messages with this, and SRTP its packets where both ends can do no better.
impl Sha1HmacProvider for Hashes {
    fn sha1_hmac(&self, key: &[u8], payloads: &[&[u8]]) -> [u8; 20] {
        let key = hmac::Key::new(HMAC_SHA1_FOR_LEGACY_USE_ONLY, key);
        let mut context = hmac::Context::with_key(&key);
        for payload in payloads {
            context.update(payload);
        }
        sized(context.sign().as_ref())
    }
}

impl Sha1Provider for Hashes {
    fn sha1(&self, data: &[u8]) -> [u8; 20] {
        sized(digest::digest(&SHA1_FOR_LEGACY_USE_ONLY, data).as_ref())
    }
}

impl Sha256Provider for Hashes {
    fn sha256(&self, data: &[u8]) -> [u8; 32] {
        sized(digest::digest(&SHA256, data).as_ref())
    }
}

/// A hash as an array of its size.
fn sized<const N: usize>(hash: &[u8]) -> [u8; N] {
    let mut array = [0; N];
    array.copy_from_slice(hash);
    array
}

#[cfg(test)]
pub(crate) fn unhex(text: &str) -> Vec<u8> {
    let digits: Vec<char> = text.chars().filter(|c| !c.is_whitespace()).collect();
    digits.chunks(2).map(|pair| u8::from_str_radix(&pair.iter().collect::<String>(), 16).unwrap()).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hashes_are_those_of_the_standards() {
        // RFC 2202, test case 2; the message may come in pieces.
        let expected = unhex("effcdf6ae5eb2fa2d27416d5f184df9c259a7c79");
        assert_eq!(Hashes.sha1_hmac(b"Jefe", &[b"what do ya want ", b"for nothing?"]).to_vec(), expected);
        // FIPS 180, "abc".
        assert_eq!(Hashes.sha1(b"abc").to_vec(), unhex("a9993e364706816aba3e25717850c26c9cd0d89d"));
        let expected = unhex("ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad");
        assert_eq!(Hashes.sha256(b"abc").to_vec(), expected);
    }
}
