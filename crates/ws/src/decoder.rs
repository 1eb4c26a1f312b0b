//! Bytes in, events out.

use thiserror::Error;

use crate::close;
use crate::header::{self, Expected, Header, Opcode, Parsed};
use crate::mask;
use crate::utf8::Tail;

/// What a peer may send.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Limits {
    /// Payload bytes of one message, all fragments together.
    pub message_bytes: usize,
    /// Frames that one message may consist of.
    pub fragments: usize,
}

impl Default for Limits {
    fn default() -> Self {
        Self { message_bytes: 256 * 1024, fragments: 256 }
    }
}

/// What the peer did.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Event {
    /// A whole text message: [`Decoder::text`].
    Text,
    /// A whole binary message: [`Decoder::binary`].
    Binary,
    /// A ping: its payload is [`Decoder::control`], at most 125 bytes.
    Ping,
    /// A pong: its payload is [`Decoder::control`], at most 125 bytes.
    Pong,
    /// A close frame, with its code if it had one. The last event.
    Close(Option<u16>),
    /// The peer broke a rule. The last event.
    Violation(Violation),
}

/// How a peer can break the rules.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
pub enum Violation {
    /// A text or a close reason is not UTF-8 (close 1007).
    #[error("the text is not UTF-8")]
    NotUtf8,
    /// A message is larger than [`Limits::message_bytes`] (close 1009).
    #[error("the message is too large")]
    TooLarge,
    /// A message has more frames than [`Limits::fragments`] (close 1008).
    #[error("the message has too many fragments")]
    TooManyFragments,
    /// Anything else that RFC 6455 forbids (close 1002).
    #[error("the frame breaks RFC 6455")]
    Protocol,
}

/// What one call of [`Decoder::decode`] did.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Decoded {
    /// Bytes taken from the front of the input: all of them if there is no event.
    pub consumed: usize,
    /// The next event, if the input completed one.
    pub event: Option<Event>,
}

/// The reading half of one connection.
#[derive(Debug)]
pub struct Decoder {
    limits: Limits,
    state: State,
    /// The first bytes of a header that is not complete.
    head: [u8; header::MAX_LEN],
    head_len: u8,
    message: Option<Message>,
    frames: u32,
    tail: Tail,
    text: String,
    binary: Vec<u8>,
    control: Vec<u8>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum State {
    Header,
    Payload(Frame),
    Finished,
}

/// The frame whose payload is being read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Frame {
    fin: bool,
    kind: Opcode,
    left: usize,
    /// Turned so that its first byte belongs to the next byte of the payload.
    mask: [u8; 4],
}

/// The message under way.
#[derive(Debug, Clone, Copy)]
struct Message {
    kind: Opcode,
    bytes: usize,
    fragments: usize,
}

/// A character cut by the end of the last piece comes on top of it.
const TAIL: usize = 3;

/// Up to here a message does not hold more than this, however it comes.
pub const SMALL: usize = 16 * 1024;

impl Decoder {
    /// A decoder at the beginning of a stream.
    #[must_use]
    pub fn new(limits: Limits) -> Self {
        Self {
            limits,
            state: State::Header,
            head: [0; header::MAX_LEN],
            head_len: 0,
            message: None,
            frames: 0,
            tail: Tail::default(),
            text: String::new(),
            binary: Vec::new(),
            control: Vec::new(),
        }
    }

    /// Reads up to the next event.
    ///
    /// Payload bytes in `input` are unmasked in place, so what was consumed is of no further use. Without
    /// an event everything was consumed; with one, the next call wants what is left. Payloads of the
    /// last event are gone with this call.
    pub fn decode(&mut self, input: &mut [u8]) -> Decoded {
        match self.advance(input) {
            Ok(decoded) => decoded,
            Err(violation) => {
                self.state = State::Finished;
                Decoded { consumed: input.len(), event: Some(Event::Violation(violation)) }
            }
        }
    }

    /// The text of the last [`Event::Text`].
    #[must_use]
    pub fn text(&self) -> &str {
        &self.text
    }

