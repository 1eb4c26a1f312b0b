//! What the server is told before it starts.
//!
//! One struct a section of the config file, durations as [`Duration`]. Invariant: a [`Settings`] that [`Settings::validate`]
//! passes can be served; [`Server::bind`](crate::Server::bind) refuses any other.

mod acme;
mod https;
mod id_charset;
mod leases;
mod limits;
mod quotas;
mod validate;

use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::time::Duration;

use cuttlebone_proto::Limits;
use cuttlebone_transport::tls::TlsSettings;
use cuttlebone_transport::{Rate, UnixAddress};

use crate::admission::{AddressBounds, Bounds};
use crate::audit::AuditSettings;
use crate::fetch::FetchSettings;
use crate::gate::AccessSettings;
use crate::origin::Origin;
use crate::proxy::ProxySettings;
use crate::resume_key::ResumeKey;

pub use acme::{AcmeChallenge, AcmeSettings, ExternalAccount};
pub use https::HttpsSettings;
pub use id_charset::IdCharset;
pub use leases::LeaseSettings;
pub use limits::{DataLimits, LimitSettings};
pub use quotas::QuotaSettings;
pub use validate::Fault;
pub(crate) use validate::SHORTEST_LEASE;

/// Connections of one address where the config says `auto` and the server listens on more than loopback.
const AUTO_PER_ADDRESS: usize = 128;
/// The same for those that have had no response yet.
const AUTO_PENDING_PER_ADDRESS: usize = 64;
/// The same for those that come within a second.
const AUTO_PER_ADDRESS_PER_SECOND: u32 = 20;

/// Everything the server needs to know, with the documented defaults.
#[derive(Debug, Clone)]
pub struct Settings {
    /// Where devices, clients and browsers connect: `server.listen`. Port 0 takes a free one.
    pub listen: SocketAddr,
    /// A unix socket beside it: `server.listen_unix`. `None` is none.
    pub listen_unix: Option<UnixAddress>,
    /// Whether other processes may listen on the same address beside this one: `server.reuse_port`.
    pub reuse_port: bool,
    /// Where `/metrics` is served: `server.metrics_listen`. `None` is off.
    pub metrics_listen: Option<SocketAddr>,
    /// Whose pages may connect, besides the server's own: `server.allowed_origins`.
    pub allowed_origins: Vec<Origin>,
    /// Which proxies are believed: `proxy`.
    pub proxy: ProxySettings,
    /// Who is served: `access`.
    pub access: AccessSettings,
    /// Whether there is an audit log, and where: `audit`.
    pub audit: AuditSettings,
    /// Where the certificate comes from: `tls`. `None` is plain HTTP.
    pub tls: Option<TlsSettings>,
    /// How it is got, where it is [`TlsSettings::Kept`]: `acme`.
    pub acme: Option<AcmeSettings>,
    /// What there is beside it.
    pub https: HttpsSettings,
    /// How many sockets at once.
    pub connections: ConnectionSettings,
    /// How long each step may take.
    pub timeouts: Timeouts,
    /// The bounds of one message.
    pub messages: MessageSettings,
    /// How much one connection may send.
    pub limits: LimitSettings,
    /// How long one may have a device alone.
    pub leases: LeaseSettings,
    /// How much one principal may have.
    pub quotas: QuotaSettings,
    /// Queues, grace periods and counts of the hub.
    pub hub: cuttlebone_hub::Settings,
    /// Of which characters a device id may be: `devices.id_charset`.
    pub id_charset: IdCharset,
    /// What signs resume tokens: `clients.resume_key`. `None` makes one at start, which no other process has.
    pub resume_key: Option<ResumeKey>,
    /// When load is shed for want of memory.
    pub memory: MemorySettings,
    /// The bounds of HTTP.
    pub http: HttpSettings,
    /// How other servers are asked: `fetch`.
    pub fetch: FetchSettings,
    /// What `config` offers, and to whom: `ice`.
    pub ice: cuttlebone_ice::Settings,
}

/// How many sockets at once: `connections`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ConnectionSettings {
    /// In all: `connections.max`. The soft limit of open files may lower it, see [`crate::Server::bind`].
    pub max: usize,
    /// Of one IPv4 address or one IPv6 /64: `connections.per_address`. `None` is no limit.
    pub per_address: Option<usize>,
    /// Of those in all, the ones that have had no response yet: `connections.pending`.
    pub pending: usize,
    /// The same of one address: `connections.pending_per_address`. `None` is no limit.
    pub pending_per_address: Option<usize>,
    /// How fast they may come: `connections.accept_per_second`, `connections.accept_burst`.
    pub rate: Rate,
    /// The same of one address: `connections.per_address_per_second`, `connections.per_address_burst`.
    pub rate_per_address: Rate,
    /// Bytes that the system may keep for a peer that does not read: `connections.send_buffer_bytes`.
    pub send_buffer: usize,
    /// Bytes that the system may keep of what a peer has sent and is not read yet: `connections.receive_buffer_bytes`.
    pub receive_buffer: usize,
}

impl ConnectionSettings {
    /// The defaults, with what `auto` means for each bound of one address: there is none where all that is listened on is
    /// loopback, where all have one address, unless a proxy there says of whom they are.
    #[must_use]
    pub fn auto(listen: &[SocketAddr], proxy: &ProxySettings) -> Self {
        let defaults = Self::default();
        if listen.iter().copied().all(is_loopback) && !proxy.is_used() {
            return defaults;
        }
        let rate = Rate { per_second: AUTO_PER_ADDRESS_PER_SECOND, ..defaults.rate_per_address };
        Self {
            per_address: Some(AUTO_PER_ADDRESS),
            pending_per_address: Some(AUTO_PENDING_PER_ADDRESS),
            rate_per_address: rate,
            ..defaults
        }
    }

