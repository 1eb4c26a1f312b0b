//! The keys that an issuer signs with.

use std::collections::HashSet;
use std::fmt;
use std::sync::Arc;

use jsonwebtoken::{Algorithm, DecodingKey, Validation};

use super::{KID_BYTES, jwks, pem, secret};
use crate::digest::sha256;

/// The most keys of an issuer.
const MOST_KEYS: usize = 64;
/// The most keys that are tried for one token: only a token without a `kid` makes more than one likely. A forged token costs the
/// checks of so many signatures, each of up to a millisecond (P-384).
const MOST_TRIED: usize = 4;
/// The largest text with keys, in bytes.
pub(super) const TEXT_BYTES: usize = 65_536;

/// Keys that can't be used, as a fault names them.
const SHOWN: usize = 3;
/// The least and the most bits of an RSA key.
const RSA_BITS: std::ops::RangeInclusive<usize> = 2_048..=8_192;
/// What an RSA key without `alg` is for.
const RSA: &[Algorithm] = &[Algorithm::RS256, Algorithm::RS384, Algorithm::RS512, Algorithm::PS256];

/// The keys that an issuer signs with: 1 to 64, either all public, or all shared secrets.
#[derive(Clone, Default)]
pub struct KeySet {
    keys: Vec<Key>,
    skipped: Vec<SkippedKey>,
}

/// One key, and the algorithms that it is for.
#[derive(Clone)]
pub(super) struct Key {
    kid: Option<Box<str>>,
    is_secret: bool,
    decoding: DecodingKey,
    validation: Arc<Validation>,
    print: KeyPrint,
}

/// What tells keys apart that are not the same key for the same algorithms.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) struct KeyPrint([u8; 32]);

/// A public key.
pub(super) enum Public {
    /// Modulus and exponent, big endian.
    Rsa(Vec<u8>, Vec<u8>),
    /// A point, uncompressed.
    P256(Vec<u8>),
    /// A point, uncompressed.
    P384(Vec<u8>),
    /// A point.
    Ed25519(Vec<u8>),
}

/// Why keys cannot be used.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum KeyFault {
    /// The text is too long.
    #[error("keys have at most {TEXT_BYTES} bytes")]
    TooLong,
    /// Not a JWK Set.
    #[error("a JWK Set is a JSON object with an array `keys` (RFC 7517)")]
    NoJwks,
    /// There is no key that can be used.
    #[error("no key can be used{}", list(.0))]
    NoneFits(Vec<SkippedKey>),
    /// Too many keys.
    #[error("an issuer has at most {MOST_KEYS} keys")]
    TooMany,
    /// Too many keys without a `kid` for one algorithm.
    #[error(
        "at most {MOST_TRIED} keys without a `kid` may be for one algorithm: take old ones out, or name them in a JWK Set"
    )]
    TooManyNameless,
    /// Public keys and secrets together.
    #[error("an issuer has either public keys or shared secrets, and not both")]
    Mixed,
    /// Not PEM.
    #[error("no block BEGIN PUBLIC KEY to END PUBLIC KEY with base64 in it")]
    NoPem,
    /// A private key.
    #[error("this is a private key, and only its owner needs it: `openssl pkey -pubout` makes the public one of it")]
    Private,
    /// A certificate.
    #[error("this is a certificate: `openssl x509 -pubkey -noout` takes the public key out of it")]
    Certificate,
    /// A key cannot be used.
    #[error("{0}")]
    Unfit(UnfitKey),
    /// A secret that is too short for its algorithm.
    #[error("a secret for this algorithm has at least {0} bytes")]
    ShortSecret(usize),
    /// A secret that is no secret.
    #[error("this is an example, or has a pattern: take random bytes, from `openssl rand -base64 48` for instance")]
    SampleSecret,
}

/// A key of a set that is not used.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("key {number}: {why}")]
pub struct SkippedKey {
    /// Which of the set; the first is 1.
    pub number: usize,
    /// Why not.
    pub why: UnfitKey,
}

/// Why a key is not used.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum UnfitKey {
    /// Something else.
    #[error("of a kind that is not supported; RSA, P-256, P-384 and Ed25519 are")]
    Kind,
    /// A secret among public keys.
    #[error("a shared secret among public keys")]
    Secret,
    /// For encryption.
    #[error("not for signatures")]
    Use,
    /// For an algorithm that it cannot be for.
    #[error("for an algorithm that is not supported, or not one of this kind of key")]
    Algorithm,
    /// Not what a key of its kind looks like.
    #[error("not a key, or damaged")]
    Damaged,
    /// Too short, or too long.
    #[error("RSA keys have {} to {} bits, and an odd exponent of at least 65537", RSA_BITS.start(), RSA_BITS.end())]
    RsaSize,
    /// A name that no token may have.
    #[error("its kid has more than {KID_BYTES} bytes")]
    Kid,
}