    /// The payload of the last [`Event::Binary`].
    #[must_use]
    pub fn binary(&self) -> &[u8] {
        &self.binary
    }

    /// The payload of the last [`Event::Ping`] or [`Event::Pong`].
    #[must_use]
    pub fn control(&self) -> &[u8] {
        &self.control
    }

    /// Frames of any kind that have begun so far, counted modulo 2^32: for one who bounds their rate.
    #[must_use]
    pub fn frames(&self) -> u32 {
        self.frames
    }

    /// True while a frame or a message has begun and is not complete.
    #[must_use]
    pub fn is_assembling(&self) -> bool {
        let in_payload = matches!(self.state, State::Payload(_));
        self.state != State::Finished && (in_payload || self.head_len > 0 || self.message.is_some())
    }

    /// True after a close frame or a violation: there will be no event any more.
    #[must_use]
    pub fn is_finished(&self) -> bool {
        self.state == State::Finished
    }

    /// True while a message has begun and is not complete.
    #[must_use]
    fn is_in_message(&self) -> bool {
        self.message.is_some() && !self.is_finished()
    }

    /// What has come of the message under way.
    #[must_use]
    pub fn unfinished_bytes(&self) -> usize {
        if self.is_in_message() { self.text.len() + self.binary.len() } else { 0 }
    }

    /// What the message under way comes to, as far as that is known: else what it may.
    #[must_use]
    pub fn announced_bytes(&self) -> usize {
        match (self.state, self.message) {
            (State::Payload(frame), Some(message)) if frame.fin && !frame.kind.is_control() => message.bytes,
            _ => self.most_bytes(),
        }
    }

    /// What a message may come to.
    #[must_use]
    pub fn most_bytes(&self) -> usize {
        self.limits.message_bytes
    }

    /// Reads no further, as after a close frame: a message under way is given up.
    pub fn finish(&mut self) {
        self.state = State::Finished;
    }

    /// Frees every buffer that holds nothing but the last event's payload.
    ///
    /// For a connection that is about to wait: an idle decoder owns no memory outside itself, one in the middle of a
    /// message at most about twice what has come of it.
    pub fn release(&mut self) {
        if self.message.is_none() || self.is_finished() {
            self.text = String::new();
            self.binary = Vec::new();
        } else {
            // Room for a larger message that came before is not kept for this one; see `growth` for what it needs.
            self.text.shrink_to(2 * self.text.len() + TAIL);
            self.binary.shrink_to(2 * self.binary.len() + TAIL);
        }
        if !matches!(self.state, State::Payload(frame) if frame.kind.is_control()) {
            self.control = Vec::new();
        }
    }

    /// Bytes of heap that are held now.
    #[must_use]
    pub fn heap_bytes(&self) -> usize {
        self.text.capacity() + self.binary.capacity() + self.control.capacity()
    }

    fn advance(&mut self, input: &mut [u8]) -> Result<Decoded, Violation> {
        let mut consumed = 0;
        loop {
            let rest = input.get_mut(consumed..).unwrap_or_default();
            match self.state {
                State::Finished => return Ok(Decoded { consumed: input.len(), event: None }),
                State::Header => {
                    let (used, header) = self.read_header(rest)?;
                    consumed += used;
                    let Some(header) = header else {
                        return Ok(Decoded { consumed, event: None });
                    };
                    self.begin(header)?;
                }
                State::Payload(frame) => {
                    let used = self.read_payload(frame, rest)?;
                    consumed += used;
                    if used < frame.left {
                        return Ok(Decoded { consumed, event: None });
                    }
                    self.state = State::Header;
                    if let Some(event) = self.end(frame)? {
                        return Ok(Decoded { consumed, event: Some(event) });
                    }
                }
            }
        }
    }

