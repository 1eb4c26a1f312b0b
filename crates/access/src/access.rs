//! Every kind of credential together.

use std::ops::Range;
use std::sync::Arc;

use crate::denied::Denied;
use crate::jwt::{Jwt, Keys, WantedKey};
use crate::principal::{Origin, Principal};
use crate::recent::Recent;
use crate::revoked::Revoked;
use crate::static_tokens::{StaticTokens, is_shaped};
use crate::token::Token;

/// What is accepted. Cheap to clone: whoever reloads one part keeps the others.
#[derive(Debug, Clone)]
pub struct Settings {
    /// Tokens of a file.
    pub tokens: Option<StaticTokens>,
    /// Signed tokens.
    pub jwt: Option<Jwt>,
    /// Who is not accepted all the same.
    pub revoked: Revoked,
    /// How many signed tokens are remembered whose signature was found good.
    pub verified: usize,
}

impl Default for Settings {
    fn default() -> Self {
        Self { tokens: None, jwt: None, revoked: Revoked::default(), verified: 10_000 }
    }
}

/// Every kind of credential that is accepted. It never changes: a reload builds another.
pub struct Access {
    settings: Settings,
    /// Signed tokens whose signature was found good.
    verified: Recent<Verified>,
}

/// A signed token that is good during this time.
#[derive(Clone)]
struct Verified {
    principal: Arc<Principal>,
    good: Range<u64>,
}

impl Access {
    /// Accepts what the settings say.
    #[must_use]
    pub fn new(settings: Settings) -> Self {
        Self { verified: Recent::new(settings.verified), settings }
    }

    /// Whether there is no kind of credential at all.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.settings.tokens.is_none() && self.settings.jwt.is_none()
    }

    /// Whose token it is. `now` is in seconds since 1970.
    ///
    /// # Errors
    /// Why it is not accepted. Who presented it is not told.
    pub fn authenticate(&self, token: &Token, now: u64) -> Result<Arc<Principal>, Denied> {
        let principal =
            if is_shaped(token.as_str()) { self.by_static_token(token, now) } else { self.by_signature(token, now) }?;
        if self.settings.revoked.has(&principal) { Err(Denied::Revoked) } else { Ok(principal) }
    }

    /// Whether a principal that another `Access` gave is still good: its credential is still accepted here, and means exactly
    /// the same. Its expiry is not looked at.
    #[must_use]
    pub fn is_still_good(&self, principal: &Principal) -> bool {
        let known = match principal.origin() {
            Origin::Static(hash) => {
                self.settings.tokens.as_ref().is_some_and(|tokens| tokens.still_has(hash, principal))
            }
            Origin::Signed(signed) => self.settings.jwt.as_ref().is_some_and(|jwt| jwt.still_accepts(signed)),
            // Whoever asks the hook says so.
            Origin::Hook(standing) => !standing.has_ended(),
        };
        known && !self.settings.revoked.has(principal)
    }

    /// The same, with what `keys` says of each URL of [`Access::key_urls`].
    #[must_use]
    pub fn with_keys(&self, keys: impl Fn(&str) -> Keys) -> Self {
        let jwt = self.settings.jwt.as_ref().map(|jwt| jwt.with_keys(keys));
        Self::new(Settings { jwt, ..self.settings.clone() })
    }

    /// Where issuers have their keys, each with the number of its issuer among all, from 0 on.
    #[must_use]
    pub fn key_urls(&self) -> Vec<(usize, &str)> {
        let mut urls: Vec<(usize, &str)> = self.settings.jwt.iter().flat_map(Jwt::key_urls).collect();
        urls.sort_unstable();
        urls
    }

    /// Which key at one of the URLs would verify the token.
    #[must_use]
    pub fn wanted_key(&self, token: &Token) -> Option<WantedKey> {
        self.settings.jwt.as_ref()?.wanted_key(token.as_str())
    }

    /// How many signed tokens are remembered, and how many were forgotten to make room.
    #[must_use]
    pub fn remembered(&self) -> (usize, u64) {
        (self.verified.len(), self.verified.forgotten())
    }

    fn by_static_token(&self, token: &Token, now: u64) -> Result<Arc<Principal>, Denied> {
        self.settings.tokens.as_ref().ok_or(Denied::Unknown)?.authenticate(token.as_str(), now)
    }

    fn by_signature(&self, token: &Token, now: u64) -> Result<Arc<Principal>, Denied> {
        let jwt = self.settings.jwt.as_ref().ok_or(Denied::Unknown)?;
        let hash = token.hash();
        if let Some(verified) = self.verified.find(&hash).filter(|verified| verified.good.contains(&now)) {
            return Ok(verified.principal);
        }
        let (principal, good) = jwt.verify(token.as_str(), now)?;
        let principal = Arc::new(principal);
        self.verified.keep(hash, Verified { principal: Arc::clone(&principal), good });
        Ok(principal)
    }
}

impl std::fmt::Debug for Access {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Access")
    }
}
