//! Issuers with real keys.

use base64::Engine;
use base64::engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD};
use cuttlebone_access::{Access, Algorithm, Denied, IssuerSettings, Jwt, KeySet, Principal, Settings, Token};
use rcgen::PublicKeyData;
use ring::signature::{self, EcdsaKeyPair, Ed25519KeyPair, KeyPair, RsaKeyPair, RsaPublicKeyComponents};
use ring::{hmac, rand};
use serde_json::{Value, json};
use std::sync::Arc;

pub(crate) const ISSUER: &str = "https://idp.example";
pub(crate) const NOW: u64 = 1_800_000_000;
pub(crate) const SECRET: &[u8] = b"RvQ7tYw2mJ9cLx4pDz8sHk3nBf6gTe1aUi5oXy0qVr";
pub(crate) const RSA_PRIVATE_PEM: &str = include_str!("keys/rsa-2048.pem");
pub(crate) const RSA_PEM: &str = include_str!("keys/rsa-2048.pub.pem");

/// A key that signs, and the `alg` of what it signs.
pub(crate) struct Signer {
    pub(crate) alg: &'static str,
    key: Secret,
    /// The public key in PEM, written by another than the reader; empty for a shared secret.
    pub(crate) pem: String,
    /// The public key as a JWK without `alg` and `kid`.
    pub(crate) jwk: Value,
}

enum Secret {
    Shared(hmac::Key),
    Rsa(Box<RsaKeyPair>, &'static dyn signature::RsaEncoding),
    Ecdsa(EcdsaKeyPair),
    Ed25519(Ed25519KeyPair),
}

impl Signer {
    pub(crate) fn shared(secret: &[u8]) -> Self {
        let key = Secret::Shared(hmac::Key::new(hmac::HMAC_SHA256, secret));
        Self { alg: "HS256", key, pem: String::new(), jwk: json!({"kty": "oct", "k": base64url(secret)}) }
    }

    pub(crate) fn rsa(alg: &'static str) -> Self {
        let encoding: &'static dyn signature::RsaEncoding = match alg {
            "RS256" => &signature::RSA_PKCS1_SHA256,
            "RS384" => &signature::RSA_PKCS1_SHA384,
            "RS512" => &signature::RSA_PKCS1_SHA512,
            "PS256" => &signature::RSA_PSS_SHA256,
            "PS384" => &signature::RSA_PSS_SHA384,
            other => panic!("{other} is not of RSA"),
        };
        let key = RsaKeyPair::from_pkcs8(&der(RSA_PRIVATE_PEM)).expect("a key");
        let public: RsaPublicKeyComponents<Vec<u8>> = key.public().into();
        let jwk = json!({"kty": "RSA", "n": base64url(&public.n), "e": base64url(&public.e)});
        Self { alg, key: Secret::Rsa(Box::new(key), encoding), pem: RSA_PEM.into(), jwk }
    }

    pub(crate) fn p256() -> Self {
        Self::ecdsa("ES256", &rcgen::PKCS_ECDSA_P256_SHA256, ("P-256", &signature::ECDSA_P256_SHA256_FIXED_SIGNING))
    }

    pub(crate) fn p384() -> Self {
        Self::ecdsa("ES384", &rcgen::PKCS_ECDSA_P384_SHA384, ("P-384", &signature::ECDSA_P384_SHA384_FIXED_SIGNING))
    }

