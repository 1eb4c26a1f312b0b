//! The life cycle of devices, for those who watch the list.

use std::sync::Arc;

use crate::lease::Lease;
use crate::party::Address;

/// A device as a list shows it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DeviceSummary {
    /// Its id, and where that is its id.
    pub address: Address,
    /// The text of its `device_info`.
    pub info: Arc<str>,
    /// Clients that are attached to it.
    pub viewers: usize,
    /// When it registered first, in milliseconds since 1970.
    pub registered_at_ms: u64,
    /// The `adb_port` of its `device_info`; 0 where there is none.
    pub adb_port: u16,
    /// Whether its connection is broken and it may still come back.
    pub away: bool,
    /// Who has it for itself.
    pub lease: Option<Lease>,
}

/// Something that changed the list of devices.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Event {
    /// A device registered, lost its connection or came back.
    Registered(DeviceSummary),
    /// A device is gone for good.
    Gone(Address),
    /// The number of a device's clients changed.
    Viewers {
        /// The device.
        address: Address,
        /// Its clients now.
        viewers: usize,
    },
    /// Somebody has the device for itself, for longer, or nobody any more.
    Leased {
        /// The device; it may be absent.
        address: Address,
        /// Its lease now.
        lease: Option<Lease>,
    },
}

impl Event {
    /// The device.
    #[must_use]
    pub fn address(&self) -> &Address {
        match self {
            Self::Registered(device) => &device.address,
            Self::Gone(address) | Self::Viewers { address, .. } | Self::Leased { address, .. } => address,
        }
    }

    /// The device, and nothing else.
    #[must_use]
    pub fn into_address(self) -> Address {
        match self {
            Self::Registered(device) => device.address,
            Self::Gone(address) | Self::Viewers { address, .. } | Self::Leased { address, .. } => address,
        }
    }
}
