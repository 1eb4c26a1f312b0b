//! Sessions whose connection has broken, for as long as they may come back.

use std::future::poll_fn;

use cuttlebone_hub::Seat;
use cuttlebone_proto::CloseCode;
use tokio::time::{Instant, sleep_until};

use crate::admission::ConnectionPermit;
use crate::audit::Trail;
use crate::context::ConnectionContext;
use crate::metrics::Refusal;

/// Keeps the seat until its time is over, its peer is back on another connection, or the server stops; and its trail as long.
pub(super) async fn keep(mut seat: Seat, (until, place): Stay, context: ConnectionContext, trail: Option<Box<Trail>>) {
    let (_trail, _place) = (trail, place);
    let ConnectionContext { app, goodbye, .. } = context;
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

/// Until when a session is kept, and its place meanwhile.
pub(super) type Stay = (Instant, ConnectionPermit);

/// A place for a session that is to be kept until then; if there is none, it is over.
pub(super) fn stay(context: &ConnectionContext, until: Instant) -> Option<Stay> {
    let place = place(context);
    if place.is_err() {
        context.app.metrics.refused(Refusal::AwayFull);
    }
    Some((until, place.ok()?))
}

/// A place among those of the principal, or else among those of the address.
fn place(context: &ConnectionContext) -> Result<ConnectionPermit, Refusal> {
    let ConnectionContext { app, peer, role, caller, .. } = context;
    match caller.principal() {
        Some(principal) => app.away.try_admit_known(app.away_quotas.try_take(principal, *role)?),
        None => app.away.try_admit(peer.ip()),
    }
}
