//! Recognises who asks, before anything is done for them.
//!
//! Invariants: 1. what a request presents is looked at even where anybody is served, if anybody can be recognised: a bad token that
//! somebody put there is refused; a cookie or a certificate, which a browser adds by itself, counts as none where it is not good;
//! 2. it comes once, in one way; 3. it is never logged; 4. no page of another site changes anything here or loads anything, and no page
//! whose site the request does not name changes anything, if a cookie or a certificate is all that it has; 5. nothing is waited for
//! where the answer is here: that is for [`elsewhere`].
//!
//! Of several, the token that somebody put into the request goes before the certificate, and that before the cookie.

mod credential;
mod elsewhere;
mod guard;
pub(crate) mod hook;
pub(crate) mod jwks;
mod revocations;
mod throttle;

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use cuttlebone_access::{Access, Denied, Found, Look, NewSession, SessionKey, Token};
use cuttlebone_transport::PeerUser;
use http::header::ORIGIN;
use http::{HeaderMap, Uri};
use parking_lot::RwLock;
use serde_json::{Map, Value};
use thiserror::Error;
use tokio::sync::watch;

use crate::app::App;
use crate::caller::{Caller, View};
use crate::clock;
use crate::link::Link;
use crate::login::LoginSettings;
use crate::metrics::Metrics;
use crate::origin::{self, Origin, Scheme};
pub(crate) use credential::{LOGIN_COOKIES, PLAIN_COOKIE, SECURE_COOKIE, cookie_of};
use credential::{Malformed, Presented};
pub(crate) use elsewhere::Guess;
pub(crate) use guard::{hold_back, require, unauthenticated};
pub use hook::HookSettings;
use hook::{Hook, Outcome};
use jwks::Jwks;
pub use jwks::JwksSettings;
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
            login: None,
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

/// When a credential was seen to be good last.
#[derive(Debug)]
pub(crate) struct Seen {
    /// In seconds since 1970.
    at: u64,
    /// What was found out of its certificate then.
    found: Option<Box<Found>>,
}

impl Seen {
    pub(crate) fn at(now: u64) -> Self {
        Self { at: now, found: None }
    }
}

/// Who a request may be from, before a token is looked at.
enum Asker {
    Anybody,
    /// The holder of a token that somebody put there.
    Holder(Token),
    /// A page with this cookie.
    Page(Token),
}

/// Who a request comes from; `is_upgrade` is whether it is for a WebSocket, or changes something. Waits where somebody else has to be
/// asked: bounded, and not beyond a stop of the server.
pub(crate) async fn recognise(
    app: &App,
    link: Option<&Link>,
    (headers, uri): (&HeaderMap, &Uri),
    is_upgrade: bool,
) -> Result<Caller, Unrecognised> {
    let scheme = link.map_or(Scheme::Any, |link| link.scheme);
    let asker = app.gate.asker(scheme, headers, uri, is_upgrade);
    let takes_certificate = !matches!(asker, Ok(Asker::Holder(_)) | Err(Unrecognised::Malformed));
    let certificate = takes_certificate.then(|| certificate(app, link, headers)).flatten();
    let recognised = match (asker, certificate) {
        (_, Some(Ok(caller))) => Ok(caller),
        (Ok(Asker::Anybody), _) => Ok(Caller::ANYBODY),
        (Ok(Asker::Holder(token)), _) => holder(app, link, &token, false).await,
        (Ok(Asker::Page(token)), _) => match holder(app, link, &token, true).await {
            // One that has expired is no reason to turn a page away that anybody may see.
            Err(_) if app.gate.anonymous => Ok(Caller::ANYBODY),
            recognised => recognised,
        },
        (Err(Unrecognised::Missing), Some(Err(reason))) | (Err(reason), _) => Err(reason),
    };
    let caller = app.gate.or_user(recognised, link)?;
    let caller = caller.by(link.and_then(Link::shown_on_socket));
    if !app.gate.vouches_for(&caller) {
        return Err(Unrecognised::Denied(Denied::Certificate));
    }
    if app.gate.is_shut_out(&caller) { Err(Unrecognised::Denied(Denied::Revoked)) } else { Ok(caller) }
}

