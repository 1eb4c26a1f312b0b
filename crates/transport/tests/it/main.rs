//! Connections over pipes and over real sockets, with an independent implementation as the peer.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

mod assembly;
mod floods;
mod listener;
mod messages;
mod outbound;
mod peer;
mod rates;
mod tls_files;
mod tls_sockets;
mod unix_sockets;
mod violations;
