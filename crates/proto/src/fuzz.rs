//! Bodies of the fuzz targets. Each panics where an invariant breaks.

mod machines;

use crate::envelope::Envelope;
use crate::json::check;
use crate::reject::Reject;

pub use machines::machines;

/// Any text: the scanner and `serde_json` agree on what is JSON, and a payload that is found is JSON of its own.
pub fn envelope(data: &[u8]) {
    let Ok(text) = std::str::from_utf8(data) else { return };
    let ours = check(text, 64);
    if ours != Err(crate::json::Fault::TooDeep) {
        let reference = serde_json::from_str::<&serde_json::value::RawValue>(text).is_ok();
        assert_eq!(ours.is_ok(), reference, "the scanner and serde_json differ");
    }
    match Envelope::parse(text, 64) {
        Ok(envelope) => {
            for value in [envelope.payload, envelope.device_info].into_iter().flatten() {
                assert_eq!(check(value, 64), Ok(()), "a slice that is no value");
                assert_eq!(value.trim(), value, "a slice with white space around it");
            }
            let _ = (envelope.device_id(), envelope.client_id());
        }
        Err(Reject::InvalidJson) => assert!(ours.is_err(), "valid JSON was refused as such"),
        Err(Reject::NestedTooDeep | Reject::InvalidMessage) => {}
        Err(other) => panic!("the parser gave {other:?}"),
    }
}
