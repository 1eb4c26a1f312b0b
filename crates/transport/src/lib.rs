//! Sockets that carry frames: WebSocket over TCP and TLS.
//!
//! This crate knows frames and not their meaning. It owns three things:
//!
//! - [`Conn`], the seam between a connection task and its socket: messages in, messages out, nothing that
//!   blocks. [`ws::WsConn`] is the one implementation; a test may write another.
//! - [`Listener`], which accepts connections of TCP and of a unix socket, hears from a proxy whose they are, and makes
//!   TLS of them, in steps that the caller can put a deadline on.
//! - [`tls`], which loads a certificate or makes a self-signed one, and [`file`](mod@file), which opens what it is loaded from.
//!
//! # Invariants
//!
//! 1. A connection that waits holds no buffer: reading goes through one scratch buffer per thread.
//! 2. What is queued leaves in as few writes as the socket allows, in the order it was queued.
//! 3. Nothing that a peer can do without our sending makes the outbound side grow.
//! 4. A peer that sends more than its [`Rate`] is read later, and nothing of it is lost; see [`ws::DataRates`].
//!
//! There is no time-out and no task in here: deadlines, back-off after a failed accept and cancellation
//! are the caller's.

mod conn;
pub mod file;
mod listener;
mod proxy_protocol;
mod rate;
mod stream;
pub mod tls;
mod unix;
pub mod ws;

pub use conn::{Conn, ConnExt, Incoming, Metered, Outgoing, Pause, Violation};
pub use cuttlebone_ws::handshake;
pub use listener::{Accepted, Listener, PeerUser};
pub use proxy_protocol::BadHeader;
pub use rate::{Bucket, Rate};
pub use stream::Stream;
pub use unix::UnixAddress;
