//! The roles against a tiny server that does what each test says, over real sockets.

#![expect(clippy::unwrap_used, reason = "a test fails by panicking, its helpers too")]
mod client;
mod cuts;
mod device;
mod fake;
mod line;
mod model;
mod over;
mod raw;
mod reconnect;
mod restart;
mod resume;
mod server;
mod talk;
mod tls;
mod token;