    fn ecdsa(
        alg: &'static str,
        made: &'static rcgen::SignatureAlgorithm,
        (curve, signs): (&str, &'static signature::EcdsaSigningAlgorithm),
    ) -> Self {
        let made = rcgen::KeyPair::generate_for(made).expect("a key");
        let key = EcdsaKeyPair::from_pkcs8(signs, made.serialized_der(), &rand::SystemRandom::new()).expect("a key");
        let point = &key.public_key().as_ref()[1..];
        let (x, y) = point.split_at(point.len() / 2);
        let jwk = json!({"kty": "EC", "crv": curve, "x": base64url(x), "y": base64url(y)});
        Self { alg, key: Secret::Ecdsa(key), pem: made.public_key_pem(), jwk }
    }

    pub(crate) fn ed25519() -> Self {
        let made = rcgen::KeyPair::generate_for(&rcgen::PKCS_ED25519).expect("a key");
        let key = Ed25519KeyPair::from_pkcs8_maybe_unchecked(made.serialized_der()).expect("a key");
        let jwk = json!({"kty": "OKP", "crv": "Ed25519", "x": base64url(made.der_bytes())});
        Self { alg: "EdDSA", key: Secret::Ed25519(key), pem: made.public_key_pem(), jwk }
    }

    /// A signer of each kind with public keys.
    pub(crate) fn public() -> [Self; 4] {
        [Self::rsa("RS256"), Self::p256(), Self::p384(), Self::ed25519()]
    }

    /// Its keys, given as PEM or, for a shared secret, as it is.
    pub(crate) fn keys(&self) -> KeySet {
        match self.jwk["k"].as_str() {
            Some(secret) => KeySet::from_secret(&URL_SAFE_NO_PAD.decode(secret).expect("base64"), Algorithm::HS256),
            None => KeySet::from_pem(&self.pem, None),
        }
        .expect("keys")
    }

    /// The JWK with these members as well.
    pub(crate) fn jwk_with(&self, more: Value) -> Value {
        merged(self.jwk.clone(), more)
    }

    pub(crate) fn sign(&self, message: &[u8]) -> Vec<u8> {
        let random = rand::SystemRandom::new();
        match &self.key {
            Secret::Shared(key) => hmac::sign(key, message).as_ref().to_vec(),
            Secret::Rsa(key, encoding) => {
                let mut signature = vec![0; key.public().modulus_len()];
                key.sign(*encoding, &random, message, &mut signature).expect("signed");
                signature
            }
            Secret::Ecdsa(key) => key.sign(&random, message).expect("signed").as_ref().to_vec(),
            Secret::Ed25519(key) => key.sign(message).as_ref().to_vec(),
        }
    }

    /// A good token with these members in its header, and these claims in place of the usual ones.
    pub(crate) fn token(&self, header: Value, claims: Value) -> Token {
        let header = merged(json!({"alg": self.alg}), header);
        let message = message(&header, &merged(usual_claims(), claims));
        token(&format!("{message}.{}", base64url(&self.sign(message.as_bytes()))))
    }

    pub(crate) fn usual_token(&self) -> Token {
        self.token(json!({}), json!({}))
    }
}

pub(crate) fn usual_claims() -> Value {
    json!({
        "iss": ISSUER,
        "sub": "alice",
        "exp": NOW + 300,
        "cuttlebone_roles": ["client"],
        "cuttlebone_devices": ["lab7/*"],
    })
}

/// What is signed.
pub(crate) fn message(header: &Value, claims: &Value) -> String {
    [header, claims].map(|part| base64url(part.to_string().as_bytes())).join(".")
}

pub(crate) fn merged(mut one: Value, mut other: Value) -> Value {
    one.as_object_mut().expect("an object").append(other.as_object_mut().expect("an object"));
    one
}

pub(crate) fn base64url(bytes: &[u8]) -> String {
    URL_SAFE_NO_PAD.encode(bytes)
}

pub(crate) fn from_base64url(text: &str) -> Vec<u8> {
    URL_SAFE_NO_PAD.decode(text).expect("base64")
}

pub(crate) fn token(text: &str) -> Token {
    Token::new(text).expect("a token")
}

/// What a block of PEM has in it.
pub(crate) fn der(pem: &str) -> Vec<u8> {
    let body = pem.split("-----").nth(2).expect("a block");
    STANDARD.decode(body.split_whitespace().collect::<String>()).expect("base64")
}

/// The text of a JWK Set.
pub(crate) fn jwks(keys: &[Value]) -> String {
    json!({"keys": keys}).to_string()
}

/// What accepts tokens of one issuer.
pub(crate) fn access(keys: KeySet) -> Access {
    access_by(IssuerSettings::new(ISSUER), keys)
}

pub(crate) fn access_by(settings: IssuerSettings, keys: KeySet) -> Access {
    let jwt = Jwt::new(vec![(settings, keys)]).expect("good settings");
    Access::new(Settings { jwt: Some(jwt), ..Settings::default() })
}

/// The name of whose token it is.
pub(crate) fn who(access: &Access, token: &Token) -> Result<String, Denied> {
    let principal: Arc<Principal> = access.authenticate(token, NOW)?;
    Ok(principal.identity().to_owned())
}
