//! How long a device may be had by one alone.

use std::time::Duration;

/// How long a lease lasts: `leases`. How many there may be is the hub's to know.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct LeaseSettings {
    /// Where nothing else is asked for: `leases.default_ms`.
    pub default: Duration,
    /// At the most: `leases.max_ms`.
    pub max: Duration,
}

impl Default for LeaseSettings {
    fn default() -> Self {
        Self { default: Duration::from_secs(10 * 60), max: Duration::from_secs(12 * 60 * 60) }
    }
}
