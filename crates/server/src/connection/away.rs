//! Sessions whose connection has broken, for as long as they may come back.

use std::future::poll_fn;

use cuttlebone_hub::Seat;
use cuttlebone_proto::CloseCode;
use tokio::time::{Instant, sleep_until};
use tokio_util::sync::CancellationToken;

/// Keeps the seat until its time is over, its client is back on another connection, or the server stops.
pub(super) async fn keep(mut seat: Seat, until: Instant, cancel: CancellationToken, all_told: CancellationToken) {
    // Order: a stop first, for it decides what becomes of those who are attached.
    tokio::select! {
        biased;
        () = cancel.cancelled() => {}
        () = poll_fn(|cx| seat.poll_superseded(cx)) => return,
        () = sleep_until(until) => return,
    }
    seat.on_shutdown_away(CloseCode::Restart);
    if let Seat::Client(_) = seat {
        all_told.cancelled().await;
    }
}
