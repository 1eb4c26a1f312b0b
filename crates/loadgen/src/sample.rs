//! The payload that is sent round: a number, a time and filler, of exactly the size asked for.
//!
//! ```json
//! {"n":"000000000017","t":"00000000000123456789","p":"xxxxxxx"}
//! ```

use anyhow::{Result, ensure};

const NUMBER: usize = 12;
const TIME: usize = 20;
const NUMBER_AT: usize = 6;
const TIME_AT: usize = NUMBER_AT + NUMBER + 7;
const FILLER_AT: usize = TIME_AT + TIME + 7;
const END: &[u8] = b"\"}";

/// The smallest payload that can be asked for, in bytes.
pub const MIN_BYTES: usize = FILLER_AT + END.len();

/// Writes payloads, and reads them again.
#[derive(Clone, Debug)]
pub(crate) struct Sample {
    bytes: Vec<u8>,
}

impl Sample {
    /// Payloads of `size` bytes.
    ///
    /// # Errors
    /// When `size` is below [`MIN_BYTES`].
    pub(crate) fn new(size: usize) -> Result<Self> {
        ensure!(size >= MIN_BYTES, "a payload must have at least {MIN_BYTES} bytes");
        let filler = "x".repeat(size - MIN_BYTES);
        let text = format!(r#"{{"n":"{:0NUMBER$}","t":"{:0TIME$}","p":"{filler}"}}"#, 0, 0);
        Ok(Self { bytes: text.into_bytes() })
    }

    /// The payload with this number and time.
    pub(crate) fn write(&mut self, number: u64, time: u64) -> &[u8] {
        digits(&mut self.bytes[NUMBER_AT..NUMBER_AT + NUMBER], number);
        digits(&mut self.bytes[TIME_AT..TIME_AT + TIME], time);
        &self.bytes
    }

    /// Number and time of a payload that came back; `None` if a single byte of the rest is not as it was.
    pub(crate) fn read(&self, payload: &[u8]) -> Option<(u64, u64)> {
        let same = payload.len() == self.bytes.len()
            && payload[..NUMBER_AT] == self.bytes[..NUMBER_AT]
            && payload[NUMBER_AT + NUMBER..TIME_AT] == self.bytes[NUMBER_AT + NUMBER..TIME_AT]
            && payload[TIME_AT + TIME..] == self.bytes[TIME_AT + TIME..];
        if !same {
            return None;
        }
        let number = parse(&payload[NUMBER_AT..NUMBER_AT + NUMBER])?;
        let time = parse(&payload[TIME_AT..TIME_AT + TIME])?;
        Some((number, time))
    }
}

fn digits(place: &mut [u8], mut number: u64) {
    for digit in place.iter_mut().rev() {
        *digit = b'0' + u8::try_from(number % 10).unwrap_or(0);
        number /= 10;
    }
}

fn parse(digits: &[u8]) -> Option<u64> {
    std::str::from_utf8(digits).ok()?.parse().ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_written_can_be_read_and_has_the_size() {
        for size in [MIN_BYTES, 100, 1500] {
            let mut sample = Sample::new(size).unwrap();
            let payload = sample.write(17, 123_456_789).to_vec();
            assert_eq!(payload.len(), size);
            assert!(serde_json::from_slice::<serde_json::Value>(&payload).is_ok());
            assert_eq!(sample.read(&payload), Some((17, 123_456_789)));
        }
        assert!(Sample::new(MIN_BYTES - 1).is_err());
    }

    #[test]
    fn any_other_byte_is_seen() {
        let mut sample = Sample::new(100).unwrap();
        let payload = sample.write(1, 2).to_vec();
        for at in 0..payload.len() {
            let mut altered = payload.clone();
            altered[at] ^= 0x40;
            assert_eq!(sample.read(&altered), None, "byte {at}");
        }
        assert_eq!(sample.read(&payload[1..]), None);
    }
}
