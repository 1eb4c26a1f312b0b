//! Reaching every connection: to say goodbye without having them all come back at once, and to have each look at what has
//! changed for it.
//!
//! Every upgraded connection belongs to one wave. A drain fires one wave after the other, each at a random moment of its
//! share of the time.

use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU8, AtomicU64, Ordering};
use std::task::{Context, Poll};
use std::time::Duration;

use futures_util::task::AtomicWaker;
use parking_lot::Mutex;
use tokio::time::sleep_until;
use tokio_util::sync::CancellationToken;

use crate::{clock, tables};

const WAVES: usize = 32;

/// How much time a drain takes for each connection, as long as there is time: 2,000 reconnections a second.
const PER_CONNECTION: Duration = Duration::from_micros(500);

/// So many connections may come back at once. They are told at once, too: a client hears of the stop and not that its device
/// has just left.
const FEW: usize = 64;

/// The waves of one server.
#[derive(Debug)]
pub(crate) struct Waves {
    waves: [Arc<Wave>; WAVES],
    next: AtomicU64,
    all_told: CancellationToken,
}

/// Those who are told together.
#[derive(Debug, Default)]
struct Wave {
    members: Mutex<HashMap<u64, Arc<Signal>>>,
    is_fired: AtomicBool,
}

/// What one connection looks at whenever it wakes: no lock, and small, for every idle connection has one.
#[derive(Debug, Default)]
struct Signal {
    is_fired: AtomicBool,
    /// Bits of [`News`].
    news: AtomicU8,
    waker: AtomicWaker,
}

/// What has changed for connections.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct News {
    /// Who may be here.
    pub(crate) is_access: bool,
    /// Which STUN and TURN servers peers are told of.
    pub(crate) is_servers: bool,
}

impl News {
    const ACCESS: u8 = 1;
    const SERVERS: u8 = 2;

    /// Who may be here.
    pub(crate) fn access() -> Self {
        Self { is_access: true, is_servers: false }
    }

    /// Which servers peers are told of.
    pub(crate) fn servers() -> Self {
        Self { is_access: false, is_servers: true }
    }
}

/// A connection's place in its wave.
#[derive(Debug)]
pub(crate) struct Goodbye {
    wave: Arc<Wave>,
    signal: Arc<Signal>,
    key: u64,
}

impl Goodbye {
    /// Ready when it is this connection's turn to be told that the server stops. Cancel safe; for one task at a time.
    pub(crate) fn poll_told(&self, cx: &mut Context<'_>) -> Poll<()> {
        if !self.signal.is_fired.load(Ordering::Acquire) {
            self.signal.waker.register(cx.waker());
            if !self.signal.is_fired.load(Ordering::Acquire) {
                return Poll::Pending;
            }
        }
        Poll::Ready(())
    }

    /// The number of the connection, which no other has as long as the process lives.
    pub(crate) fn number(&self) -> u64 {
        self.key
    }

    /// What [`Waves::tell_news`] was called for since this was asked. To be asked after [`Goodbye::poll_told`], which has the
    /// task woken.
    pub(crate) fn take_news(&self) -> Option<News> {
        if self.signal.news.load(Ordering::Acquire) == 0 {
            return None;
        }
        let news = self.signal.news.swap(0, Ordering::AcqRel);
        Some(News { is_access: news & News::ACCESS > 0, is_servers: news & News::SERVERS > 0 })
    }
}

impl Drop for Goodbye {
    fn drop(&mut self) {
        tables::remove(&mut self.wave.members.lock(), &self.key);
    }
}

impl Wave {
    fn join(wave: &Arc<Self>, key: u64) -> Goodbye {
        let signal = Arc::new(Signal::default());
        let mut members = wave.members.lock();
        members.insert(key, Arc::clone(&signal));
        signal.is_fired.store(wave.is_fired.load(Ordering::Relaxed), Ordering::Release);
        drop(members);
        Goodbye { wave: Arc::clone(wave), signal, key }
    }

    fn fire(&self) {
        let members = self.members.lock();
        self.is_fired.store(true, Ordering::Relaxed);
        for signal in members.values() {
            signal.is_fired.store(true, Ordering::Release);
            signal.waker.wake();
        }
    }
}

impl Waves {
    pub(crate) fn new() -> Self {
        Self {
            waves: std::array::from_fn(|_| Arc::default()),
            next: AtomicU64::new(0),
            all_told: CancellationToken::new(),
        }
    }

