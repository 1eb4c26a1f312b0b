//! How much may be sent, and how much memory may be used.

use cuttlebone_server::{DataLimits, LimitSettings, MemorySettings, QuotaSettings};

use super::super::raw::{RawLimits, RawMemory, RawQuotas};
use super::check::{Check, count, millis, number_or_auto, rate};

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

/// `[quotas]`
pub(super) fn quotas(raw: &RawQuotas) -> QuotaSettings {
    let number = |number: u64| u32::try_from(number).unwrap_or(u32::MAX);
    QuotaSettings {
        clients: count(raw.clients_per_principal),
        devices: count(raw.devices_per_principal),
        registrations: number(raw.registrations_per_minute),
        registrations_burst: number(raw.registrations_burst),
        failed_connects: number(raw.failed_connects),
        failed_connects_within: millis(raw.failed_connects_within_ms),
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
        device_info_percent: percent(raw.device_info_percent),
        assembling_percent: percent(raw.assembling_percent),
        lists_percent: percent(raw.lists_percent),
        leases_percent: percent(raw.leases_percent),
    }
}
