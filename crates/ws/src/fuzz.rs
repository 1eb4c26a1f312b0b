//! What a fuzzer runs: any bytes, judged by this codec and by an independent one.
//!
//! The bodies are ordinary functions, so that they compile, and run on random input, with the tests.

use futures_util::{FutureExt as _, StreamExt as _};
use tokio_websockets::proto::ProtocolError;
use tokio_websockets::{Error, Limits as ReferenceLimits, Message, ServerBuilder};

use crate::mask;
use crate::{Decoded, Decoder, Event, Limits, Violation};

/// Small enough that a fuzzer reaches it.
const MESSAGE_BYTES: usize = 600;

/// One thing that was received, with its payload.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Received {
    Text(Vec<u8>),
    Binary(Vec<u8>),
    Ping(Vec<u8>),
    Pong(Vec<u8>),
}

/// How a stream ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Verdict {
    /// The bytes were used up.
    Open,
    Close(Option<u16>),
    Violation(Violation),
}

/// Decodes `data` whole, in pieces, and with tokio-websockets, and panics if the three disagree.
///
/// With an odd first byte the rest is a stream as it is, else it is made into frames that are mostly
/// right, so that random input gets beyond the first header.
///
/// # Panics
/// On any difference but the two known ones: a message that grows too large is refused here with the
/// header of the frame that is too much, and there with its end; a character that is cut off by an empty
/// last fragment is missed there.
pub fn against_reference(data: &[u8]) {
    let Some((kind, data)) = data.split_first() else {
        return;
    };
    let stream = if kind % 2 == 1 { data.to_vec() } else { framed(data) };
    let whole = ours(&stream, usize::MAX);
    let step = usize::from(kind / 2) % 17 + 1;
    assert_eq!(ours(&stream, step), whole, "pieces of {step} bytes");
    compare(&whole, &reference(&stream));
}

type Outcome = (Vec<Received>, Verdict);

fn ours(stream: &[u8], step: usize) -> Outcome {
    let mut decoder = Decoder::new(Limits { message_bytes: MESSAGE_BYTES, fragments: usize::MAX });
    let mut received = Vec::new();
    for piece in stream.chunks(step) {
        let mut piece = piece.to_vec();
        let mut rest = piece.as_mut_slice();
        loop {
            let Decoded { consumed, event } = decoder.decode(rest);
            rest = &mut rest[consumed..];
            match event {
                None => break,
                Some(Event::Text) => received.push(Received::Text(decoder.text().into())),
                Some(Event::Binary) => received.push(Received::Binary(decoder.binary().into())),
                Some(Event::Ping) => received.push(Received::Ping(decoder.control().into())),
                Some(Event::Pong) => received.push(Received::Pong(decoder.control().into())),
                Some(Event::Close(code)) => return (received, Verdict::Close(code)),
                Some(Event::Violation(violation)) => return (received, Verdict::Violation(violation)),
            }
        }
        assert!(rest.is_empty(), "without an event everything is consumed");
        assert!(decoder.heap_bytes() <= 2 * MESSAGE_BYTES + 256, "bounded memory");
    }
    (received, Verdict::Open)
}

fn reference(stream: &[u8]) -> Outcome {
    let limits = ReferenceLimits::default().max_payload_len(Some(MESSAGE_BYTES));
    let io = tokio::io::join(stream, tokio::io::sink());
    let mut socket = ServerBuilder::new().limits(limits).serve(io);
    let mut received = Vec::new();
    while let Some(Some(next)) = socket.next().now_or_never() {
        let message = match next {
            Ok(message) => message,
            Err(Error::PayloadTooLong { .. }) => return (received, Verdict::Violation(Violation::TooLarge)),
            Err(Error::Protocol(ProtocolError::InvalidUtf8)) => {
                return (received, Verdict::Violation(Violation::NotUtf8));
            }
            Err(Error::Protocol(_)) => return (received, Verdict::Violation(Violation::Protocol)),
            Err(_) => break,
        };
        match of_reference(&message) {
            Ok(one) => received.push(one),
            Err(close) => return (received, close),
        }
    }
    (received, Verdict::Open)
}

