//! Asks somebody else whom a token stands for: `[hook]`, docs/HOOK.md.
//!
//! One task asks ([`run`]); requests wait for it ([`Hook::ask`]). Invariants: 1. one token is asked about once at a time, however
//! many wait; 2. how many are asked about at once, how many wait, and for how long, is bounded; 3. a hook that fails is left
//! alone; 4. the token goes into the body of the request and nowhere else; 5. what the hook said of somebody who is here is asked
//! again, and whoever it does not say it of any more is closed.

mod circuit;
mod table;

use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use cuttlebone_access::{HookAnswer, HookFault, Principal, Token};
use futures_util::stream::{FuturesUnordered, StreamExt as _};
use http::header::{ACCEPT, CONTENT_TYPE};
use http::{HeaderValue, Method, Request, StatusCode, Uri};
use parking_lot::Mutex;
use serde::Serialize;
use thiserror::Error;
use tokio::sync::Notify;
use tokio::time::{MissedTickBehavior, interval, timeout};

use crate::app::App;
use crate::clock;
use crate::fetch::{FetchError, Fetcher};
use crate::metrics::{HookOutcome, Metrics};

use circuit::Turn;
use table::{Ask, Begun, Now, Table};

/// How often those who are here are looked after.
const LOOK: Duration = Duration::from_secs(1);
/// Waiting in the queue and being asked about take together so many times the time of one exchange.
const PATIENCE: u32 = 2;
const JSON: HeaderValue = HeaderValue::from_static("application/json");

/// Who is asked, and how much: `[hook]`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct HookSettings {
    /// Who is asked: `hook.url`.
    pub url: Uri,
    /// What a token begins with that is asked about: `hook.prefix`. Empty is any.
    pub prefix: String,
    /// How long one exchange may take: `hook.timeout_ms`.
    pub timeout: Duration,
    /// How long an answer is good for others who come with the same token: `hook.cache_ms`.
    pub cache: Duration,
    /// The same for a token that is not recognised: `hook.denied_cache_ms`.
    pub denied_cache: Duration,
    /// How often those who are here are asked about again: `hook.recheck_ms`.
    pub recheck: Duration,
    /// How long they stay while the hook fails: `hook.stale_ms`.
    pub stale: Duration,
    /// How many are asked about at once: `hook.concurrent`.
    pub asks: usize,
    /// How many wait for that: `hook.waiting`.
    pub waiting: usize,
    /// How many answers are kept: `hook.kept`.
    pub kept: usize,
}

impl HookSettings {
    /// The defaults, for the hook at `url`.
    #[must_use]
    pub fn new(url: Uri) -> Self {
        Self {
            url,
            prefix: String::new(),
            timeout: Duration::from_secs(3),
            cache: Duration::from_secs(60),
            denied_cache: Duration::from_secs(10),
            recheck: Duration::from_secs(60),
            stale: Duration::from_secs(10 * 60),
            asks: 32,
            waiting: 256,
            kept: 10_000,
        }
    }
}

/// What the hook says of a token.
#[derive(Debug, Clone)]
pub(super) enum Outcome {
    Recognised(Arc<Principal>),
    Denied,
    /// Nothing that can be used: it is not known whether the token is good.
    Failed,
}

/// What is asked.
#[derive(Serialize)]
struct Question<'a> {
    token: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    address: Option<IpAddr>,
}

