//! Frames of RFC 6455: writing any, and reading those that a server may send to us.

/// The kind of a frame.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Opcode {
    /// More of a message.
    Continuation,
    /// The beginning of a text message.
    Text,
    /// The beginning of a binary message.
    Binary,
    /// A close frame.
    Close,
    /// A ping.
    Ping,
    /// A pong.
    Pong,
    /// Any other number from 0 to 15.
    Other(u8),
}

impl Opcode {
    const fn value(self) -> u8 {
        match self {
            Self::Continuation => 0,
            Self::Text => 1,
            Self::Binary => 2,
            Self::Close => 8,
            Self::Ping => 9,
            Self::Pong => 10,
            Self::Other(value) => value,
        }
    }

    const fn new(value: u8) -> Self {
        match value {
            0 => Self::Continuation,
            1 => Self::Text,
            2 => Self::Binary,
            8 => Self::Close,
            9 => Self::Ping,
            10 => Self::Pong,
            other => Self::Other(other),
        }
    }
}

/// One frame.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Frame {
    /// The kind.
    pub opcode: Opcode,
    /// Whether it ends its message.
    pub fin: bool,
    /// What it carries.
    pub payload: Vec<u8>,
}

/// What a server may not send.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum FrameError {
    /// A mask, which only clients use.
    #[error("the server sent a masked frame")]
    Masked,
    /// A reserved bit without an extension.
    #[error("the server set a reserved bit")]
    Reserved,
    /// A fragment; our servers send whole messages only.
    #[error("the server sent a fragment")]
    Fragment,
    /// A length written in more bytes than it needs, or of a control frame above 125.
    #[error("the server sent a wrong length")]
    Length,
    /// A frame larger than anything the protocol has.
    #[error("the server sent a frame of {0} bytes")]
    TooLarge(u64),
    /// An unknown kind of frame.
    #[error("the server sent a frame of kind {0}")]
    Opcode(u8),
}

impl Frame {
    const MASK: [u8; 4] = [0x4d, 0x61, 0x73, 0x6b];

    /// A whole text message.
    #[must_use]
    pub fn text(text: &str) -> Self {
        Self::new(Opcode::Text, text.as_bytes().to_vec())
    }

    /// A frame that ends its message.
    #[must_use]
    pub const fn new(opcode: Opcode, payload: Vec<u8>) -> Self {
        Self { opcode, fin: true, payload }
    }

    /// A close frame.
    #[must_use]
    pub fn close(code: u16) -> Self {
        Self::new(Opcode::Close, code.to_be_bytes().to_vec())
    }

    /// The frame as a client sends it.
    #[must_use]
    pub fn masked(&self) -> Vec<u8> {
        let length = self.payload.len();
        let mut bytes = Vec::with_capacity(length + 14);
        bytes.push(u8::from(self.fin) << 7 | self.opcode.value());
        match (u8::try_from(length), u16::try_from(length)) {
            (Ok(short @ 0..=125), _) => bytes.push(0x80 | short),
            (_, Ok(medium)) => {
                bytes.push(0x80 | 126);
                bytes.extend(medium.to_be_bytes());
            }
            _ => {
                bytes.push(0x80 | 127);
                bytes.extend((length as u64).to_be_bytes());
            }
        }
        bytes.extend(Self::MASK);
        bytes.extend(self.payload.iter().zip(Self::MASK.iter().cycle()).map(|(byte, mask)| byte ^ mask));
        bytes
    }
}

/// Cuts what a server sends into frames.
#[derive(Debug, Default)]
pub struct FrameReader {
    buffer: Vec<u8>,
}

impl FrameReader {
    /// Anything larger is a fault of the server.
    const LARGEST: u64 = 64 * 1024 * 1024;

    /// Takes what came.
    pub fn feed(&mut self, bytes: &[u8]) {
        self.buffer.extend_from_slice(bytes);
    }