fn of_reference(message: &Message) -> Result<Received, Verdict> {
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
        let code = message.as_close().map(|(code, _)| u16::from(code));
        Err(Verdict::Close(code.filter(|code| *code != 1005)))
    }
}

fn compare(ours: &Outcome, theirs: &Outcome) {
    let (our_messages, our_verdict) = ours;
    let (their_messages, their_verdict) = theirs;
    let same = our_messages.len().min(their_messages.len());
    assert_eq!(our_messages[..same], their_messages[..same]);
    if our_verdict == their_verdict && our_messages.len() == their_messages.len() {
        return;
    }
    let known = match our_verdict {
        // The rest of the stream was not looked at here: control frames may have come there.
        Verdict::Violation(Violation::TooLarge) => our_messages.len() == same,
        Verdict::Violation(Violation::NotUtf8) => {
            matches!(their_messages.get(same), Some(Received::Text(text)) if std::str::from_utf8(text).is_err())
        }
        _ => false,
    };
    assert!(known, "ours {our_messages:?} {our_verdict:?}, theirs {their_messages:?} {their_verdict:?}");
}

/// Makes frames of bytes: one chooses the kind, one the length, then comes the payload.
fn framed(data: &[u8]) -> Vec<u8> {
    const KINDS: [u8; 16] =
        [0x81, 0x01, 0x80, 0x00, 0x82, 0x02, 0x89, 0x8a, 0x81, 0x01, 0x80, 0x00, 0x80, 0x00, 0x88, 0xff];
    const KEY: [u8; 4] = [0x5a, 0x00, 0xc3, 0x81];
    let mut stream = Vec::new();
    let mut data = data;
    while let [kind, len, rest @ ..] = data {
        let first = if KINDS[usize::from(kind % 16)] == 0xff { kind ^ len } else { KINDS[usize::from(kind % 16)] };
        let wanted = if *len > 250 { usize::from(*len) * 2 - 400 } else { usize::from(*len) };
        let (payload, after) = rest.split_at(wanted.min(rest.len()));
        stream.push(first);
        match u8::try_from(wanted) {
            Ok(short @ ..=125) => stream.push(0x80 | short),
            _ => {
                stream.push(0x80 | 126);
                stream.extend_from_slice(&(wanted as u16).to_be_bytes());
            }
        }
        stream.extend_from_slice(&KEY);
        let start = stream.len();
        stream.extend_from_slice(payload);
        mask::apply(&mut stream[start..], KEY);
        data = after;
    }
    stream
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    /// Kind, length and a payload of that length, mostly text.
    fn frame() -> impl Strategy<Value = Vec<u8>> {
        let payload = prop_oneof![
            3 => "[a-zé€😀]{0,40}".prop_map(String::into_bytes),
            1 => proptest::collection::vec(any::<u8>(), 0..60),
            1 => Just(vec![0x03, 0xe8]),
        ];
        (any::<u8>(), payload, prop_oneof![5 => Just(0_usize), 1 => 0..4_usize]).prop_map(|(kind, mut payload, cut)| {
            payload.truncate(payload.len().saturating_sub(cut));
            let mut bytes = vec![kind, payload.len() as u8];
            bytes.extend(payload);
            bytes
        })
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(2000))]

        #[test]
        fn agrees_on_random_bytes(data: Vec<u8>) {
            against_reference(&data);
        }

        #[test]
        fn agrees_on_random_frames(step in 0..128_u8, frames in proptest::collection::vec(frame(), 0..30)) {
            let mut data = vec![step * 2];
            data.extend(frames.concat());
            against_reference(&data);
        }
    }

    #[test]
    fn known_difference_is_still_there() {
        // "€" without its last byte, then an empty last fragment: no text, whoever says otherwise.
        let stream = framed(&[1, 2, 0xe2, 0x82, 2, 0]);
        assert_eq!(ours(&stream, 1), (vec![], Verdict::Violation(Violation::NotUtf8)));
        assert_eq!(reference(&stream).1, Verdict::Open);
        against_reference(&[0, 1, 2, 0xe2, 0x82, 2, 0]);
    }
}
