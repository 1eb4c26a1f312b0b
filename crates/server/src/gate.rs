//! Recognises who asks, before anything is done for them.
//!
//! Invariants: 1. what a request presents is looked at even where anybody is served, if anybody can be recognised: a bad
//! credential is refused; 2. it comes once, in one way; 3. it is never logged; 4. nothing is waited for where the answer is
//! here: that is for [`elsewhere`].

mod credential;
mod elsewhere;
mod guard;
pub(crate) mod hook;
pub(crate) mod jwks;
mod throttle;

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use cuttlebone_access::{Access, Denied, Token};
use http::header::ORIGIN;
use http::{HeaderMap, Uri};
use parking_lot::RwLock;
use thiserror::Error;
use tokio::sync::watch;

use crate::app::App;
use crate::caller::Caller;
use crate::clock;
use crate::link::Link;
use crate::metrics::Metrics;
use credential::{Malformed, Presented};
pub(crate) use credential::{PLAIN_COOKIE, SECURE_COOKIE, is_of_https};
pub(crate) use guard::{require, unauthenticated};
pub use hook::HookSettings;
use hook::{Hook, Outcome};
use jwks::Jwks;
pub use jwks::JwksSettings;
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
    /// How many addresses are remembered: `access.remembered_addresses`.
    pub remembered: usize,
    /// When the keys of issuers are fetched that have them at a URL.
    pub jwks: JwksSettings,
    /// Who is asked about tokens that nobody here knows.
    pub hook: Option<HookSettings>,
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
            remembered: 16_384,
            jwks: JwksSettings::default(),
            hook: None,
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
    /// Whether it is good can't be found out now.
    #[error("The token can't be checked now")]
    Unknown(Unchecked),
}

/// What is missing to find out whether a token is good.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Unchecked {
    /// The keys of its issuer have not come yet.
    Keys,
    /// The hook does not answer.
    Hook,
}

impl Unrecognised {
    /// The word that counts it.
    pub(crate) const fn label(self) -> &'static str {
        match self {
            Self::Missing => "token_missing",
            Self::Malformed => "token_malformed",
            Self::Denied(denied) => denied.label(),
            Self::Unknown(Unchecked::Keys) => "token_keys_awaited",
            Self::Unknown(Unchecked::Hook) => "token_hook_failed",
        }
    }

    /// Whether a guess may have been behind it.
    const fn is_guess(self) -> bool {
        !matches!(self, Self::Missing | Self::Unknown(_) | Self::Denied(Denied::KeysOutdated))
    }
}

/// Who a request may be from, before a token is looked at.
enum Asker {
    Anybody,
    /// The holder of this token; or anybody as well, if that is not good.
    Holder(Token, bool),
}

