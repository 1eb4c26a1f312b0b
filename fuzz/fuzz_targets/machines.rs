//! Any sequence of inputs: both machines do what a reference model does.
#![no_main]
use libfuzzer_sys::fuzz_target;

fuzz_target!(|data: &[u8]| cuttlebone_proto::fuzz::machines(data));
