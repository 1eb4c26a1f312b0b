//! The second reference, and where it differs.

use std::io::{Read, Result as IoResult, Write};

use tungstenite::error::ProtocolError;
use tungstenite::protocol::{Role, WebSocketConfig};
use tungstenite::{Error, Message, WebSocket};

use super::MESSAGE_BYTES;
use super::case::{Case, Excuse, Outcome, Received, Side, Verdict};
use crate::Violation;

const JUDGES_LATE: &str = "tungstenite judges a frame when its header or all of it has come";
const TAKES_LONGER_LENGTHS: &str = "tungstenite takes a length in a longer form than needed";
const EXCUSES: [Excuse; 4] = [
    ("tungstenite looks at the size of a frame before anything else", names_the_size_first),
    ("tungstenite looks at a close reason before the code", names_the_reason_first),
    ("tungstenite turns a close code that may not be sent into 1002", replaces_forbidden_close_codes),
    ("tungstenite does not know close code 1014", |case, theirs| knows_no_code_1014(&case.ours, theirs)),
];

/// The names of all known differences.
#[cfg(test)]
pub(super) const KNOWN: &[&str] =
    &[JUDGES_LATE, TAKES_LONGER_LENGTHS, EXCUSES[0].0, EXCUSES[1].0, EXCUSES[2].0, EXCUSES[3].0];

/// Panics at a difference that is not known; tells those that are.
pub(super) fn compare(mut case: Case) -> Vec<&'static str> {
    let mut known = Vec::new();
    let mut theirs = read(&case.stream, Side::Server);
    loop {
        if judges_late(&case, &theirs) {
            known.push(JUDGES_LATE);
            case = case.completed();
            theirs = read(&case.stream, Side::Server);
        } else if let Some(shortened) = takes_a_longer_length(&case, &theirs) {
            known.push(TAKES_LONGER_LENGTHS);
            case = shortened;
        } else {
            known.extend(case.settle(&theirs, &EXCUSES));
            return known;
        }
    }
}

/// An opcode or a size is judged there when the whole header has come, everything else when the whole frame has.
/// Excused is only that the end is missing; with it they have to agree.
fn judges_late(case: &Case, theirs: &Outcome) -> bool {
    let is_cut = case.at_fault().is_some_and(|(frame, _)| frame.missing > 0);
    is_cut && *theirs == Outcome { verdict: Verdict::Open, ..case.ours.clone() }
}

/// RFC 6455 section 5.2 wants the shortest form of a length; there every form is taken, on purpose
/// (<https://github.com/snapview/tungstenite-rs/pull/546>). The case with the frame in its shortest form is given
/// back: on that they have to agree.
fn takes_a_longer_length(case: &Case, theirs: &Outcome) -> Option<Case> {
    let (frame, violation) = case.at_fault()?;
    if violation != Violation::Protocol || !frame.has_longer_length_form() {
        return None;
    }
    let (before, rest) = case.stream.split_at(frame.start);
    let after = rest.get(frame.header + frame.payload.len()..).unwrap_or_default();
    let shortened = Case::new([before, &frame.shortened(), after].concat());
    (read(&shortened.stream, Side::Server) == *theirs).then_some(shortened)
}

/// A frame is too large and, besides, breaks another rule: here the first two bytes were enough to refuse it.
fn names_the_size_first(case: &Case, theirs: &Outcome) -> bool {
    let too_large = Outcome { verdict: Verdict::Violation(Violation::TooLarge), ..case.ours.clone() };
    matches!(case.at_fault(), Some((frame, Violation::Protocol)) if frame.len > MESSAGE_BYTES as u64)
        && *theirs == too_large
}

/// A close frame has a code that may not be sent and, besides, a reason that is not UTF-8.
fn names_the_reason_first(case: &Case, theirs: &Outcome) -> bool {
    let not_utf8 = Outcome { verdict: Verdict::Violation(Violation::NotUtf8), ..case.ours.clone() };
    let Some((frame, Violation::Protocol)) = case.at_fault() else {
        return false;
    };
    let reason = frame.payload.get(2..).unwrap_or_default();
    frame.opcode == 8 && std::str::from_utf8(reason).is_err() && *theirs == not_utf8
}

