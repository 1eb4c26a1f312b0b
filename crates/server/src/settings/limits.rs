//! How much one connection may send.

use std::time::Duration;

use cuttlebone_transport::Rate;

/// How much one connection may send: `limits`. What is over a rate is read later, and nothing is lost.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct LimitSettings {
    /// What one client may send.
    pub client: DataLimits,
    /// What one device may send: it speaks for all of its clients.
    pub device: DataLimits,
    /// Requests of HTTP on one connection: `limits.requests_per_second`, `limits.requests_burst`.
    pub requests: Rate,
    /// Pings and pongs of anybody. More of them are a violation.
    pub control_frames: Rate,
    /// How long a client may go on sending more than its rates until it is closed; zero is for ever.
    pub patience: Duration,
}

/// What one peer may send. A rate of 0 is none.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct DataLimits {
    /// Messages.
    pub messages: Rate,
    /// Bytes, all of them.
    pub bytes: Rate,
    /// WebSocket frames of any kind.
    pub frames: Rate,
}

impl LimitSettings {
    /// None at all.
    pub const OFF: Self = Self {
        client: DataLimits::OFF,
        device: DataLimits::OFF,
        requests: Rate::OFF,
        control_frames: Rate::OFF,
        patience: Duration::ZERO,
    };
}

impl DataLimits {
    /// None at all.
    pub const OFF: Self = Self { messages: Rate::OFF, bytes: Rate::OFF, frames: Rate::OFF };
}

impl Default for LimitSettings {
    fn default() -> Self {
        Self {
            client: DataLimits {
                messages: Rate { per_second: 50, burst: 300 },
                bytes: Rate { per_second: 256 << 10, burst: 1 << 20 },
                frames: Rate { per_second: 200, burst: 1_000 },
            },
            device: DataLimits {
                messages: Rate { per_second: 1_000, burst: 4_000 },
                bytes: Rate { per_second: 4 << 20, burst: 16 << 20 },
                frames: Rate { per_second: 2_000, burst: 10_000 },
            },
            requests: Rate { per_second: 50, burst: 100 },
            control_frames: Rate { per_second: 10, burst: 50 },
            patience: Duration::from_secs(30),
        }
    }
}
