//! How much may be sent, and how much memory may be used.

use cuttlebone_server::{DataLimits, LimitSettings, MemorySettings};

use super::super::raw::{RawLimits, RawMemory};
use super::check::{Check, millis, number_or_auto, rate};

/// `[limits]`
pub(super) fn limits(raw: &RawLimits) -> LimitSettings {
    LimitSettings {
        client: DataLimits {
            messages: rate(raw.client_messages_per_second, raw.client_messages_burst),
            bytes: rate(raw.client_bytes_per_second, raw.client_bytes_burst),
            frames: rate(raw.client_frames_per_second, raw.client_frames_burst),
        },
        device: DataLimits {
            messages: rate(raw.device_messages_per_second, raw.device_messages_burst),
            bytes: rate(raw.device_bytes_per_second, raw.device_bytes_burst),
            frames: rate(raw.device_frames_per_second, raw.device_frames_burst),
        },
        requests: rate(raw.requests_per_second, raw.requests_burst),
        control_frames: rate(raw.control_frames_per_second, raw.control_frames_burst),
        patience: millis(raw.patience_ms),
    }
}

/// `[memory]`
pub(super) fn memory(raw: &RawMemory, check: &mut Check<'_>) -> MemorySettings {
    let percent = |number: u64| u8::try_from(number).unwrap_or(u8::MAX);
    MemorySettings {
        limit: number_or_auto("memory.limit_bytes", &raw.limit_bytes, check),
        refuse_percent: percent(raw.refuse_percent),
        let_go_percent: percent(raw.let_go_percent),
        queues_percent: percent(raw.queues_percent),
        assembling_percent: percent(raw.assembling_percent),
    }
}
