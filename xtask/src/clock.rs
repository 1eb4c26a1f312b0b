//! The only place that reads the clock.

use std::time::Instant;

/// Now, to measure how long a step takes.
#[expect(clippy::disallowed_methods, reason = "the one place of this program that reads the clock")]
pub(crate) fn now() -> Instant {
    Instant::now()
}
