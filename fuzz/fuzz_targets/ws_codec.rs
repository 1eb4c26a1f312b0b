//! Any bytes: the codec does what an independent one does.
#![no_main]
use libfuzzer_sys::fuzz_target;

fuzz_target!(|data: &[u8]| cuttlebone_ws::fuzz::against_reference(data));