/// Who a request comes from; `is_upgrade` is whether it is for a WebSocket. Waits where somebody else has to be asked: bounded, and
/// not beyond a stop of the server.
pub(crate) async fn recognise(
    app: &App,
    link: Option<&Link>,
    (headers, uri): (&HeaderMap, &Uri),
    is_upgrade: bool,
) -> Result<Caller, Unrecognised> {
    let (token, may_be_anybody) = match app.gate.asker(headers, uri, is_upgrade)? {
        Asker::Anybody => return Ok(Caller::ANYBODY),
        Asker::Holder(token, may_be_anybody) => (token, may_be_anybody),
    };
    let recognised = match app.gate.authenticate(&token, &app.metrics) {
        Ok(caller) => Ok(caller),
        Err(denied) => elsewhere::ask(app, link, &token, denied).await,
    };
    match recognised {
        Err(_) if may_be_anybody => Ok(Caller::ANYBODY),
        recognised => recognised,
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
    changed: watch::Sender<()>,
    /// Verified tokens that were forgotten to make room, before what is in force.
    forgotten: AtomicU64,
    pub(crate) throttle: Throttle,
    pub(crate) jwks: Jwks,
    pub(crate) hook: Option<Hook>,
}

impl Gate {
    pub(crate) fn new(settings: &AccessSettings, tls: bool) -> Self {
        let gate = Self {
            tls,
            access: RwLock::new(Arc::clone(&settings.access)),
            anonymous: settings.anonymous,
            token_in_query: settings.token_in_query,
            changed: watch::Sender::new(()),
            forgotten: AtomicU64::new(0),
            throttle: Throttle::new(settings),
            jwks: Jwks::new(&settings.jwks),
            hook: settings.hook.as_ref().map(Hook::new),
        };
        gate.replace(gate.access());
        gate
    }

    /// Who the request comes from. Any page may have a browser open a WebSocket, and the cookie goes with it: of an upgrade that
    /// does not say which page it is from, or says that it is one of plain HTTP where we have none, the cookie does not count.
    /// (The origin itself is checked before.)
    fn asker(&self, headers: &HeaderMap, uri: &Uri, is_upgrade: bool) -> Result<Asker, Unrecognised> {
        let is_of_ours = if self.tls { is_of_https(headers) } else { headers.contains_key(ORIGIN) };
        let takes_cookie = !is_upgrade || is_of_ours;
        if self.anonymous && self.hook.is_none() && self.access.read().is_empty() {
            return Ok(Asker::Anybody);
        }
        let query = uri.query().filter(|_| self.token_in_query);
        match credential::of(headers, query, self.tls).map_err(|Malformed| Unrecognised::Malformed)? {
            Presented::Explicit(token) => Ok(Asker::Holder(token, false)),
            // One that has expired is no reason to turn a page away that anybody may see.
            Presented::Cookie(token) if takes_cookie => Ok(Asker::Holder(token, self.anonymous)),
            _ if self.anonymous => Ok(Asker::Anybody),
            Presented::Cookie(_) | Presented::Nothing => Err(Unrecognised::Missing),
        }
    }

    /// Whose token it is, by what is here.
    fn authenticate(&self, token: &Token, metrics: &Metrics) -> Result<Caller, Denied> {
        let access = self.access();
        let denied = match access.authenticate(token, clock::unix_ms() / 1000) {
            Ok(principal) => return Ok(Caller::known(principal)),
            Err(denied) => denied,
        };
        match self.hook_for(token, denied).and_then(|hook| hook.kept(token, metrics)) {
            Some(Outcome::Recognised(principal)) if access.is_still_good(&principal) => Ok(Caller::known(principal)),
            Some(Outcome::Recognised(_)) => Err(Denied::Revoked),
            Some(Outcome::Denied) => Err(Denied::Hook),
            Some(Outcome::Failed) | None => Err(denied),
        }
    }

    /// The hook, if it may know a token that was denied.
    fn hook_for(&self, token: &Token, denied: Denied) -> Option<&Hook> {
        let is_of_nobody = matches!(denied, Denied::Unknown | Denied::Malformed | Denied::Issuer);
        self.hook.as_ref().filter(|hook| is_of_nobody && hook.is_for(token))
    }

    /// What is in force.
    pub(crate) fn access(&self) -> Arc<Access> {
        Arc::clone(&self.access.read())
    }

    /// Changes who can be recognised, and tells those who watch.
    pub(crate) fn replace(&self, access: Arc<Access>) {
        self.jwks.adopt(access, |access| self.install(access));
        self.tell();
    }

    /// Changes who can be recognised. To be called by [`Jwks`] alone, for who holds the keys must not miss it.
    fn put(&self, access: Access) {
        self.install(Arc::new(access));
    }

    fn install(&self, access: Arc<Access>) {
        let old = std::mem::replace(&mut *self.access.write(), access);
        self.forgotten.fetch_add(old.remembered().1, Ordering::Relaxed);
    }

    /// Tells those who watch that somebody may not be good any more.
    pub(crate) fn tell(&self) {
        self.changed.send_replace(());
    }

    /// Shows what is kept.
    pub(crate) fn measure(&self, metrics: &Metrics) {
        let (tokens, forgotten) = self.access().remembered();
        metrics.set_verified_tokens(tokens, forgotten + self.forgotten.load(Ordering::Relaxed));
        metrics.set_failed_addresses(self.throttle.remembered());
        self.jwks.measure(metrics);
        if let Some(hook) = &self.hook {
            hook.measure(metrics);
        }
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
