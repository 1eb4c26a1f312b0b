//! Sessions whose connection has broken, for as long as they may come back.

use std::future::poll_fn;

use cuttlebone_hub::Seat;
use cuttlebone_proto::CloseCode;
use tokio::time::{Instant, sleep_until};

use crate::audit::Trail;
use crate::context::ConnectionContext;
use crate::metrics::Refusal;

/// Keeps the seat until its time is over, its peer is back on another connection, or the server stops; and its trail as long.
pub(super) async fn keep(mut seat: Seat, until: Instant, context: ConnectionContext, trail: Option<Box<Trail>>) {
    let _trail = trail;
    let ConnectionContext { app, peer, goodbye, .. } = context;
    let Ok(_place) = app.away.try_admit(peer.ip()) else { return app.metrics.refused(Refusal::AwayFull) };
    // Order: a stop first, for it decides what becomes of those who are attached.
    tokio::select! {
        biased;
        () = poll_fn(|cx| goodbye.poll_told(cx)) => {}
        () = poll_fn(|cx| seat.poll_superseded(cx)) => return,
        () = sleep_until(until) => return,
    }
    seat.on_shutdown_away(CloseCode::Restart);
    if let Seat::Client(_) = seat {
        app.waves.all_told().cancelled().await;
    }
}
