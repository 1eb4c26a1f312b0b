//! Device ids as logs show them: escaped by the log, and cut.

use cuttlebone_hub::Seat;
use cuttlebone_proto::DeviceId;
use tracing::field::DebugValue;

/// How much of a device id a log line shows, in characters.
const LOGGED_CHARS: usize = 64;

/// That of a seat, if it has one.
pub(super) fn shown(seat: &Seat) -> Option<DebugValue<&str>> {
    seat.device_id().map(shown_id)
}

pub(super) fn shown_id(id: &DeviceId) -> DebugValue<&str> {
    let id = id.as_str();
    let end = id.char_indices().nth(LOGGED_CHARS).map_or(id.len(), |(at, _)| at);
    tracing::field::debug(id.get(..end).unwrap_or(id))
}
