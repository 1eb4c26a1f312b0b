//! The two machines of the protocol, one for each end of a session.
//!
//! The contract: an input is a method call, and each call gives exactly one effect, which the caller carries out
//! before the next input. A machine has no clock, does no I/O and knows of no other machine. After an effect that
//! closes, no further input changes anything.

mod client;
mod device;

pub use client::{Ask, ClientEffect, ClientSession, ClientWait};
pub use device::{DeviceEffect, DeviceSession};
