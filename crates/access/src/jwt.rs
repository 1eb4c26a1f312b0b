//! Signed tokens: JSON Web Tokens (RFC 7519), read as RFC 8725 advises.
//!
//! A token names its issuer; that alone decides which keys are tried, and means nothing until one of them has verified it.
//! A key says which algorithms it is for, and the header of a token can only name one of those. `kid` is compared with the
//! keys' and used for nothing else; `jku`, `x5u`, `jwk` and `x5c` are ignored; `crit` is refused. Signatures are checked by
//! `jsonwebtoken` on `ring` ([`provider`]); times and everything else in the claims by [`claims`], for `jsonwebtoken` would
//! read a clock.

pub(crate) mod claims;
mod issuer;
mod jwks;
mod key;
mod pem;
mod provider;
mod remote;
mod secret;

use std::collections::HashMap;
use std::fmt;
use std::ops::Range;
use std::sync::Arc;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use jsonwebtoken::errors::ErrorKind;
use jsonwebtoken::{Header, dangerous, decode, decode_header};
use serde::Deserialize;
use serde_json::{Map, Value};

use crate::denied::Denied;
use crate::principal::Principal;

pub use issuer::{IssuerFault, IssuerSettings, JwtFault, TenantFrom};
pub use jsonwebtoken::Algorithm;
pub use key::{KeyFault, KeySet, SkippedKey, UnfitKey};
pub use remote::{Keys, RemoteKeys, RemoteRules, WantedKey};
pub use secret::is_sample as is_sample_secret;

use key::{Key, KeyPrint};

/// The most issuers.
const MOST_ISSUERS: usize = 16;
/// The longest `kid`, in bytes.
const KID_BYTES: usize = 128;

/// Whose signatures are accepted. Cheap to clone.
#[derive(Clone)]
pub struct Jwt(Arc<HashMap<String, Issuer>>);

#[derive(Clone)]
struct Issuer {
    /// Which of the settings it is.
    number: usize,
    settings: Arc<IssuerSettings>,
    keys: Keys,
}

/// What a principal was recognised by: who signed, by which rules that was accepted, with which key.
#[derive(Clone, PartialEq, Eq)]
pub(crate) struct Signed {
    rules: Arc<IssuerSettings>,
    key: KeyPrint,
    /// `jti:ISSUER#ID`, if the token has an id.
    id: Option<String>,
    /// Until when the token is accepted, in seconds since 1970.
    until: u64,
}

impl Signed {
    pub(crate) fn bytes(&self) -> usize {
        size_of::<Self>() + self.id.as_ref().map_or(0, String::len)
    }
}

/// All that is read of a token to find the keys that it is verified with.
#[derive(Deserialize)]
struct Unverified {
    #[serde(default)]
    iss: Value,
}

impl Jwt {
    /// Accepts what these issuers sign with these keys. One whose keys are at a URL has none yet.
    ///
    /// # Errors
    /// All faults.
    pub fn new(issuers: Vec<(IssuerSettings, KeySet)>) -> Result<Self, Vec<JwtFault>> {
        provider::install();
        let mut faults: Vec<JwtFault> = issuers.iter().flat_map(|(settings, keys)| settings.faults(keys)).collect();
        if issuers.is_empty() || issuers.len() > MOST_ISSUERS {
            faults.push(JwtFault { issuer: String::new(), fault: IssuerFault::Number(MOST_ISSUERS) });
        }
        let mut table = HashMap::new();
        for (number, (settings, keys)) in issuers.into_iter().enumerate() {
            let name = settings.issuer.clone();
            let keys = if settings.jwks_url.is_some() { Keys::Awaited } else { Keys::Known(Arc::new(keys)) };
            if table.insert(name.clone(), Issuer { number, settings: Arc::new(settings), keys }).is_some() {
                faults.push(JwtFault { issuer: name, fault: IssuerFault::Twice });
            }
        }
        if faults.is_empty() { Ok(Self(Arc::new(table))) } else { Err(faults) }
    }

    /// Whose token it is, and when it is good.
    pub(crate) fn verify(&self, token: &str, now: u64) -> Result<(Principal, Range<u64>), Denied> {
        if token.bytes().filter(|byte| *byte == b'.').count() != 2 {
            return Err(Denied::Unknown);
        }
        let header = readable_header(token)?;
        let issuer = self.issuer(token)?.ok_or(Denied::Issuer)?;
        let (key, claims) = issuer.verified_claims(token, &header)?;
        let rules = &issuer.settings;
        let accepted = claims::check(&claims, rules, now)?;
        let id = accepted.id.map(|id| format!("jti:{}#{id}", rules.issuer));
        let signed = Signed { rules: Arc::clone(rules), key: key.print(), id, until: accepted.good.end };
        Ok((Principal::of_signed_token(&rules.issuer, accepted.subject, accepted.grant, signed), accepted.good))
    }

