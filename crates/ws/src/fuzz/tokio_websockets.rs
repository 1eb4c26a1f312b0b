//! The first reference, and where it differs.

use futures_util::{FutureExt as _, StreamExt as _};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio_websockets::proto::ProtocolError;
use tokio_websockets::{ClientBuilder, Error, Limits, Message, ServerBuilder, WebSocketStream};

use super::MESSAGE_BYTES;
use super::case::{Case, Excuse, Outcome, Received, Side, Verdict};
use crate::Violation;

const SUMS_LATE: &str = "tokio-websockets compares the sum of fragments at the end of a frame";
const EXCUSES: [Excuse; 2] = [
    ("tokio-websockets looks at the text before the sum", names_the_text_first),
    ("tokio-websockets takes a character cut off by an empty last fragment", takes_a_cut_character),
];

/// The names of all known differences.
#[cfg(test)]
pub(super) const KNOWN: &[&str] = &[SUMS_LATE, EXCUSES[0].0, EXCUSES[1].0];

/// Panics at a difference that is not known; tells those that are.
pub(super) fn compare(case: &Case) -> Vec<&'static str> {
    let theirs = read(&case.stream, Side::Server);
    if sums_at_the_end_of_a_frame(case, &theirs) {
        let completed = case.completed();
        let theirs = read(&completed.stream, Side::Server);
        return [SUMS_LATE].into_iter().chain(completed.settle(&theirs, &EXCUSES)).collect();
    }
    case.settle(&theirs, &EXCUSES).into_iter().collect()
}

/// A continuation with which the message is too large is refused here with its header, and there with its last byte.
/// Excused is only that the last byte is missing; with it they have to agree.
fn sums_at_the_end_of_a_frame(case: &Case, theirs: &Outcome) -> bool {
    let Some((frame, Violation::TooLarge)) = case.at_fault() else {
        return false;
    };
    let fits_alone = frame.opcode == 0 && frame.len <= MESSAGE_BYTES as u64;
    fits_alone && frame.missing > 0 && *theirs == Outcome { verdict: Verdict::Open, ..case.ours.clone() }
}

/// The same continuation has, besides, a text that is not UTF-8: that is seen there first.
fn names_the_text_first(case: &Case, theirs: &Outcome) -> bool {
    let Some((frame, Violation::TooLarge)) = case.at_fault() else {
        return false;
    };
    let fits_alone = frame.opcode == 0 && frame.len <= MESSAGE_BYTES as u64;
    let not_utf8 = Outcome { verdict: Verdict::Violation(Violation::NotUtf8), ..case.ours.clone() };
    fits_alone && *theirs == not_utf8 && case.text().is_some_and(|text| std::str::from_utf8(&text).is_err())
}

/// The last character of a text lacks its end, and the last fragment is empty: the validator there is not asked.
/// What follows is not compared, because its state stays wrong.
fn takes_a_cut_character(case: &Case, theirs: &Outcome) -> bool {
    let Some((frame, Violation::NotUtf8)) = case.at_fault() else {
        return false;
    };
    let Some(text) = case.text().filter(|_| frame.opcode == 0 && frame.fin && frame.len == 0) else {
        return false;
    };
    let is_cut = std::str::from_utf8(&text).is_err_and(|error| error.error_len().is_none());
    let mut taken = case.ours.received.clone();
    taken.push(Received::Text(text));
    is_cut && theirs.received.starts_with(&taken)
}

/// Everything that tokio-websockets says about a stream.
pub(super) fn read(stream: &[u8], side: Side) -> Outcome {
    let limits = Limits::default().max_payload_len(Some(MESSAGE_BYTES));
    let io = tokio::io::join(stream, tokio::io::sink());
    match side {
        Side::Server => drain(ServerBuilder::new().limits(limits).serve(io)),
        Side::Client => drain(ClientBuilder::new().limits(limits).take_over(io)),
    }
}