/// RFC 6455 section 7.4: some codes must not be in a close frame. There that is no error: the peer is
/// said to have sent 1002, which it did not.
fn replaces_forbidden_close_codes(case: &Case, theirs: &Outcome) -> bool {
    let replaced = Outcome { verdict: Verdict::Close(Some(1002)), ..case.ours.clone() };
    let Some((frame, Violation::Protocol)) = case.at_fault() else {
        return false;
    };
    frame.opcode == 8 && !frame.payload.starts_with(&1002_u16.to_be_bytes()) && *theirs == replaced
}

/// 1014 (bad gateway) was registered with IANA after RFC 6455; there it is forbidden, and replaced by 1002
/// (<https://github.com/snapview/tungstenite-rs/issues/502>).
pub(super) fn knows_no_code_1014(ours: &Outcome, theirs: &Outcome) -> bool {
    ours.verdict == Verdict::Close(Some(1014))
        && *theirs == Outcome { verdict: Verdict::Close(Some(1002)), ..ours.clone() }
}

/// Everything that tungstenite says about a stream.
pub(super) fn read(stream: &[u8], side: Side) -> Outcome {
    let role = match side {
        Side::Server => Role::Server,
        Side::Client => Role::Client,
    };
    let config = WebSocketConfig::default()
        .read_buffer_size(1024)
        .max_message_size(Some(MESSAGE_BYTES))
        .max_frame_size(Some(MESSAGE_BYTES));
    let mut socket = WebSocket::from_raw_socket(Wire(stream), role, Some(config));
    let mut received = Vec::new();
    let verdict = loop {
        match socket.read() {
            Ok(Message::Text(text)) => received.push(Received::Text(text.as_bytes().into())),
            Ok(Message::Binary(payload)) => received.push(Received::Binary(payload.into())),
            Ok(Message::Ping(payload)) => received.push(Received::Ping(payload.into())),
            Ok(Message::Pong(payload)) => received.push(Received::Pong(payload.into())),
            Ok(Message::Close(close)) => break Verdict::Close(close.map(|close| close.code.into())),
            // So it calls the end of the bytes, within a frame or after one.
            Err(Error::Protocol(ProtocolError::ResetWithoutClosingHandshake)) => break Verdict::Open,
            Err(Error::Protocol(_)) => break Verdict::Violation(Violation::Protocol),
            Err(Error::Utf8(_)) => break Verdict::Violation(Violation::NotUtf8),
            Err(Error::Capacity(_)) => break Verdict::Violation(Violation::TooLarge),
            other => panic!("tungstenite says {other:?}"),
        }
    };
    Outcome { received, verdict }
}

/// Bytes to read; what is written is gone.
struct Wire<'s>(&'s [u8]);

impl Read for Wire<'_> {
    fn read(&mut self, buffer: &mut [u8]) -> IoResult<usize> {
        self.0.read(buffer)
    }
}