    /// `requests` is the rate of those that come through a proxy from one address.
    pub(crate) fn bounds(&self, requests: Rate) -> Bounds {
        let (max, pending, rate) = (self.per_address, self.pending_per_address, self.rate_per_address);
        let address = AddressBounds { max, pending, rate, requests };
        Bounds { max: self.max, pending: self.pending, rate: self.rate, address }
    }
}

/// Whether only this machine reaches it.
pub(crate) fn is_loopback(listen: SocketAddr) -> bool {
    listen.ip().to_canonical().is_loopback()
}

/// How long each step may take: `timeouts`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Timeouts {
    /// From accept to the first response or the end of the upgrade, TLS included. Also the longest wait for a next request.
    pub handshake: Duration,
    /// From the upgrade to the first message.
    pub first_message: Duration,
    /// Without any byte from the peer.
    pub idle: Duration,
    /// Between two pings of ours.
    pub ping: Duration,
    /// Without progress of a write.
    pub write: Duration,
    /// From the first write of a response that has to wait until all of it is written. Streams of events are exempt.
    pub response: Duration,
    /// From the first to the last byte of one message.
    pub message: Duration,
    /// From the order to stop until what is left is aborted.
    pub drain: Duration,
}

/// The bounds of one message: `messages`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct MessageSettings {
    /// Bytes and nesting: `messages.max_bytes`, `messages.max_depth`, `messages.max_device_info_bytes`.
    pub limits: Limits,
    /// Frames that one message may come in: `messages.max_fragments`.
    pub max_fragments: usize,
}

/// When load is shed for want of memory: `memory`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct MemorySettings {
    /// What this process may have, in bytes: `memory.limit_bytes`. `None` is what the system lets it have, 0 is no limit.
    pub limit: Option<u64>,
    /// From this share on, new connections are refused: `memory.refuse_percent`.
    pub refuse_percent: u8,
    /// From this share on, clients that wait are let go: `memory.let_go_percent`.
    pub let_go_percent: u8,
    /// What all queues together may hold: `memory.queues_percent`. Beyond a share of it each may hold 4 to 16 KiB only.
    pub queues_percent: u8,
    /// What every `device_info` together may have: `memory.device_info_percent`. Beyond a share of it a device is refused.
    pub device_info_percent: u8,
    /// What all unfinished messages may come to: `memory.assembling_percent`. Beyond it one of more than 16 KiB waits.
    pub assembling_percent: u8,
    /// What all lists of devices that are not read yet may come to, those of one reader to an eighth of it: `memory.lists_percent`.
    /// Beyond it whoever asks for one is told 503.
    pub lists_percent: u8,
    /// What all leases may come to, with what is known of their holders: `memory.leases_percent`. Beyond a share of it there are no
    /// more.
    pub leases_percent: u8,
}

impl Default for MemorySettings {
    fn default() -> Self {
        Self {
            limit: None,
            refuse_percent: 85,
            let_go_percent: 95,
            queues_percent: 25,
            device_info_percent: 10,
            assembling_percent: 10,
            lists_percent: 10,
            leases_percent: 5,
        }
    }
}

/// The bounds of HTTP: `http`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct HttpSettings {
    /// The request line and all headers together, in bytes.
    pub max_header_bytes: usize,
    /// Header lines of one request.
    pub max_headers: usize,
    /// Streams of `/api/v1/devices/events` at once.
    pub event_streams: usize,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            listen: SocketAddr::new(IpAddr::V4(Ipv4Addr::LOCALHOST), 8080),
            listen_unix: None,
            reuse_port: false,
            metrics_listen: Some(SocketAddr::new(IpAddr::V4(Ipv4Addr::LOCALHOST), 9090)),
            allowed_origins: Vec::new(),
            proxy: ProxySettings::default(),
            access: AccessSettings::default(),
            audit: AuditSettings::default(),
            tls: None,
            acme: None,
            https: HttpsSettings::default(),
            connections: ConnectionSettings::default(),
            timeouts: Timeouts::default(),
            messages: MessageSettings::default(),
            limits: LimitSettings::default(),
            leases: LeaseSettings::default(),
            quotas: QuotaSettings::default(),
            hub: cuttlebone_hub::Settings::default(),
            id_charset: IdCharset::Any,
            resume_key: None,
            memory: MemorySettings::default(),
            http: HttpSettings::default(),
            fetch: FetchSettings::default(),
            ice: cuttlebone_ice::Settings::default(),
        }
    }
}

impl Default for ConnectionSettings {
    fn default() -> Self {
        Self {
            max: 50_000,
            per_address: None,
            pending: 4_096,
            pending_per_address: None,
            rate: Rate { per_second: 5_000, burst: 10_000 },
            rate_per_address: Rate { per_second: 0, burst: 100 },
            send_buffer: 32 * 1024,
            receive_buffer: 32 * 1024,
        }
    }
}

impl Default for Timeouts {
    fn default() -> Self {
        Self {
            handshake: Duration::from_secs(10),
            first_message: Duration::from_secs(10),
            idle: Duration::from_secs(45),
            ping: Duration::from_secs(20),
            write: Duration::from_secs(10),
            response: Duration::from_secs(30),
            message: Duration::from_secs(10),
            drain: Duration::from_secs(10),
        }
    }
}

impl Default for MessageSettings {
    fn default() -> Self {
        Self { limits: Limits::default(), max_fragments: 256 }
    }
}

impl Default for HttpSettings {
    fn default() -> Self {
        Self { max_header_bytes: 16_384, max_headers: 64, event_streams: 256 }
    }
}
