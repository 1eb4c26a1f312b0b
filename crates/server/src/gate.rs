//! Recognises who asks, before anything is done for them.
//!
//! Invariants: 1. what a request presents is looked at even where anybody is served, if anybody can be recognised: a bad
//! credential is refused; 2. it comes once, in one way; 3. it is never logged; 4. no page of another site changes anything here,
//! and none at all where a request does not say which page it is from, and a cookie is all that it has.

mod credential;
mod guard;
mod revocations;
mod throttle;

use std::sync::Arc;
use std::time::Duration;

use cuttlebone_access::{Access, Denied, NewSession, Principal, SessionKey, Token};
use cuttlebone_transport::PeerUser;
use http::header::ORIGIN;
use http::{HeaderMap, Uri};
use parking_lot::RwLock;
use serde_json::{Map, Value};
use thiserror::Error;
use tokio::sync::watch;

use crate::caller::{Caller, View};
use crate::clock;
use crate::link::Link;
use crate::login::LoginSettings;
use crate::origin::{self, Scheme};
pub(crate) use credential::{LOGIN_COOKIES, PLAIN_COOKIE, SECURE_COOKIE, cookie_of};
use credential::{Malformed, Presented};
pub(crate) use guard::{hold_back, require, unauthenticated};
use revocations::{Revocations, TooMany};
pub(crate) use throttle::Throttle;

/// Who is served: `access`.
#[derive(Debug, Clone)]
pub struct AccessSettings {
    /// All who can be recognised.
    pub access: Arc<Access>,
    /// Whether anybody is served who presents nothing: `server.allow_anonymous`, or a server on loopback that recognises nobody.
    pub anonymous: bool,
    /// Whether a token may stand in the query (`access_token`): `access.token_in_query`.
    pub token_in_query: bool,
    /// Failures of one address that are answered at once: `access.failures`.
    pub failures: u32,
    /// Within this time: `access.failures_within_ms`.
    pub failures_within: Duration,
    /// How long an answer to a further one waits at most: `access.failure_delay_ms`.
    pub failure_delay: Duration,
    /// Signing in at a provider: `oidc`.
    pub login: Option<LoginSettings>,
}

impl Default for AccessSettings {
    /// Anybody is served, and nobody is recognised.
    fn default() -> Self {
        Self {
            access: Arc::new(Access::new(cuttlebone_access::Settings::default())),
            anonymous: true,
            token_in_query: false,
            failures: 10,
            failures_within: Duration::from_secs(30 * 60),
            failure_delay: Duration::from_secs(25),
            login: None,
        }
    }
}

/// Why somebody was not recognised.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
pub(crate) enum Unrecognised {
    /// Nothing was presented, and not anybody is served.
    #[error("A token is needed: Authorization: Bearer TOKEN, or the subprotocol bearer.TOKEN")]
    Missing,
    /// More than one credential, or one that can be none.
    #[error("The credential can't be read: one token, in one place")]
    Malformed,
    /// It is not good.
    #[error("The token is not accepted")]
    Denied(Denied),
}

impl Unrecognised {
    /// The word that counts it.
    pub(crate) const fn label(self) -> &'static str {
        match self {
            Self::Missing => "token_missing",
            Self::Malformed => "token_malformed",
            Self::Denied(denied) => denied.label(),
        }
    }
}

/// Recognises peers by what is in force now.
#[derive(Debug)]
pub(crate) struct Gate {
    access: RwLock<Arc<Access>>,
    /// What signs sessions.
    session_key: SessionKey,
    anonymous: bool,
    token_in_query: bool,
    changed: watch::Sender<()>,
    /// Who was shut out while this process runs.
    revocations: Revocations,
    pub(crate) throttle: Throttle,
}

impl Gate {
    pub(crate) fn new(settings: &AccessSettings) -> Self {
        let key = settings.login.as_ref().and_then(|login| login.key.clone());
        Self {
            session_key: key.unwrap_or_else(random_key),
            access: RwLock::new(Arc::clone(&settings.access)),
            anonymous: settings.anonymous,
            token_in_query: settings.token_in_query,
            changed: watch::Sender::new(()),
            revocations: Revocations::default(),
            throttle: Throttle::new(settings.failures, settings.failures_within, settings.failure_delay),
        }
    }

    /// Who the request comes from; `scheme` is that of our site.
    pub(crate) fn recognise(&self, scheme: Scheme, headers: &HeaderMap, uri: &Uri) -> Result<Caller, Unrecognised> {
        self.look(scheme, headers, uri, true)
    }

