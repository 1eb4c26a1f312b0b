//! In the head of a request, a line ends with CR LF and with nothing else.
//!
//! hyper takes a bare LF as well, as RFC 9112 2.2 allows. What one reader takes for the end of a line, and a proxy for a part of a
//! value, hides a header or a request from the proxy. So it is handed on as a NUL, which no head may have: hyper answers 400 and
//! closes.

/// Where in the stream of a connection we are, from head to head.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct LineEnds {
    at: At,
    last: u8,
}

#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
enum At {
    /// Before a head.
    #[default]
    Start,
    /// In a line of a head.
    Line { may_have_body: bool },
    /// At the beginning of one.
    LineStart { may_have_body: bool },
    /// What comes is none of a head: the frames of a WebSocket, or a body. Nothing is looked at any more.
    Over,
}

impl LineEnds {
    /// Looks at what came next.
    pub(crate) fn look(&mut self, bytes: &mut [u8]) {
        let mut rest = bytes;
        while self.at != At::Over
            && let Some((byte, after)) = rest.split_first_mut()
        {
            if *byte == b'\n' && self.last != b'\r' {
                *byte = 0;
            }
            self.at = self.next(*byte);
            self.last = *byte;
            // Nothing in a line counts before its end.
            let is_in_line = matches!(self.at, At::Line { .. });
            let end = after.iter().position(|byte| !is_in_line || *byte == b'\n').unwrap_or(after.len());
            let (line, after) = after.split_at_mut(end);
            self.last = line.last().copied().unwrap_or(self.last);
            rest = after;
        }
    }

    fn next(self, byte: u8) -> At {
        match (self.at, byte) {
            (At::Start, b'\r' | b'\n') | (At::LineStart { may_have_body: false }, b'\n') => At::Start,
            // Whatever can begin a method: no frame that is good begins so.
            (At::Start, first) if first.is_ascii_graphic() => At::Line { may_have_body: first == b'P' },
            (At::Line { may_have_body }, b'\n') => At::LineStart { may_have_body },
            (At::Start | At::Over, _) | (At::LineStart { may_have_body: true }, b'\n') => At::Over,
            (at @ At::LineStart { .. }, b'\r') => at,
            (At::Line { may_have_body } | At::LineStart { may_have_body }, _) => At::Line { may_have_body },
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// What is handed on of these bytes, however they are cut.
    fn handed_on(bytes: &[u8]) -> Vec<u8> {
        let mut whole = bytes.to_vec();
        LineEnds::default().look(&mut whole);
        for size in 1..4 {
            let (mut ends, mut cut) = (LineEnds::default(), bytes.to_vec());
            cut.chunks_mut(size).for_each(|part| ends.look(part));
            assert_eq!(cut, whole, "in pieces of {size}");
        }
        whole
    }

    #[test]
    fn good_heads_stay_as_they_are_one_after_another() {
        let heads = b"\r\nGET / HTTP/1.1\r\nhost: a\r\n\r\nHEAD /x HTTP/1.1\r\n\r\n";
        assert_eq!(handed_on(heads), heads);
    }

    #[test]
    fn bare_line_feed_becomes_what_no_head_may_have() {
        for (bytes, expected) in [
            (&b"GET / HTTP/1.1\nhost: a\r\n\r\n"[..], &b"GET / HTTP/1.1\0host: a\r\n\r\n"[..]),
            (b"GET / HTTP/1.1\r\nx: y\n\nGET", b"GET / HTTP/1.1\r\nx: y\0\0GET"),
            (b"GET / HTTP/1.1\r\n\r\nGET /\n", b"GET / HTTP/1.1\r\n\r\nGET /\0"),
            (b"GET / HTTP/1.1\r\nx: y\r\n\n", b"GET / HTTP/1.1\r\nx: y\r\n\0"),
            (b"\nGET", b"\0GET"),
            (b"!X / HTTP/1.1\r\n\r\nGET /\n", b"!X / HTTP/1.1\r\n\r\nGET /\0"),
        ] {
            assert_eq!(handed_on(bytes), expected, "{}", String::from_utf8_lossy(bytes));
        }
    }

    #[test]
    fn frames_and_bodies_are_none_of_its_business() {
        for bytes in [
            &b"GET / HTTP/1.1\r\nupgrade: websocket\r\n\r\n\x81\x83\n\n\n\na\n\r\n"[..],
            b"GET / HTTP/1.1\r\n\r\n\x01\x80\n\n\n\n",
            b"POST / HTTP/1.1\r\ncontent-length: 4\r\n\r\na\nb\n",
        ] {
            assert_eq!(handed_on(bytes), bytes, "{}", String::from_utf8_lossy(bytes));
        }
    }
}