fn drain(mut socket: WebSocketStream<impl AsyncRead + AsyncWrite + Unpin>) -> Outcome {
    let mut received = Vec::new();
    let verdict = loop {
        let next = socket.next().now_or_never().expect("neither the bytes nor the sink make it wait");
        match next {
            None => break Verdict::Open,
            // So it calls the end of the bytes within a frame.
            Some(Err(Error::Io(error))) if error.to_string() == "bytes remaining on stream" => break Verdict::Open,
            Some(Err(error)) => break Verdict::Violation(violation(&error)),
            Some(Ok(message)) => match translated(&message) {
                Ok(one) => received.push(one),
                Err(close) => break close,
            },
        }
    };
    Outcome { received, verdict }
}

fn violation(error: &Error) -> Violation {
    match error {
        Error::PayloadTooLong { .. } => Violation::TooLarge,
        Error::Protocol(ProtocolError::InvalidUtf8) => Violation::NotUtf8,
        Error::Protocol(_) => Violation::Protocol,
        other => panic!("tokio-websockets says {other:?}"),
    }
}

/// What was received, or the verdict that a close frame is.
fn translated(message: &Message) -> Result<Received, Verdict> {
    let payload = message.as_payload().to_vec();
    if message.is_text() {
        Ok(Received::Text(payload))
    } else if message.is_binary() {
        Ok(Received::Binary(payload))
    } else if message.is_ping() {
        Ok(Received::Ping(payload))
    } else if message.is_pong() {
        Ok(Received::Pong(payload))
    } else {
        // 1005 is how it says that there was no code.
        let code = message.as_close().map(|(code, _)| u16::from(code));
        Err(Verdict::Close(code.filter(|code| *code != 1005)))
    }
}

#[cfg(test)]
mod tests {
    use super::super::frames::{length, write};
    use super::*;

    fn frame(first: u8, payload: &[u8]) -> Vec<u8> {
        write(first, payload, Some([1, 2, 3, 4]), &length(payload.len() as u64))
    }

    /// The outcome here, there, and the differences that were found.
    fn judged(stream: &[u8]) -> (Verdict, Verdict, Vec<&'static str>) {
        let case = Case::new(stream.to_vec());
        (case.ours.verdict, read(stream, Side::Server).verdict, compare(&case))
    }

    const TOO_LARGE: Verdict = Verdict::Violation(Violation::TooLarge);
    const NOT_UTF8: Verdict = Verdict::Violation(Violation::NotUtf8);

    #[test]
    fn sum_is_compared_there_at_the_end_of_the_frame() {
        let stream = [frame(0x02, &[7; 400]), frame(0x80, &[7; 300])].concat();
        assert_eq!(judged(&stream), (TOO_LARGE, TOO_LARGE, vec![]));
        let cut = &stream[..stream.len() - 1];
        assert_eq!(judged(cut), (TOO_LARGE, Verdict::Open, vec![SUMS_LATE]));
    }

    #[test]
    fn text_is_looked_at_there_before_the_sum() {
        let stream = [frame(0x01, &[b'x'; 400]), frame(0x80, &[0xff; 300])].concat();
        assert_eq!(judged(&stream), (TOO_LARGE, NOT_UTF8, vec![EXCUSES[0].0]));
    }

    #[test]
    fn character_cut_off_by_an_empty_last_fragment_is_taken_there() {
        // "€" without its last byte: no text, whoever says otherwise.
        let stream = [frame(0x01, &[0xe2, 0x82]), frame(0x89, b"between"), frame(0x80, b"")].concat();
        assert_eq!(judged(&stream), (NOT_UTF8, Verdict::Open, vec![EXCUSES[1].0]));
        let not_empty = [frame(0x01, &[0xe2]), frame(0x80, &[0x82])].concat();
        assert_eq!(judged(&not_empty), (NOT_UTF8, NOT_UTF8, vec![]));
    }
}
