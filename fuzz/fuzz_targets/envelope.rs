//! Any text: the parser and `serde_json` agree on what is JSON.
#![no_main]
use libfuzzer_sys::fuzz_target;

fuzz_target!(|data: &[u8]| cuttlebone_proto::fuzz::envelope(data));
