//! What a connection task is handed with its socket.

use std::net::SocketAddr;
use std::sync::Arc;

use cuttlebone_ice::PeerKind;

use crate::admission::ConnectionPermit;
use crate::app::App;
use crate::caller::Caller;
use crate::drain::Goodbye;
use crate::metrics::{Counted, Peer};

/// Which of the two endpoints the peer asked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Role {
    /// `/register_device`.
    Device,
    /// `/connect_client`.
    Client,
}

impl Role {
    /// The role as logs name it.
    pub(crate) const fn name(self) -> &'static str {
        match self {
            Self::Device => "device",
            Self::Client => "client",
        }
    }

    /// The role as metrics name it.
    pub(crate) const fn peer(self) -> Peer {
        match self {
            Self::Device => Peer::Device,
            Self::Client => Peer::Client,
        }
    }

    /// The role as those know it who say which servers it is told of.
    pub(crate) const fn kind(self) -> PeerKind {
        match self {
            Self::Device => PeerKind::Device,
            Self::Client => PeerKind::Client,
        }
    }
}

/// Everything that the task of one upgraded connection may use. Small: every idle connection has one.
#[derive(Debug)]
pub(crate) struct ConnectionContext {
    /// What all share.
    pub(crate) app: Arc<App>,
    /// The other end.
    pub(crate) peer: SocketAddr,
    /// What it is.
    pub(crate) role: Role,
    /// Who it is.
    pub(crate) caller: Caller,
    /// The peer offered a subprotocol whose devices read at most 65,536 bytes at once.
    pub(crate) small_reader: bool,
    /// Says when this connection has to go because the server stops: close it with 1012.
    pub(crate) goodbye: Goodbye,
    /// The connection among those that may be open and in the count of those that are, until it has ended.
    pub(crate) open: Option<(ConnectionPermit, Counted)>,
}
