//! Saying goodbye to many connections without having them all come back at once.
//!
//! Every upgraded connection belongs to one wave. A drain fires one wave after the other, each at a random moment of its
//! share of the time.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use tokio::time::sleep_until;
use tokio_util::sync::CancellationToken;

use crate::clock;

const WAVES: usize = 32;

/// How much time a drain takes for each connection, as long as there is time: 2,000 reconnections a second.
const PER_CONNECTION: Duration = Duration::from_micros(500);

/// So many connections may come back at once. They are told at once, too: a client hears of the stop and not that its device
/// has just left.
const FEW: usize = 64;

/// The waves of one server.
#[derive(Debug)]
pub(crate) struct Waves {
    tokens: [CancellationToken; WAVES],
    next: AtomicUsize,
    all_told: CancellationToken,
}

impl Waves {
    pub(crate) fn new() -> Self {
        Self {
            tokens: std::array::from_fn(|_| CancellationToken::new()),
            next: AtomicUsize::new(0),
            all_told: CancellationToken::new(),
        }
    }

    /// Fires after the last wave: until then a session whose connection was closed stays, so that its peer, in a later
    /// wave, is not told that it is gone.
    pub(crate) fn all_told(&self) -> CancellationToken {
        self.all_told.clone()
    }

    /// A token of its own for a new connection, in the wave that it belongs to.
    ///
    /// A shared token has one lock for all who wait for it, and a connection looks at its token whenever it wakes.
    pub(crate) fn join(&self) -> CancellationToken {
        self.tokens[self.next.fetch_add(1, Ordering::Relaxed) % WAVES].child_token()
    }

    /// Fires all waves within `longest`; a few connections are told at once. Dropping the future leaves later waves alone.
    pub(crate) async fn fire(&self, connections: usize, longest: Duration) {
        if connections > FEW {
            self.fire_in_turn(connections, longest).await;
        }
        self.tokens.iter().for_each(CancellationToken::cancel);
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
        for (wave, (token, jitter)) in (0..).zip(self.tokens.iter().zip(jitter)) {
            sleep_until(begun + step * wave + step * u32::from(jitter) / 256).await;
            token.cancel();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn many_connections_are_told_one_wave_after_the_other() {
        let waves = Waves::new();
        let tokens: Vec<_> = (0..WAVES).map(|_| waves.join()).collect();
        let longest = Duration::from_secs(5);
        let begun = clock::now();
        let first_half = tokio::time::timeout(longest / 2, waves.fire(100_000, longest)).await;
        assert!(first_half.is_err(), "not done at half time");
        let told = tokens.iter().filter(|token| token.is_cancelled()).count();
        assert!((WAVES / 2 - 1..=WAVES / 2 + 1).contains(&told), "{told} of {WAVES} at half time");
        waves.fire(100_000, longest).await;
        assert!(clock::now() - begun <= longest / 2 + longest);
        assert!(tokens.iter().all(CancellationToken::is_cancelled));
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
        assert!(waves.join().is_cancelled());
    }
}
