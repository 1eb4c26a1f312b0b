//! Every kind of credential together.

mod cache;

use std::sync::Arc;

use serde_json::{Map, Value};

use crate::denied::Denied;
use crate::digest::sha256;
use crate::jwt::Jwt;
use crate::principal::{Origin, Principal};
use crate::revoked::Revoked;
use crate::session::{self, NewSession, SessionKey, Sessions};
use crate::static_tokens::{StaticTokens, is_shaped};
use crate::token::Token;
use crate::users::Users;

use cache::Cache;

/// What is accepted. Cheap to clone: whoever reloads one part keeps the others.
#[derive(Debug, Clone, Default)]
pub struct Settings {
    /// Tokens of a file.
    pub tokens: Option<StaticTokens>,
    /// Signed tokens.
    pub jwt: Option<Jwt>,
    /// Users of this machine.
    pub users: Users,
    /// Sign-ins at a provider.
    pub sessions: Option<Sessions>,
    /// Who is not accepted all the same.
    pub revoked: Revoked,
}

/// Every kind of credential that is accepted. It never changes: a reload builds another.
pub struct Access {
    settings: Settings,
    /// Signed tokens whose signature was found good.
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
        let Settings { tokens, jwt, users, sessions, .. } = &self.settings;
        tokens.is_none() && jwt.is_none() && users.is_empty() && sessions.is_none()
    }

    /// Whose token it is. `now` is in seconds since 1970.
    ///
    /// # Errors
    /// Why it is not accepted. Who presented it is not told.
    pub fn authenticate(&self, token: &Token, now: u64) -> Result<Arc<Principal>, Denied> {
        let principal =
            if is_shaped(token.as_str()) { self.by_static_token(token, now) } else { self.by_signature(token, now) }?;
        self.unless_revoked(principal)
    }

    /// As [`Access::authenticate`], of a token that a browser keeps in a cookie: only there it may be one of a session, which
    /// `key` has signed.
    ///
    /// # Errors
    /// Why it is not accepted.
    pub fn authenticate_cookie(&self, key: &SessionKey, token: &Token, now: u64) -> Result<Arc<Principal>, Denied> {
        if !session::is_shaped(token.as_str()) {
            return self.authenticate(token, now);
        }
        let sessions = self.settings.sessions.as_ref().ok_or(Denied::Unknown)?;
        self.unless_revoked(Arc::new(sessions.verify(key, token.as_str(), now)?))
    }

    /// Begins a session that ends at `end`, in seconds since 1970. The provider has vouched for the claims: its signature was
    /// verified, and that they are for us and for this sign-in.
    ///
    /// # Errors
    /// Why nobody is signed in. One who has no role here is, and may do nothing.
    pub fn open_session(&self, key: &SessionKey, claims: &Map<String, Value>, end: u64) -> Result<NewSession, Denied> {
        let session = self.settings.sessions.as_ref().ok_or(Denied::Issuer)?.open(key, claims, end)?;
        self.unless_revoked(Arc::clone(&session.principal)).map(|_| session)
    }

    /// Whom a user of this machine stands for, at the other end of a unix socket. The caller has it from the system.
    #[must_use]
    pub fn user(&self, user: u32, group: u32) -> Option<Arc<Principal>> {
        let principal = self.settings.users.find(user, group)?;
        (!self.settings.revoked.has(principal)).then(|| Arc::clone(principal))
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
            Origin::User(_) => self.settings.users.still_have(principal),
            Origin::Session(print) => {
                self.settings.sessions.as_ref().is_some_and(|sessions| sessions.still_accepts(*print))
            }
        };
        known && !self.settings.revoked.has(principal)
    }

    fn unless_revoked(&self, principal: Arc<Principal>) -> Result<Arc<Principal>, Denied> {
        if self.settings.revoked.has(&principal) { Err(Denied::Revoked) } else { Ok(principal) }
    }

    fn by_static_token(&self, token: &Token, now: u64) -> Result<Arc<Principal>, Denied> {
        self.settings.tokens.as_ref().ok_or(Denied::Unknown)?.authenticate(token.as_str(), now)
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
