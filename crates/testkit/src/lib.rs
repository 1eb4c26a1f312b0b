//! What tests need: transcripts of the protocol, a runner for them, and peers that break every rule.
//!
//! - [`Transcript`] is one situation of the protocol, read from `transcripts/*.jsonl`.
//! - [`run`] plays one against a [`World`]: [`Sockets`] is any server that speaks WebSocket.
//! - [`RawPeer`] sends whatever bytes a test wants and breaks its connection when told.
//! - [`conformance`] plays many transcripts against one server and prints a table.

pub mod conformance;
mod raw_peer;
mod runner;
mod sockets;
mod transcript;
mod world;

pub use raw_peer::{ConnectError, Frame, FrameError, FrameReader, Opcode, PeerEnded, PeerOptions, RawPeer};
pub use runner::{Compare, Failure, RunOptions, run};
pub use sockets::Sockets;
pub use transcript::{Expect, Fragments, Need, Send, SendBody, Step, Transcript, TranscriptError, embedded};
pub use world::{Close, Open, Received, Role, Sent, World, WorldError};
