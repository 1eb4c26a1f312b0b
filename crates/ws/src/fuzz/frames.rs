//! Streams as frames, written and read without any judgement.

use std::iter;

use super::MESSAGE_BYTES;

/// A frame of a stream as its header has it, allowed or not. Bytes that are missing count as 0.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Frame {
    /// Where in the stream it begins.
    pub(super) start: usize,
    pub(super) first: u8,
    pub(super) fin: bool,
    pub(super) opcode: u8,
    pub(super) len: u64,
    /// The size of the header.
    pub(super) header: usize,
    /// The four bytes of the mask, if there is one.
    pub(super) key: Option<[u8; 4]>,
    /// As much of the payload as is there, without the mask.
    pub(super) payload: Vec<u8>,
    /// Bytes that the stream lacks for the end of this frame; of a payload that is too large, for the end of its header.
    pub(super) missing: usize,
}

impl Frame {
    pub(super) fn is_control(&self) -> bool {
        self.opcode >= 8
    }

    /// True if the length could be written in fewer bytes.
    pub(super) fn has_longer_length_form(&self) -> bool {
        let mask = if self.key.is_some() { 4 } else { 0 };
        self.header > mask + 2 + length(self.len).1.len()
    }

    /// The same frame, its length in the shortest form.
    pub(super) fn shortened(&self) -> Vec<u8> {
        write(self.first, &self.payload, self.key, &length(self.len))
    }
}

/// The frames of a stream, by the lengths in their headers.
pub(super) fn frames(stream: &[u8]) -> impl Iterator<Item = Frame> {
    let mut start = 0;
    iter::from_fn(move || {
        let rest = stream.get(start..).filter(|rest| !rest.is_empty())?;
        let frame = read(rest, start);
        start = start.saturating_add(frame.header).saturating_add(usize::try_from(frame.len).unwrap_or(usize::MAX));
        Some(frame)
    })
}

fn read(bytes: &[u8], start: usize) -> Frame {
    let mut head = [0; 14];
    let there = bytes.len().min(14);
    head[..there].copy_from_slice(&bytes[..there]);
    let [first, second, a, b, c, d, e, f, g, h, ..] = head;
    let (len, before_key) = match second & 0x7f {
        127 => (u64::from_be_bytes([a, b, c, d, e, f, g, h]), 10),
        126 => (u64::from(u16::from_be_bytes([a, b])), 4),
        short => (u64::from(short), 2),
    };
    let key = (second & 0x80 != 0).then(|| [0, 1, 2, 3].map(|i| head[before_key + i]));
    let header = before_key + if key.is_some() { 4 } else { 0 };
    let wanted = usize::try_from(len).unwrap_or(usize::MAX);
    let mut payload = bytes.get(header..).unwrap_or_default().to_vec();
    payload.truncate(wanted);
    let missing = header.saturating_sub(bytes.len()) + if wanted > MESSAGE_BYTES { 0 } else { wanted - payload.len() };
    mask(&mut payload, key);
    Frame { start, first, fin: first & 0x80 != 0, opcode: first & 0x0f, len, header, key, payload, missing }
}

/// The second byte and what follows it, for a length in its shortest form.
pub(super) fn length(len: u64) -> (u8, Vec<u8>) {
    match (u8::try_from(len), u16::try_from(len)) {
        (Ok(short @ ..=125), _) => (short, vec![]),
        (_, Ok(medium)) => (126, medium.to_be_bytes().into()),
        _ => (127, len.to_be_bytes().into()),
    }
}

/// A frame with this first byte and this length.
pub(super) fn write(first: u8, payload: &[u8], key: Option<[u8; 4]>, length: &(u8, Vec<u8>)) -> Vec<u8> {
    let mut bytes = vec![first, length.0 | if key.is_some() { 0x80 } else { 0 }];
    bytes.extend(&length.1);
    bytes.extend(key.into_iter().flatten());
    let start = bytes.len();
    bytes.extend(payload);
    mask(&mut bytes[start..], key);
    bytes
}

/// By the definition, and not by the function that is tested.
fn mask(bytes: &mut [u8], key: Option<[u8; 4]>) {
    for (byte, key) in bytes.iter_mut().zip(key.iter().flatten().cycle()) {
        *byte ^= key;
    }
}

/// Makes frames of bytes: one chooses the kind, one the length, then comes the payload.
pub(super) fn framed(data: &[u8]) -> Vec<u8> {
    const KINDS: [u8; 16] =
        [0x81, 0x01, 0x80, 0x00, 0x82, 0x02, 0x89, 0x8a, 0x81, 0x01, 0x80, 0x00, 0x80, 0x00, 0x88, 0xff];
    const KEY: [u8; 4] = [0x5a, 0x00, 0xc3, 0x81];
    let mut stream = Vec::new();
    let mut data = data;
    while let [kind, len, rest @ ..] = data {
        let first = if KINDS[usize::from(kind % 16)] == 0xff { kind ^ len } else { KINDS[usize::from(kind % 16)] };
        let wanted = if *len > 250 { usize::from(*len) * 2 - 400 } else { usize::from(*len) };
        let (payload, after) = rest.split_at(wanted.min(rest.len()));
        stream.extend(write(first, payload, Some(KEY), &length(wanted as u64)));
        data = after;
    }
    stream
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_written_is_read() {
        let stream = [
            write(0x01, b"text", Some([1, 2, 3, 4]), &length(4)),
            write(0xc9, b"", None, &(127, vec![0; 8])),
            write(0x82, &[7; 300], Some([9, 0, 9, 0]), &length(300)),
        ];
        let read: Vec<Frame> = frames(&stream.concat()).collect();
        assert_eq!(read.iter().map(|frame| frame.start).collect::<Vec<_>>(), [0, 10, 20]);
        assert_eq!(
            read.iter().map(|frame| frame.payload.as_slice()).collect::<Vec<_>>(),
            [b"text", &[][..], &[7; 300]]
        );
        assert_eq!(read.iter().map(Frame::has_longer_length_form).collect::<Vec<_>>(), [false, true, false]);
        assert_eq!(read[1].shortened(), [0xc9, 0]);
        assert_eq!((read[0].shortened(), read[2].shortened()), (stream[0].clone(), stream[2].clone()));
    }

    #[test]
    fn missing_bytes_are_counted() {
        let missing = |bytes: &[u8]| frames(bytes).last().unwrap().missing;
        assert_eq!(missing(&[0x81, 0x85]), 4 + 5);
        assert_eq!(missing(&[0x81, 0x05, b'x']), 4);
        assert_eq!(missing(&[0x81, 0xfe]), 2 + 4);
        assert_eq!(missing(&[0x81, 0xff, 0xff, 0, 0, 0, 0, 0, 0, 0]), 4, "the payload is too large to be looked at");
        assert_eq!(missing(&write(0x81, b"all", Some([1; 4]), &length(3))), 0);
    }
}
