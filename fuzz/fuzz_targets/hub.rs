//! Any choices, two bytes each: the whole hub with many seats keeps its invariants.
#![no_main]
use libfuzzer_sys::fuzz_target;

fuzz_target!(|data: &[u8]| cuttlebone_sim::run_bytes(data));
