//! What a connection task is handed with its socket.

use std::net::SocketAddr;
use std::sync::Arc;

use cuttlebone_hub::Registry;
use tokio_util::sync::CancellationToken;

use crate::admission::{Admission, ConnectionPermit};
use crate::metrics::{Counted, Metrics, Peer};
use crate::settings::Settings;

/// Which of the two endpoints the peer asked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Role {
    /// `/register_device`.
    Device,
    /// `/connect_client`.
    Client,
}

impl Role {
    /// The role as metrics name it.
    pub(crate) const fn peer(self) -> Peer {
        match self {
            Self::Device => Peer::Device,
            Self::Client => Peer::Client,
        }
    }
}

/// Everything that the task of one upgraded connection may use. Dropping it ends the connection's place in the counts.
#[derive(Debug)]
pub(crate) struct ConnectionContext {
    /// Where devices and clients meet.
    pub(crate) registry: Arc<Registry>,
    /// As the server was started with.
    pub(crate) settings: Arc<Settings>,
    /// What is counted.
    pub(crate) metrics: Arc<Metrics>,
    /// Fires when this connection has to go because the server stops: close it with 1012.
    pub(crate) cancel: CancellationToken,
    /// Fires when every connection has been told that the server stops: nothing is kept for a return any more.
    pub(crate) all_told: CancellationToken,
    /// The other end.
    pub(crate) peer: SocketAddr,
    /// The peer offered a subprotocol whose devices read at most 65,536 bytes at once.
    pub(crate) small_reader: bool,
    /// Places for the session when its connection has broken.
    pub(crate) away: Arc<Admission>,
    /// The connection's place among those that may be open.
    pub(crate) permit: ConnectionPermit,
    /// The connection in the count of those that are open.
    pub(crate) counted: Counted,
}