impl Write for Wire<'_> {
    fn write(&mut self, bytes: &[u8]) -> IoResult<usize> {
        Ok(bytes.len())
    }

    fn flush(&mut self) -> IoResult<()> {
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::super::frames::{length, write};
    use super::*;

    const KEY: Option<[u8; 4]> = Some([1, 2, 3, 4]);
    const PROTOCOL: Verdict = Verdict::Violation(Violation::Protocol);
    const TOO_LARGE: Verdict = Verdict::Violation(Violation::TooLarge);
    const NOT_UTF8: Verdict = Verdict::Violation(Violation::NotUtf8);

    fn frame(first: u8, payload: &[u8]) -> Vec<u8> {
        write(first, payload, KEY, &length(payload.len() as u64))
    }

    /// The outcome here, there, and the differences that were found.
    fn judged(stream: &[u8]) -> (Verdict, Verdict, Vec<&'static str>) {
        let case = Case::new(stream.to_vec());
        (case.ours.verdict, read(stream, Side::Server).verdict, compare(case))
    }

    #[test]
    fn frame_is_judged_there_when_it_is_whole() {
        for (fault, verdict) in [
            (write(0x81, b"not masked", None, &length(10)), PROTOCOL),
            (frame(0xc1, b"reserved bit"), PROTOCOL),
            (frame(0x80, b"nothing to continue"), PROTOCOL),
            (frame(0x09, b"fragmented ping"), PROTOCOL),
            (frame(0x89, &[7; 126]), PROTOCOL),
            (frame(0x88, &[3]), PROTOCOL),
            (frame(0x81, b"\xffnot UTF-8"), NOT_UTF8),
        ] {
            assert_eq!(judged(&fault), (verdict, verdict, vec![]), "{fault:02x?}");
            let cut = &fault[..fault.len() - 1];
            assert_eq!(judged(cut), (verdict, Verdict::Open, vec![JUDGES_LATE]), "{fault:02x?}");
        }
    }

    #[test]
    fn opcode_and_size_are_judged_there_when_the_header_is_whole() {
        for (header, verdict) in [
            (vec![0x83, 0x80, 1, 2, 3, 4], PROTOCOL),
            (vec![0x81, 0xfe, 0x02, 0x59, 1, 2, 3, 4], TOO_LARGE),
            (vec![0x81, 0xff, 0x80, 0, 0, 0, 0, 0, 0, 0, 1, 2, 3, 4], TOO_LARGE),
        ] {
            assert_eq!(judged(&header), (verdict, verdict, vec![]), "{header:02x?}");
            let cut = &header[..header.len() - 1];
            assert_eq!(judged(cut), (verdict, Verdict::Open, vec![JUDGES_LATE]), "{header:02x?}");
        }
    }

    #[test]
    fn longer_length_form_is_taken_there() {
        let longer = write(0x81, b"text", KEY, &(126, vec![0, 4]));
        assert_eq!(judged(&longer), (PROTOCOL, Verdict::Open, vec![TAKES_LONGER_LENGTHS]));
        let longest = write(0x89, b"ping", KEY, &(127, vec![0, 0, 0, 0, 0, 0, 0, 4]));
        let twice = [longest, longer, frame(0x88, b"")].concat();
        assert_eq!(judged(&twice), (PROTOCOL, Verdict::Close(None), vec![TAKES_LONGER_LENGTHS; 2]));
    }

    #[test]
    fn size_is_named_there_before_another_fault() {
        assert_eq!(judged(&frame(0xc1, &[b'x'; 601])), (PROTOCOL, TOO_LARGE, vec![EXCUSES[0].0]));
        assert_eq!(judged(&frame(0xc1, &[b'x'; 600])), (PROTOCOL, PROTOCOL, vec![]));
    }

    #[test]
    fn close_reason_is_named_there_before_the_code() {
        assert_eq!(judged(&frame(0x88, b"\x03\xed\xff")), (PROTOCOL, NOT_UTF8, vec![EXCUSES[1].0]));
        assert_eq!(judged(&frame(0x88, b"\x03\xe8\xff")), (NOT_UTF8, NOT_UTF8, vec![]));
    }

    #[test]
    fn forbidden_close_codes_are_replaced_there() {
        for code in [0, 999, 1004, 1005, 1006, 1015, 1016, 2999, 5000, u16::MAX] {
            let close = frame(0x88, &code.to_be_bytes());
            assert_eq!(judged(&close), (PROTOCOL, Verdict::Close(Some(1002)), vec![EXCUSES[2].0]), "{code}");
        }
    }

    #[test]
    fn code_1014_is_forbidden_there() {
        let closed = |code| Verdict::Close(Some(code));
        let judged = |code: u16| judged(&frame(0x88, &code.to_be_bytes()));
        assert_eq!(judged(1014), (closed(1014), closed(1002), vec![EXCUSES[3].0]));
        assert_eq!(judged(1013), (closed(1013), closed(1013), vec![]));
    }
}
