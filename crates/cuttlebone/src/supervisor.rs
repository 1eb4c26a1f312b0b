//! What a service manager is told: that the program is ready, reloads, stops, and still works (`sd_notify`).
//!
//! Without a manager that asks for it (`NOTIFY_SOCKET`, `WATCHDOG_USEC`) all of it does nothing.

use std::time::Duration;

use cuttlebone_server::ServerHandle;
use sd_notify::NotifyState;
use tokio::time::{MissedTickBehavior, interval, timeout};
use tokio_util::sync::CancellationToken;

/// Connections are accepted: whoever needs this service may start.
pub(crate) fn ready() {
    tell(&[NotifyState::Ready]);
}

/// The configuration is read again, until [`ready`].
pub(crate) fn reloading() {
    match NotifyState::monotonic_usec_now() {
        Ok(now) => tell(&[NotifyState::Reloading, now]),
        Err(_) => tell(&[NotifyState::Reloading]),
    }
}

/// Says when the program stops, and until its end that it works, as often as is asked for. Runs until it is dropped.
///
/// A server that does not answer in time is not vouched for: the manager ends the program and starts it again.
pub(crate) async fn watch(handle: ServerHandle, stop: CancellationToken) {
    let stopping = async {
        stop.cancelled().await;
        tell(&[NotifyState::Stopping]);
        std::future::pending::<()>().await;
    };
    let alive = async {
        let Some(limit) = sd_notify::watchdog_enabled().filter(|limit| !limit.is_zero()) else {
            return std::future::pending().await;
        };
        vouch(&handle, limit / 2).await;
    };
    tokio::join!(stopping, alive);
}

async fn vouch(handle: &ServerHandle, every: Duration) {
    let mut looks = interval(every);
    looks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        looks.tick().await;
        match timeout(every, handle.beat()).await {
            Ok(true) => tell(&[NotifyState::Watchdog]),
            Ok(false) | Err(_) => {
                tracing::error!("the server does not answer: the service manager is not told that it works")
            }
        }
    }
}

fn tell(state: &[NotifyState<'_>]) {
    if let Err(error) = sd_notify::notify(state) {
        tracing::warn!(%error, "the service manager can't be told");
    }
}
