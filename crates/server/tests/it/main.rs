//! The server over real sockets on loopback.

mod access;
mod assets;
mod audit;
mod descriptors;
mod devices;
mod drain;
mod events;
mod fetch;
mod field_device;
mod frames;
mod halves;
mod handshake;
mod ice;
mod limits;
mod metrics;
mod patience;
mod pauses;
mod rates;
mod requests;
mod resume;
mod support;
mod threats;
mod tls;
