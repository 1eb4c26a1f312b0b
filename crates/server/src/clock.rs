//! The only place of this crate that reads clocks.

use std::time::{SystemTime, UNIX_EPOCH};

use tokio::time::Instant;

/// The monotonic clock that every timer goes by. Stands still where a test has paused tokio's time.
pub(crate) fn now() -> Instant {
    Instant::now()
}

/// Milliseconds since the Unix epoch, for people to read; never for a timer.
#[expect(clippy::disallowed_methods, reason = "the one reader of the wall clock")]
pub(crate) fn unix_ms() -> u64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    u64::try_from(since.as_millis()).unwrap_or(u64::MAX)
}
