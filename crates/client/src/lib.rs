//! The Rust SDK of the signaling protocol: be a device, or be a client of one.
//!
//! Two roles, each of them a handle to send with and a stream of events to read:
//!
//! * [`device()`] registers a device and keeps it registered. Its [`DeviceEvents`] say what clients sent, its
//!   [`DeviceHandle`] answers them.
//! * [`client()`] connects to a device and keeps the connection. Its [`ClientEvents`] say what the device sent.
//!
//! Below them is [`raw`]: one WebSocket without meaning and without reconnect, for load generators and tests.
//!
//! ```no_run
//! use cuttlebone_client::{ClientEvent, ClientOptions, Endpoint, client};
//!
//! # async fn example() -> Result<(), Box<dyn std::error::Error>> {
//! let endpoint = Endpoint::parse("http://127.0.0.1:8080")?;
//! let (handle, mut events) = client(ClientOptions::new(endpoint, "cvd-1"));
//! while let Some(event) = events.next().await {
//!     match event {
//!         ClientEvent::DeviceInfo(info) => {
//!             println!("connected to {info}");
//!             handle.forward(&serde_json::json!({"type": "request-offer"})).await?;
//!         }
//!         ClientEvent::Message(payload) => println!("{payload}"),
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

mod backoff;
mod client;
mod device;
mod driver;
mod endpoint;
mod handle;
mod message;
pub mod raw;
mod trust;

pub use backoff::Backoff;
pub use client::{ClientEvent, ClientEvents, ClientHandle, ClientOptions, client};
pub use cuttlebone_proto::{ClientId, IceServer};
pub use device::{DeviceEvent, DeviceEvents, DeviceHandle, DeviceOptions, device};
pub use endpoint::{Endpoint, EndpointError};
pub use handle::SendError;
pub use trust::Trust;
