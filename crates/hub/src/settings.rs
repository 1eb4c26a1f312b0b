//! The bounds of the hub.

use std::time::Duration;

/// How much may be queued: whichever is reached first. One message always fits into an empty queue.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Bound {
    /// Messages.
    pub frames: usize,
    /// Bytes of messages.
    pub bytes: usize,
}

impl Bound {
    /// What is held with one message more.
    pub(crate) fn with(self, len: usize) -> Self {
        Self { frames: self.frames + 1, bytes: self.bytes + len }
    }

    /// Whether what is held leaves room for a message of `len` bytes.
    pub(crate) fn leaves_room(self, len: usize, most: Self) -> bool {
        self.frames == 0 || (self.frames < most.frames && self.bytes + len <= most.bytes)
    }
}

/// The validated settings of the hub.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Settings {
    /// What may be queued for one client. Beyond it the client is closed (4008).
    pub client_queue: Bound,
    /// What may be queued for one device. Beyond it the client that sends is not read.
    pub device_queue: Bound,
    /// What one client may have in its device's queue. Beyond it this client is not read; the others go on.
    pub client_share: Bound,
    /// Bytes that all queues together may hold. Beyond a share of it each may hold 4 to 16 KiB only.
    pub all_queues_bytes: usize,
    /// Bytes that every `device_info` together may have. Beyond a share of it a device may have 4 to 16 KiB only.
    pub all_device_infos_bytes: usize,
    /// What is held for a device whose connection broke, until it is back.
    pub held: Bound,
    /// How long a client waits for room in its device's queue before it is closed (1013).
    pub full_wait: Duration,
    /// Clients of one device.
    pub clients_per_device: usize,
    /// How long a device whose connection broke may stay away.
    pub device_grace: Duration,
    /// How long the holder of a device id has to answer when somebody else asks for the id.
    pub probe: Duration,
    /// How long a client waits for its device; zero: not at all.
    pub client_wait: Duration,
    /// Clients that may wait for one device.
    pub waiting_per_device: usize,
    /// Clients that may wait in all.
    pub waiting: usize,
    /// How long after its connection broke a client counts as there.
    pub client_grace: Duration,
    /// What is kept of the messages sent to a client that may resume its session.
    pub resume_kept: Bound,
    /// How long a resume token is good for.
    pub resume_ttl: Duration,
    /// How long after the start of the server tokens of an earlier process are honoured.
    pub resume_after_restart: Duration,
    /// Devices that one may have for itself.
    pub leases_per_holder: usize,
    /// Devices that are had by one for itself, in all.
    pub leases: usize,
    /// How many life-cycle events a listener may be behind.
    pub event_buffer: usize,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            client_queue: Bound { frames: 256, bytes: 1 << 20 },
            device_queue: Bound { frames: 1024, bytes: 4 << 20 },
            client_share: Bound { frames: 64, bytes: 256 * 1024 },
            all_queues_bytes: usize::MAX,
            all_device_infos_bytes: usize::MAX,
            held: Bound { frames: 1024, bytes: 1 << 20 },
            full_wait: Duration::from_secs(10),
            clients_per_device: 64,
            device_grace: Duration::from_secs(10),
            probe: Duration::from_secs(2),
            client_wait: Duration::from_secs(60),
            waiting_per_device: 16,
            waiting: 10_000,
            client_grace: Duration::from_secs(10),
            resume_kept: Bound { frames: 256, bytes: 1 << 20 },
            resume_ttl: Duration::from_secs(24 * 60 * 60),
            resume_after_restart: Duration::from_secs(60),
            leases_per_holder: 100,
            leases: 10_000,
            event_buffer: 1024,
        }
    }
}
