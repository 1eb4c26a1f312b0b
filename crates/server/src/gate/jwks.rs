//! The keys of issuers that have them at a URL: fetched, and given to who recognises.
//!
//! One task fetches ([`run`]); requests whose token names a key that is not there wait for it ([`Jwks::fetched_for`]). When to
//! fetch, and how long keys are good, is for [`RemoteKeys`] to say. Invariants: 1. what is in force always has the keys of this
//! table: both change under its lock; 2. an answer that brings no keys changes nothing, and neither does one that was asked for
//! before its URL was taken out; 3. no URL is logged or a label.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use bytes::Bytes;
use cuttlebone_access::{Access, KeyFault, KeySet, Keys, RemoteKeys, RemoteRules, WantedKey};
use futures_util::stream::{FuturesUnordered, StreamExt as _};
use http::{Request, StatusCode, Uri};
use parking_lot::Mutex;
use thiserror::Error;
use tokio::sync::{Notify, watch};
use tokio::time::{Instant, sleep_until, timeout};

use crate::app::App;
use crate::audit::{Entry, Event, Outcome};
use crate::clock;
use crate::fetch::{FetchError, Fetcher};
use crate::metrics::{KeyFetch, Metrics};

/// When there is nothing to fetch, the task wakes so often for nothing.
const IDLE: Duration = Duration::from_secs(60 * 60);

/// When the keys at a URL are fetched: `access.jwks_*`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct JwksSettings {
    /// How old they become before they are fetched again: `access.jwks_refresh_ms`.
    pub refresh: Duration,
    /// How long after a fetch an unknown key may cause another: `access.jwks_min_refetch_ms`.
    pub min_refetch: Duration,
    /// How old they may become if they can't be fetched: `access.jwks_stale_ms`.
    pub stale: Duration,
}

impl Default for JwksSettings {
    fn default() -> Self {
        Self {
            refresh: Duration::from_secs(10 * 60),
            min_refetch: Duration::from_secs(30),
            stale: Duration::from_secs(24 * 60 * 60),
        }
    }
}

/// Keys of one answer that can't be used, as the log names them.
const SKIPPED_SHOWN: usize = 16;

/// The keys at all URLs.
#[derive(Debug)]
pub(crate) struct Jwks {
    rules: RemoteRules,
    started: Instant,
    /// At most one for each issuer: few.
    remotes: Mutex<Vec<Remote>>,
    /// The number of the next one.
    next_number: AtomicU64,
    /// There may be something to fetch.
    due: Notify,
    /// A fetch is over.
    over: watch::Sender<()>,
}

#[derive(Debug)]
struct Remote {
    /// No other has it, and none that has had the same URL.
    number: u64,
    url: String,
    /// The issuers that have their keys there.
    issuers: Vec<usize>,
    keys: RemoteKeys,
    /// Fetches that are over.
    fetches: u64,
    /// What is in force has none of these keys, for they are too old.
    is_outdated: bool,
}

