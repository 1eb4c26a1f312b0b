//! Faults of our own: they end one connection, are counted, and say where but never with what.

use std::future::Future;
use std::panic::{self, AssertUnwindSafe};

use futures_util::FutureExt as _;

use crate::metrics::Metrics;

/// Makes every panic of this process log its location only: a message may quote what a peer sent.
///
/// To be called once by the binary, before anything is served.
pub fn log_location_only() {
    panic::set_hook(Box::new(|info| {
        let location = info.location().map(ToString::to_string).unwrap_or_default();
        tracing::error!(location, "a task ended in a fault of the server");
    }));
}

/// Runs one connection so that a panic in it reaches nobody else.
pub(crate) async fn contained<T>(future: impl Future<Output = T>, metrics: &Metrics) {
    if AssertUnwindSafe(future).catch_unwind().await.is_err() {
        metrics.panicked();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn panic_is_counted_and_goes_no_further() {
        let metrics = Metrics::new();
        contained(async { panic!("a fault made by a test") }, &metrics).await;
        contained(async {}, &metrics).await;
        let now = cuttlebone_hub::Counts { devices: 0, clients: 0, waiting: 0 };
        assert!(metrics.render(now).contains("cuttlebone_panics_total 1\n"));
    }
}
