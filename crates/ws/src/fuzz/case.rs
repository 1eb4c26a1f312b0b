//! One stream, and what this codec makes of it.

use super::MESSAGE_BYTES;
use super::frames::{Frame, frames};
use crate::{Decoded, Decoder, Event, Limits, Violation};

/// One thing that was received, with its payload.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Received {
    Text(Vec<u8>),
    Binary(Vec<u8>),
    Ping(Vec<u8>),
    Pong(Vec<u8>),
}

/// How a stream ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Verdict {
    /// The bytes were used up.
    Open,
    Close(Option<u16>),
    Violation(Violation),
}

/// Everything that a codec says about a stream.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Outcome {
    pub(super) received: Vec<Received>,
    pub(super) verdict: Verdict,
}

/// Which end of a connection reads.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Side {
    Server,
    Client,
}

/// A stream with this codec's outcome, before a reference has looked at it.
#[derive(Debug, Clone)]
pub(super) struct Case {
    pub(super) stream: Vec<u8>,
    pub(super) ours: Outcome,
    /// The frames up to the one that our verdict is about.
    pub(super) frames: Vec<Frame>,
}

impl Case {
    /// Decodes byte by byte, so that the verdict comes with the byte that brought it about.
    pub(super) fn new(stream: Vec<u8>) -> Self {
        let (ours, read) = decode(&stream, 1);
        let started = |stream: &[u8]| frames(stream).take_while(|frame| frame.start < read).collect();
        let case = Self { frames: started(&stream), stream, ours };
        if case.ours.verdict == Verdict::Violation(Violation::NotUtf8) {
            let there = Self { frames: started(&case.stream[..read]), ..case.clone() };
            there.text().iter().for_each(|text| assert_first_hopeless_byte(text));
        }
        case
    }

    /// The frame that our verdict is about, if that is a violation.
    pub(super) fn at_fault(&self) -> Option<(&Frame, Violation)> {
        match self.ours.verdict {
            Verdict::Violation(violation) => self.frames.last().map(|frame| (frame, violation)),
            Verdict::Open | Verdict::Close(_) => None,
        }
    }

    /// The text under way with the last frame, as far as it came; none if that is no part of a text.
    pub(super) fn text(&self) -> Option<Vec<u8>> {
        let data: Vec<&Frame> = self.frames.iter().filter(|frame| !frame.is_control()).collect();
        let first = data.iter().rposition(|frame| frame.opcode != 0)?;
        let is_text = data[first].opcode == 1 && self.frames.last().is_some_and(|last| !last.is_control());
        is_text.then(|| data[first..].iter().flat_map(|frame| frame.payload.iter().copied()).collect())
    }

    /// The same with the end of the last frame, where that is missing. What was refused stays refused.
    pub(super) fn completed(&self) -> Self {
        let missing = self.frames.last().map_or(0, |frame| frame.missing);
        let completed = Self::new([self.stream.as_slice(), &vec![0; missing]].concat());
        assert_eq!(completed.ours, self.ours, "a violation is final");
        completed
    }

    /// Ends the comparison: the outcomes are the same, or one of these excuses holds, whose name is told.
    pub(super) fn settle(&self, theirs: &Outcome, excuses: &[Excuse]) -> Option<&'static str> {
        if *theirs == self.ours {
            return None;
        }
        let excuse = excuses.iter().find(|(_, holds)| holds(self, theirs));
        let Some((name, _)) = excuse else {
            panic!("ours {:?}, theirs {theirs:?}, stream {:02x?}", self.ours, self.stream);
        };
        Some(name)
    }
}

/// A text was refused with its last byte, and with the byte before it could still become one.
fn assert_first_hopeless_byte(text: &[u8]) {
    assert!(std::str::from_utf8(text).is_err(), "a text that is UTF-8 was refused");
    let before = std::str::from_utf8(&text[..text.len() - 1]);
    assert!(!before.is_err_and(|error| error.error_len().is_some()), "a text was refused too late");
}

/// The name of a known difference, and the function that recognizes it.
pub(super) type Excuse = (&'static str, fn(&Case, &Outcome) -> bool);

/// Decodes in pieces of `step` bytes; also tells how many bytes were given when the verdict came.
pub(super) fn decode(stream: &[u8], step: usize) -> (Outcome, usize) {
    let mut decoder = Decoder::new(Limits { message_bytes: MESSAGE_BYTES, fragments: usize::MAX });
    let (mut received, mut read) = (Vec::new(), 0);
    for piece in stream.chunks(step) {
        read += piece.len();
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
                Some(Event::Close(code)) => return (Outcome { received, verdict: Verdict::Close(code) }, read),
                Some(Event::Violation(violation)) => {
                    return (Outcome { received, verdict: Verdict::Violation(violation) }, read);
                }
            }
        }
        assert!(rest.is_empty(), "without an event everything is consumed");
        assert!(decoder.heap_bytes() <= 2 * MESSAGE_BYTES + 256, "bounded memory");
    }
    (Outcome { received, verdict: Verdict::Open }, read)
}