    /// As [`Gate::recognise`], for a WebSocket, or for what changes something: any page may have a browser open one, and the cookie goes with it. Of a request
    /// that does not say which page it is from, or says that it is one of plain HTTP where we have none, the cookie does not
    /// count. (The origin itself is checked before.)
    pub(crate) fn recognise_upgrade(
        &self,
        scheme: Scheme,
        headers: &HeaderMap,
        uri: &Uri,
    ) -> Result<Caller, Unrecognised> {
        let is_of_ours = match scheme {
            Scheme::Https => origin::is_of_https(headers),
            Scheme::Http | Scheme::Any => headers.contains_key(ORIGIN),
        };
        self.look(scheme, headers, uri, is_of_ours)
    }

    fn look(&self, scheme: Scheme, headers: &HeaderMap, uri: &Uri, takes_cookie: bool) -> Result<Caller, Unrecognised> {
        if self.anonymous && self.access.read().is_empty() {
            return Ok(Caller::ANYBODY);
        }
        let query = uri.query().filter(|_| self.token_in_query);
        match credential::of(headers, query, scheme).map_err(|Malformed| Unrecognised::Malformed)? {
            Presented::Explicit(token) => self.authenticate(&token, Access::authenticate),
            // One that has expired is no reason to turn a page away that anybody may see.
            Presented::Cookie(token) if takes_cookie => match self
                .authenticate(&token, |access, token, now| access.authenticate_cookie(&self.session_key, token, now))
            {
                Err(_) if self.anonymous => Ok(Caller::ANYBODY),
                recognised => recognised,
            },
            _ if self.anonymous => Ok(Caller::ANYBODY),
            Presented::Cookie(_) | Presented::Nothing => Err(Unrecognised::Missing),
        }
    }

    /// Who asks: whom a request was recognised as by what it presents, or else the user of this machine that the system names.
    pub(crate) fn or_user(
        &self,
        recognised: Result<Caller, Unrecognised>,
        link: Option<&Link>,
    ) -> Result<Caller, Unrecognised> {
        let is_nobody = match &recognised {
            Ok(caller) => caller.principal().is_none(),
            Err(reason) => *reason == Unrecognised::Missing,
        };
        let user = link.filter(|_| is_nobody).and_then(Link::user);
        let principal = user.and_then(|PeerUser { user, group }| self.access.read().user(user, group));
        principal.map(Caller::known).map_or(recognised, Ok)
    }

    fn authenticate(
        &self,
        token: &Token,
        by: impl FnOnce(&Access, &Token, u64) -> Result<Arc<Principal>, Denied>,
    ) -> Result<Caller, Unrecognised> {
        let access = Arc::clone(&self.access.read());
        let principal = by(&access, token, clock::unix_ms() / 1000).map_err(Unrecognised::Denied)?;
        if self.revocations.has(&principal) {
            return Err(Unrecognised::Denied(Denied::Revoked));
        }
        Ok(Caller::known(principal))
    }

    /// Begins a session, that ends at `end` (seconds since 1970), of whom a provider has vouched for with `claims`.
    pub(crate) fn open_session(&self, claims: &Map<String, Value>, end: u64) -> Result<NewSession, Denied> {
        self.access.read().open_session(&self.session_key, claims, end)
    }

    /// What signs sessions.
    pub(crate) fn session_key(&self) -> &SessionKey {
        &self.session_key
    }

    /// Changes who can be recognised, and tells those who watch.
    pub(crate) fn replace(&self, access: Arc<Access>) {
        *self.access.write() = access;
        self.changed.send_replace(());
    }

    /// Lets an identity of this view in no more, and tells those who watch.
    pub(crate) fn shut_out(&self, identity: &str, of: View) -> Result<(), TooMany> {
        self.revocations.add(identity, of)?;
        self.changed.send_replace(());
        Ok(())
    }

    /// Ready when who may come has changed.
    pub(crate) fn changes(&self) -> watch::Receiver<()> {
        self.changed.subscribe()
    }

    /// Whether what the caller came with would be accepted now as it was then.
    pub(crate) fn is_still_good(&self, caller: &Caller) -> bool {
        match caller.principal() {
            None => true,
            Some(principal) => {
                !principal.is_over(clock::unix_ms() / 1000)
                    && self.access.read().is_still_good(principal)
                    && !self.revocations.has(principal)
            }
        }
    }
}

/// A key that nobody else has.
fn random_key() -> SessionKey {
    let mut secret = [0; 32];
    getrandom::fill(&mut secret).expect("the system has random numbers once it has started");
    SessionKey::new(&secret).expect("it is long enough")
}