    /// Fires after the last wave: until then a session whose connection was closed stays, so that its peer, in a later
    /// wave, is not told that it is gone.
    pub(crate) fn all_told(&self) -> &CancellationToken {
        &self.all_told
    }

    /// A place for a new connection, in the wave that it belongs to.
    pub(crate) fn join(&self) -> Goodbye {
        let key = self.next.fetch_add(1, Ordering::Relaxed);
        Wave::join(&self.waves[usize::try_from(key % WAVES as u64).unwrap_or_default()], key)
    }

    /// Wakes every connection, to look at what has changed.
    pub(crate) fn tell_news(&self, news: News) {
        let bits = u8::from(news.is_access) * News::ACCESS + u8::from(news.is_servers) * News::SERVERS;
        for wave in &self.waves {
            for signal in wave.members.lock().values() {
                signal.news.fetch_or(bits, Ordering::AcqRel);
                signal.waker.wake();
            }
        }
    }

    /// Fires all waves within `longest`; a few connections are told at once. Dropping the future leaves later waves alone.
    pub(crate) async fn fire(&self, connections: usize, longest: Duration) {
        if connections > FEW {
            self.fire_in_turn(connections, longest).await;
        }
        self.waves.iter().for_each(|wave| wave.fire());
        self.all_told.cancel();
    }

    async fn fire_in_turn(&self, connections: usize, longest: Duration) {
        let connections = u32::try_from(connections).unwrap_or(u32::MAX);
        let step = PER_CONNECTION.saturating_mul(connections).min(longest) / WAVES as u32;
        let begun = clock::now();
        let mut jitter = [0; WAVES];
        if let Err(error) = getrandom::fill(&mut jitter) {
            tracing::warn!(%error, "no random numbers: the waves of this drain are regular");
        }
        for (at, (wave, jitter)) in (0..).zip(self.waves.iter().zip(jitter)) {
            sleep_until(begun + step * at + step * u32::from(jitter) / 256).await;
            wave.fire();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::task::Waker;

    fn is_told(goodbye: &Goodbye) -> bool {
        goodbye.poll_told(&mut Context::from_waker(Waker::noop())).is_ready()
    }

    #[tokio::test(start_paused = true)]
    async fn many_connections_are_told_one_wave_after_the_other() {
        let waves = Waves::new();
        let members: Vec<_> = (0..WAVES).map(|_| waves.join()).collect();
        let longest = Duration::from_secs(5);
        let begun = clock::now();
        let first_half = tokio::time::timeout(longest / 2, waves.fire(100_000, longest)).await;
        assert!(first_half.is_err(), "not done at half time");
        let told = members.iter().filter(|member| is_told(member)).count();
        assert!((WAVES / 2 - 1..=WAVES / 2 + 1).contains(&told), "{told} of {WAVES} at half time");
        waves.fire(100_000, longest).await;
        assert!(clock::now() - begun <= longest / 2 + longest);
        assert!(members.iter().all(is_told));
    }

    #[tokio::test(start_paused = true)]
    async fn few_connections_are_told_at_once() {
        let waves = Waves::new();
        let begun = clock::now();
        waves.fire(2, Duration::from_secs(5)).await;
        assert_eq!(clock::now(), begun);
    }

    #[tokio::test(start_paused = true)]
    async fn connection_that_joins_a_fired_wave_is_told_at_once() {
        let waves = Waves::new();
        waves.fire(0, Duration::ZERO).await;
        assert!(is_told(&waves.join()));
    }

    #[tokio::test]
    async fn news_wake_those_who_wait_once() {
        let waves = Waves::new();
        let goodbye = waves.join();
        let told = std::future::poll_fn(|cx| {
            assert!(goodbye.poll_told(cx).is_pending());
            goodbye.take_news().map_or(Poll::Pending, Poll::Ready)
        });
        tokio::join!(told, async { waves.tell_news(News::access()) });
        assert_eq!(goodbye.take_news(), None);
    }

    #[tokio::test]
    async fn whoever_waits_is_woken_and_whoever_left_is_forgotten() {
        let waves = Waves::new();
        let goodbye = waves.join();
        let told = std::future::poll_fn(|cx| goodbye.poll_told(cx));
        tokio::join!(told, waves.fire(1, Duration::ZERO));
        drop(goodbye);
        assert!(waves.waves.iter().all(|wave| wave.members.lock().is_empty()));
    }
}
