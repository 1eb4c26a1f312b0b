//! Any bytes: the codec does what two independent ones do.
#![no_main]
use libfuzzer_sys::fuzz_target;

fuzz_target!(|data: &[u8]| cuttlebone_ws::fuzz::against_references(data));
