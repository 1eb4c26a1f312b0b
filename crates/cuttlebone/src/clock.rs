//! The only place of the program that reads a clock itself.

use std::time::{Duration, SystemTime, UNIX_EPOCH};

/// Since 1970.
#[expect(clippy::disallowed_methods, reason = "the one reader of the wall clock")]
pub(crate) fn unix_time() -> Duration {
    SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default()
}

/// Seconds since 1970.
pub(crate) fn unix_seconds() -> u64 {
    unix_time().as_secs()
}
