//! The `config` of a peer: whoever drives its seat writes it, for the hub knows nothing of servers and credentials.
//!
//! The hub says when, and for whom: it is queued inside the critical section that lets the peer be found (R2), and it has
//! credentials only where the peer has what it asked for.

/// Which `config` a peer is to have.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ConfigFor {
    /// The peer has its device id, or its device is there: it may be told credentials. Who waits for a device that is absent, or
    /// is not for it, may not.
    pub is_let_in: bool,
    /// It asked to be told which paths to use. Source: PROTOCOL.md 2.7.
    pub asks_ice_policy: bool,
}

/// Writes the text of a `config`. Called while a lock is held: it takes none of the hub, and does not block.
pub type WriteConfig<'a> = dyn Fn(ConfigFor) -> String + 'a;

impl ConfigFor {
    /// For a device that has its id.
    pub(crate) const DEVICE: Self = Self { is_let_in: true, asks_ice_policy: false };
}
