//! Asking a provider, without a network: what to send, and what comes of what came back.
//!
//! An answer is used until it expires; from the half of its time on a new one is asked for. While there is an errand there is no
//! other to the same provider, be it that it fails and is tried again.

use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use cuttlebone_proto::IceServer;
use parking_lot::Mutex;
use thiserror::Error;

use crate::provider::{self, ProviderSettings};

/// Something to be sent, and to be brought back to [`Errand::end`]. Dropped without an end, it leaves the provider to the next.
pub struct Errand {
    /// To whom, by POST.
    pub url: String,
    /// The header `Authorization`: a secret.
    pub authorization: String,
    /// The header `Content-Type`.
    pub content_type: &'static str,
    /// What to send.
    pub body: String,
    ttl: u64,
    state: Arc<Mutex<State>>,
    /// Another may be under way by now.
    is_over: AtomicBool,
}

/// What came of an errand.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ErrandEnd {
    /// There are new servers.
    Done {
        /// There were none before, so whoever was told meanwhile was told of none.
        is_news: bool,
    },
    /// There are none: try it again, after a while.
    Again {
        /// Why, if it was the answer.
        reason: Option<BadAnswer>,
        /// Whether those of before are still good.
        has_old: bool,
    },
}

/// What is wrong with an answer. Has nothing of it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
pub enum BadAnswer {
    /// Not JSON with a list of servers.
    #[error("it is not JSON of a known shape")]
    Shape,
    /// More or longer than anybody is told.
    #[error("it has more servers or longer texts than are taken")]
    TooMuch,
    /// An address that is none.
    #[error("it has an address that is none of stun:, stuns:, turn: or turns:")]
    Url,
    /// A relay without one.
    #[error("it has a relay without a credential")]
    NoCredential,
    /// Expired as soon as it is used.
    #[error("its credentials are good for less than a minute")]
    Short,
    /// Nothing that was asked for.
    #[error("it has no relay")]
    NoRelay,
}

#[derive(Default)]
pub(crate) struct State {
    answer: Option<Answer>,
    under_way: UnderWay,
}

struct Answer {
    servers: Arc<[IceServer]>,
    asked_at: u64,
    expires_at: u64,
}

#[derive(Default, Clone, Copy, PartialEq, Eq)]
enum UnderWay {
    #[default]
    No,
    /// It is being asked for the first time, and will have an answer or none soon.
    First,
    /// That failed.
    Again,
}

impl State {
    /// The servers of an answer that is still good, and until when that is.
    pub(crate) fn good(&self, now: u64) -> Option<(&Arc<[IceServer]>, u64)> {
        let answer = self.answer.as_ref().filter(|answer| now < answer.expires_at)?;
        Some((&answer.servers, answer.expires_at))
    }

    /// Whether there is nothing, and it will soon be known whether there is something.
    pub(crate) fn is_awaited(&self, now: u64) -> bool {
        self.under_way == UnderWay::First && self.good(now).is_none()
    }

    fn is_due(&self, now: u64) -> bool {
        let is_young = |answer: &Answer| now < answer.asked_at + (answer.expires_at - answer.asked_at) / 2;
        self.under_way == UnderWay::No && !self.answer.as_ref().is_some_and(is_young)
    }
}

impl Errand {
    /// Begins one, if a new answer is due and no other is under way.
    pub(crate) fn begin(provider: &ProviderSettings, state: &Arc<Mutex<State>>, ttl: u64, now: u64) -> Option<Self> {
        let mut held = state.lock();
        if !held.is_due(now) {
            return None;
        }
        held.under_way = UnderWay::First;
        drop(held);
        Some(Self {
            url: provider.url.clone(),
            authorization: provider.authorization(),
            content_type: provider.body.content_type(),
            body: provider.body.text(ttl),
            ttl,
            state: Arc::clone(state),
            is_over: AtomicBool::new(false),
        })
    }

