//! Frame headers (RFC 6455 section 5.2), refused as early as the bytes allow.

use crate::Violation;

/// The longest header of a masked frame.
pub(crate) const MAX_LEN: usize = 14;

/// The kind of a frame. The numbers are those of the wire.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Opcode {
    Continuation = 0,
    Text = 1,
    Binary = 2,
    Close = 8,
    Ping = 9,
    Pong = 10,
}

impl Opcode {
    fn read(bits: u8) -> Option<Self> {
        Some(match bits {
            0 => Self::Continuation,
            1 => Self::Text,
            2 => Self::Binary,
            8 => Self::Close,
            9 => Self::Ping,
            10 => Self::Pong,
            _ => return None,
        })
    }

    pub(crate) fn is_control(self) -> bool {
        matches!(self, Self::Close | Self::Ping | Self::Pong)
    }
}

/// What the decoder allows the next frame to be.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Expected {
    /// A message has begun, so that data must be a continuation.
    pub(crate) continuation: bool,
    /// Bytes that the message may still have.
    pub(crate) room: usize,
}

/// A header that is whole and allowed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Header {
    pub(crate) fin: bool,
    pub(crate) opcode: Opcode,
    pub(crate) len: usize,
    pub(crate) mask: [u8; 4],
}

/// What some first bytes of a frame are.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Parsed {
    /// Nothing wrong yet; the header has at least this many bytes.
    Incomplete(usize),
    /// The header, and how many bytes it took.
    Complete(Header, usize),
}

/// Reads a header from the beginning of `bytes`.
pub(crate) fn parse(bytes: &[u8], expected: Expected) -> Result<Parsed, Violation> {
    let [first, second, rest @ ..] = bytes else {
        return Ok(Parsed::Incomplete(2));
    };
    let opcode = check_first_two(*first, *second, expected)?;
    let (len, rest) = match (second & 0x7f, rest) {
        (126, [a, b, rest @ ..]) => (minimal(u64::from(u16::from_be_bytes([*a, *b])), 126)?, rest),
        (126, _) => return Ok(Parsed::Incomplete(4)),
        (127, [a, b, c, d, e, f, g, h, rest @ ..]) => {
            let len = u64::from_be_bytes([*a, *b, *c, *d, *e, *f, *g, *h]);
            (minimal(len, 1 << 16)?, rest)
        }
        (127, _) => return Ok(Parsed::Incomplete(10)),
        (short, rest) => (u64::from(short), rest),
    };
    let len = usize::try_from(len).map_err(|_| Violation::TooLarge)?;
    if !opcode.is_control() && len > expected.room {
        return Err(Violation::TooLarge);
    }
    let before_mask = bytes.len() - rest.len();
    let [a, b, c, d, ..] = rest else {
        return Ok(Parsed::Incomplete(before_mask + 4));
    };
    let header = Header { fin: first & 0x80 != 0, opcode, len, mask: [*a, *b, *c, *d] };
    Ok(Parsed::Complete(header, before_mask + 4))
}

fn check_first_two(first: u8, second: u8, expected: Expected) -> Result<Opcode, Violation> {
    let (fin, reserved) = (first & 0x80 != 0, first & 0x70);
    let (masked, len) = (second & 0x80 != 0, second & 0x7f);
    let opcode = Opcode::read(first & 0x0f).ok_or(Violation::Protocol)?;
    let allowed = match opcode {
        Opcode::Close => fin && len <= 125 && len != 1,
        Opcode::Ping | Opcode::Pong => fin && len <= 125,
        Opcode::Continuation => expected.continuation,
        Opcode::Text | Opcode::Binary => !expected.continuation,
    };
    if allowed && masked && reserved == 0 { Ok(opcode) } else { Err(Violation::Protocol) }
}

/// A length must be written in the shortest form. (Its highest bit is reserved; with it, any length is too large.)
fn minimal(len: u64, least: u64) -> Result<u64, Violation> {
    if len < least { Err(Violation::Protocol) } else { Ok(len) }
}

#[cfg(test)]
mod tests {
    use super::*;

    const FIRST: Expected = Expected { continuation: false, room: 1000 };
    const NEXT: Expected = Expected { continuation: true, room: 1000 };

    fn refused(bytes: &[u8], expected: Expected) -> Option<Violation> {
        parse(bytes, expected).err()
    }

    #[test]
    fn reads_all_three_length_forms() {
        let complete =
            |opcode, len, size| Ok(Parsed::Complete(Header { fin: true, opcode, len, mask: [1, 2, 3, 4] }, size));
        assert_eq!(parse(&[0x81, 0x85, 1, 2, 3, 4, 9], FIRST), complete(Opcode::Text, 5, 6));
        assert_eq!(parse(&[0x82, 0xfe, 0, 200, 1, 2, 3, 4], FIRST), complete(Opcode::Binary, 200, 8));
        let long = [0x81, 0xff, 0, 0, 0, 0, 0, 1, 0, 0, 1, 2, 3, 4];
        let expected = Expected { continuation: false, room: 65_536 };
        assert_eq!(parse(&long, expected), complete(Opcode::Text, 65_536, 14));
        for cut in 0..long.len() {
            let got = parse(&long[..cut], expected);
            assert!(matches!(got, Ok(Parsed::Incomplete(need)) if need > cut && need <= 14), "{cut}: {got:?}");
        }
    }

    #[test]
    fn two_bytes_are_enough_to_refuse() {
        for (bytes, why) in [
            ([0x81, 0x05], "not masked"),
            ([0xc1, 0x85], "RSV1"),
            ([0xa1, 0x85], "RSV2"),
            ([0x91, 0x85], "RSV3"),
            ([0x83, 0x80], "opcode 3"),
            ([0x8b, 0x80], "opcode 11"),
            ([0x8f, 0x80], "opcode 15"),
            ([0x80, 0x80], "nothing to continue"),
            ([0x09, 0x80], "fragmented ping"),
            ([0x89, 0xfe], "ping of 126 bytes or more"),
            ([0x8a, 0xff], "pong of 64 KiB or more"),
            ([0x88, 0x81], "close with one byte"),
        ] {
            assert_eq!(refused(&bytes, FIRST), Some(Violation::Protocol), "{why}");
        }
        assert_eq!(refused(&[0x81, 0x80], NEXT), Some(Violation::Protocol), "continuation expected");
        assert_eq!(refused(&[0x89, 0x80], NEXT), None, "control frames may come between");
    }

    #[test]
    fn length_is_judged_before_the_mask_has_come() {
        assert_eq!(refused(&[0x81, 0xff, 0x40, 0, 0, 0, 0, 0, 0, 0], FIRST), Some(Violation::TooLarge), "2^62");
        assert_eq!(refused(&[0x81, 0xff, 0x80, 0, 0, 0, 0, 0, 0, 0], FIRST), Some(Violation::TooLarge), "2^63");
        assert_eq!(refused(&[0x81, 0xfe, 0x03, 0xe9], FIRST), Some(Violation::TooLarge), "1001");
        assert_eq!(refused(&[0x81, 0xfe, 0x03, 0xe8], FIRST), None, "1000");
    }

    #[test]
    fn longer_form_than_needed_is_refused() {
        assert_eq!(refused(&[0x81, 0xfe, 0, 125], FIRST), Some(Violation::Protocol));
        assert_eq!(refused(&[0x81, 0xff, 0, 0, 0, 0, 0, 0, 0xff, 0xff], FIRST), Some(Violation::Protocol));
    }
}
