//! The signaling protocol as pure state machines: no clock, no I/O, no map.
//!
//! - [`Envelope`] reads a message as slices of its text.
//! - [`ClientSession`] and [`DeviceSession`] decide what a message means where the session stands.
//! - [`encode`] writes what the server says.
//! - [`Reject`] is the one table of refusals.
//!
//! Invariants: 1. a payload is never rebuilt, only sliced and spliced; 2. no input is repeated to a peer beyond 64
//! characters of an unknown `message_type` and the device id it sent itself; 3. no input can make a function here panic.

mod close_code;
mod device_info;
pub mod encode;
mod envelope;
#[cfg(any(test, feature = "fuzzing"))]
pub mod fuzz;
mod ice_server;
mod ids;
mod json;
pub mod limits;
mod number;
mod reject;
mod resume;
mod session;

pub use close_code::CloseCode;
pub use device_info::adb_port;
pub use envelope::{DeviceIdField, Envelope};
pub use ice_server::IceServer;
pub use ids::{ClientId, DeviceId, InvalidDeviceId};
pub use limits::Limits;
pub use reject::Reject;
pub use resume::Resume;
pub use session::{Ask, ClientEffect, ClientSession, ClientWait, DeviceEffect, DeviceSession};