    /// Takes bytes of a header; without a header, all of `input` was taken.
    fn read_header(&mut self, input: &[u8]) -> Result<(usize, Option<Header>), Violation> {
        let expected = self.expected();
        let before = usize::from(self.head_len);
        if before == 0
            && let Parsed::Complete(header, size) = header::parse(input, expected)?
        {
            return Ok((size, Some(header)));
        }
        let copied = input.len().min(self.head.len() - before);
        let (end, start) = (before + copied, before);
        self.head[start..end].copy_from_slice(&input[..copied]);
        match header::parse(&self.head[..end], expected)? {
            Parsed::Complete(header, size) => {
                self.head_len = 0;
                Ok((size - before, Some(header)))
            }
            Parsed::Incomplete(_) => {
                self.head_len = end as u8;
                Ok((copied, None))
            }
        }
    }

    fn expected(&self) -> Expected {
        let used = self.message.map_or(0, |message| message.bytes);
        Expected { continuation: self.message.is_some(), room: self.limits.message_bytes - used }
    }

    /// Starts a frame whose header is allowed.
    fn begin(&mut self, header: Header) -> Result<(), Violation> {
        self.frames = self.frames.wrapping_add(1);
        let kind = match header.opcode {
            Opcode::Continuation => self.message.map_or(Opcode::Continuation, |message| message.kind),
            other => other,
        };
        self.state = State::Payload(Frame { fin: header.fin, kind, left: header.len, mask: header.mask });
        if kind.is_control() {
            self.control.clear();
            return Ok(());
        }
        if self.message.is_none() {
            self.text.clear();
            self.binary.clear();
        }
        let message = self.message.get_or_insert(Message { kind, bytes: 0, fragments: 0 });
        message.bytes += header.len;
        message.fragments += 1;
        if message.fragments > self.limits.fragments {
            return Err(Violation::TooManyFragments);
        }
        Ok(())
    }

    /// Takes what is there of the payload, and says how much that was.
    fn read_payload(&mut self, frame: Frame, input: &mut [u8]) -> Result<usize, Violation> {
        let used = frame.left.min(input.len());
        let piece = &mut input[..used];
        mask::apply(piece, frame.mask);
        match frame.kind {
            Opcode::Text => {
                let (len, capacity) = (self.text.len(), self.text.capacity());
                self.text.reserve_exact(self.growth(frame, used, len, capacity));
                self.tail.push(&mut self.text, piece).map_err(|_| Violation::NotUtf8)?;
            }
            Opcode::Binary => {
                let (len, capacity) = (self.binary.len(), self.binary.capacity());
                self.binary.reserve_exact(self.growth(frame, used, len, capacity));
                self.binary.extend_from_slice(piece);
            }
            _ => self.control.extend_from_slice(piece),
        }
        let mut mask = frame.mask;
        mask.rotate_left(used % 4);
        self.state = State::Payload(Frame { left: frame.left - used, mask, ..frame });
        Ok(used)
    }

    /// Ends a frame whose payload is complete.
    fn end(&mut self, frame: Frame) -> Result<Option<Event>, Violation> {
        let event = match frame.kind {
            Opcode::Ping => Event::Ping,
            Opcode::Pong => Event::Pong,
            Opcode::Close => {
                let code = close::read(&self.control)?;
                self.state = State::Finished;
                Event::Close(code)
            }
            _ if !frame.fin => return Ok(None),
            Opcode::Text if !self.tail.is_empty() => return Err(Violation::NotUtf8),
            kind => {
                self.message = None;
                if kind == Opcode::Text { Event::Text } else { Event::Binary }
            }
        };
        Ok(Some(event))
    }

    /// By how much a buffer should grow to take `piece` bytes; 0 if they fit.
    ///
    /// It doubles, so that many fragments cost little copying, but never beyond what is announced or
    /// allowed: a peer can make us hold at most twice what it has really sent, and a frame that ends its
    /// message fits exactly. A message of at most [`SMALL`] bytes holds no more than that.
    fn growth(&self, frame: Frame, piece: usize, len: usize, capacity: usize) -> usize {
        if capacity - len >= piece {
            return 0;
        }
        let announced = if frame.fin { frame.left } else { frame.left + self.expected().room };
        let doubled = if len + piece <= SMALL { len.min(SMALL - len) } else { len };
        piece.max(doubled).min(announced) + TAIL
    }
}
