//! Peers that drive a seat by hand.

use std::sync::Arc;
use std::sync::atomic::{AtomicU32, AtomicU64, AtomicUsize, Ordering};
use std::task::{Context, Poll, Waker, ready};
use std::time::{Duration, Instant};

use cuttlebone_hub::{
    Address, Bound, ConfigFor, IdSource, Item, Next, Observer, Received, Registry, Resolution, Seat, SeatOptions,
    Settings, TokenKey, Tokens, Unobserved,
};
use cuttlebone_proto::{ClientId, DeviceId};

/// Ids 1, 2, 3, …: what is random elsewhere can be told in a test.
#[derive(Default)]
struct Counting {
    ids: AtomicU32,
    sessions: AtomicU64,
}

impl IdSource for Counting {
    fn draw(&self) -> ClientId {
        ClientId::new(self.ids.fetch_add(1, Ordering::Relaxed) + 1).expect("few ids")
    }

    fn draw_session(&self) -> u64 {
        self.sessions.fetch_add(1, Ordering::Relaxed)
    }
}

pub(crate) const OPTIONS: SeatOptions = SeatOptions {
    depth: 64,
    device_info_bytes: 1 << 16,
    first_message: Duration::from_secs(10),
    small_reader: false,
    party: None,
    owner: None,
};

/// A `config` that tells nobody anything.
pub(crate) fn config(_: ConfigFor) -> String {
    r#"{"message_type":"config","ice_servers":[]}"#.into()
}

/// The registry of the first process.
pub(crate) fn registry(settings: Settings) -> Registry {
    registry_of(settings, 1, 0)
}

/// The registry of a process of this number, which began at this time. All have the same key.
pub(crate) fn registry_of(settings: Settings, process: u64, started_ms: u64) -> Registry {
    let tokens = Tokens::new(Box::new(Sum), process, started_ms);
    // Only a test that has several processes is about clients of an earlier one.
    let tokens = if process == 1 { tokens } else { tokens.shared() };
    Registry::new(settings, Box::<Counting>::default(), tokens, Arc::new(Unobserved))
}

/// The registry of the first process, and who hears of it.
pub(crate) fn registry_heard_by(observer: Arc<dyn Observer>, settings: Settings) -> Registry {
    Registry::new(settings, Box::<Counting>::default(), Tokens::new(Box::new(Sum), 1, 0), observer)
}

/// A registry that gives these ids to its clients, in this order.
pub(crate) fn registry_with_ids(ids: &[u32]) -> Registry {
    let ids = Box::new(Scripted { ids: ids.into(), drawn: AtomicUsize::new(0) });
    Registry::new(Settings::default(), ids, Tokens::new(Box::new(Sum), 1, 0), Arc::new(Unobserved))
}

/// Ids that a test has chosen.
struct Scripted {
    ids: Box<[u32]>,
    drawn: AtomicUsize,
}

impl IdSource for Scripted {
    fn draw(&self) -> ClientId {
        ClientId::new(self.ids[self.drawn.fetch_add(1, Ordering::Relaxed)]).expect("an id")
    }

    fn draw_session(&self) -> u64 {
        self.drawn.load(Ordering::Relaxed) as u64
    }
}

/// A hash that nobody here tries to forge.
struct Sum;

impl TokenKey for Sum {
    fn sign(&self, message: &[u8]) -> [u8; 32] {
        let sum = message.iter().fold(7_u64, |sum, byte| sum.wrapping_mul(31).wrapping_add(u64::from(*byte)));
        std::array::from_fn(|at| sum.to_be_bytes()[at % 8])
    }

    fn verify(&self, message: &[u8], tag: &[u8]) -> bool {
        self.sign(message) == tag
    }
}

pub(crate) fn tiny() -> Settings {
    let bound = Bound { frames: 2, bytes: 10_000 };
    Settings { client_queue: bound, device_queue: bound, held: bound, ..Settings::default() }
}

#[expect(clippy::disallowed_methods, reason = "a test needs some moment to begin with")]
pub(crate) fn start() -> Instant {
    Instant::now()
}

/// Where the device is that most tests are about.
pub(crate) fn device_d() -> Address {
    Address::common(DeviceId::new("d").expect("valid"))
}

/// The token in a `device_info`.
pub(crate) fn token(device_info: &str) -> String {
    device_info.split('"').skip_while(|word| *word != "cuttlebone_resume").nth(2).expect("a token").into()
}

