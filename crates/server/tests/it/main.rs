//! The server over real sockets on loopback.

mod assets;
mod descriptors;
mod devices;
mod drain;
mod events;
mod handshake;
mod limits;
mod metrics;
mod patience;
mod requests;
mod resume;
mod support;
mod tls;