    /// The next frame, if all of it is there.
    ///
    /// # Errors
    /// What no server may send.
    pub fn next_frame(&mut self) -> Result<Option<Frame>, FrameError> {
        let [first, second, rest @ ..] = self.buffer.as_slice() else { return Ok(None) };
        let opcode = Opcode::new(first & 0x0f);
        check(*first, *second, opcode)?;
        let Some((length, header)) = length(second & 0x7f, rest) else { return Ok(None) };
        let needed = match header {
            2 => 0,
            4 => 126,
            _ => 65_536,
        };
        if length < needed {
            return Err(FrameError::Length);
        }
        if length > Self::LARGEST {
            return Err(FrameError::TooLarge(length));
        }
        let end = header + usize::try_from(length).map_err(|_| FrameError::TooLarge(length))?;
        let Some(payload) = self.buffer.get(header..end) else { return Ok(None) };
        let frame = Frame { opcode, fin: true, payload: payload.to_vec() };
        self.buffer.drain(..end);
        Ok(Some(frame))
    }
}

fn check(first: u8, second: u8, opcode: Opcode) -> Result<(), FrameError> {
    let control = matches!(opcode, Opcode::Close | Opcode::Ping | Opcode::Pong);
    match opcode {
        Opcode::Other(value) => Err(FrameError::Opcode(value)),
        _ if first & 0x70 != 0 => Err(FrameError::Reserved),
        _ if second & 0x80 != 0 => Err(FrameError::Masked),
        Opcode::Continuation => Err(FrameError::Fragment),
        _ if first & 0x80 == 0 => Err(FrameError::Fragment),
        _ if control && second & 0x7f > 125 => Err(FrameError::Length),
        _ => Ok(()),
    }
}

/// The length of the payload and of the header, once its bytes are there.
fn length(short: u8, rest: &[u8]) -> Option<(u64, usize)> {
    match short {
        126 => rest.first_chunk().map(|bytes| (u64::from(u16::from_be_bytes(*bytes)), 4)),
        127 => rest.first_chunk().map(|bytes| (u64::from_be_bytes(*bytes), 10)),
        short => Some((u64::from(short), 2)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(bytes: &[u8]) -> Result<Option<Frame>, FrameError> {
        let mut reader = FrameReader::default();
        reader.feed(bytes);
        reader.next_frame()
    }

    #[test]
    fn lengths_are_written_as_short_as_they_can_be() {
        let header = |length| Frame::new(Opcode::Binary, vec![0; length]).masked()[1..4].to_vec();
        assert_eq!(header(125)[0], 0x80 | 125);
        assert_eq!(header(126), [0x80 | 126, 0, 126]);
        assert_eq!(header(65_536)[0], 0x80 | 127);
    }

    #[test]
    fn frames_come_out_whole_however_the_bytes_came() {
        let mut reader = FrameReader::default();
        let mut bytes = vec![0x81, 3];
        bytes.extend(b"abc");
        bytes.extend([0x89, 0, 0x81, 126, 0, 130]);
        bytes.extend([b'x'; 130]);
        let mut frames = Vec::new();
        for byte in bytes {
            reader.feed(&[byte]);
            frames.extend(reader.next_frame().expect("valid"));
        }
        let expected = [Frame::text("abc"), Frame::new(Opcode::Ping, Vec::new()), Frame::text(&"x".repeat(130))];
        assert_eq!(frames, expected);
    }

    #[test]
    fn what_a_server_may_not_send_is_an_error() {
        assert_eq!(read(&Frame::text("x").masked()), Err(FrameError::Masked));
        assert_eq!(read(&[0xc1, 0]), Err(FrameError::Reserved));
        assert_eq!(read(&[0x01, 0]), Err(FrameError::Fragment));
        assert_eq!(read(&[0x80, 0]), Err(FrameError::Fragment));
        assert_eq!(read(&[0x83, 0]), Err(FrameError::Opcode(3)));
        assert_eq!(read(&[0x89, 126, 0, 126]), Err(FrameError::Length));
        assert_eq!(read(&[0x81, 126, 0, 125]), Err(FrameError::Length));
        assert_eq!(read(&[0x81, 127, 1, 0, 0, 0, 0, 0, 0, 0]), Err(FrameError::TooLarge(1 << 56)));
    }
}
