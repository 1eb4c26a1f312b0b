//! The tasks of one listener: where they are counted, and how they are told to leave.

use std::sync::Arc;

use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use crate::metrics::Metrics;
use crate::panics;

/// The connections of one listener.
#[derive(Debug)]
pub(crate) struct Tasks {
    tracker: TaskTracker,
    metrics: Arc<Metrics>,
    /// Fires when no new work is taken any more.
    pub(crate) stopping: CancellationToken,
    /// Fires when whatever is left is dropped where it stands.
    pub(crate) abort: CancellationToken,
}

impl Tasks {
    pub(crate) fn new(metrics: Arc<Metrics>, stopping: CancellationToken, abort: CancellationToken) -> Arc<Self> {
        Arc::new(Self { tracker: TaskTracker::new(), metrics, stopping, abort })
    }

    pub(crate) fn is_stopping(&self) -> bool {
        self.stopping.is_cancelled()
    }

    /// How many there are.
    pub(crate) fn len(&self) -> usize {
        self.tracker.len()
    }

    /// Runs one connection until it ends, panics, or is aborted.
    pub(crate) fn spawn(&self, connection: impl Future<Output = ()> + Send + 'static) {
        let metrics = Arc::clone(&self.metrics);
        // Of its own for each: a shared token has one lock for all, and every poll of a task takes it.
        let abort = self.abort.child_token();
        self.tracker.spawn(async move {
            panics::contained(abort.run_until_cancelled(connection), &metrics).await;
        });
    }

    /// Waits until the last one has ended.
    pub(crate) async fn ended(&self) {
        self.tracker.close();
        self.tracker.wait().await;
    }
}
