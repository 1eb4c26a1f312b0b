//! A timer for senders that must keep to a plan.
//!
//! tokio's own timers know whole milliseconds, many times the round trip that is measured. This one is a thread that
//! sleeps until the next moment anybody waits for, and is late only by what the scheduler of the system takes.

use std::collections::BTreeMap;
use std::future::Future;
use std::num::NonZeroU64;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, Waker};

use anyhow::Result;
use parking_lot::{Condvar, Mutex};
use tokio::time::Instant;

/// Wakes whoever waits. When the last of its clones is dropped, those who wait are not woken any more.
#[derive(Clone, Debug)]
pub(crate) struct Timer {
    shared: Arc<Shared>,
    _ending: Arc<Ending>,
}

#[derive(Debug, Default)]
struct Shared {
    waiting: Mutex<Waiting>,
    changed: Condvar,
}

#[derive(Debug, Default)]
struct Waiting {
    /// By time; the number makes the key unique.
    wakers: BTreeMap<(Instant, u64), Waker>,
    number: u64,
    is_over: bool,
}

/// Ends the thread when it is dropped.
#[derive(Debug)]
struct Ending(Arc<Shared>);

impl Drop for Ending {
    fn drop(&mut self) {
        self.0.waiting.lock().is_over = true;
        self.0.changed.notify_one();
    }
}

impl Timer {
    /// # Errors
    /// When the system has no thread left.
    pub(crate) fn new() -> Result<Self> {
        let shared = Arc::new(Shared::default());
        let ending = Arc::new(Ending(Arc::clone(&shared)));
        let driven = Arc::clone(&shared);
        std::thread::Builder::new().name("timer".into()).spawn(move || {
            // By default the system may let a thread sleep 50 microseconds too long. If it does not allow less, the
            // lateness is seen in the report.
            let _ = rustix::thread::set_current_timer_slack(Some(NonZeroU64::MIN));
            driven.drive();
        })?;
        Ok(Self { shared, _ending: ending })
    }

    /// Waits for a moment, not a whole millisecond longer. Cancel safe.
    pub(crate) fn until(&self, at: Instant) -> Until<'_> {
        Until { shared: &self.shared, at, key: None }
    }
}

impl Shared {
    /// Wakes whose time has come, until it is over.
    fn drive(&self) {
        let mut due = Vec::new();
        let mut waiting = self.waiting.lock();
        while !waiting.is_over {
            let now = Instant::now();
            while let Some(first) = waiting.wakers.first_entry() {
                if first.key().0 > now {
                    break;
                }
                due.push(first.remove());
            }
            if !due.is_empty() {
                parking_lot::MutexGuard::unlocked(&mut waiting, || due.drain(..).for_each(Waker::wake));
                continue;
            }
            match waiting.wakers.first_key_value().map(|((at, _), _)| at.into_std()) {
                Some(at) => {
                    self.changed.wait_until(&mut waiting, at);
                }
                None => self.changed.wait(&mut waiting),
            }
        }
    }
}

/// See [`Timer::until`].
pub(crate) struct Until<'a> {
    shared: &'a Shared,
    at: Instant,
    /// Its place among those who wait.
    key: Option<(Instant, u64)>,
}

impl Future for Until<'_> {
    type Output = ();

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<()> {
        if Instant::now() >= self.at {
            return Poll::Ready(());
        }
        let mut waiting = self.shared.waiting.lock();
        let key = self.key.unwrap_or((self.at, waiting.number));
        if self.key.is_none() {
            waiting.number += 1;
        }
        let is_first = waiting.wakers.first_key_value().is_none_or(|(first, _)| key < *first);
        waiting.wakers.insert(key, cx.waker().clone());
        drop(waiting);
        self.key = Some(key);
        if is_first {
            self.shared.changed.notify_one();
        }
        Poll::Pending
    }
}

impl Drop for Until<'_> {
    fn drop(&mut self) {
        if let Some(key) = self.key {
            self.shared.waiting.lock().wakers.remove(&key);
        }
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use tokio_util::task::TaskTracker;

    use super::*;

    #[tokio::test]
    async fn nobody_is_woken_too_early_and_all_are_woken() {
        let timer = Timer::new().unwrap();
        let start = Instant::now();
        let tasks = TaskTracker::new();
        for n in [5u64, 1, 3, 2, 4] {
            let timer = timer.clone();
            tasks.spawn(async move {
                let at = start + Duration::from_micros(700 * n);
                timer.until(at).await;
                assert!(Instant::now() >= at);
            });
        }
        tasks.close();
        tasks.wait().await;
        timer.until(start).await;
        // The thread sleeps without an end now, and has to be told of those who come.
        for _ in 0..10 {
            timer.until(Instant::now() + Duration::from_micros(300)).await;
        }
    }

    #[tokio::test]
    async fn who_gives_up_is_forgotten() {
        let timer = Timer::new().unwrap();
        let now = Instant::now();
        let (near, far) = (now + Duration::from_millis(2), now + Duration::from_secs(3600));
        tokio::select! {
            () = timer.until(far) => unreachable!("an hour too early"),
            () = timer.until(near) => {}
        }
        assert!(timer.shared.waiting.lock().wakers.is_empty());
    }
}
