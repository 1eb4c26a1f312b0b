//! Any text as a token, signed or not: who is recognised has claims that say so.
#![no_main]
use libfuzzer_sys::fuzz_target;

fuzz_target!(|data: &[u8]| cuttlebone_access::fuzz::token(data));