/// Why an answer brings no keys.
#[derive(Debug, Error)]
enum NoKeys {
    #[error(transparent)]
    Fetch(#[from] FetchError),
    #[error("the answer is {0}, and not 200")]
    Status(StatusCode),
    #[error("the answer is no text")]
    Text,
    #[error("{0}")]
    Keys(#[from] KeyFault),
    #[error("the URL is none")]
    Url,
}

impl NoKeys {
    const fn outcome(&self) -> KeyFetch {
        match self {
            Self::Fetch(_) | Self::Url => KeyFetch::Failed,
            Self::Status(_) => KeyFetch::Status,
            Self::Text | Self::Keys(_) => KeyFetch::Unusable,
        }
    }
}

impl Jwks {
    pub(crate) fn new(settings: &JwksSettings) -> Self {
        let JwksSettings { refresh, min_refetch, stale } = *settings;
        Self {
            rules: RemoteRules { refresh, min_refetch, stale },
            started: clock::now(),
            remotes: Mutex::default(),
            next_number: AtomicU64::new(0),
            due: Notify::new(),
            over: watch::Sender::new(()),
        }
    }

    /// Takes the URLs of `access`, and has `install` bring it in force, with the keys that are there. Those that are not are fetched.
    pub(super) fn adopt(&self, access: Arc<Access>, install: impl FnOnce(Arc<Access>)) {
        let mut remotes = self.remotes.lock();
        let mut old = std::mem::take(&mut *remotes);
        for (issuer, url) in access.key_urls() {
            if let Some(known) = remotes.iter_mut().find(|remote| remote.url == url) {
                known.issuers.push(issuer);
                continue;
            }
            let at = old.iter().position(|remote| remote.url == url);
            let remote = at.map(|at| old.swap_remove(at)).unwrap_or_else(|| self.remote(url));
            remotes.push(Remote { issuers: vec![issuer], ..remote });
        }
        install(if remotes.is_empty() { access } else { Arc::new(self.overlaid(&access, &remotes)) });
        drop(remotes);
        self.due.notify_one();
        // Whoever waits for a URL that is gone waits for nothing.
        self.over.send_replace(());
    }

    /// Waits for a fetch that may bring a key, at most for `longest`. Whether there was one. Cancel safe.
    pub(crate) async fn fetched_for(&self, key: &WantedKey, longest: Duration) -> bool {
        let mut over = self.over.subscribe();
        let wanted = self.remotes.lock().iter_mut().find(|remote| remote.url == key.url).and_then(|remote| {
            let may_come = remote.keys.want(&key.kid, self.now());
            may_come.then_some((remote.number, remote.fetches))
        });
        let Some((number, before)) = wanted else { return false };
        self.due.notify_one();
        let is_over = || {
            let remotes = self.remotes.lock();
            remotes.iter().find(|remote| remote.number == number).is_none_or(|remote| remote.fetches > before)
        };
        timeout(longest, over.wait_for(|()| is_over())).await.is_ok()
    }

    /// Why somebody might not be recognised who should be: keys that are not there.
    pub(crate) fn unready(&self) -> Option<&'static str> {
        let remotes = self.remotes.lock();
        let mut all = remotes.iter().map(|remote| remote.keys.at(self.now()));
        all.find_map(|keys| match keys {
            Keys::Known(_) => None,
            Keys::Awaited => Some("The keys of an issuer have not come yet"),
            Keys::Outdated => Some("The keys of an issuer are too old"),
        })
    }

    /// Shows how old the keys are.
    pub(crate) fn measure(&self, metrics: &Metrics) {
        let remotes = self.remotes.lock();
        let ages = remotes.iter().filter_map(|remote| Some((&remote.issuers, remote.keys.age(self.now())?)));
        metrics.set_key_ages(ages.flat_map(|(issuers, age)| issuers.iter().map(move |issuer| (*issuer, age))));
    }

    fn now(&self) -> Duration {
        clock::now() - self.started
    }

    fn overlaid(&self, access: &Access, remotes: &[Remote]) -> Access {
        let now = self.now();
        access.with_keys(|url| {
            remotes.iter().find(|remote| remote.url == url).map_or(Keys::Awaited, |remote| remote.keys.at(now))
        })
    }

    fn remote(&self, url: &str) -> Remote {
        Remote {
            number: self.next_number.fetch_add(1, Ordering::Relaxed),
            url: url.to_owned(),
            issuers: Vec::new(),
            keys: RemoteKeys::new(self.rules, self.now()),
            fetches: 0,
            is_outdated: false,
        }
    }

    /// Begins every fetch that is due.
    fn begin(&self) -> Vec<(u64, String)> {
        let (now, mut remotes) = (self.now(), self.remotes.lock());
        let due = remotes.iter_mut().filter(|remote| remote.keys.next_fetch().is_some_and(|next| next <= now));
        due.map(|remote| {
            remote.keys.begin(now);
            (remote.number, remote.url.clone())
        })
        .collect()
    }

    /// When something is to be done next, if nothing happens.
    fn next(&self) -> Instant {
        let remotes = self.remotes.lock();
        let outdated =
            remotes.iter().filter(|remote| !remote.is_outdated).filter_map(|remote| remote.keys.outdated_at());
        let next = remotes.iter().filter_map(|remote| remote.keys.next_fetch()).chain(outdated).min();
        self.started + next.unwrap_or_else(|| self.now() + IDLE)
    }

    /// A fetch is over.
    fn end(&self, app: &App, number: u64, outcome: Result<KeySet, NoKeys>) {
        app.metrics.fetched_keys(outcome.as_ref().map_or_else(NoKeys::outcome, |_| KeyFetch::Good));
        let mut remotes = self.remotes.lock();
        let Some(remote) = remotes.iter_mut().find(|remote| remote.number == number) else { return };
        remote.fetches += 1;
        let issuers = format!("{:?}", remote.issuers);
        let is_new = match outcome {
            Ok(keys) => {
                for key in keys.skipped().iter().take(SKIPPED_SHOWN) {
                    tracing::debug!(issuers, %key, "a key is not used");
                }
                let number = keys.len();
                let is_new = remote.keys.on_keys(keys, jitter()) || remote.is_outdated;
                remote.is_outdated = false;
                if is_new {
                    tracing::info!(issuers, keys = number, "the keys of an issuer have come");
                }
                is_new
            }
            Err(error) => {
                remote.keys.on_failure();
                tracing::warn!(issuers, %error, "the keys of an issuer can't be fetched: kept the old");
                false
            }
        };
        if is_new {
            app.gate.install(&self.overlaid(&app.gate.access(), &remotes));
        }
        drop(remotes);
        self.over.send_replace(());
        if is_new {
            app.audit.note(&Entry::new(Event::Reload).what("issuer_keys").outcome(Outcome::Ok));
            app.tell_who_may_come();
        }
    }

    /// Takes keys out of force that have become too old.
    fn take_out_outdated(&self, app: &App) {
        let (now, mut remotes) = (self.now(), self.remotes.lock());
        let mut is_changed = false;
        for remote in remotes.iter_mut() {
            if !remote.is_outdated && remote.keys.outdated_at().is_some_and(|at| at <= now) {
                let issuers = format!("{:?}", remote.issuers);
                tracing::error!(issuers, "the keys of an issuer are too old: nobody is recognised by them any more");
                remote.is_outdated = true;
                is_changed = true;
            }
        }
        if is_changed {
            app.gate.install(&self.overlaid(&app.gate.access(), &remotes));
            drop(remotes);
            app.audit.note(&Entry::new(Event::Reload).what("issuer_keys").refused("token_keys_outdated"));
            app.tell_who_may_come();
        }
    }
}

/// Fetches what is due, until it is dropped.
pub(crate) async fn run(app: &App) {
    let jwks = &app.gate.jwks;
    let mut running = FuturesUnordered::new();
    loop {
        for (number, url) in jwks.begin() {
            running.push(async move { (number, fetch(&app.fetcher, &url).await) });
        }
        jwks.take_out_outdated(app);
        tokio::select! {
            Some((number, outcome)) = running.next() => jwks.end(app, number, outcome),
            () = jwks.due.notified() => {}
            () = sleep_until(jwks.next()) => {}
        }
    }
}

async fn fetch(fetcher: &Fetcher, url: &str) -> Result<KeySet, NoKeys> {
    let uri: Uri = url.parse().map_err(|_| NoKeys::Url)?;
    let mut request = Request::new(Bytes::new());
    *request.uri_mut() = uri;
    let answer = fetcher.send(request).await?;
    if answer.status() != StatusCode::OK {
        return Err(NoKeys::Status(answer.status()));
    }
    Ok(KeySet::from_jwks(std::str::from_utf8(answer.body()).map_err(|_| NoKeys::Text)?)?)
}

/// So that servers that were started together do not fetch together. Without random numbers they do.
fn jitter() -> u8 {
    let mut random = [0];
    let _ = getrandom::fill(&mut random);
    random[0]
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::settings::Settings;
    use cuttlebone_access::{IssuerSettings, Jwt, Settings as Kinds};

    fn access(url: Option<&str>) -> Arc<Access> {
        let issuer = |url: &str| IssuerSettings { jwks_url: Some(url.to_owned()), ..IssuerSettings::new("https://a") };
        let jwt = url.map(|url| Jwt::new(vec![(issuer(url), KeySet::default())]).expect("good settings"));
        Arc::new(Access::new(Kinds { jwt, ..Kinds::default() }))
    }

    /// T38: whoever takes an issuer out and puts it in again has its keys fetched anew: what was asked for before tells of old ones.
    #[tokio::test]
    async fn t38_answer_that_was_asked_for_before_brings_no_keys() {
        let app = App::for_test(Settings::default());
        let jwks = &app.gate.jwks;
        let begun = || {
            app.gate.replace(access(Some("https://a/keys")));
            let begun = jwks.begin();
            assert_eq!((begun.len(), begun[0].1.as_str()), (1, "https://a/keys"));
            begun[0].0
        };
        let keys = |x: &str| {
            let key = format!(r#"{{"kty":"OKP","crv":"Ed25519","x":"{x}"}}"#);
            KeySet::from_jwks(&format!(r#"{{"keys":[{key}]}}"#)).map_err(NoKeys::from)
        };
        let [old, new] = ["Gb9ECWmEzf6FQbrBZ9w7lshQhqowtrbLDFw4rXAxZuE", "11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo"];
        let before = begun();
        app.gate.replace(access(None));
        let after = begun();
        jwks.end(&app, after, keys(new));
        let in_force = app.gate.access();
        jwks.end(&app, before, keys(old));
        assert!(Arc::ptr_eq(&app.gate.access(), &in_force) && jwks.remotes.lock()[0].fetches == 1);
        // One that stays is the same one.
        app.gate.replace(access(Some("https://a/keys")));
        let in_force = app.gate.access();
        jwks.end(&app, after, keys(old));
        assert!(!Arc::ptr_eq(&app.gate.access(), &in_force) && jwks.remotes.lock()[0].fetches == 2);
    }
}
