//! Sign-ins by way of a provider (OpenID Connect), and the tokens that stand for them.
//!
//! The provider's claims are read once, when somebody signs in. What they give is written into a token of ours, which a browser
//! keeps in a cookie: nothing is kept here. A token is `cbs_CONTENT.TAG`: base64url of JSON, and of its HMAC-SHA256.
//!
//! Invariants: 1. only a cookie is such a token: as any other credential it is unknown; 2. the tag is also of the rules that the
//! claims were read by: where those are others, no token made by them is good; 3. a token fits into a cookie.

use std::fmt;
use std::sync::Arc;

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use ring::hmac;
use serde::{Deserialize, Serialize};
use serde_json::Value;
use zeroize::Zeroizing;

use crate::denied::Denied;
use crate::digest::sha256;
use crate::jwt::claims::{self, Claims};
use crate::jwt::{IssuerFault, IssuerSettings, KeySet};
use crate::pattern::Patterns;
use crate::principal::{Grant, Principal};
use crate::role::Role;

/// What every token of a session begins with.
pub(crate) const PREFIX: &str = "cbs_";
/// Browsers keep cookies of up to 4,096 bytes, the name included.
const MOST_BYTES: usize = 4_000;
/// The longest name that is shown, in characters.
const SHOWN_CHARS: usize = 64;
/// Bytes that a key from outside must have.
const KEY_BYTES: usize = 32;
/// The claims that are somebody's name to people, the first that is there.
const NAMES: [&str; 3] = ["preferred_username", "email", "name"];

/// What signs tokens of sessions. Servers with the same key honour each other's.
#[derive(Clone)]
pub struct SessionKey(hmac::Key);

/// Whose sign-ins are accepted, and what their claims mean. Cheap to clone.
#[derive(Clone)]
pub struct Sessions {
    rules: Arc<IssuerSettings>,
    print: SessionPrint,
}

/// What tells rules apart.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) struct SessionPrint([u8; 32]);

/// A session that has begun. Its `Debug` is without the token.
pub struct NewSession {
    /// The value of the cookie.
    pub token: Zeroizing<String>,
    /// Who has signed in.
    pub principal: Arc<Principal>,
    /// Why the account may do nothing here, if that is so.
    pub nothing: Option<Denied>,
}

/// What is in a token.
#[derive(Serialize, Deserialize)]
struct Content {
    sub: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    name: Option<String>,
    roles: Vec<String>,
    devices: Vec<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    tenant: Option<String>,
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    all_tenants: bool,
    #[serde(skip_serializing_if = "Option::is_none")]
    prefix: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    max_clients: Option<u32>,
    /// Seconds since 1970.
    exp: u64,
}

impl SessionKey {
    /// The key that `secret` stands for; `None` if it has fewer than 32 bytes.
    #[must_use]
    pub fn new(secret: &[u8]) -> Option<Self> {
        (secret.len() >= KEY_BYTES).then(|| Self(hmac::Key::new(hmac::HMAC_SHA256, secret)))
    }

    /// A key for something else, which tells nothing of this one and is told nothing by it.
    #[must_use]
    pub fn derive(&self, purpose: &str) -> [u8; 32] {
        let mut key = [0; 32];
        key.copy_from_slice(hmac::sign(&self.0, purpose.as_bytes()).as_ref());
        key
    }
}

impl fmt::Debug for SessionKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("***")
    }
}

impl fmt::Debug for NewSession {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("NewSession")
            .field("principal", &self.principal)
            .field("nothing", &self.nothing)
            .finish_non_exhaustive()
    }
}

impl Sessions {
    /// Sign-ins at the issuer of `rules`, of whose audiences one is us. The leeway and the age are not used.
    ///
    /// # Errors
    /// All faults.
    pub fn new(rules: IssuerSettings) -> Result<Self, Vec<IssuerFault>> {
        let faults = rules.faults(&KeySet::default()).into_iter().map(|fault| fault.fault);
        let faults: Vec<_> = faults.filter(|fault| *fault != IssuerFault::NoKey).collect();
        if !faults.is_empty() {
            return Err(faults);
        }
        let print = SessionPrint(sha256(&[b"cuttlebone session 1 ", format!("{rules:?}").as_bytes()]));
        Ok(Self { rules: Arc::new(rules), print })
    }

    /// Begins a session that ends at `end`, of whom the provider has vouched for with `claims`. `now` and `end` are in seconds
    /// since 1970.
    pub(crate) fn open(&self, key: &SessionKey, claims: &Claims, end: u64) -> Result<NewSession, Denied> {
        let claims = trustworthy(claims);
        let rules = &self.rules;
        if claims::text(&claims, "iss")? != Some(rules.issuer.as_str()) {
            return Err(Denied::Issuer);
        }
        claims::check_audience(&claims, rules)?;
        let subject = claims::name(&claims, "sub")?.ok_or(Denied::Claims)?;
        let (grant, nothing) = match claims::grant(&claims, rules, end) {
            Ok(grant) => (grant, None),
            Err(why @ (Denied::NoRole | Denied::NoDevices)) => (nothing(end), Some(why)),
            Err(why) => return Err(why),
        };
        let content = Content {
            sub: subject.to_owned(),
            name: shown_name(&claims),
            roles: grant.roles.iter().map(|role| role.name().to_owned()).collect(),
            devices: grant.devices.iter().map(|pattern| pattern.as_str().to_owned()).collect(),
            tenant: grant.tenant.as_ref().map(ToString::to_string),
            all_tenants: grant.all_tenants,
            prefix: grant.prefix.as_ref().map(|prefix| prefix.as_str().to_owned()),
            max_clients: grant.max_clients,
            exp: end,
        };
        let token = Zeroizing::new(self.seal(key, &content));
        if token.len() > MOST_BYTES {
            return Err(Denied::TooLong);
        }
        let principal = Principal::of_session(&rules.issuer, subject, content.name, grant, self.print);
        Ok(NewSession { token, principal: Arc::new(principal), nothing })
    }

