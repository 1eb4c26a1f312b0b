//! The answer to the latest ping.

use crate::encode;

/// The one pong that is owed.
///
/// A peer that pings faster than it reads gets the answer to its latest ping only (RFC 6455 section
/// 5.5.3 allows that), so a flood of pings never holds more than 125 bytes.
#[derive(Debug, Default)]
pub struct PendingPong(Option<Box<[u8]>>);

impl PendingPong {
    /// Owes the answer to this ping instead of an older one. Of a payload over 125 bytes the rest is left out.
    pub fn owe(&mut self, payload: &[u8]) {
        self.0 = Some(payload.get(..125).unwrap_or(payload).into());
    }

    /// True while an answer is owed.
    #[must_use]
    pub fn is_owed(&self) -> bool {
        self.0.is_some()
    }

    /// The size of the owed frame; 0 if none is owed.
    #[must_use]
    pub fn encoded_len(&self) -> usize {
        self.0.as_ref().map_or(0, |payload| 2 + payload.len())
    }

    /// Appends the owed frame to `out`, if there is one. True if there was.
    pub fn write(&mut self, out: &mut Vec<u8>) -> bool {
        let Some(payload) = self.0.take() else {
            return false;
        };
        encode::pong(out, &payload);
        true
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_latest_ping_is_answered() {
        let mut pong = PendingPong::default();
        let mut out = Vec::new();
        assert!(!pong.write(&mut out));
        pong.owe(b"old");
        pong.owe(b"new");
        assert!(pong.write(&mut out));
        assert_eq!(out, [b"\x8a\x03".as_slice(), b"new"].concat());
        assert!(!pong.is_owed());
    }

    #[test]
    fn size_is_told_before_it_is_written() {
        for len in [0, 1, 125, 126, 1000] {
            let (mut pong, mut out) = (PendingPong::default(), Vec::new());
            pong.owe(&vec![7; len]);
            let told = pong.encoded_len();
            pong.write(&mut out);
            assert_eq!((told, pong.encoded_len()), (out.len(), 0), "{len}");
        }
    }
}
