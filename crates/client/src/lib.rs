//! The Rust SDK of the signaling protocol: be a device, or be a client of one.
//!
//! Two roles, each of them a handle to send with and a stream of events to read:
//!
//! * [`device()`] registers a device and keeps it registered. Its [`DeviceEvents`] say what clients sent, its
//!   [`DeviceHandle`] answers them.
//! * [`client()`] connects to a device and keeps the session. Its [`ClientEvents`] say what the device sent.
//!
//! Below them is [`raw`]: one WebSocket without meaning and without reconnect, for load generators and tests.
//!
//! ```no_run
//! use cuttlebone_client::{ClientEvent, ClientOptions, Endpoint, SendError, client};
//!
//! # async fn example() -> Result<(), Box<dyn std::error::Error>> {
//! let endpoint = Endpoint::parse("http://127.0.0.1:8080")?;
//! let (handle, mut events) = client(ClientOptions::new(endpoint, "cvd-1"));
//! while let Some(event) = events.next().await {
//!     match event {
//!         // A new session: whatever was negotiated before is void.
//!         ClientEvent::DeviceInfo(info) => {
//!             println!("connected to {info}");
//!             match handle.forward(&serde_json::json!({"type": "request-offer"})).await {
//!                 // It is over already, and another will begin.
//!                 Err(SendError::NotConnected) => {}
//!                 sent => sent?,
//!             }
//!         }
//!         ClientEvent::Message(payload) => println!("{payload}"),
//!         // The same session over a new connection. Only if something may be lost there is something to do.
//!         ClientEvent::Resumed { complete, .. } => println!("back, and nothing was lost: {complete}"),
//!         ClientEvent::ServerError { text, .. } => eprintln!("{text}"),
//!         ClientEvent::Lost { reason, retry_in } => eprintln!("{reason}, again in {retry_in:?}"),
//!         ClientEvent::Config { .. } => {}
//!     }
//! }
//! # Ok(())
//! # }
//! ```
//!
//! # Promises
//!
//! 1. Payloads and `device_info` are passed on byte for byte, in the order sent.
//! 2. Every queue has a bound. A slow reader of events stops the reading of the socket, and nothing else: sending goes
//!    on, so that a task which does both can't wait for itself.
//! 3. A lost connection is made again with the pauses of [`Backoff`], until [`DeviceHandle::close`] or until the handle
//!    and the events are both dropped. Both end with a clean close (1000).
//! 4. Each connection is one task on the `TaskTracker` of the options; nothing else is spawned.
//! 5. A client's session outlives a broken connection where the server can resume it. Both sides then have had every
//!    message exactly once, or [`ClientEvent::Resumed`] says that some may be lost. A session that is over is followed by a
//!    new one, with [`ClientEvent::DeviceInfo`], and no message of the old one is sent in it.
//! 6. A device is not resumed: what was written to a connection that then broke may be lost with it. A planned restart of
//!    the server loses nothing. Everything before its close is read, and what was not written before our answer to it is
//!    sent after the next registration.
//! 7. A [`Token`] goes into a header of the upgrade request and nowhere else. When the server refuses it, no connection is
//!    made again, unless there is a provider of tokens ([`Credential`]): then a client's session outlives that.
//! 8. The key of a [`ClientCertificate`] signs handshakes of TLS, and is shown to nobody.

mod backoff;
mod certificate;
mod client;
mod credential;
mod device;
mod driver;
mod endpoint;
mod handle;
mod message;
pub mod raw;
mod resume;
mod trust;

pub use backoff::Backoff;
pub use certificate::{ClientCertificate, NotACertificate};
pub use client::{ClientEvent, ClientEvents, ClientHandle, ClientOptions, client};
pub use credential::{Credential, NotAToken, Token};
pub use cuttlebone_proto::{ClientId, IceServer};
pub use device::{DeviceEvent, DeviceEvents, DeviceHandle, DeviceOptions, device};
pub use endpoint::{Endpoint, EndpointError};
pub use handle::SendError;
pub use resume::Resume;
pub use trust::Trust;
