//! Every kind of credential together.

mod cache;

use std::sync::Arc;

use crate::certificates::{Certificates, Chain};
use crate::denied::Denied;
use crate::digest::sha256;
use crate::jwt::Jwt;
use crate::principal::{Origin, Principal};
use crate::revoked::Revoked;
use crate::static_tokens::{StaticTokens, is_shaped};
use crate::token::Token;

use cache::Cache;

/// What is accepted. Cheap to clone: whoever reloads one part keeps the others.
#[derive(Debug, Clone, Default)]
pub struct Settings {
    /// Tokens of a file.
    pub tokens: Option<StaticTokens>,
    /// Signed tokens.
    pub jwt: Option<Jwt>,
    /// Certificates of clients.
    pub certificates: Option<Certificates>,
    /// Who is not accepted all the same.
    pub revoked: Revoked,
}

/// Every kind of credential that is accepted. It never changes: a reload builds another.
pub struct Access {
    settings: Settings,
    /// Signed tokens and certificates whose signatures were found good.
    verified: Cache,
}

impl Access {
    /// Accepts what the settings say.
    #[must_use]
    pub fn new(settings: Settings) -> Self {
        Self { settings, verified: Cache::default() }
    }

    /// Whether there is no kind of credential at all.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.settings.tokens.is_none() && self.settings.jwt.is_none() && self.settings.certificates.is_none()
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

    /// Whose certificate it is, of a peer that has shown in a handshake that it has the key. `now` is in seconds since 1970.
    ///
    /// # Errors
    /// Why it is not accepted. Who presented it is not told.
    pub fn authenticate_certificate(&self, chain: &Chain, now: u64) -> Result<Arc<Principal>, Denied> {
        let principal = self.by_certificate(chain, now)?;
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
            // By those who vouch now, at a time at which it was good.
            Origin::Certificate(shown) => {
                self.by_certificate(shown.chain(), shown.seen()).is_ok_and(|found| *found == *principal)
            }
        };
        known && !self.settings.revoked.has(principal)
    }

    fn by_static_token(&self, token: &Token, now: u64) -> Result<Arc<Principal>, Denied> {
        self.settings.tokens.as_ref().ok_or(Denied::Unknown)?.authenticate(token.as_str(), now)
    }

    fn by_certificate(&self, chain: &Chain, now: u64) -> Result<Arc<Principal>, Denied> {
        let certificates = self.settings.certificates.as_ref().ok_or(Denied::Certificate)?;
        if let Some(principal) = self.verified.find(chain.hash(), now) {
            return Ok(principal);
        }
        let (principal, good) = certificates.recognise(chain, now)?;
        let principal = Arc::new(principal);
        self.verified.keep(*chain.hash(), Arc::clone(&principal), good);
        Ok(principal)
    }

    fn by_signature(&self, token: &Token, now: u64) -> Result<Arc<Principal>, Denied> {
        let jwt = self.settings.jwt.as_ref().ok_or(Denied::Unknown)?;
        let hash = sha256(&[token.as_str().as_bytes()]);
        if let Some(principal) = self.verified.find(&hash, now) {
            return Ok(principal);
        }
        let (principal, good) = jwt.verify(token.as_str(), now)?;
        let principal = Arc::new(principal);
        self.verified.keep(hash, Arc::clone(&principal), good);
        Ok(principal)
    }
}

impl std::fmt::Debug for Access {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Access")
    }
}
