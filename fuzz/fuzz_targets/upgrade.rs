//! Any bytes over a socket: HTTP answers them, and opens no WebSocket without the token.
#![no_main]
use libfuzzer_sys::fuzz_target;

fuzz_target!(|data: &[u8]| cuttlebone_server::fuzz::upgrade(data));
