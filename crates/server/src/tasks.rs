//! The tasks of one listener: where they are counted, and how they are told to leave.

use std::collections::HashMap;
use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::task::{Context, Poll};

use parking_lot::Mutex;
use tokio::task::{AbortHandle, JoinHandle};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use crate::metrics::Metrics;
use crate::tables;

/// Tables of running tasks: a lock for all would be taken by every connection that comes or goes.
const SHARDS: usize = 16;

/// The connections of one listener.
#[derive(Debug)]
pub(crate) struct Tasks {
    tracker: TaskTracker,
    running: Arc<Running>,
    metrics: Arc<Metrics>,
    /// Fires when no new work is taken any more.
    pub(crate) stopping: CancellationToken,
    /// Fires when whatever is left is dropped where it stands, see [`Tasks::abort`].
    pub(crate) abort: CancellationToken,
}

/// How to end each task; nothing for one that is just being made.
#[derive(Debug, Default)]
struct Running {
    shards: [Mutex<HashMap<u64, Option<AbortHandle>>>; SHARDS],
    next: AtomicU64,
}

impl Tasks {
    pub(crate) fn new(metrics: Arc<Metrics>, stopping: CancellationToken, abort: CancellationToken) -> Arc<Self> {
        Arc::new(Self { tracker: TaskTracker::new(), running: Arc::default(), metrics, stopping, abort })
    }

    pub(crate) fn is_stopping(&self) -> bool {
        self.stopping.is_cancelled()
    }

    /// How many there are.
    pub(crate) fn len(&self) -> usize {
        self.tracker.len()
    }

    /// Runs one connection until it ends, panics, or is aborted. A panic in it reaches nobody else, and is counted.
    pub(crate) fn spawn(&self, connection: impl Future<Output = ()> + Send + 'static) {
        let place = Running::join(&self.running);
        let key = place.key;
        // Boxed by itself: whatever is around a future has room for it once more.
        let task = Contained { task: Box::pin(connection), metrics: Arc::clone(&self.metrics), _place: place };
        self.running.put(key, &self.tracker.spawn(task).abort_handle());
    }

    /// Drops whatever is left where it stands.
    pub(crate) fn abort(&self) {
        self.abort.cancel();
        self.running.abort();
    }

    /// Waits until the last one has ended.
    pub(crate) async fn ended(&self) {
        self.tracker.close();
        self.tracker.wait().await;
    }
}

impl Running {
    fn join(running: &Arc<Self>) -> Place {
        let key = running.next.fetch_add(1, Ordering::Relaxed);
        running.shard(key).lock().insert(key, None);
        Place { running: Arc::clone(running), key }
    }

    /// The task of `key` has begun, and may have ended again.
    fn put(&self, key: u64, handle: &AbortHandle) {
        if let Some(slot) = self.shard(key).lock().get_mut(&key) {
            *slot = Some(handle.clone());
        }
    }

    fn abort(&self) {
        for shard in &self.shards {
            shard.lock().values().flatten().for_each(AbortHandle::abort);
        }
    }

    fn shard(&self, key: u64) -> &Mutex<HashMap<u64, Option<AbortHandle>>> {
        let at = usize::try_from(key % SHARDS as u64).unwrap_or_default();
        &self.shards[at]
    }
}

/// A task's entry among those that run.
#[derive(Debug)]
struct Place {
    running: Arc<Running>,
    key: u64,
}

impl Drop for Place {
    fn drop(&mut self) {
        tables::remove(&mut self.running.shard(self.key).lock(), &self.key);
    }
}

/// What runs beside the connections, as long as the server does. The end of one by a panic reaches nobody else, and is counted.
pub(crate) struct Services {
    tracker: TaskTracker,
    metrics: Arc<Metrics>,
}

impl Services {
    pub(crate) fn new(metrics: &Arc<Metrics>) -> Self {
        Self { tracker: TaskTracker::new(), metrics: Arc::clone(metrics) }
    }

    pub(crate) fn spawn(&self, service: impl Future<Output = ()> + Send + 'static) -> JoinHandle<()> {
        self.tracker.spawn(Contained { task: Box::pin(service), metrics: Arc::clone(&self.metrics), _place: () })
    }

    /// Waits until the last one has ended.
    pub(crate) async fn ended(self) {
        self.tracker.close();
        self.tracker.wait().await;
    }
}

/// A task whose panic is counted. The runtime ends a task that panics, and no other. What is upgraded sees to its own
/// panics first, so that its session can go on (see [`crate::connection`]).
struct Contained<F, P> {
    task: Pin<Box<F>>,
    metrics: Arc<Metrics>,
    _place: P,
}

impl<F: Future<Output = ()>, P: Unpin> Future for Contained<F, P> {
    type Output = ();

    fn poll(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<()> {
        self.task.as_mut().poll(cx)
    }
}

impl<F, P> Drop for Contained<F, P> {
    fn drop(&mut self) {
        if std::thread::panicking() {
            self.metrics.panicked();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn tasks() -> Arc<Tasks> {
        Tasks::new(Arc::new(Metrics::new()), CancellationToken::new(), CancellationToken::new())
    }

    fn entries(tasks: &Tasks) -> usize {
        tasks.running.shards.iter().map(|shard| shard.lock().len()).sum()
    }

    #[tokio::test]
    async fn panic_is_counted_and_goes_no_further() {
        let tasks = tasks();
        tasks.spawn(async { panic!("a fault made by a test") });
        tasks.spawn(async {});
        tasks.ended().await;
        let services = Services::new(&tasks.metrics);
        let fault = services.spawn(async { panic!("a fault made by a test") });
        let good = services.spawn(async {});
        services.ended().await;
        assert!(fault.await.is_err() && good.await.is_ok());
        let now = cuttlebone_hub::Counts {
            devices: 0,
            clients: 0,
            waiting: 0,
            leases: 0,
            queued_bytes: 0,
            device_info_bytes: 0,
        };
        assert!(tasks.metrics.render(now).contains("cuttlebone_panics_total 2\n"));
        assert_eq!(entries(&tasks), 0);
    }

    #[tokio::test]
    async fn abort_ends_what_would_never_end() {
        let tasks = tasks();
        tasks.spawn(std::future::pending());
        assert_eq!((tasks.len(), entries(&tasks)), (1, 1));
        tasks.abort();
        tasks.ended().await;
        assert_eq!((tasks.len(), entries(&tasks)), (0, 0));
    }
}