/// Who showed a certificate. A browser shows it for any page that makes it ask, and no `SameSite` keeps it from that: of a request
/// that says which page it is from, it counts for ours only, and those of HTTPS. Devices are none, and say nothing of the kind.
fn certificate(app: &App, link: Option<&Link>, headers: &HeaderMap) -> Option<Result<Caller, Unrecognised>> {
    let chain = link.and_then(Link::certificate)?;
    let is_of_no_tls = headers.contains_key(ORIGIN) && !origin::is_of_https(headers);
    if is_of_no_tls || origin::is_of_another_site(headers, &app.settings.allowed_origins, Scheme::Https) {
        return None;
    }
    let principal = app.gate.access().authenticate_certificate(chain, clock::unix_ms() / 1000);
    Some(principal.map(Caller::known).map_err(Unrecognised::Denied))
}

async fn holder(app: &App, link: Option<&Link>, token: &Token, is_cookie: bool) -> Result<Caller, Unrecognised> {
    let denied = match app.gate.authenticate(token, is_cookie, &app.metrics) {
        Ok(caller) => return Ok(caller),
        Err(denied) => denied,
    };
    let found = elsewhere::ask(app, link, token, denied).await;
    // It is served all the same, and has learned that the hook does not know this one.
    let is_guess = is_cookie && app.gate.anonymous && denied != Denied::Hook;
    if let (true, Err(Unrecognised::Denied(Denied::Hook)), Some(link)) = (is_guess, &found, link) {
        Box::pin(hold_back(app, link)).await;
    }
    found
}

/// Recognises peers by what is in force now.
#[derive(Debug)]
pub(crate) struct Gate {
    access: RwLock<Arc<Access>>,
    /// What signs sessions.
    session_key: SessionKey,
    anonymous: bool,
    token_in_query: bool,
    /// A page of HTTPS is named as one of ours.
    has_https_page: bool,
    changed: watch::Sender<()>,
    /// Who was shut out while this process runs.
    revocations: Revocations,
    /// Verified tokens that were forgotten to make room, before what is in force.
    forgotten: AtomicU64,
    pub(crate) throttle: Throttle,
    pub(crate) jwks: Jwks,
    pub(crate) hook: Option<Hook>,
}

impl Gate {
    pub(crate) fn new(settings: &AccessSettings, allowed_origins: &[Origin]) -> Self {
        let key = settings.login.as_ref().and_then(|login| login.key.clone());
        let free = (settings.failures, settings.failures_within);
        let gate = Self {
            session_key: key.unwrap_or_else(random_key),
            access: RwLock::new(Arc::clone(&settings.access)),
            anonymous: settings.anonymous,
            token_in_query: settings.token_in_query,
            has_https_page: allowed_origins.iter().any(Origin::is_https),
            changed: watch::Sender::new(()),
            revocations: Revocations::default(),
            forgotten: AtomicU64::new(0),
            throttle: Throttle::new(free, settings.failure_delay, settings.remembered),
            jwks: Jwks::new(&settings.jwks),
            hook: settings.hook.as_ref().map(Hook::new),
        };
        gate.replace(gate.access());
        gate
    }

