//! What one principal may have.

use std::time::Duration;

/// What one principal may have, and how often: `quotas`. Who is nobody in particular is bounded by address instead.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct QuotaSettings {
    /// Client connections at once, unless the token says otherwise: `quotas.clients_per_principal`.
    pub clients: usize,
    /// Device connections at once: `quotas.devices_per_principal`. Also the ids of which a rate is remembered.
    pub devices: usize,
    /// How often one id may be registered in a minute, in the long run: `quotas.registrations_per_minute`. 0: as often
    /// as it comes.
    pub registrations: u32,
    /// The same at once: `quotas.registrations_burst`.
    pub registrations_burst: u32,
    /// Connects that lead to no device, after which further connects wait: `quotas.failed_connects`. Who sees all devices in the
    /// list is exempt.
    pub failed_connects: u32,
    /// Within this time: `quotas.failed_connects_within_ms`.
    pub failed_connects_within: Duration,
}

impl Default for QuotaSettings {
    fn default() -> Self {
        Self {
            clients: 100,
            devices: 1_000,
            registrations: 10,
            registrations_burst: 20,
            failed_connects: 10,
            failed_connects_within: Duration::from_secs(60),
        }
    }
}
