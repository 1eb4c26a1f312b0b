//! A client that says exactly what a test wants.

use cuttlebone_ws::{Decoder, Event, Limits};

pub(crate) const KEY: [u8; 4] = [0x37, 0xfa, 0x21, 0x3d];

pub(crate) const CONTINUATION: u8 = 0;
pub(crate) const TEXT: u8 = 1;
pub(crate) const BINARY: u8 = 2;
pub(crate) const CLOSE: u8 = 8;
pub(crate) const PING: u8 = 9;
pub(crate) const PONG: u8 = 10;

/// A masked frame.
pub(crate) fn frame(fin: bool, opcode: u8, payload: &[u8]) -> Vec<u8> {
    let mut bytes = header(fin, opcode, payload.len() as u64);
    bytes.extend(payload.iter().zip(KEY.iter().cycle()).map(|(byte, key)| byte ^ key));
    bytes
}

/// The header of a masked frame.
pub(crate) fn header(fin: bool, opcode: u8, len: u64) -> Vec<u8> {
    let mut bytes = vec![u8::from(fin) << 7 | opcode];
    match len {
        0..=125 => bytes.push(0x80 | len as u8),
        126..=0xffff => {
            bytes.push(0x80 | 126);
            bytes.extend((len as u16).to_be_bytes());
        }
        _ => {
            bytes.push(0x80 | 127);
            bytes.extend(len.to_be_bytes());
        }
    }
    bytes.extend(KEY);
    bytes
}

pub(crate) fn limited(message_bytes: usize, fragments: usize) -> Decoder {
    Decoder::new(Limits { message_bytes, fragments })
}

/// An event with what it carries.
pub(crate) type Seen = (Event, Vec<u8>);

/// Feeds one piece, and tells everything that happened.
pub(crate) fn feed(decoder: &mut Decoder, bytes: &[u8]) -> Vec<Seen> {
    let mut piece = bytes.to_vec();
    let mut rest = piece.as_mut_slice();
    let mut seen = Vec::new();
    loop {
        let decoded = decoder.decode(rest);
        rest = &mut rest[decoded.consumed..];
        let Some(event) = decoded.event else {
            assert!(rest.is_empty(), "without an event everything is consumed");
            return seen;
        };
        let payload = match event {
            Event::Text => decoder.text().as_bytes(),
            Event::Binary => decoder.binary(),
            Event::Ping | Event::Pong => decoder.control(),
            Event::Close(_) | Event::Violation(_) => &[],
        };
        seen.push((event, payload.to_vec()));
    }
}

/// Feeds a whole stream to a decoder with the default limits; only the events.
pub(crate) fn events(stream: &[u8]) -> Vec<Event> {
    feed(&mut Decoder::new(Limits::default()), stream).into_iter().map(|(event, _)| event).collect()
}
