//! UTF-8 that arrives in pieces.

use std::str::from_utf8;

/// The text so far could not become valid by anything that follows.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct NotUtf8;

/// The beginning of a character whose end has not come yet: at most three bytes.
#[derive(Debug, Default)]
pub(crate) struct Tail {
    bytes: [u8; 4],
    len: u8,
}

impl Tail {
    /// True if the text may end here.
    pub(crate) fn is_empty(&self) -> bool {
        self.len == 0
    }

    /// Moves as much of `piece` as is complete to `text` and keeps the rest.
    pub(crate) fn push(&mut self, text: &mut String, piece: &[u8]) -> Result<(), NotUtf8> {
        let piece = self.complete(text, piece)?;
        if let Ok(valid) = simdutf8::basic::from_utf8(piece) {
            text.push_str(valid);
            return Ok(());
        }
        // The fast one does not say where.
        let Err(error) = from_utf8(piece).map(|valid| text.push_str(valid)) else {
            return Ok(());
        };
        if error.error_len().is_some() {
            return Err(NotUtf8);
        }
        let (valid, rest) = piece.split_at(error.valid_up_to());
        text.push_str(from_utf8(valid).map_err(|_| NotUtf8)?);
        self.keep(rest)
    }

    /// Ends the kept character with bytes of `piece`; what is left of `piece` is returned.
    fn complete<'p>(&mut self, text: &mut String, mut piece: &'p [u8]) -> Result<&'p [u8], NotUtf8> {
        while self.len > 0
            && let [first, rest @ ..] = piece
        {
            piece = rest;
            let mut bytes = self.bytes;
            let len = usize::from(self.len);
            bytes[len] = *first;
            match from_utf8(&bytes[..=len]) {
                Ok(character) => {
                    text.push_str(character);
                    self.len = 0;
                }
                Err(error) if error.error_len().is_some() => return Err(NotUtf8),
                Err(_) => self.keep(&bytes[..=len])?,
            }
        }
        Ok(piece)
    }

    fn keep(&mut self, rest: &[u8]) -> Result<(), NotUtf8> {
        let room = self.bytes.get_mut(..rest.len()).ok_or(NotUtf8)?;
        room.copy_from_slice(rest);
        self.len = rest.len() as u8;
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn run(pieces: &[&[u8]]) -> Result<(String, bool), usize> {
        let (mut text, mut tail) = (String::new(), Tail::default());
        for (i, piece) in pieces.iter().enumerate() {
            tail.push(&mut text, piece).map_err(|NotUtf8| i)?;
        }
        Ok((text, tail.is_empty()))
    }

    #[test]
    fn fault_is_seen_with_the_first_hopeless_byte() {
        assert_eq!(run(&[b"\xf4", b"\x90"]), Err(1), "above U+10FFFF");
        assert_eq!(run(&[b"\xed", b"\xa0"]), Err(1), "surrogate");
        assert_eq!(run(&[b"a\xf5"]), Err(0));
        assert_eq!(run(&[b"\xe2\x82", b"a"]), Err(1));
    }

    #[test]
    fn character_cut_everywhere_is_put_together() {
        let euro_and_face = "x€😀".as_bytes();
        let singles: Vec<&[u8]> = euro_and_face.chunks(1).collect();
        assert_eq!(run(&singles), Ok(("x€😀".to_owned(), true)));
        assert_eq!(run(&["€".as_bytes(), &[0xf0, 0x9f]]), Ok(("€".to_owned(), false)));
    }

    proptest! {
        #[test]
        fn agrees_with_std_at_any_cut(bytes: Vec<u8>, cut: usize) {
            let at = if bytes.is_empty() { 0 } else { cut % bytes.len() };
            let (head, rest) = bytes.split_at(at);
            match (from_utf8(&bytes), run(&[head, rest])) {
                (Ok(text), Ok((got, complete))) => {
                    prop_assert_eq!(text, got);
                    prop_assert!(complete);
                }
                (Err(error), Ok((_, complete))) => {
                    prop_assert!(error.error_len().is_none() && !complete);
                }
                (Err(error), Err(_)) => prop_assert!(error.error_len().is_some()),
                (Ok(_), Err(_)) => prop_assert!(false, "valid text refused"),
            }
        }
    }
}