    /// Whose token it says that it is. Where that can't be read it may be of one of ours, and is nobody else's matter.
    fn issuer(&self, token: &str) -> Result<Option<&Issuer>, Denied> {
        let unverified: Unverified = dangerous::insecure_decode_claims(token).map_err(|_| Denied::Claims)?;
        Ok(unverified.iss.as_str().and_then(|name| self.0.get(name)))
    }

    /// Whether what was signed is still accepted: the issuer, by the same rules, with the same key. A key that is not there yet
    /// is not withdrawn.
    pub(crate) fn still_accepts(&self, signed: &Signed) -> bool {
        let issuer = self.0.get(&signed.rules.issuer).filter(|issuer| *issuer.settings == *signed.rules);
        issuer.is_some_and(|issuer| match &issuer.keys {
            Keys::Known(keys) => keys.has(&signed.key),
            Keys::Awaited => true,
            Keys::Outdated => false,
        })
    }

    /// The same, with what `keys` says of each URL.
    pub(crate) fn with_keys(&self, keys: impl Fn(&str) -> Keys) -> Self {
        let mut table = HashMap::clone(&self.0);
        for issuer in table.values_mut() {
            if let Some(url) = &issuer.settings.jwks_url {
                issuer.keys = keys(url);
            }
        }
        Self(Arc::new(table))
    }

    /// Where keys are, with the number of the issuer; in no order.
    pub(crate) fn key_urls(&self) -> impl Iterator<Item = (usize, &str)> {
        self.0.values().filter_map(|issuer| Some((issuer.number, issuer.settings.jwks_url.as_deref()?)))
    }

    /// Which key would verify the token, if its issuer has its keys at a URL.
    pub(crate) fn wanted_key(&self, token: &str) -> Option<WantedKey> {
        let header = readable_header(token).ok()?;
        let url = self.issuer(token).ok()??.settings.jwks_url.clone()?;
        Some(WantedKey { url, kid: header.kid.unwrap_or_default() })
    }
}

impl fmt::Debug for Jwt {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Jwt")
    }
}

impl Issuer {
    /// The claims, and the key that verified them.
    fn verified_claims(&self, token: &str, header: &Header) -> Result<(&Key, Map<String, Value>), Denied> {
        let keys = match &self.keys {
            Keys::Known(keys) => keys,
            Keys::Awaited => return Err(Denied::KeysAwaited),
            Keys::Outdated => return Err(Denied::KeysOutdated),
        };
        for key in keys.fitting(header.kid.as_deref(), header.alg).ok_or(Denied::Key)? {
            match decode(token, key.decoding(), key.validation()) {
                Ok(data) => return Ok((key, data.claims)),
                Err(error) if matches!(error.kind(), ErrorKind::Json(_)) => return Err(Denied::Claims),
                Err(_) => {}
            }
        }
        Err(Denied::Signature)
    }
}

impl Signed {
    /// Until when the token is accepted.
    pub(crate) fn until(&self) -> u64 {
        self.until
    }

    /// The id of the token, as it is revoked.
    pub(crate) fn id(&self) -> Option<&String> {
        self.id.as_ref()
    }
}

fn readable_header(token: &str) -> Result<Header, Denied> {
    let header = decode_header(token).map_err(|error| match error.kind() {
        ErrorKind::Json(_) | ErrorKind::Utf8(_) if is_object(token) => Denied::Header,
        _ => Denied::Malformed,
    })?;
    let kid_is_good = header.kid.as_ref().is_none_or(|kid| kid.len() <= KID_BYTES);
    let is_good = kid_is_good && header.crit.is_none() && header.typ.as_deref().is_none_or(is_type_of_access);
    if is_good { Ok(header) } else { Err(Denied::Header) }
}

/// Whether the first part is one of JSON, though it may not be readable: the token is a JWT of somebody, and nothing else.
fn is_object(token: &str) -> bool {
    let first = token.split('.').next().and_then(|header| URL_SAFE_NO_PAD.decode(header).ok());
    first.is_some_and(|header| header.trim_ascii_start().first() == Some(&b'{'))
}

/// Whether a token of this type is meant to give access. Others, such as those of a log-out, may be signed with the same key
/// (RFC 8725, 3.11).
fn is_type_of_access(typ: &str) -> bool {
    let typ = typ.to_ascii_lowercase();
    matches!(typ.strip_prefix("application/").unwrap_or(&typ), "jwt" | "at+jwt")
}
