//! The demo device as its viewers see it: a real WebRTC peer over loopback sockets.

mod media;
mod server;
mod signaling;
mod viewer;
