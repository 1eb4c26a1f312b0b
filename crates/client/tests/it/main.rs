//! The roles against a tiny server that does what each test says, over real sockets.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking, its helpers too")]
mod client;
mod device;
mod fake;
mod raw;
mod reconnect;
mod tls;
