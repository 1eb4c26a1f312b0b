//! Frames of the server: never masked, never fragmented.
//!
//! Every function appends one whole frame to `out` and can't fail.

use crate::header::Opcode;

/// The longest header of an unmasked frame.
pub const MAX_HEADER: usize = 10;

/// Appends a text frame.
pub fn text(out: &mut Vec<u8>, payload: &str) {
    frame(out, Opcode::Text, payload.as_bytes());
}

/// Appends only the header of a text frame with a payload of `len` bytes, for a caller that writes the
/// payload from where it lies.
pub fn text_header(out: &mut Vec<u8>, len: usize) {
    header(out, Opcode::Text, len);
}

/// Appends a binary frame.
pub fn binary(out: &mut Vec<u8>, payload: &[u8]) {
    frame(out, Opcode::Binary, payload);
}

/// Appends a ping. Of a payload over 125 bytes the rest is left out.
pub fn ping(out: &mut Vec<u8>, payload: &[u8]) {
    frame(out, Opcode::Ping, payload.get(..125).unwrap_or(payload));
}

/// Appends a pong. Of a payload over 125 bytes the rest is left out.
pub fn pong(out: &mut Vec<u8>, payload: &[u8]) {
    frame(out, Opcode::Pong, payload.get(..125).unwrap_or(payload));
}

/// Appends a close frame, without a payload if there is no code. A reason over 123 bytes is cut.
pub fn close(out: &mut Vec<u8>, code: Option<u16>, reason: &str) {
    let Some(code) = code else {
        return frame(out, Opcode::Close, &[]);
    };
    let reason = &reason[..reason.floor_char_boundary(123)];
    header(out, Opcode::Close, 2 + reason.len());
    out.extend_from_slice(&code.to_be_bytes());
    out.extend_from_slice(reason.as_bytes());
}

fn frame(out: &mut Vec<u8>, opcode: Opcode, payload: &[u8]) {
    out.reserve(MAX_HEADER + payload.len());
    header(out, opcode, payload.len());
    out.extend_from_slice(payload);
}

fn header(out: &mut Vec<u8>, opcode: Opcode, len: usize) {
    out.push(0x80 | opcode as u8);
    match (u8::try_from(len), u16::try_from(len)) {
        (Ok(short @ ..=125), _) => out.push(short),
        (_, Ok(medium)) => {
            out.push(126);
            out.extend_from_slice(&medium.to_be_bytes());
        }
        _ => {
            out.push(127);
            out.extend_from_slice(&(len as u64).to_be_bytes());
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn head_of(len: usize) -> Vec<u8> {
        let mut out = Vec::new();
        text_header(&mut out, len);
        out
    }

    #[test]
    fn lengths_take_the_shortest_form() {
        assert_eq!(head_of(0), [0x81, 0]);
        assert_eq!(head_of(125), [0x81, 125]);
        assert_eq!(head_of(126), [0x81, 126, 0, 126]);
        assert_eq!(head_of(65_535), [0x81, 126, 0xff, 0xff]);
        assert_eq!(head_of(65_536), [0x81, 127, 0, 0, 0, 0, 0, 1, 0, 0]);
    }

    #[test]
    fn frames_are_byte_exact() {
        let mut out = Vec::new();
        text(&mut out, "hé");
        binary(&mut out, &[1, 2]);
        ping(&mut out, b"");
        close(&mut out, Some(1000), "bye");
        close(&mut out, None, "left out");
        assert_eq!(out, b"\x81\x03h\xc3\xa9\x82\x02\x01\x02\x89\x00\x88\x05\x03\xe8bye\x88\x00");
    }

    #[test]
    fn control_payloads_stay_within_125_bytes() {
        let mut out = Vec::new();
        pong(&mut out, &[7; 200]);
        assert_eq!((out[1], out.len()), (125, 127));
        out.clear();
        close(&mut out, Some(1000), &"é".repeat(100));
        assert_eq!((out[1], out.len()), (124, 126), "cut between characters");
        assert!(std::str::from_utf8(&out[4..]).is_ok());
    }
}
