//! The server over real sockets on loopback.

mod access;
mod acme;
mod assets;
mod audit;
mod certificates;
mod client_certificates;
mod descriptors;
mod devices;
mod drain;
mod events;
mod fetch;
mod field_device;
mod frames;
mod halves;
mod handshake;
mod limits;
mod metrics;
mod patience;
mod pauses;
mod rates;
mod redirect;
mod requests;
mod resume;
mod support;
mod threats;
mod tls;
