//! Keys as a JWK Set (RFC 7517).

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use jsonwebtoken::Algorithm;
use serde::Deserialize;
use serde_json::Value;

use super::key::{Key, KeyFault, KeySet, Public, SkippedKey, UnfitKey};

/// What is read of a key. Whatever else it has, `x5u` and `x5c` for instance, is ignored.
#[derive(Deserialize)]
struct Jwk {
    kty: String,
    #[serde(rename = "use")]
    usage: Option<String>,
    key_ops: Option<Vec<String>>,
    alg: Option<String>,
    kid: Option<String>,
    crv: Option<String>,
    n: Option<String>,
    e: Option<String>,
    x: Option<String>,
    y: Option<String>,
}

/// The keys of a set that can be used, and the others, each with its reason.
pub(super) fn read(text: &str) -> Result<KeySet, KeyFault> {
    let set: Value = serde_json::from_str(text).map_err(|_| KeyFault::NoJwks)?;
    let values = set.get("keys").and_then(Value::as_array).ok_or(KeyFault::NoJwks)?;
    let (mut keys, mut skipped) = (Vec::new(), Vec::new());
    for (at, value) in values.iter().enumerate() {
        match Jwk::read(value).and_then(|jwk| jwk.key()) {
            Ok(key) => keys.push(key),
            Err(why) => skipped.push(SkippedKey { number: at + 1, why }),
        }
    }
    Ok(KeySet::of_set(keys, skipped))
}

impl Jwk {
    fn read(value: &Value) -> Result<Self, UnfitKey> {
        // An array would be taken for the fields in their order.
        if !value.is_object() {
            return Err(UnfitKey::Damaged);
        }
        Self::deserialize(value).map_err(|_| UnfitKey::Damaged)
    }

    fn key(&self) -> Result<Key, UnfitKey> {
        let for_verifying = self.usage.as_deref().is_none_or(|usage| usage == "sig");
        let may_verify = self.key_ops.as_ref().is_none_or(|operations| operations.iter().any(|name| name == "verify"));
        if !for_verifying || !may_verify {
            return Err(UnfitKey::Use);
        }
        let public = self.public()?;
        let algorithm = self.alg.as_ref().map(|name| name.parse::<Algorithm>().map_err(|_| UnfitKey::Algorithm));
        Key::public(self.kid.as_deref(), &public, algorithm.transpose()?)
    }

    fn public(&self) -> Result<Public, UnfitKey> {
        match (self.kty.as_str(), self.crv.as_deref()) {
            ("RSA", _) => Ok(Public::Rsa(bytes(&self.n)?, bytes(&self.e)?)),
            ("EC", Some("P-256")) => Ok(Public::P256(self.point(32)?)),
            ("EC", Some("P-384")) => Ok(Public::P384(self.point(48)?)),
            ("OKP", Some("Ed25519")) => Ok(Public::Ed25519(bytes(&self.x)?)),
            ("oct", _) => Err(UnfitKey::Secret),
            _ => Err(UnfitKey::Kind),
        }
    }

    /// The point of an elliptic curve whose coordinates have `size` bytes.
    fn point(&self, size: usize) -> Result<Vec<u8>, UnfitKey> {
        let (x, y) = (bytes(&self.x)?, bytes(&self.y)?);
        if x.len() != size || y.len() != size {
            return Err(UnfitKey::Damaged);
        }
        Ok([&[4], x.as_slice(), &y].concat())
    }
}

fn bytes(text: &Option<String>) -> Result<Vec<u8>, UnfitKey> {
    text.as_ref().and_then(|text| URL_SAFE_NO_PAD.decode(text).ok()).ok_or(UnfitKey::Damaged)
}