/// One peer and its seat.
pub(crate) struct Peer {
    pub(crate) seat: Seat,
    pub(crate) registry: Registry,
    pub(crate) now: Instant,
    pub(crate) now_ms: u64,
    /// What writes its `config`.
    pub(crate) config: fn(ConfigFor) -> String,
}

impl Peer {
    pub(crate) fn device(registry: &Registry) -> Self {
        Self::device_with(registry, &OPTIONS)
    }

    pub(crate) fn device_with(registry: &Registry, options: &SeatOptions) -> Self {
        let now = start();
        Self { seat: Seat::device(registry, options, now), registry: registry.clone(), now, now_ms: 0, config }
    }

    pub(crate) fn client(registry: &Registry) -> Self {
        Self::client_with(registry, &OPTIONS)
    }

    pub(crate) fn client_with(registry: &Registry, options: &SeatOptions) -> Self {
        let now = start();
        Self { seat: Seat::client(registry, options, now), registry: registry.clone(), now, now_ms: 0, config }
    }

    pub(crate) fn registered(registry: &Registry, info: &str) -> Self {
        let mut device = Self::device(registry);
        device.register(info);
        device
    }

    pub(crate) fn attached(registry: &Registry) -> Self {
        let mut client = Self::client(registry);
        client.send(r#"{"message_type":"connect","device_id":"d"}"#);
        client
    }

    /// A client whose `connect` says this of its session: `true`, or a token in quotes and what follows it.
    pub(crate) fn resuming(registry: &Registry, resume: &str) -> Self {
        let mut client = Self::client(registry);
        client.send(&format!(r#"{{"message_type":"connect","device_id":"d","cuttlebone_resume":{resume}}}"#));
        client
    }

    pub(crate) fn register(&mut self, info: &str) {
        self.send(&format!(r#"{{"message_type":"register","device_id":"d","device_info":{info}}}"#));
    }

    pub(crate) fn forward(&mut self, payload: &str) -> Next {
        self.send(&format!(r#"{{"message_type":"forward","payload":{payload}}}"#))
    }

    pub(crate) fn forward_to(&mut self, client: u32, payload: &str) -> Next {
        self.send(&format!(r#"{{"message_type":"forward","client_id":{client},"payload":{payload}}}"#))
    }

    /// Sends a text; a holder of the id that is asked for does not answer.
    pub(crate) fn send(&mut self, text: &str) -> Next {
        let next = self.seat.on_text(text, self.now);
        self.settle(next)
    }

    fn settle(&mut self, next: Next) -> Next {
        let Next::Await(request) = next else { return next };
        let mut resolution = self.registry.resolve(request, &self.config, self.now_ms);
        loop {
            match resolution {
                Resolution::Answer(answer) => return self.seat.on_answer(answer, self.now),
                Resolution::Probe(probe) => resolution = self.registry.conclude(probe, false, &self.config, 0),
            }
        }
    }

    /// What the peer would read now, notices carried out; a close as `close CODE`.
    pub(crate) fn received(&mut self) -> Vec<String> {
        let mut texts = Vec::new();
        let mut cx = Context::from_waker(Waker::noop());
        while let Poll::Ready(text) = self.poll_entry(&mut cx) {
            texts.extend(text);
        }
        texts
    }

    /// What the peer is written at once.
    pub(crate) fn next_batch(&mut self) -> Vec<String> {
        let mut items = Vec::new();
        let _ = self.seat.inbox().poll_receive(&mut Context::from_waker(Waker::noop()), 64, &mut items);
        items.into_iter().filter_map(|item| self.on_item(item)).collect()
    }

    /// Takes one entry out of the mailbox: what the peer would read, if it is something to read.
    pub(crate) fn poll_entry(&mut self, cx: &mut Context<'_>) -> Poll<Option<String>> {
        let mut items = Vec::new();
        let received = ready!(self.seat.inbox().poll_receive(cx, 1, &mut items));
        if received == Received::Revoked {
            self.seat.on_cut(self.now);
        }
        Poll::Ready(items.pop().and_then(|item| self.on_item(item)))
    }

    fn on_item(&mut self, item: Item) -> Option<String> {
        match item {
            Item::Text(text) => Some(text),
            Item::Notice(notice) => {
                let next = self.seat.on_notice(notice);
                self.settle(next);
                None
            }
            Item::Close(code) => {
                self.seat.on_closing();
                Some(format!("close {}", code.value()))
            }
        }
    }
}