/// Why there is no answer.
#[derive(Debug, Error)]
enum NoAnswer {
    #[error(transparent)]
    Fetch(#[from] FetchError),
    #[error("the answer is {0}, and not 200, 401 or 403")]
    Status(StatusCode),
    #[error("{0}")]
    Unusable(#[from] HookFault),
    #[error("the question can't be written")]
    Question,
}

impl NoAnswer {
    /// Whether the hook works, and has nothing to say of this token that can be used.
    const fn is_about_the_token(&self) -> bool {
        match self {
            Self::Unusable(_) | Self::Question => true,
            Self::Status(status) => matches!(status.as_u16(), 400..=499),
            Self::Fetch(_) => false,
        }
    }
}

/// Those who know tokens that we do not.
#[derive(Debug)]
pub(crate) struct Hook {
    settings: HookSettings,
    table: Mutex<Table>,
    /// There may be something to ask.
    due: Notify,
}

impl Hook {
    pub(super) fn new(settings: &HookSettings) -> Self {
        Self { settings: settings.clone(), table: Mutex::new(Table::new(settings)), due: Notify::new() }
    }

    /// Whether the hook is asked about such a token. What has the form of a static token or of a session is
    /// never shown to anybody: it was one.
    pub(super) fn is_for(&self, token: &Token) -> bool {
        !token.is_ours() && token.as_str().starts_with(&self.settings.prefix)
    }

    /// What it said lately.
    pub(super) fn kept(&self, token: &Token, metrics: &Metrics) -> Option<Outcome> {
        let kept = self.table.lock().kept(&token.hash(), now());
        if kept.is_some() {
            metrics.hook_answered(HookOutcome::Kept);
        }
        kept
    }

    /// What it says. Cancel safe: it is asked all the same, if others wait for the same.
    pub(super) async fn ask(&self, token: &Token, address: Option<IpAddr>, metrics: &Metrics) -> Outcome {
        let begun = self.table.lock().begin(token, address, now());
        let mut outcome = match begun {
            Begun::Done(outcome) => return outcome,
            Begun::Waits(outcome) => outcome,
            Begun::Busy => {
                metrics.hook_answered(HookOutcome::Busy);
                return Outcome::Failed;
            }
            Begun::Closed => {
                metrics.hook_answered(HookOutcome::LeftAlone);
                return Outcome::Failed;
            }
        };
        self.due.notify_one();
        match timeout(self.settings.timeout * PATIENCE, outcome.wait_for(Option::is_some)).await {
            Ok(Ok(outcome)) => outcome.clone().unwrap_or(Outcome::Failed),
            Ok(Err(_)) => Outcome::Failed,
            Err(_) => {
                metrics.hook_answered(HookOutcome::Busy);
                Outcome::Failed
            }
        }
    }

    /// Forgets what it said lately: there is little memory.
    pub(super) fn forget(&self) {
        self.table.lock().forget();
    }

    /// Shows how many tokens are asked about again.
    pub(crate) fn measure(&self, metrics: &Metrics) {
        metrics.set_hook_tokens(self.table.lock().live());
    }

    fn next(&self) -> Option<Ask> {
        self.table.lock().next(clock::now())
    }

    fn end(&self, ask: Ask, answer: Result<Option<HookAnswer>, NoAnswer>, metrics: &Metrics) {
        let mut table = self.table.lock();
        let (counted, turn, error) = match answer {
            Ok(Some(answer)) => (HookOutcome::Recognised, table.on_recognised(ask, answer, now()), None),
            Ok(None) => (HookOutcome::Denied, table.on_denied(&ask, now()), None),
            Err(error) if error.is_about_the_token() => {
                let is_news = table.on_unusable(&ask, now());
                (HookOutcome::Failed, if is_news { Turn::Worse } else { Turn::Same }, Some(error))
            }
            Err(error) => (HookOutcome::Failed, table.on_failed(&ask, now()), Some(error)),
        };
        drop(table);
        metrics.hook_answered(counted);
        match (turn, error) {
            (Turn::Worse, Some(error)) => tracing::warn!(%error, "the hook fails"),
            (Turn::Better, _) => tracing::info!("the hook answers again"),
            _ => {}
        }
    }
}

/// Asks what is to be asked, until it is dropped.
pub(crate) async fn run(app: &App, hook: &Hook) {
    let fetcher = app.fetcher.with_limits(hook.settings.timeout, app.settings.fetch.max_bytes);
    let mut running = FuturesUnordered::new();
    let mut looks = interval(LOOK);
    looks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        while let Some(ask) = hook.next() {
            running.push(async {
                let answer = send(&fetcher, &hook.settings.url, &ask).await;
                (ask, answer)
            });
        }
        tokio::select! {
            Some((ask, answer)) = running.next() => hook.end(ask, answer, &app.metrics),
            () = hook.due.notified() => {}
            _ = looks.tick() => {
                let (withdrawn, over) = hook.table.lock().look(now());
                if withdrawn + over > 0 {
                    app.metrics.hook_withdrew(withdrawn + over);
                }
                if withdrawn > 0 {
                    app.tell_who_may_come();
                }
            }
        }
    }
}

/// Nobody, where the hook does not recognise the token.
async fn send(fetcher: &Fetcher, url: &Uri, ask: &Ask) -> Result<Option<HookAnswer>, NoAnswer> {
    let question = Question { token: ask.token.as_str(), address: ask.address };
    let body = serde_json::to_vec(&question).map_err(|_| NoAnswer::Question)?;
    let mut request = Request::new(Bytes::from(body));
    *request.method_mut() = Method::POST;
    *request.uri_mut() = url.clone();
    request.headers_mut().insert(CONTENT_TYPE, JSON);
    request.headers_mut().insert(ACCEPT, JSON);
    let answer = fetcher.send(request).await?;
    match answer.status() {
        StatusCode::OK => Ok(Some(HookAnswer::parse(answer.body())?)),
        StatusCode::UNAUTHORIZED | StatusCode::FORBIDDEN => Ok(None),
        other => Err(NoAnswer::Status(other)),
    }
}

fn now() -> Now {
    Now { instant: clock::now(), unix: clock::unix_ms() / 1000 }
}
