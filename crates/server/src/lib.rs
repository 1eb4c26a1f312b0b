//! Connection tasks, routes, metrics and the web UI.
//!
//! [`Server::bind`] listens, [`Server::run`] serves until it is told to stop. The path of a connection: `accept` gives it a
//! place, `serve` speaks HTTP on it, `routes::upgrade` hands its socket to a `connection` task, which is the only place
//! where a seat of the hub and a socket meet.
//!
//! Invariants: 1. every task is on a tracker and ends within the drain time; 2. every wait has a bound; 3. a fault in one
//! connection ends that connection only; 4. nothing a peer sends is logged or becomes a label.

mod accept;
mod acme;
mod admission;
mod app;
mod audit;
mod caller;
mod certificate;
mod clock;
mod connection;
mod context;
mod descriptors;
mod drain;
mod feed;
mod fetch;
#[cfg(any(test, feature = "fuzzing"))]
pub mod fuzz;
mod gate;
mod greeter;
mod headers;
mod host;
mod ids;
mod library_answers;
mod line_ends;
mod link;
mod listing;
mod logged;
mod login;
mod memory;
mod metrics;
mod origin;
mod panics;
mod problem;
mod proxy;
mod pulse;
mod quotas;
mod resume_key;
mod router;
mod routes;
mod serve;
mod server;
mod settings;
mod stall;
mod tables;
mod tasks;

pub use audit::{AuditSettings, AuditSink, audit_lost_line};
pub use cuttlebone_transport::tls::{ClientSettings, TlsError, TlsSettings};
pub use cuttlebone_transport::{Rate, UnixAddress};
pub use fetch::{FetchError, FetchSettings, Fetcher};
pub use gate::{AccessSettings, HookSettings, JwksSettings};
pub use http::Uri;
pub use login::{ClientSecret, LoginSettings};
pub use metrics::process::{count_dropped_log_line, dropped_log_lines};
pub use origin::Origin;
pub use panics::log_location_only;
pub use proxy::{Network, ProxySettings};
pub use resume_key::ResumeKey;
pub use server::{BindError, Server, ServerHandle, Sockets, Summary};
pub use settings::{
    AcmeChallenge, AcmeSettings, ConnectionSettings, DataLimits, ExternalAccount, Fault, HttpSettings, HttpsSettings,
    IdCharset, LeaseSettings, LimitSettings, MemorySettings, MessageSettings, QuotaSettings, Settings, Timeouts,
};