impl KeySet {
    /// The public keys in the text of a JWK Set (RFC 7517). Keys that cannot be used are left out, as the RFC has it.
    ///
    /// # Errors
    /// [`KeyFault`] if it is no JWK Set, or no key in it can be used.
    pub fn from_jwks(text: &str) -> Result<Self, KeyFault> {
        check_size(text)?;
        jwks::read(text)?.checked()
    }

    /// The public keys in PEM: blocks `PUBLIC KEY` or `RSA PUBLIC KEY`. An RSA key is for `algorithm`, or else for RS256, RS384,
    /// RS512 and PS256; the others are for the one algorithm that they can be for.
    ///
    /// # Errors
    /// [`KeyFault`] if there is no key, or one that cannot be used.
    pub fn from_pem(text: &str, algorithm: Option<Algorithm>) -> Result<Self, KeyFault> {
        check_size(text)?;
        let keys = pem::read(text)?.into_iter().map(|key| Key::public(None, &key, algorithm));
        let keys = keys.collect::<Result<_, _>>().map_err(KeyFault::Unfit)?;
        Self { keys, skipped: Vec::new() }.checked()
    }

    /// A secret that the issuer shares, for HS256, HS384 or HS512: the bytes as they are.
    ///
    /// # Errors
    /// [`KeyFault`] if it is shorter than the hash of the algorithm (RFC 7518, 3.2), or one that others have too.
    pub fn from_secret(secret: &[u8], algorithm: Algorithm) -> Result<Self, KeyFault> {
        secret::check(secret, algorithm)?;
        let key = Key::new(None, &[algorithm], DecodingKey::from_secret(secret), &[secret]);
        Self { keys: vec![Key { is_secret: true, ..key }], skipped: Vec::new() }.checked()
    }

    /// These keys and those of `other`.
    ///
    /// # Errors
    /// [`KeyFault`] if they are too many, or if only one of the two are secrets.
    pub fn and(mut self, other: Self) -> Result<Self, KeyFault> {
        self.keys.extend(other.keys);
        self.skipped.extend(other.skipped);
        self.checked()
    }

    /// The keys that were left out: for the log.
    #[must_use]
    pub fn skipped(&self) -> &[SkippedKey] {
        &self.skipped
    }

    /// How many keys there are.
    #[must_use]
    pub fn len(&self) -> usize {
        self.keys.len()
    }

    /// Whether there is none.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.keys.is_empty()
    }

    /// What `jwks` found.
    pub(super) fn of_set(keys: Vec<Key>, skipped: Vec<SkippedKey>) -> Self {
        Self { keys, skipped }
    }

    /// The keys for a token whose header has this `kid` and `alg`. A key without a `kid` is for any. `None` if there is no such
    /// key, or too many to try.
    pub(super) fn fitting(&self, kid: Option<&str>, algorithm: Algorithm) -> Option<Vec<&Key>> {
        let named = |key: &&Key| match (kid, &key.kid) {
            (Some(kid), Some(own)) => kid == &**own,
            (None, _) | (_, None) => true,
        };
        let keys = self.keys.iter().filter(named).filter(|key| key.validation.algorithms.contains(&algorithm));
        let keys: Vec<&Key> = keys.collect();
        (1..=MOST_TRIED).contains(&keys.len()).then_some(keys)
    }

    /// Whether this key is one of them, for the same algorithms.
    pub(super) fn has(&self, print: &KeyPrint) -> bool {
        self.keys.iter().any(|key| key.print == *print)
    }

    /// Whether `other` has the same keys under the same names.
    #[must_use]
    pub(super) fn is_same(&self, other: &Self) -> bool {
        let named = |key: &Key| (key.kid.clone(), key.print);
        self.keys.iter().map(named).eq(other.keys.iter().map(named))
    }

    /// The most keys without a `kid` that are for one algorithm: any of them may have signed a token.
    fn most_nameless(&self) -> usize {
        let nameless: Vec<&Key> = self.keys.iter().filter(|key| key.kid.is_none()).collect();
        let of = |algorithm: &_| nameless.iter().filter(|key| key.validation.algorithms.contains(algorithm)).count();
        nameless.iter().flat_map(|key| &key.validation.algorithms).map(of).max().unwrap_or(0)
    }

    fn checked(self) -> Result<Self, KeyFault> {
        let secrets = self.keys.iter().filter(|key| key.is_secret).count();
        match self.keys.len() {
            0 => Err(KeyFault::NoneFits(self.skipped)),
            number if number > MOST_KEYS => Err(KeyFault::TooMany),
            number if secrets != 0 && secrets != number => Err(KeyFault::Mixed),
            _ if self.most_nameless() > MOST_TRIED => Err(KeyFault::TooManyNameless),
            _ => Ok(self),
        }
    }
}

impl fmt::Debug for KeySet {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("KeySet").field("keys", &self.keys.len()).field("skipped", &self.skipped).finish()
    }
}

