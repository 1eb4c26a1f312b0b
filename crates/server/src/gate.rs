//! Recognises who asks, before anything is done for them.
//!
//! Invariants: 1. what a request presents is looked at even where anybody is served, if anybody can be recognised: a bad
//! credential is refused; 2. it comes once, in one way; 3. it is never logged; 4. what a browser adds by itself, a certificate or
//! the cookie, counts only for our own pages.
//!
//! Of several, the token that somebody put into the request goes before the certificate, and that before the cookie.

mod credential;
mod guard;
mod throttle;

use std::sync::Arc;
use std::time::Duration;

use cuttlebone_access::{Access, Chain, Denied, Token};
use http::header::ORIGIN;
use http::{HeaderMap, Uri};
use parking_lot::RwLock;
use thiserror::Error;
use tokio::sync::watch;

use crate::caller::Caller;
use crate::clock;
use crate::origin::{self, Origin, Scheme};
use credential::{Malformed, Presented};
pub(crate) use credential::{PLAIN_COOKIE, SECURE_COOKIE, is_of_https};
pub(crate) use guard::{require, unauthenticated};
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
    /// The server speaks TLS.
    tls: bool,
    anonymous: bool,
    token_in_query: bool,
    allowed_origins: Vec<Origin>,
    changed: watch::Sender<()>,
    pub(crate) throttle: Throttle,
}

impl Gate {
    pub(crate) fn new(settings: &AccessSettings, tls: bool, allowed_origins: &[Origin]) -> Self {
        Self {
            tls,
            access: RwLock::new(Arc::clone(&settings.access)),
            anonymous: settings.anonymous,
            token_in_query: settings.token_in_query,
            allowed_origins: allowed_origins.to_vec(),
            changed: watch::Sender::new(()),
            throttle: Throttle::new(settings),
        }
    }

    /// Who the request comes from.
    pub(crate) fn recognise(
        &self,
        headers: &HeaderMap,
        uri: &Uri,
        certificate: Option<&Chain>,
    ) -> Result<Caller, Unrecognised> {
        self.look(headers, uri, certificate, true)
    }

    /// As [`Gate::recognise`], for a WebSocket: any page may have a browser open one, and the cookie goes with it. Of a request
    /// that does not say which page it is from, or says that it is one of plain HTTP where we have none, the cookie does not
    /// count. (The origin itself is checked before.)
    pub(crate) fn recognise_upgrade(
        &self,
        headers: &HeaderMap,
        uri: &Uri,
        certificate: Option<&Chain>,
    ) -> Result<Caller, Unrecognised> {
        let is_of_ours = if self.tls { is_of_https(headers) } else { headers.contains_key(ORIGIN) };
        self.look(headers, uri, certificate, is_of_ours)
    }

    fn look(
        &self,
        headers: &HeaderMap,
        uri: &Uri,
        certificate: Option<&Chain>,
        takes_cookie: bool,
    ) -> Result<Caller, Unrecognised> {
        if self.anonymous && self.access.read().is_empty() {
            return Ok(Caller::ANYBODY);
        }
        let query = uri.query().filter(|_| self.token_in_query);
        let presented = credential::of(headers, query, self.tls).map_err(|Malformed| Unrecognised::Malformed)?;
        if let Presented::Explicit(token) = &presented {
            return self.authenticate(token);
        }
        let by_certificate = self.by_certificate(headers, certificate);
        if let Some(Ok(caller)) = by_certificate {
            return Ok(caller);
        }
        match presented {
            // One that has expired is no reason to turn a page away that anybody may see.
            Presented::Cookie(token) if takes_cookie => match self.authenticate(&token) {
                Err(_) if self.anonymous => Ok(Caller::ANYBODY),
                recognised => recognised,
            },
            _ if self.anonymous => Ok(Caller::ANYBODY),
            _ => Err(by_certificate.and_then(Result::err).unwrap_or(Unrecognised::Missing)),
        }
    }

    /// Who showed this certificate. A browser shows it for any page that makes it ask, and no `SameSite` keeps it from that: of a
    /// request that says which page it is from, it counts for ours only. Devices are none, and say nothing of the kind.
    fn by_certificate(&self, headers: &HeaderMap, certificate: Option<&Chain>) -> Option<Result<Caller, Unrecognised>> {
        let chain = certificate.filter(|_| origin::is_allowed(headers, &self.allowed_origins, Scheme::Https))?;
        let access = Arc::clone(&self.access.read());
        let principal = access.authenticate_certificate(chain, clock::unix_ms() / 1000);
        Some(principal.map(Caller::known).map_err(Unrecognised::Denied))
    }

    fn authenticate(&self, token: &Token) -> Result<Caller, Unrecognised> {
        let access = Arc::clone(&self.access.read());
        let principal = access.authenticate(token, clock::unix_ms() / 1000).map_err(Unrecognised::Denied)?;
        Ok(Caller::known(principal))
    }

    /// Changes who can be recognised, and tells those who watch.
    pub(crate) fn replace(&self, access: Arc<Access>) {
        *self.access.write() = access;
        self.changed.send_replace(());
    }

    /// Ready when [`Gate::replace`] was called.
    pub(crate) fn changes(&self) -> watch::Receiver<()> {
        self.changed.subscribe()
    }

    /// Whether what the caller came with would be accepted now as it was then.
    pub(crate) fn is_still_good(&self, caller: &Caller) -> bool {
        match caller.principal() {
            None => true,
            Some(principal) => {
                !principal.is_over(clock::unix_ms() / 1000) && self.access.read().is_still_good(principal)
            }
        }
    }
}
