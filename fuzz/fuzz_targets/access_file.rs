//! Any text as a file of tokens, of revoked tokens or of keys: no panic, and what is accepted is what the file says.
#![no_main]
use libfuzzer_sys::fuzz_target;

fuzz_target!(|data: &[u8]| cuttlebone_access::fuzz::file(data));