    /// Who the request comes from; `scheme` is that of our site. Any page may have a browser open a WebSocket or send what changes
    /// something (`is_upgrade`), and the cookie goes with it: of one that does not say which page it is from, or says that it is one
    /// of plain HTTP where we have none, the cookie does not count. (The origin itself is checked before.)
    fn asker(&self, scheme: Scheme, headers: &HeaderMap, uri: &Uri, is_upgrade: bool) -> Result<Asker, Unrecognised> {
        let is_of_ours = match scheme {
            Scheme::Https => origin::is_of_https(headers),
            Scheme::Http | Scheme::Any => headers.contains_key(ORIGIN),
        };
        let takes_cookie = !is_upgrade || is_of_ours;
        if self.anonymous && self.hook.is_none() && self.access.read().is_empty() {
            return Ok(Asker::Anybody);
        }
        let query = uri.query().filter(|_| self.token_in_query);
        match credential::of(headers, query, (scheme, self.has_https_page))
            .map_err(|Malformed| Unrecognised::Malformed)?
        {
            Presented::Explicit(token) => Ok(Asker::Holder(token)),
            Presented::Cookie(token) if takes_cookie => Ok(Asker::Page(token)),
            _ if self.anonymous => Ok(Asker::Anybody),
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

    /// Whose token it is, by what is here. One of a session counts only as a cookie.
    fn authenticate(&self, token: &Token, is_cookie: bool, metrics: &Metrics) -> Result<Caller, Denied> {
        let (access, now) = (self.access(), clock::unix_ms() / 1000);
        let found = if is_cookie {
            access.authenticate_cookie(&self.session_key, token, now)
        } else {
            access.authenticate(token, now)
        };
        let denied = match found {
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

    /// Whether one was taken back that was recognised: by a file, an issuer, or an administrator. That a credential has expired is
    /// not that: of a certificate, that it was good when it was seen last, and is over since.
    pub(crate) fn is_taken_back(&self, caller: &Caller, seen: &mut Seen) -> bool {
        let (access, now) = (self.access(), clock::unix_ms() / 1000);
        let who = (caller.principal().map(|who| &**who), caller.chain());
        match access.look_at(who, (now, seen.at), &mut seen.found) {
            // It may be good again, by another who vouches, after it was over.
            Look::Good => seen.at = now,
            Look::Over => {}
            Look::TakenBack => return true,
        }
        self.is_shut_out(caller)
    }

    /// Whether an administrator has shut the caller out.
    fn is_shut_out(&self, caller: &Caller) -> bool {
        caller.principal().is_some_and(|principal| self.revocations.has(principal))
    }

    /// Forgets what was found out of tokens and certificates: there is little memory.
    pub(crate) fn forget(&self) {
        self.access().forget();
        if let Some(hook) = &self.hook {
            hook.forget();
        }
    }

    /// What is in force.
    pub(crate) fn access(&self) -> Arc<Access> {
        Arc::clone(&self.access.read())
    }

    /// Begins a session, that ends at `end` (seconds since 1970), of whom a provider has vouched for with `claims`.
    pub(crate) fn open_session(&self, claims: &Map<String, Value>, end: u64) -> Result<NewSession, Denied> {
        let session = self.access.read().open_session(&self.session_key, claims, end)?;
        if self.revocations.has(&session.principal) { Err(Denied::Revoked) } else { Ok(session) }
    }

    /// What signs sessions.
    pub(crate) fn session_key(&self) -> &SessionKey {
        &self.session_key
    }

    /// Changes who can be recognised. Those who watch are to be told by [`App::tell_who_may_come`].
    pub(crate) fn replace(&self, access: Arc<Access>) {
        self.jwks.adopt(access, |access| self.install(&access));
    }

    /// The same, by [`Jwks`] alone: who holds the keys must not miss it.
    fn install(&self, access: &Access) {
        let mut current = self.access.write();
        let access = access.after(&current);
        // What goes on counts what it has forgotten itself.
        let counted = access.remembered().1;
        let old = std::mem::replace(&mut *current, Arc::new(access));
        self.forgotten.fetch_add(old.remembered().1.saturating_sub(counted), Ordering::Relaxed);
    }

    /// Tells those who watch that somebody may not be good any more.
    pub(crate) fn tell(&self) {
        self.changed.send_replace(());
    }

    /// Lets an identity of this view in no more, and gives whether that is news. Those who watch are to be told by
    /// [`App::tell_who_may_come`].
    pub(crate) fn shut_out(&self, identity: &str, of: View) -> Result<bool, TooMany> {
        self.revocations.add(identity, of)
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

    /// Ready when somebody may not be good any more.
    pub(crate) fn changes(&self) -> watch::Receiver<()> {
        self.changed.subscribe()
    }

    /// Whether the certificate of the caller's connection is good, where one is needed.
    fn vouches_for(&self, caller: &Caller) -> bool {
        caller.chain().is_none_or(|chain| self.access().vouches_for(chain, clock::unix_ms() / 1000))
    }

    /// Whether what the caller came with would be accepted now as it was then.
    pub(crate) fn is_still_good(&self, caller: &Caller) -> bool {
        let (access, now) = (self.access(), clock::unix_ms() / 1000);
        caller.chain().is_none_or(|chain| access.vouches_for(chain, now))
            && caller.principal().is_none_or(|principal| access.accepts(principal, caller.chain(), now))
            && !self.is_shut_out(caller)
    }
}

/// A key that nobody else has.
fn random_key() -> SessionKey {
    let mut secret = [0; 32];
    getrandom::fill(&mut secret).expect("the system has random numbers once it has started");
    SessionKey::new(&secret).expect("it is long enough")
}