impl Key {
    /// A public key for `algorithm`, or for those that are usual for its kind.
    pub(super) fn public(kid: Option<&str>, key: &Public, algorithm: Option<Algorithm>) -> Result<Self, UnfitKey> {
        let (usual, material): (&[Algorithm], Vec<&[u8]>) = match key {
            Public::Rsa(n, e) => (RSA, vec![n, e]),
            Public::P256(point) => (&[Algorithm::ES256], vec![point]),
            Public::P384(point) => (&[Algorithm::ES384], vec![point]),
            Public::Ed25519(point) => (&[Algorithm::EdDSA], vec![point]),
        };
        let decoding = key.decoding()?;
        let single = algorithm.map(|algorithm| [algorithm]);
        let algorithms = single.as_ref().map_or(usual, |single| single.as_slice());
        let fits = |algorithm: &Algorithm| match key {
            Public::Rsa(..) => decoding.family() == algorithm.family(),
            Public::P256(_) | Public::P384(_) | Public::Ed25519(_) => usual.contains(algorithm),
        };
        if !algorithms.iter().all(fits) {
            return Err(UnfitKey::Algorithm);
        }
        if kid.is_some_and(|kid| kid.len() > KID_BYTES) {
            return Err(UnfitKey::Kid);
        }
        Ok(Self::new(kid, algorithms, decoding, &material))
    }

    fn new(kid: Option<&str>, algorithms: &[Algorithm], decoding: DecodingKey, material: &[&[u8]]) -> Self {
        // Nothing but the algorithm: the rest is for `claims`, which has the time as an argument.
        let validation = Validation {
            algorithms: algorithms.to_vec(),
            required_spec_claims: HashSet::new(),
            validate_exp: false,
            validate_aud: false,
            ..Validation::default()
        };
        let print = KeyPrint::new(algorithms, material);
        Self { kid: kid.map(Into::into), is_secret: false, decoding, validation: Arc::new(validation), print }
    }

    pub(super) fn decoding(&self) -> &DecodingKey {
        &self.decoding
    }

    /// Checks the algorithm, and nothing else.
    pub(super) fn validation(&self) -> &Validation {
        &self.validation
    }

    pub(super) fn print(&self) -> KeyPrint {
        self.print
    }
}

impl KeyPrint {
    fn new(algorithms: &[Algorithm], material: &[&[u8]]) -> Self {
        let names = format!("cuttlebone key 1 {algorithms:?}");
        let lengths: Vec<u8> = material.iter().flat_map(|part| (part.len() as u64).to_be_bytes()).collect();
        let parts = [names.as_bytes(), &lengths].into_iter().chain(material.iter().copied());
        Self(sha256(&parts.collect::<Vec<_>>()))
    }
}

impl Public {
    fn decoding(&self) -> Result<DecodingKey, UnfitKey> {
        match self {
            Self::Rsa(n, e) => rsa(strip(n), strip(e)),
            Self::P256(point) if point.len() == 65 && point.first() == Some(&4) => Ok(DecodingKey::from_ec_der(point)),
            Self::P384(point) if point.len() == 97 && point.first() == Some(&4) => Ok(DecodingKey::from_ec_der(point)),
            Self::Ed25519(point) if point.len() == 32 => Ok(DecodingKey::from_ed_der(point)),
            Self::P256(_) | Self::P384(_) | Self::Ed25519(_) => Err(UnfitKey::Damaged),
        }
    }
}

/// `n` and `e` without leading zeros. `ring` takes an exponent of at most 33 bits.
fn rsa(n: &[u8], e: &[u8]) -> Result<DecodingKey, UnfitKey> {
    let bits = n.first().map_or(0, |first| n.len() * 8 - first.leading_zeros() as usize);
    let exponent = e.iter().try_fold(0_u64, |sum, byte| sum.checked_mul(256)?.checked_add(u64::from(*byte)));
    let exponent_is_good = exponent.is_some_and(|e| e % 2 == 1 && (65_537..1 << 33).contains(&e));
    if RSA_BITS.contains(&bits) && exponent_is_good {
        Ok(DecodingKey::from_rsa_raw_components(n, e))
    } else {
        Err(UnfitKey::RsaSize)
    }
}

fn strip(number: &[u8]) -> &[u8] {
    let zeros = number.iter().take_while(|byte| **byte == 0).count();
    number.get(zeros..).unwrap_or_default()
}

fn check_size(text: &str) -> Result<(), KeyFault> {
    if text.len() > TEXT_BYTES { Err(KeyFault::TooLong) } else { Ok(()) }
}

/// The first of them, and how many there are more: an issuer may have any number.
fn list(skipped: &[SkippedKey]) -> String {
    let mut list: String = skipped.iter().take(SHOWN).map(|key| format!("; {key}")).collect();
    let more = skipped.len().saturating_sub(SHOWN);
    if more > 0 {
        list.push_str(&format!("; and {more} more"));
    }
    list
}
