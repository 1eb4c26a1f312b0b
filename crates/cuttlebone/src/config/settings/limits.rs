//! How much may be sent.

use cuttlebone_server::{DataLimits, LimitSettings};

use super::super::raw::RawLimits;
use super::check::{millis, rate};

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
        control_frames: rate(raw.control_frames_per_second, raw.control_frames_burst),
        patience: millis(raw.patience_ms),
    }
}
