//! Every kind of credential together.

use std::ops::Range;
use std::sync::{Arc, Weak};

use serde_json::{Map, Value};

use crate::certificates::{CertificateTrust, Certificates, Chain};
use crate::denied::Denied;
use crate::jwt::{Jwt, Keys, WantedKey};
use crate::principal::{Origin, Principal};
use crate::recent::{Recent, Weighs};
use crate::revoked::Revoked;
use crate::session::{self, NewSession, SessionKey, Sessions};
use crate::static_tokens::{StaticTokens, is_shaped};
use crate::token::Token;
use crate::users::Users;

/// What is accepted. Cheap to clone: whoever reloads one part keeps the others.
#[derive(Debug, Clone)]
pub struct Settings {
    /// Tokens of a file.
    pub tokens: Option<StaticTokens>,
    /// Signed tokens.
    pub jwt: Option<Jwt>,
    /// Users of this machine.
    pub users: Users,
    /// Sign-ins at a provider.
    pub sessions: Option<Sessions>,
    /// Certificates of clients.
    pub certificates: Option<Certificates>,
    /// Who vouches for the certificate without which nobody gets a TLS connection, whatever else it has; none where it can
    /// do without.
    pub required: Option<CertificateTrust>,
    /// Who is not accepted all the same.
    pub revoked: Revoked,
    /// How many signed tokens are remembered whose signature was found good.
    pub verified: usize,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            tokens: None,
            jwt: None,
            users: Users::default(),
            sessions: None,
            certificates: None,
            required: None,
            revoked: Revoked::default(),
            verified: 10_000,
        }
    }
}

/// Every kind of credential that is accepted. It never changes: a reload builds another.
pub struct Access {
    settings: Settings,
    /// Signed tokens whose signatures were found good.
    verified: Recent<Verified>,
    /// Certificates that were found good, by their own hash: whoever vouches for one does so whatever is sent along. And what was
    /// found good for nothing, by the hash of all of it.
    recognised: Arc<Recent<Verified>>,
    /// When certificates are good, by their own hash, that are needed for a connection; and, by the hash of all of it, what was found
    /// not to be.
    vouched: Arc<Recent<Vouched>>,
}

/// What a token or a certificate stands for during this time.
#[derive(Clone)]
struct Verified {
    outcome: Result<Arc<Principal>, Denied>,
    good: Range<u64>,
}

impl Weighs for Verified {
    fn bytes(&self) -> usize {
        self.outcome.as_ref().map_or(0, |principal| principal.bytes())
    }
}

impl Weighs for Vouched {
    fn bytes(&self) -> usize {
        0
    }
}

/// Whether a certificate is good during this time.
#[derive(Clone)]
struct Vouched {
    is_good: bool,
    during: Range<u64>,
}

/// What was found out of the certificate that one came with. It is so as long as nothing changes that counts for it.
#[derive(Debug, Clone)]
pub struct Found {
    /// Or it is over, and was good when it was seen last.
    is_good: bool,
    during: Range<u64>,
    recognised: Weak<Recent<Verified>>,
    vouched: Weak<Recent<Vouched>>,
}

/// What becomes of one who was recognised.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Look {
    /// Who it was is good now. That a token has expired does not count.
    Good,
    /// Nobody vouches for its certificate now, but did when it was seen last: it is merely over.
    Over,
    /// It was taken back, by whoever vouches, a file, or an issuer.
    TakenBack,
}

/// For how many seconds nobody looks again for another way in which a certificate is good, that was good before.
const OVER: u64 = 300;

/// For how many seconds it is remembered that a certificate stands for nobody: whoever has one can show it with each request, where
/// anybody is served.
const DENIED: u64 = 10;

impl Access {
    /// Accepts what the settings say.
    #[must_use]
    pub fn new(settings: Settings) -> Self {
        let most = settings.verified;
        let (recognised, vouched) = (Arc::new(Recent::new(most)), Arc::new(Recent::new(most)));
        Self { verified: Recent::new(most), recognised, vouched, settings }
    }

