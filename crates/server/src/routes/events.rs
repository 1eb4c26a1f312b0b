//! `GET /api/v1/devices/events`: the device list as it changes, as server-sent events.
//!
//! A stream begins with a `snapshot` and gets another after a gap, so a watcher never has to ask again.

use std::convert::Infallible;
use std::mem;
use std::sync::Arc;
use std::time::Duration;

use axum::body::Body;
use axum::body::Bytes;
use axum::extract::{Extension, State};
use axum::response::{IntoResponse, Response};
use futures_util::stream;
use http::header::{CACHE_CONTROL, CONTENT_TYPE};
use tokio::sync::broadcast::error::RecvError;
use tokio::sync::{OwnedSemaphorePermit, broadcast, watch};
use tokio::time::timeout_at;

use super::devices::{may_not_list, no_place};
use crate::app::App;
use crate::caller::{Caller, View};
use crate::clock;
use crate::feed::Change;
use crate::link::{Endless, Link};
use crate::listing::TooManyUnread;
use crate::metrics::{Counted, Refusal};
use crate::problem;

/// How long a stream is silent before it says that it is there, for proxies that cut silent ones.
const KEEP_ALIVE: Duration = Duration::from_secs(15);

/// Opens a stream, if there is a place for one.
pub(crate) async fn stream(
    State(app): State<Arc<App>>,
    Extension(link): Extension<Arc<Link>>,
    Extension(caller): Extension<Caller>,
) -> Response {
    if !caller.may_list() {
        return may_not_list(&app, &link, &caller);
    }
    let Ok(place) = Arc::clone(&app.event_streams).try_acquire_owned() else {
        no_place(&app, &link, &caller, Refusal::EventStreamsFull);
        return problem::unavailable("too_many_event_streams", "Too many streams of events");
    };
    let (gate, reader) = (Arc::clone(&app), caller.clone());
    link.set_endless(Endless::new(move || gate.gate.is_still_good(&reader)));
    let headers = [(CONTENT_TYPE, "text/event-stream"), (CACHE_CONTROL, "no-store")];
    let stream = EventStream::new(app, (caller, link), place);
    (headers, Body::from_stream(stream::unfold(stream, EventStream::next))).into_response()
}

struct EventStream {
    app: Arc<App>,
    caller: Caller,
    link: Arc<Link>,
    /// Who may be here has changed.
    access: watch::Receiver<()>,
    changes: broadcast::Receiver<Change>,
    /// The watcher's list is not ours: send all of it next.
    behind: bool,
    _place: OwnedSemaphorePermit,
    _counted: Counted,
}

impl EventStream {
    fn new(app: Arc<App>, (caller, link): (Caller, Arc<Link>), place: OwnedSemaphorePermit) -> Self {
        let counted = app.metrics.event_stream();
        Self {
            changes: app.feed.subscribe(),
            access: app.gate.changes(),
            caller,
            link,
            app,
            behind: true,
            _place: place,
            _counted: counted,
        }
    }

    /// The next block, or the end when the server stops.
    async fn next(mut self) -> Option<(Result<Bytes, Infallible>, Self)> {
        let stopping = self.app.tasks.stopping.clone();
        let block = stopping.run_until_cancelled(self.block()).await??;
        Some((Ok(block), self))
    }

    async fn block(&mut self) -> Option<Bytes> {
        if mem::take(&mut self.behind) {
            // What changed before this stream could hear of it, it has not heard.
            return self.snapshot().await;
        }
        let quiet_until = clock::now() + KEEP_ALIVE;
        loop {
            // Order: who may not be here any more is told nothing more.
            let change = tokio::select! {
                biased;
                Ok(()) = self.access.changed() => None,
                change = timeout_at(quiet_until, self.changes.recv()) => Some(change),
            };
            // Most of what happens may be none of its business.
            if matches!(&change, Some(Ok(Ok(Change::Block { address, .. }))) if !self.caller.may_see(address)) {
                continue;
            }
            if !self.may_stay() {
                return None;
            }
            match change {
                None => {}
                Some(Ok(Ok(Change::Block { for_operators, .. }))) if self.caller.view() == View::All => {
                    return Some(for_operators);
                }
                Some(Ok(Ok(Change::Block { block, .. }))) => return Some(block),
                Some(Ok(Ok(Change::Gap) | Err(RecvError::Lagged(_)))) => {
                    // What still waits is older than the list that is taken now.
                    self.changes = self.changes.resubscribe();
                    return self.snapshot().await;
                }
                Some(Ok(Err(RecvError::Closed))) => return None,
                Some(Err(_)) => return Some(Bytes::from_static(b": keep-alive\n\n")),
            }
        }
    }

    fn may_stay(&self) -> bool {
        self.app.gate.is_still_good(&self.caller)
    }

