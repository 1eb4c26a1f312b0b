//! Whom something is told, and what.

use std::net::IpAddr;

use cuttlebone_proto::IceServer;

/// Who is told.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Peer<'a> {
    /// What it is.
    pub kind: PeerKind,
    /// Its tenant, if it has one.
    pub tenant: Option<&'a str>,
    /// Where it comes from, if that is known.
    pub address: Option<IpAddr>,
}

/// What a peer is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum PeerKind {
    /// It streams.
    Device,
    /// It watches.
    Client,
}

/// Whether a peer is told credentials, and so relays.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Credentials<'a> {
    /// It is not.
    Withheld,
    /// It is. `opaque` stands in the user names that are made for it, and so in the log of the TURN server.
    Given {
        /// Printable, without a colon.
        opaque: &'a str,
    },
}

/// What a peer is told.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Offer {
    /// The servers.
    pub servers: Vec<IceServer>,
    /// How many of them have a credential that was made for this offer.
    pub made: usize,
}

/// Which paths a peer is asked to use. The words are those of `RTCConfiguration.iceTransportPolicy`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Policy {
    /// Whatever gets through.
    All,
    /// Relays only.
    Relay,
}

impl Policy {
    /// The word.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::All => "all",
            Self::Relay => "relay",
        }
    }
}
