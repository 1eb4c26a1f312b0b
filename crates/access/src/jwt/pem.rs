//! Public keys in PEM (RFC 7468), and as much of ASN.1 as they need.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;

use super::key::{KeyFault, Public, UnfitKey};

const SEQUENCE: u8 = 0x30;
const INTEGER: u8 = 0x02;
const BIT_STRING: u8 = 0x03;
const OBJECT: u8 = 0x06;

/// `rsaEncryption`, RFC 8017 A.1.
const RSA: &[u8] = &[0x2a, 0x86, 0x48, 0x86, 0xf7, 0x0d, 0x01, 0x01, 0x01];
/// `id-ecPublicKey`, RFC 5480 2.1.1.
const ELLIPTIC_CURVE: &[u8] = &[0x2a, 0x86, 0x48, 0xce, 0x3d, 0x02, 0x01];
/// `id-Ed25519`, RFC 8410 3.
const ED25519: &[u8] = &[0x2b, 0x65, 0x70];
/// The parameter `secp256r1`, RFC 5480 2.1.1.1.
const P256: &[u8] = &[OBJECT, 8, 0x2a, 0x86, 0x48, 0xce, 0x3d, 0x03, 0x01, 0x07];
/// The parameter `secp384r1`.
const P384: &[u8] = &[OBJECT, 5, 0x2b, 0x81, 0x04, 0x00, 0x22];
/// The parameter NULL.
const NULL: &[u8] = &[5, 0];

/// The public keys of all blocks. Text between blocks is ignored, and so are lines that begin with `#`.
pub(super) fn read(text: &str) -> Result<Vec<Public>, KeyFault> {
    let mut keys = Vec::new();
    let mut lines = text.lines().map(str::trim).filter(|line| !line.starts_with('#'));
    while let Some(line) = lines.next() {
        let Some(label) = line.strip_prefix("-----BEGIN ") else { continue };
        let label = label.strip_suffix("-----").ok_or(KeyFault::NoPem)?;
        let end = format!("-----END {label}-----");
        let mut is_whole = false;
        let body: String = lines
            .by_ref()
            .take_while(|line| {
                is_whole = *line == end;
                !is_whole
            })
            .collect();
        if !is_whole {
            return Err(KeyFault::NoPem);
        }
        keys.push(key(label, &body)?);
    }
    if keys.is_empty() { Err(KeyFault::NoPem) } else { Ok(keys) }
}

fn key(label: &str, body: &str) -> Result<Public, KeyFault> {
    let der = || {
        let digits: String = body.split_whitespace().collect();
        STANDARD.decode(digits).map_err(|_| KeyFault::NoPem)
    };
    let key = match label {
        "PUBLIC KEY" => subject_public_key_info(&der()?),
        "RSA PUBLIC KEY" => rsa(&der()?),
        "CERTIFICATE" => return Err(KeyFault::Certificate),
        _ if label.ends_with("PRIVATE KEY") => return Err(KeyFault::Private),
        _ => return Err(KeyFault::NoPem),
    };
    key.map_err(KeyFault::Unfit)
}

/// RFC 5280, 4.1.
fn subject_public_key_info(der: &[u8]) -> Result<Public, UnfitKey> {
    let (object, parameters, key) = split_info(der).ok_or(UnfitKey::Damaged)?;
    match (object, parameters) {
        (RSA, NULL) => rsa(key),
        (ELLIPTIC_CURVE, P256) => Ok(Public::P256(key.to_vec())),
        (ELLIPTIC_CURVE, P384) => Ok(Public::P384(key.to_vec())),
        (ED25519, []) => Ok(Public::Ed25519(key.to_vec())),
        _ => Err(UnfitKey::Kind),
    }
}

/// The algorithm, its parameters, and the key.
fn split_info(der: &[u8]) -> Option<(&[u8], &[u8], &[u8])> {
    let (info, []) = value(der, SEQUENCE)? else { return None };
    let (algorithm, bits) = value(info, SEQUENCE)?;
    let (object, parameters) = value(algorithm, OBJECT)?;
    let (bits, []) = value(bits, BIT_STRING)? else { return None };
    let (0, key) = bits.split_first()? else { return None };
    Some((object, parameters, key))
}

/// RFC 8017, A.1.1.
fn rsa(der: &[u8]) -> Result<Public, UnfitKey> {
    let numbers = || {
        let (pair, []) = value(der, SEQUENCE)? else { return None };
        let (n, e) = value(pair, INTEGER)?;
        let (e, []) = value(e, INTEGER)? else { return None };
        let positive = |number: &[u8]| number.first().is_some_and(|first| *first < 0x80);
        (positive(n) && positive(e)).then(|| Public::Rsa(n.to_vec(), e.to_vec()))
    };
    numbers().ok_or(UnfitKey::Damaged)
}

/// The value of what has this tag at the beginning of `der`, and what follows it. Lengths are those of DER: as short as can be,
/// and here below 65,536.
fn value(der: &[u8], tag: u8) -> Option<(&[u8], &[u8])> {
    let (length, from) = match *der {
        [first, length @ ..=0x7f, ref from @ ..] if first == tag => (usize::from(length), from),
        [first, 0x81, length @ 0x80..=0xff, ref from @ ..] if first == tag => (usize::from(length), from),
        [first, 0x82, high @ 1..=0xff, low, ref from @ ..] if first == tag => {
            (usize::from(high) << 8 | usize::from(low), from)
        }
        _ => return None,
    };
    from.split_at_checked(length)
}
