//! The one place that reads the time of day.

use std::time::{Duration, SystemTime};

/// Time since 1970, UTC, for the clock in the picture.
pub(crate) fn since_epoch() -> Duration {
    SystemTime::UNIX_EPOCH.elapsed().unwrap_or_default()
}
