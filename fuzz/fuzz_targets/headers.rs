//! Any header lines: nobody is recognised without the token, no page of another site is let through.
#![no_main]
use libfuzzer_sys::fuzz_target;

fuzz_target!(|data: &[u8]| cuttlebone_server::fuzz::headers(data));
