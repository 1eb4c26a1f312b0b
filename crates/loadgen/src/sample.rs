//! The payload that is sent round: a sender, a number, a time and filler, of exactly the size asked for.
//!
//! ```json
//! {"c":"00000003","n":"000000000017","t":"00000000000123456789","p":"xxxxxxx"}
//! ```

use std::sync::Arc;

use anyhow::Result;

use crate::sizes::Sizes;

const SENDER: usize = 8;
const NUMBER: usize = 12;
const TIME: usize = 20;
const SENDER_AT: usize = 6;
const NUMBER_AT: usize = SENDER_AT + SENDER + 7;
const TIME_AT: usize = NUMBER_AT + NUMBER + 7;
const FILLER_AT: usize = TIME_AT + TIME + 7;
const HEAD: &str = r#"{"c":"00000000","n":"000000000000","t":"00000000000000000000","p":""#;
const END: &[u8] = b"\"}";
/// Of a session description, as it stands in JSON.
const LINES: &str =
    r"a=rtpmap:96 VP8/90000\r\na=rtcp-fb:96 nack pli\r\na=extmap:4 urn:ietf:params:rtp-hdrext:sdes:mid\r\n";

/// The smallest payload that can be asked for, in bytes.
pub const MIN_BYTES: usize = FILLER_AT + END.len();

/// Writes the payloads of one sender, and reads them again.
#[derive(Clone, Debug)]
pub(crate) struct Sample {
    sender: u32,
    sizes: Sizes,
    /// As long as the longest filler.
    filler: Arc<[u8]>,
    bytes: Vec<u8>,
}

/// What a payload says of itself.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Label {
    pub(crate) sender: u32,
    pub(crate) number: u64,
    pub(crate) time: u64,
}

impl Sample {
    /// Payloads of such sizes, of the sender 0.
    ///
    /// # Errors
    /// When they would be below [`MIN_BYTES`].
    pub(crate) fn new(sizes: Sizes) -> Result<Self> {
        sizes.check()?;
        let length = sizes.most() - MIN_BYTES;
        let filler = match sizes {
            Sizes::Fixed(_) => "x".repeat(length),
            Sizes::Session => LINES.chars().cycle().take(length).collect(),
        };
        Ok(Self { sender: 0, sizes, filler: filler.into_bytes().into(), bytes: Vec::new() })
    }

    /// The same of another sender.
    pub(crate) fn of_sender(&self, sender: u32) -> Self {
        Self { sender, ..self.clone() }
    }

    pub(crate) fn sender(&self) -> u32 {
        self.sender
    }

    /// The payload with this number and time.
    pub(crate) fn write(&mut self, number: u64, time: u64) -> &[u8] {
        let (filler, last) = self.filler(self.sender, number);
        let bytes = &mut self.bytes;
        bytes.clear();
        bytes.extend_from_slice(HEAD.as_bytes());
        digits(&mut bytes[SENDER_AT..SENDER_AT + SENDER], u64::from(self.sender));
        digits(&mut bytes[NUMBER_AT..NUMBER_AT + NUMBER], number);
        digits(&mut bytes[TIME_AT..TIME_AT + TIME], time);
        bytes.extend_from_slice(&self.filler[..filler]);
        bytes.extend(last);
        bytes.extend_from_slice(END);
        bytes
    }

    /// What a payload that came back says, whoever sent it; `None` if a single byte of the rest is not as it was.
    pub(crate) fn read(&self, payload: &[u8]) -> Option<Label> {
        let label = label(payload)?;
        let (filler, last) = self.filler(label.sender, label.number);
        let rest = payload.strip_suffix(END)?.get(FILLER_AT..)?.strip_prefix(&self.filler[..filler])?;
        (rest == last.as_slice()).then_some(label)
    }

    /// How much of the filler there is, and what comes after it: not half of an escape.
    fn filler(&self, sender: u32, number: u64) -> (usize, Option<u8>) {
        let length = self.sizes.of(sender, number) - MIN_BYTES;
        match self.filler[..length].last() {
            Some(b'\\') => (length - 1, Some(b'x')),
            _ => (length, None),
        }
    }
}

/// Who sent a payload, and which; `None` if the head is not as it was.
pub(crate) fn label(payload: &[u8]) -> Option<Label> {
    let (payload, head) = (payload.get(..FILLER_AT)?, HEAD.as_bytes());
    let same = payload[..SENDER_AT] == head[..SENDER_AT]
        && payload[SENDER_AT + SENDER..NUMBER_AT] == head[SENDER_AT + SENDER..NUMBER_AT]
        && payload[NUMBER_AT + NUMBER..TIME_AT] == head[NUMBER_AT + NUMBER..TIME_AT]
        && payload[TIME_AT + TIME..] == head[TIME_AT + TIME..];
    if !same {
        return None;
    }
    let sender = u32::try_from(parse(&payload[SENDER_AT..SENDER_AT + SENDER])?).ok()?;
    let number = parse(&payload[NUMBER_AT..NUMBER_AT + NUMBER])?;
    let time = parse(&payload[TIME_AT..TIME_AT + TIME])?;
    Some(Label { sender, number, time })
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
            let mut sample = Sample::new(Sizes::Fixed(size)).unwrap().of_sender(3);
            let payload = sample.write(17, 123_456_789).to_vec();
            assert_eq!(payload.len(), size);
            assert!(serde_json::from_slice::<serde_json::Value>(&payload).is_ok());
            assert_eq!(sample.read(&payload), Some(Label { sender: 3, number: 17, time: 123_456_789 }));
        }
        assert!(Sample::new(Sizes::Fixed(MIN_BYTES - 1)).is_err());
    }

    #[test]
    fn messages_of_a_session_are_json_with_escapes_and_of_the_right_sizes() {
        for sender in 0..40 {
            let mut sample = Sample::new(Sizes::Session).unwrap().of_sender(sender);
            for number in 0..44 {
                let payload = sample.write(number, 1).to_vec();
                assert_eq!(payload.len(), Sizes::Session.of(sender, number));
                let value: serde_json::Value = serde_json::from_slice(&payload).unwrap();
                assert!(value["p"].as_str().unwrap().contains("\r\n"));
                assert_eq!(sample.read(&payload), Some(Label { sender, number, time: 1 }));
            }
        }
    }

    #[test]
    fn any_other_byte_is_seen() {
        let mut sample = Sample::new(Sizes::Fixed(100)).unwrap();
        let payload = sample.write(1, 2).to_vec();
        for at in 0..payload.len() {
            let mut altered = payload.clone();
            altered[at] ^= 0x40;
            assert_eq!(sample.read(&altered), None, "byte {at}");
        }
        assert_eq!(sample.read(&payload[1..]), None);
        assert_eq!(sample.read(&payload[..payload.len() - 1]), None);
    }
}