    /// The same, with what `old` has found out of certificates where nothing has changed that counts for it: else all who are
    /// connected would be looked at again at once, whenever a token comes.
    #[must_use]
    pub fn after(&self, old: &Self) -> Self {
        let mut access = Self::new(self.settings.clone());
        let (now, before) = (&self.settings, &old.settings);
        if now.verified != before.verified {
            return access;
        }
        let is_same_trust = match (&now.required, &before.required) {
            (Some(now), Some(before)) => now.is_same(before),
            (now, before) => now.is_none() && before.is_none(),
        };
        if is_same_trust {
            access.vouched = Arc::clone(&old.vouched);
        }
        let certificates = now.certificates.as_ref().zip(before.certificates.as_ref());
        if certificates.is_some_and(|(now, before)| now.is_same(before)) {
            access.recognised = Arc::clone(&old.recognised);
        }
        access
    }

    /// Whether there is no kind of credential at all.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        let Settings { tokens, jwt, users, sessions, certificates, .. } = &self.settings;
        let is_listed = tokens.is_some() || jwt.is_some() || !users.is_empty();
        !is_listed && sessions.is_none() && certificates.is_none()
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
        (!self.settings.revoked.has(&principal)).then(|| Arc::new(principal))
    }

    /// Whose certificate it is, of a peer that has shown in a handshake that it has the key. `now` is in seconds since 1970.
    ///
    /// # Errors
    /// Why it is not accepted. Who presented it is not told.
    pub fn authenticate_certificate(&self, chain: &Chain, now: u64) -> Result<Arc<Principal>, Denied> {
        self.unless_revoked(self.by_certificate_now(chain, chain.judged_at(now))?)
    }

    /// Whether a principal that another `Access` gave is still good: its credential is still accepted here, and means exactly
    /// the same. Its expiry is not looked at. One that a certificate stands for is not, without the [`Chain`].
    #[must_use]
    pub fn is_still_good(&self, principal: &Principal) -> bool {
        self.is_still_good_by(principal, None, 0)
    }

    /// The same, with the expiry. Of a certificate that is when nobody vouches for it any more, which may be later than it was to
    /// be when it was shown, or earlier. `now` is in seconds since 1970.
    #[must_use]
    pub fn accepts(&self, principal: &Principal, chain: Option<&Chain>, now: u64) -> bool {
        let Origin::Certificate(_) = principal.origin() else {
            return !principal.is_over(now) && self.is_still_good(principal);
        };
        let found = chain.and_then(|chain| self.by_certificate_now(chain, chain.judged_at(now)).ok());
        found.is_some_and(|found| found.is_same_but_for_its_end(principal)) && !self.settings.revoked.has(principal)
    }

    /// Whether one is still good on whose connection `chain` was shown. If a certificate stands for it, that is good `at` a time, in
    /// seconds since 1970.
    #[must_use]
    pub fn is_still_good_by(&self, principal: &Principal, chain: Option<&Chain>, at: u64) -> bool {
        let known = match principal.origin() {
            Origin::Static(hash) => {
                self.settings.tokens.as_ref().is_some_and(|tokens| tokens.still_has(hash, principal))
            }
            Origin::Signed(signed) => self.settings.jwt.as_ref().is_some_and(|jwt| jwt.still_accepts(signed)),
            Origin::User(user, group) => self.settings.users.still_have((*user, *group), principal),
            Origin::Session(print) => {
                self.settings.sessions.as_ref().is_some_and(|sessions| sessions.still_accepts(*print))
            }
            // Whoever asks the hook says so.
            Origin::Hook(standing) => !standing.has_ended(),
            Origin::Certificate(_) => chain.is_some_and(|chain| {
                let found = self.by_certificate(chain, chain.judged_at(at));
                found.is_ok_and(|found| found.is_same_but_for_its_end(principal))
            }),
        };
        known && !self.settings.revoked.has(principal)
    }

    /// Looks at one who was recognised, or nobody in particular, on whose connection `chain` was shown, and who was `seen` to be good
    /// last; both times are in seconds since 1970. What was found out of the certificate is left in `found`, and not looked for again
    /// while it is so.
    pub fn look_at(
        &self,
        (principal, chain): (Option<&Principal>, Option<&Chain>),
        (now, seen): (u64, u64),
        found: &mut Option<Box<Found>>,
    ) -> Look {
        let is_by_certificate = principal.is_some_and(|who| matches!(who.origin(), Origin::Certificate(_)));
        let is_known_otherwise = principal.is_none_or(|who| match is_by_certificate {
            true => !self.settings.revoked.has(who),
            // That a token has expired does not count.
            false => self.is_still_good(who),
        });
        if !is_known_otherwise {
            return Look::TakenBack;
        }
        let by_certificate = principal.filter(|_| is_by_certificate);
        let known = chain.zip(found.as_ref()).filter(|(chain, found)| self.finds(found, chain, now));
        let known = known.map(|(_, found)| found.is_good);
        let is_good = known.unwrap_or_else(|| {
            chain.is_none_or(|chain| self.vouches_for(chain, now))
                && by_certificate.is_none_or(|who| self.accepts(who, chain, now))
        });
        // That a certificate is merely over takes nothing back, and that it was good when it was seen last stays so.
        let is_known_to_be_over = known.is_some();
        let was_good = is_good
            || is_known_to_be_over
            || (chain.is_none_or(|chain| self.vouched_for(chain, seen))
                && by_certificate.is_none_or(|who| self.is_still_good_by(who, chain, seen)));
        if known.is_none() {
            let chain = chain.filter(|_| was_good);
            *found = chain.and_then(|chain| self.found(chain, is_by_certificate, is_good, now)).map(Box::new);
        }
        match (is_good, was_good) {
            (true, _) => Look::Good,
            (false, true) => Look::Over,
            (false, false) => Look::TakenBack,
        }
    }

    /// What was just found out of a certificate; nothing if it does not count, or is not remembered.
    fn found(&self, chain: &Chain, is_by_certificate: bool, is_good: bool, now: u64) -> Option<Found> {
        let is_needed = self.settings.required.is_some();
        if !is_needed && !is_by_certificate {
            return None;
        }
        let mut during = match is_good {
            true => 0..u64::MAX,
            // Another way may be good later, but not after its own time.
            false => chain.judged_at(now)..if chain.is_over(now) { u64::MAX } else { now + OVER },
        };
        let mut narrow = |by: Range<u64>| during = during.start.max(by.start)..during.end.min(by.end);
        if is_good && is_needed {
            narrow(self.vouched.find(chain.own_hash()).filter(|found| found.is_good)?.during);
        }
        if is_good && is_by_certificate {
            narrow(self.recognised.find(chain.own_hash()).filter(|known| known.outcome.is_ok())?.good);
        }
        let (recognised, vouched) = (Arc::downgrade(&self.recognised), Arc::downgrade(&self.vouched));
        Some(Found { is_good, during, recognised, vouched })
    }

    /// Whether what was found would be found now.
    fn finds(&self, found: &Found, chain: &Chain, now: u64) -> bool {
        // Whoever vouches or has rules for names is another where what was remembered by them is.
        std::ptr::eq(found.recognised.as_ptr(), Arc::as_ptr(&self.recognised))
            && std::ptr::eq(found.vouched.as_ptr(), Arc::as_ptr(&self.vouched))
            && found.during.contains(&chain.judged_at(now))
    }

    fn unless_revoked(&self, principal: Arc<Principal>) -> Result<Arc<Principal>, Denied> {
        if self.settings.revoked.has(&principal) { Err(Denied::Revoked) } else { Ok(principal) }
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

    /// Forgets what was found out of tokens and certificates: there is little memory.
    pub fn forget(&self) {
        self.verified.clear();
        self.recognised.clear();
        self.vouched.clear();
    }

    /// How many signed tokens and certificates are remembered, and how many were forgotten to make room.
    #[must_use]
    pub fn remembered(&self) -> (usize, u64) {
        let Self { verified, recognised, vouched, .. } = self;
        let forgotten = verified.forgotten() + recognised.forgotten() + vouched.forgotten();
        (verified.len() + recognised.len() + vouched.len(), forgotten)
    }

    /// Whether nobody gets a TLS connection without a certificate.
    #[must_use]
    pub fn needs_certificate(&self) -> bool {
        self.settings.required.is_some()
    }

    /// Whether a certificate is good for a connection, where one is needed. `now` is in seconds since 1970.
    #[must_use]
    pub fn vouches_for(&self, chain: &Chain, now: u64) -> bool {
        if self.settings.required.is_none() {
            return true;
        }
        let now = chain.judged_at(now);
        let known = |hash| self.vouched.find(hash).filter(|found| found.during.contains(&now));
        known(chain.own_hash()).or_else(|| known(chain.hash())).map_or_else(
            || {
                let is_good = self.vouched_for(chain, now);
                if !is_good {
                    self.vouched.keep(*chain.hash(), Vouched { is_good, during: now..now + DENIED });
                }
                is_good
            },
            |found| found.is_good,
        )
    }

    /// Whether a certificate was good for a connection at a time that may be over, by those who vouch now.
    #[must_use]
    pub fn vouched_for(&self, chain: &Chain, at: u64) -> bool {
        let Some(trust) = &self.settings.required else { return true };
        let at = chain.judged_at(at);
        if self.vouched.find(chain.own_hash()).is_some_and(|found| found.is_good && found.during.contains(&at)) {
            return true;
        }
        let good = trust.good(chain, at);
        if let Some(during) = &good {
            self.vouched.keep(*chain.own_hash(), Vouched { is_good: true, during: during.clone() });
        }
        good.is_some()
    }

    fn by_static_token(&self, token: &Token, now: u64) -> Result<Arc<Principal>, Denied> {
        self.settings.tokens.as_ref().ok_or(Denied::Unknown)?.authenticate(token.as_str(), now)
    }

    /// What is known of a certificate, or of all that came with one, at a time.
    fn known(&self, hash: &[u8; 32], at: u64) -> Option<Result<Arc<Principal>, Denied>> {
        self.recognised.find(hash).filter(|known| known.good.contains(&at)).map(|known| known.outcome)
    }

    /// Whose certificate it was at a time that may be over, by those who vouch now.
    fn by_certificate(&self, chain: &Chain, at: u64) -> Result<Arc<Principal>, Denied> {
        if let Some(known) = self.known(chain.own_hash(), at) {
            return known;
        }
        let certificates = self.settings.certificates.as_ref().ok_or(Denied::Certificate)?;
        let (principal, good) = certificates.recognise(chain, at)?;
        let principal = Arc::new(principal);
        self.recognised.keep(*chain.own_hash(), Verified { outcome: Ok(Arc::clone(&principal)), good });
        Ok(principal)
    }

    /// The same at a time that is now: it is remembered for a moment that nobody is found.
    fn by_certificate_now(&self, chain: &Chain, now: u64) -> Result<Arc<Principal>, Denied> {
        let known = self.known(chain.own_hash(), now).or_else(|| self.known(chain.hash(), now));
        known.unwrap_or_else(|| {
            let nobody = |denied| Verified { outcome: Err(denied), good: now..now + DENIED };
            self.by_certificate(chain, now).inspect_err(|denied| self.recognised.keep(*chain.hash(), nobody(*denied)))
        })
    }

    fn by_signature(&self, token: &Token, now: u64) -> Result<Arc<Principal>, Denied> {
        let jwt = self.settings.jwt.as_ref().ok_or(Denied::Unknown)?;
        let hash = token.hash();
        if let Some(verified) = self.verified.find(&hash).filter(|verified| verified.good.contains(&now)) {
            return verified.outcome;
        }
        let (principal, good) = jwt.verify(token.as_str(), now)?;
        let principal = Arc::new(principal);
        self.verified.keep(hash, Verified { outcome: Ok(Arc::clone(&principal)), good });
        Ok(principal)
    }
}

impl std::fmt::Debug for Access {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Access")
    }
}