    /// Whose token it is.
    pub(crate) fn verify(&self, key: &SessionKey, token: &str, now: u64) -> Result<Principal, Denied> {
        let (content, tag) =
            token.strip_prefix(PREFIX).and_then(|rest| rest.split_once('.')).ok_or(Denied::Malformed)?;
        let tag = URL_SAFE_NO_PAD.decode(tag).map_err(|_| Denied::Malformed)?;
        hmac::verify(&key.0, &self.message(content), &tag).map_err(|_| Denied::Signature)?;
        let content = URL_SAFE_NO_PAD.decode(content).map_err(|_| Denied::Malformed)?;
        let content: Content = serde_json::from_slice(&content).map_err(|_| Denied::Malformed)?;
        if now >= content.exp {
            return Err(Denied::Expired);
        }
        let grant = content.grant()?;
        Ok(Principal::of_session(&self.rules.issuer, &content.sub, content.name, grant, self.print))
    }

    /// Whether a session that began by rules of this print may go on.
    pub(crate) fn still_accepts(&self, print: SessionPrint) -> bool {
        self.print == print
    }

    fn seal(&self, key: &SessionKey, content: &Content) -> String {
        let content = URL_SAFE_NO_PAD.encode(serde_json::to_vec(content).unwrap_or_default());
        let tag = URL_SAFE_NO_PAD.encode(hmac::sign(&key.0, &self.message(&content)));
        format!("{PREFIX}{content}.{tag}")
    }

    /// What the tag is of. The print has always the same length.
    fn message(&self, content: &str) -> Vec<u8> {
        [&self.print.0[..], content.as_bytes()].concat()
    }
}

impl fmt::Debug for Sessions {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Sessions").field(&self.rules).finish()
    }
}

impl Content {
    fn grant(&self) -> Result<Grant, Denied> {
        let tenant = self.tenant.as_ref().map(|tenant| tenant.parse()).transpose();
        let prefix = self.prefix.as_ref().map(|prefix| prefix.parse()).transpose();
        Ok(Grant {
            roles: self.roles.iter().filter_map(|role| role.parse::<Role>().ok()).collect(),
            devices: Patterns::new(self.devices.iter().map(String::as_str)).map_err(|_| Denied::Claims)?,
            tenant: tenant.map_err(|_| Denied::Claims)?,
            all_tenants: self.all_tenants,
            prefix: prefix.map_err(|_| Denied::Claims)?,
            max_clients: self.max_clients,
            expires_at: Some(self.exp),
        })
    }
}

/// Whether a cookie is meant to be a token of a session.
pub(crate) fn is_shaped(token: &str) -> bool {
    token.starts_with(PREFIX)
}

fn nothing(end: u64) -> Grant {
    Grant { expires_at: Some(end), ..Grant::default() }
}

/// The claims without an address of e-mail that the provider does not say it has verified: whoever signs in may have made it up.
fn trustworthy(claims: &Claims) -> Claims {
    let mut claims = claims.clone();
    if claims.get("email_verified").and_then(Value::as_bool) != Some(true) {
        claims.remove("email");
    }
    claims
}

/// The name that people know the account by, without what would disturb the text around it.
fn shown_name(claims: &Claims) -> Option<String> {
    let names = NAMES.iter().filter_map(|name| claims.get(*name).and_then(Value::as_str));
    let mut names = names.map(|name| name.chars().filter(|c| !disturbs(*c)).take(SHOWN_CHARS).collect::<String>());
    names.find(|name| !name.trim().is_empty())
}

/// Control characters, and those that change the direction or the place of others.
fn disturbs(c: char) -> bool {
    c.is_control()
        || matches!(c, '\u{200b}'..='\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2060}'..='\u{206f}' | '\u{feff}' | '\u{61c}')
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn name_that_is_shown_is_short_and_disturbs_nothing() {
        let shown = |claims: Value| shown_name(claims.as_object().expect("an object"));
        assert_eq!(shown(json!({"name": "A. Lee", "preferred_username": "alee"})).as_deref(), Some("alee"));
        assert_eq!(shown(json!({"name": "a\n\u{202e}b\u{9b}<i>"})).as_deref(), Some("ab<i>"));
        assert_eq!(shown(json!({"preferred_username": " \u{200b}", "name": "x"})).as_deref(), Some("x"));
        assert_eq!(shown(json!({"name": "x".repeat(99)})).map(|name| name.len()), Some(64));
        assert_eq!(shown(json!({"name": 7})), None);
    }

    #[test]
    fn key_is_long_and_is_not_shown() {
        assert!(SessionKey::new(&[7; 31]).is_none());
        let key = SessionKey::new(&[7; 32]).expect("a key");
        assert_eq!(format!("{key:?}"), "***");
        assert_ne!(key.derive("a"), key.derive("b"));
    }
}
