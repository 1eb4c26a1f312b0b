//! What tests need: transcripts of the protocol, a runner for them, and peers that break every rule.
//!
//! - [`Transcript`] is one situation of the protocol, read from `transcripts/*.jsonl`.
//! - [`run`] plays one against a [`World`]: [`Sockets`] is any server that speaks WebSocket,
//!   [`Machines`] the hub alone with a clock of its own.
//! - [`RawPeer`] sends whatever bytes a test wants and breaks its connection when told.
//! - [`TestServer`] is a real server on a free port, [`Authority`] makes certificates.
//! - [`fault_proxy`] passes TCP connections on, and delays, stalls, slices and cuts them when told.
//! - [`conformance`] plays many transcripts against one server and prints a table.

mod certificates;
pub mod conformance;
pub mod fault_proxy;
mod machines;
mod raw_peer;
mod runner;
mod settings;
mod sockets;
mod test_server;
mod transcript;
mod world;

pub use certificates::{Authority, CertificateError, PemPair};
pub use machines::Machines;
pub use raw_peer::{ConnectError, Frame, FrameError, FrameReader, Opcode, PeerEnded, PeerOptions, RawPeer};
pub use runner::{Compare, Failure, RunOptions, run};
pub use settings::{SettingsError, local_settings, settings_with};
pub use sockets::Sockets;
pub use test_server::TestServer;
pub use transcript::{Expect, Fragments, Need, Send, SendBody, Step, Transcript, TranscriptError, embedded};
pub use world::{Close, Open, Received, Role, Sent, World, WorldError};
