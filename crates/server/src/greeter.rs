//! What peers are told of STUN and TURN servers: their `config`.
//!
//! Invariants: 1. a credential is in the `config` of a peer only when the hub says that it has what it asked for; 2. every
//! peer has its own; 3. whoever is connected is told again when the servers change, and when a provider has some where there were
//! none; 4. nobody waits for a provider longer than one exchange takes, and only for its first.

use std::fmt;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use axum::body::Bytes;
use cuttlebone_hub::ConfigFor;
use cuttlebone_ice::{Credentials, Errand, ErrandEnd, Ice, Offer, Peer, PeerKind};
use cuttlebone_proto::encode;
use http::header::{ACCEPT, AUTHORIZATION, CONTENT_TYPE};
use http::{HeaderValue, Method, Request};
use parking_lot::RwLock;
use ring::hmac;
use tokio::sync::Notify;
use tokio::time::sleep;

use crate::admission::group;
use crate::app::App;
use crate::caller::Caller;
use crate::clock;
use crate::drain::News;
use crate::fetch::FetchError;
use crate::metrics::{Fetched, Metrics};

/// Between two tries of a provider that fails, a tenth more or less.
const AGAIN: Duration = Duration::from_secs(30);
/// What a time to live is at least taken for, when it is planned what follows: a provider may give any.
const LEAST_LIFETIME: Duration = Duration::from_secs(4);

/// Who is greeted.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Guest<'a> {
    pub(crate) kind: PeerKind,
    pub(crate) caller: &'a Caller,
    pub(crate) peer: SocketAddr,
    /// Tells its connection from others of the same address. A request is none: what it is told is for all from there who are
    /// the same one, or a name would be had for each request.
    pub(crate) number: Option<u64>,
}

/// Writes what peers are told.
pub(crate) struct Greeter {
    ice: RwLock<Arc<Ice>>,
    /// What names of connections are made with.
    key: hmac::Key,
    /// An errand to a provider has come to an end, good or bad.
    errand_ended: Notify,
}

impl Greeter {
    pub(crate) fn new(settings: cuttlebone_ice::Settings) -> Self {
        let mut secret = [0; 32];
        getrandom::fill(&mut secret).expect("the system has random numbers once it has started");
        Self {
            ice: RwLock::new(Arc::new(Ice::new(settings))),
            key: hmac::Key::new(hmac::HMAC_SHA256, &secret),
            errand_ended: Notify::new(),
        }
    }

    /// Changes what peers are told. Who is connected has to be told by [`crate::drain::Waves::tell_news`], after this:
    /// whoever comes meanwhile has joined its wave before it is greeted, so that nobody is left with the old.
    pub(crate) fn replace(&self, settings: cuttlebone_ice::Settings) {
        let mut ice = self.ice.write();
        *ice = Arc::new(ice.succeeding(settings));
    }

    /// Writes a `config`.
    pub(crate) fn config(&self, guest: &Guest<'_>, wanted: ConfigFor, metrics: &Metrics) -> String {
        let ice = self.ice();
        let name = self.name_of(guest);
        let credentials = if wanted.is_let_in { Credentials::Given { opaque: &name } } else { Credentials::Withheld };
        let Offer { servers, made } = ice.offer(&guest.as_peer(), credentials, now());
        metrics.made_credentials(made);
        if wanted.asks_ice_policy {
            encode::config_with_policy(&servers, ice.policy(guest.kind).name())
        } else {
            encode::config(&servers)
        }
    }

    /// When to tell a guest again that has its `config` now: when three quarters of the time are over for which all of
    /// it is good, a little more or less, so that not all are told at once. `None`: it is good until something changes.
    pub(crate) fn renew_in(&self, guest: &Guest<'_>) -> Option<Duration> {
        let lifetime = self.ice().lifetime(&guest.as_peer(), now())?;
        Some(lifetime.max(LEAST_LIFETIME).mul_f64(0.7 + 0.1 * fraction()))
    }

    /// The name of a guest in the user names that are made for it, if any are. Nobody else can tell whose it is: it is
    /// made with a key of this process. The same for as long as the connection lasts.
    pub(crate) fn turn_user(&self, guest: &Guest<'_>) -> Option<String> {
        let offer = self.ice().offer(&guest.as_peer(), Credentials::Given { opaque: "" }, now());
        (offer.made > 0).then(|| self.name_of(guest))
    }

    /// Whether the guest has to wait until it can be greeted: see [`Greeter::ready`].
    pub(crate) fn is_awaited(&self, guest: &Guest<'_>) -> bool {
        self.ice().is_awaited(&guest.as_peer(), now())
    }

    /// Waits until the guest can be greeted.
    pub(crate) async fn ready(&self, guest: &Guest<'_>) {
        loop {
            let ended = self.errand_ended.notified();
            tokio::pin!(ended);
            // From here on no end is missed.
            ended.as_mut().enable();
            if !self.is_awaited(guest) {
                return;
            }
            ended.await;
        }
    }

