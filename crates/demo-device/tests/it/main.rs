//! The demo device as its viewers see it: a real WebRTC peer over loopback sockets.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking, in its helpers too")]

mod logs;
mod media;
mod server;
mod signaling;
mod viewer;