    /// All of the list. There may be no room for one; then the stream ends, and its reader comes again.
    async fn snapshot(&self) -> Option<Bytes> {
        let reader = (&self.caller, self.link.peer.ip());
        let listing = self.app.listings.seen_by(reader, &self.app.registry).await;
        match listing {
            // It may have waited for its turn.
            Ok(listing) => self.may_stay().then(|| listing.block()),
            Err(TooManyUnread) => {
                no_place(&self.app, &self.link, &self.caller, Refusal::ListsFull);
                None
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::devices;
    use super::*;
    use cuttlebone_access::{Access, NewToken, Settings, StaticTokens, Token, TokenFields};
    use cuttlebone_hub::{Address, Realm};
    use cuttlebone_proto::DeviceId;

    fn app(event_buffer: usize) -> Arc<App> {
        let mut settings = crate::settings::Settings::default();
        settings.hub.event_buffer = event_buffer;
        App::for_test(settings)
    }

    async fn opened(app: &Arc<App>) -> EventStream {
        let place = Arc::clone(&app.event_streams).try_acquire_owned().expect("a place");
        let mut stream = EventStream::new(Arc::clone(app), (Caller::ANYBODY, Link::for_test(clock::now())), place);
        assert_eq!(stream.block().await.expect("a block"), "event: snapshot\ndata: []\n\n");
        stream
    }

    fn block(text: &'static str) -> Change {
        let address = Address { device_id: DeviceId::new("d").expect("valid"), realm: Realm::Common };
        let block = Bytes::from_static(text.as_bytes());
        Change::Block { address, for_operators: block.clone(), block }
    }

    #[tokio::test(start_paused = true)]
    async fn silent_stream_says_every_15_s_that_it_is_there() {
        let app = app(8);
        let mut stream = opened(&app).await;
        let begun = clock::now();
        for _ in 0..2 {
            assert_eq!(stream.block().await.expect("a block"), ": keep-alive\n\n");
        }
        assert_eq!(clock::now() - begun, 2 * KEEP_ALIVE);
    }

    #[tokio::test]
    async fn stream_that_fell_behind_gets_a_snapshot_instead_of_what_it_missed() {
        let app = app(2);
        let mut stream = opened(&app).await;
        for text in ["1", "2", "3", "4"] {
            app.feed.send(block(text));
        }
        assert!(stream.block().await.expect("a block").starts_with(b"event: snapshot"));
        app.feed.send(block("5"));
        assert_eq!(stream.block().await.expect("a block"), "5");
    }

    #[tokio::test]
    async fn gap_in_the_feed_is_a_snapshot_for_every_stream() {
        let app = app(2);
        let mut streams = [opened(&app).await, opened(&app).await];
        app.feed.send(Change::Gap);
        for stream in &mut streams {
            assert!(stream.block().await.expect("a block").starts_with(b"event: snapshot"));
        }
    }

    /// Whoever knows an observer, and the observer.
    fn observer() -> (Arc<Access>, Caller) {
        let new = NewToken::from_random(&[7; 32]);
        let fields = TokenFields { name: "w", role: "observer", ..TokenFields::default() };
        let tokens = StaticTokens::parse(&new.line(&fields).expect("a line")).expect("good");
        let access = Access::new(Settings { tokens: Some(tokens), ..Settings::default() });
        let token = Token::new(new.secret()).expect("a token");
        let principal = access.authenticate(&token, 0).expect("known");
        (Arc::new(access), Caller::known(principal))
    }

    #[tokio::test]
    async fn stream_of_one_whose_token_was_taken_back_before_it_could_hear_of_it_tells_nothing() {
        let app = app(2);
        let (access, caller) = observer();
        let opened = |caller| {
            let place = Arc::clone(&app.event_streams).try_acquire_owned().expect("a place");
            EventStream::new(Arc::clone(&app), (caller, Link::for_test(clock::now())), place)
        };
        assert!(opened(caller.clone()).block().await.is_none());
        app.gate.replace(access);
        assert!(opened(caller).block().await.is_some());
    }

    #[tokio::test]
    async fn t20_who_is_shut_out_while_it_waits_for_a_list_is_told_none() {
        let app = app(2);
        let (access, caller) = observer();
        app.gate.replace(access);
        let link = Link::for_test(clock::now());
        let place = Arc::clone(&app.event_streams).try_acquire_owned().expect("a place");
        let mut stream = EventStream::new(Arc::clone(&app), (caller.clone(), Arc::clone(&link)), place);
        let turn = app.listings.turn().await;
        let list = devices::list(State(Arc::clone(&app)), Extension(link), Extension(caller));
        let shut_out = async {
            app.gate.replace(Arc::new(Access::new(Settings::default())));
            drop(turn);
        };
        let (block, list, ()) = tokio::join!(biased; stream.block(), list, shut_out);
        assert!(block.is_none());
        assert_eq!(list.status(), 401);
    }

    #[tokio::test]
    async fn stream_ends_when_the_server_stops() {
        let app = app(2);
        let stream = opened(&app).await;
        app.tasks.stopping.cancel();
        assert!(stream.next().await.is_none());
    }
}