    fn ice(&self) -> Arc<Ice> {
        Arc::clone(&self.ice.read())
    }

    fn is_current(&self, ice: &Arc<Ice>) -> bool {
        Arc::ptr_eq(&self.ice.read(), ice)
    }

    fn name_of(&self, guest: &Guest<'_>) -> String {
        let Guest { kind, caller, peer, number } = guest;
        let account = caller.principal().map(|principal| principal.account()).unwrap_or_default();
        let from = match number {
            Some(number) => format!("{peer}\0{number}"),
            None => group(peer.ip()).to_string(),
        };
        let who = format!("{kind:?}\0{account}\0{from}");
        let tag = hmac::sign(&self.key, who.as_bytes());
        tag.as_ref().iter().take(8).map(|byte| format!("{byte:02x}")).collect()
    }
}

impl Guest<'_> {
    fn as_peer(&self) -> Peer<'_> {
        Peer { kind: self.kind, tenant: self.caller.tenant(), address: Some(self.peer.ip()) }
    }
}

impl fmt::Debug for Greeter {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Greeter")
    }
}

/// Asks the providers of whose servers a guest is to be told, as far as that is due. Gives whether any is asked because of this.
pub(crate) fn ask_providers(app: &Arc<App>, guest: &Guest<'_>) -> bool {
    let ice = app.greeter.ice();
    let errands = ice.begin_errands(&guest.as_peer(), now());
    let any = !errands.is_empty();
    for errand in errands {
        let (carried_app, ice) = (Arc::clone(app), Arc::clone(&ice));
        let stopping = app.tasks.stopping.clone();
        app.tasks.spawn(async move {
            stopping.run_until_cancelled(carry_out(&carried_app, &ice, &errand)).await;
        });
    }
    any
}

/// Tries until there is an answer, also while nobody waits for one: only other settings or the stop of the server end it
/// before.
async fn carry_out(app: &Arc<App>, ice: &Arc<Ice>, errand: &Errand) {
    loop {
        let asked_at = now();
        let answer = exchange(app, errand).await;
        let end = errand.end(answer.as_ref().ok().map(AsRef::as_ref), asked_at, now());
        let is_over = note(app, &answer, &end);
        app.greeter.errand_ended.notify_waiters();
        if is_over || !app.greeter.is_current(ice) {
            return;
        }
        sleep(AGAIN.mul_f64(0.9 + 0.2 * fraction())).await;
    }
}

/// Why a provider gave nothing.
#[derive(Debug, thiserror::Error)]
enum Failed {
    #[error(transparent)]
    Fetch(#[from] FetchError),
    #[error("the answer has the status {0}")]
    Status(http::StatusCode),
    #[error("the URL or the secret of the provider can not be sent")]
    Request,
}

/// Counts and says what came of it. Gives whether there is nothing left to do.
fn note(app: &App, answer: &Result<Bytes, Failed>, end: &ErrandEnd) -> bool {
    match (end, answer) {
        (ErrandEnd::Done { is_news }, _) => {
            app.metrics.fetched(Fetched::Done);
            if *is_news {
                app.waves.tell_news(News::servers());
            }
            return true;
        }
        (ErrandEnd::Again { reason: Some(reason), has_old }, _) => {
            app.metrics.fetched(Fetched::BadAnswer);
            tracing::warn!(%reason, has_old, "a provider of TURN servers gave an answer that is of no use");
        }
        (ErrandEnd::Again { has_old, .. }, Err(error)) => {
            app.metrics.fetched(Fetched::Failed);
            tracing::warn!(%error, has_old, "a provider of TURN servers gave no answer");
        }
        (ErrandEnd::Again { reason: None, .. }, Ok(_)) => {}
    }
    false
}

async fn exchange(app: &App, errand: &Errand) -> Result<Bytes, Failed> {
    let mut authorization = HeaderValue::from_str(&errand.authorization).map_err(|_| Failed::Request)?;
    authorization.set_sensitive(true);
    let request = Request::builder()
        .method(Method::POST)
        .uri(&errand.url)
        .header(AUTHORIZATION, authorization)
        .header(CONTENT_TYPE, errand.content_type)
        .header(ACCEPT, "application/json")
        .body(Bytes::from(errand.body.clone()))
        .map_err(|_| Failed::Request)?;
    let response = app.fetcher.send(request).await?;
    if response.status().is_success() { Ok(response.into_body()) } else { Err(Failed::Status(response.status())) }
}

fn now() -> u64 {
    clock::unix_ms() / 1000
}

/// From 0 to 1, at random.
fn fraction() -> f64 {
    let mut random = [0_u8; 1];
    let _ = getrandom::fill(&mut random);
    f64::from(random[0]) / 255.0
}
