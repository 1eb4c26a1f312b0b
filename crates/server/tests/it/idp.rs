//! One who signs tokens, and whose keys are at a URL.

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use ring::rand::SystemRandom;
use ring::signature::{ECDSA_P256_SHA256_FIXED_SIGNING, EcdsaKeyPair, KeyPair as _};
use serde_json::{Value, json};

pub(crate) const ISSUER: &str = "https://idp.example";

/// A key, and its name.
pub(crate) struct Signer {
    kid: String,
    key: EcdsaKeyPair,
}

impl Signer {
    pub(crate) fn new(kid: &str) -> Self {
        let made = rcgen::KeyPair::generate_for(&rcgen::PKCS_ECDSA_P256_SHA256).expect("a key");
        let random = SystemRandom::new();
        let key = EcdsaKeyPair::from_pkcs8(&ECDSA_P256_SHA256_FIXED_SIGNING, made.serialized_der(), &random);
        Self { kid: kid.to_owned(), key: key.expect("a key") }
    }

    pub(crate) fn jwk(&self) -> Value {
        let point = &self.key.public_key().as_ref()[1..];
        let (x, y) = point.split_at(32);
        json!({"kty": "EC", "crv": "P-256", "kid": self.kid, "x": base64url(x), "y": base64url(y)})
    }

    /// A token that makes its holder a client of every device.
    pub(crate) fn token(&self) -> String {
        self.token_with(json!({}))
    }

    /// The same with more in its header.
    pub(crate) fn token_with(&self, more: Value) -> String {
        self.signed(more, json!({}))
    }

    /// The same with other claims.
    pub(crate) fn token_of(&self, claims: Value) -> String {
        self.signed(json!({}), claims)
    }

    fn signed(&self, more: Value, other: Value) -> String {
        let header = with(json!({"alg": "ES256", "kid": self.kid}), more);
        let claims = json!({
            "iss": ISSUER,
            "sub": "alice",
            "exp": 4_000_000_000_u64,
            "cuttlebone_roles": ["client"],
            "cuttlebone_devices": ["*"],
        });
        let claims = with(claims, other);
        let message = [header, claims].map(|part| base64url(part.to_string().as_bytes())).join(".");
        let signature = self.key.sign(&SystemRandom::new(), message.as_bytes()).expect("signs");
        format!("{message}.{}", base64url(signature.as_ref()))
    }
}

/// What stands in both objects; of what is in both, that of the second.
fn with(mut all: Value, mut more: Value) -> Value {
    all.as_object_mut().expect("an object").append(more.as_object_mut().expect("an object"));
    all
}

/// The text of a JWK Set.
pub(crate) fn jwks(signers: &[&Signer]) -> String {
    json!({"keys": signers.iter().map(|signer| signer.jwk()).collect::<Vec<_>>()}).to_string()
}

fn base64url(bytes: &[u8]) -> String {
    URL_SAFE_NO_PAD.encode(bytes)
}