    /// Brings back the body of an answer, or that there is none. `asked_at` is when the question went out. After
    /// [`ErrandEnd::Again`] the errand is to be carried out once more.
    pub fn end(&self, answer: Option<&[u8]>, asked_at: u64, now: u64) -> ErrandEnd {
        let parsed = answer.map(provider::parse);
        let mut state = self.state.lock();
        match parsed {
            Some(Ok((servers, ttl))) => {
                let is_news = state.good(now).is_none();
                // A provider may give less time than it was asked for; more was not asked for.
                let expires_at = asked_at.saturating_add(ttl.map_or(self.ttl, |ttl| ttl.min(self.ttl)));
                state.answer = Some(Answer { servers: servers.into(), asked_at, expires_at });
                state.under_way = UnderWay::No;
                self.is_over.store(true, Ordering::Relaxed);
                ErrandEnd::Done { is_news }
            }
            failed => {
                state.under_way = UnderWay::Again;
                ErrandEnd::Again { reason: failed.and_then(Result::err), has_old: state.good(now).is_some() }
            }
        }
    }
}

impl Drop for Errand {
    fn drop(&mut self) {
        if !self.is_over.load(Ordering::Relaxed) {
            self.state.lock().under_way = UnderWay::No;
        }
    }
}

impl fmt::Debug for Errand {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Errand")
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::provider::RequestBody;
    use crate::settings::Scope;

    const GOOD: &[u8] = br#"{"iceServers":[{"urls":"turn:t","username":"u","credential":"c"}]}"#;
    const TTL: u64 = 1000;

    fn provider() -> ProviderSettings {
        ProviderSettings {
            url: "https://p.example/".into(),
            body: RequestBody::Json,
            username: None,
            secret: "CANARY".into(),
            scope: Scope::default(),
        }
    }

    fn begin(state: &Arc<Mutex<State>>, now: u64) -> Option<Errand> {
        Errand::begin(&provider(), state, TTL, now)
    }

    #[test]
    fn answer_is_asked_for_again_from_the_half_of_its_time_on_and_given_until_its_end() {
        let state = Arc::default();
        let errand = begin(&state, 0).expect("due");
        assert!(state.lock().is_awaited(0));
        assert!(begin(&state, 0).is_none(), "one at a time");
        assert_eq!(errand.end(Some(GOOD), 0, 3), ErrandEnd::Done { is_news: true });
        drop(errand);
        assert!(begin(&state, 499).is_none());
        let errand = begin(&state, 500).expect("half of it is over");
        assert!(!state.lock().is_awaited(500), "there is one meanwhile");
        assert_eq!(errand.end(None, 500, 503), ErrandEnd::Again { reason: None, has_old: true });
        assert!(begin(&state, 504).is_none(), "it is tried again by whoever failed");
        assert!(state.lock().good(999).is_some());
        assert!(state.lock().good(1000).is_none(), "an expired one is given to nobody");
        assert!(!state.lock().is_awaited(1000), "nobody waits for what has failed");
        let again = ErrandEnd::Again { reason: Some(BadAnswer::Shape), has_old: false };
        assert_eq!(errand.end(Some(b"x"), 1000, 1000), again);
        assert_eq!(errand.end(Some(GOOD), 1001, 1002), ErrandEnd::Done { is_news: true });
        assert_eq!(state.lock().good(2000).map(|(_, expires_at)| expires_at), Some(2001));
        let next = begin(&state, 1600).expect("due");
        drop(errand);
        assert!(begin(&state, 1600).is_none(), "the end of one that is over is not the end of the next");
        drop(next);
    }

    #[test]
    fn provider_may_give_less_time_and_never_more() {
        for (said, expected) in [("\"400\"", 400), ("5000", TTL), ("\"x\"", TTL), ("null", TTL)] {
            let state = Arc::default();
            let errand = begin(&state, 0).expect("due");
            let text =
                format!(r#"{{"ice_servers":[{{"urls":"turn:t","username":"u","credential":"c"}}],"ttl":{said}}}"#);
            errand.end(Some(text.as_bytes()), 0, 0);
            let until = state.lock().good(0).map(|(_, expires_at)| expires_at);
            assert_eq!(until, Some(expected), "{said}");
        }
    }

    #[test]
    fn errand_that_is_lost_leaves_the_provider_to_the_next() {
        let state = Arc::default();
        drop(begin(&state, 0).expect("due"));
        let errand = begin(&state, 0).expect("due again");
        assert_eq!(format!("{errand:?}"), "Errand");
        assert_eq!((errand.body.as_str(), errand.authorization.as_str()), ("{\"ttl\":1000}", "Bearer CANARY"));
    }
}
