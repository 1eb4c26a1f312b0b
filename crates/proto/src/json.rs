//! A validating scan of one JSON text. It finds where values begin and end and never builds them, so that a payload
//! can be passed on byte for byte.
//!
//! Invariants: accepts exactly the grammar of RFC 8259 (lone `\u` surrogates included) up to a bound of nesting;
//! recursion is as deep as that bound and no deeper; nothing is allocated.

use std::borrow::Cow;

/// Why a text was not accepted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Fault {
    Syntax,
    TooDeep,
}

type Scan<T> = Result<T, Fault>;

const ONES: u64 = u64::MAX / 0xff;
const HIGHS: u64 = ONES * 0x80;

/// A position in a JSON text.
pub(crate) struct Scanner<'a> {
    text: &'a str,
    at: usize,
}

impl<'a> Scanner<'a> {
    pub(crate) fn new(text: &'a str) -> Self {
        Self { text, at: 0 }
    }

    /// The next byte that is not white space, not taken.
    pub(crate) fn peek(&mut self) -> Option<u8> {
        while let Some(byte) = self.byte() {
            if !matches!(byte, b' ' | b'\t' | b'\n' | b'\r') {
                return Some(byte);
            }
            self.at += 1;
        }
        None
    }

    /// Takes `wanted` if it comes next.
    pub(crate) fn take(&mut self, wanted: u8) -> bool {
        let found = self.peek() == Some(wanted);
        self.at += usize::from(found);
        found
    }

    /// Takes one value of at most `depth` levels; gives its text without white space around it.
    pub(crate) fn value(&mut self, depth: usize) -> Scan<&'a str> {
        let first = self.peek().ok_or(Fault::Syntax)?;
        let start = self.at;
        match first {
            b'{' => self.object(depth, |scanner, _, depth| scanner.value(depth).map(drop))?,
            b'[' => self.array(depth)?,
            b'"' => drop(self.string()?),
            b't' => self.literal("true")?,
            b'f' => self.literal("false")?,
            b'n' => self.literal("null")?,
            _ => self.number()?,
        }
        Ok(self.text.get(start..self.at).unwrap_or_default())
    }

    /// Takes an object; `member` must take the value of the key it is given (raw text between the quotes).
    pub(crate) fn object(
        &mut self,
        depth: usize,
        mut member: impl FnMut(&mut Self, &'a str, usize) -> Scan<()>,
    ) -> Scan<()> {
        let depth = depth.checked_sub(1).ok_or(Fault::TooDeep)?;
        self.at += 1;
        if self.take(b'}') {
            return Ok(());
        }
        loop {
            self.peek();
            let key = self.string()?;
            if !self.take(b':') {
                return Err(Fault::Syntax);
            }
            member(self, key, depth)?;
            if self.take(b'}') {
                return Ok(());
            }
            if !self.take(b',') {
                return Err(Fault::Syntax);
            }
        }
    }

    fn array(&mut self, depth: usize) -> Scan<()> {
        let depth = depth.checked_sub(1).ok_or(Fault::TooDeep)?;
        self.at += 1;
        if self.take(b']') {
            return Ok(());
        }
        loop {
            self.value(depth)?;
            if self.take(b']') {
                return Ok(());
            }
            if !self.take(b',') {
                return Err(Fault::Syntax);
            }
        }
    }

    /// Takes a string; gives the raw text between the quotes.
    fn string(&mut self) -> Scan<&'a str> {
        self.expect(|byte| byte == b'"')?;
        let start = self.at;
        loop {
            self.skip_plain();
            match self.byte() {
                Some(b'"') => {
                    let raw = self.text.get(start..self.at).unwrap_or_default();
                    self.at += 1;
                    return Ok(raw);
                }
                Some(b'\\') => self.escape()?,
                _ => return Err(Fault::Syntax),
            }
        }
    }

    /// Skips to the next quote, backslash or control character, 64 bytes at a time, then eight, then one.
    fn skip_plain(&mut self) {
        let bytes = self.text.as_bytes();
        while bytes.get(self.at..).and_then(<[u8]>::first_chunk::<64>).is_some_and(is_all_plain) {
            self.at += 64;
        }
        while let Some(chunk) = bytes.get(self.at..).and_then(<[u8]>::first_chunk::<8>) {
            let word = u64::from_le_bytes(*chunk);
            let control = word.wrapping_sub(ONES * 0x20) & !word;
            let stop = (control | zero_bytes(word ^ (ONES * 0x22)) | zero_bytes(word ^ (ONES * 0x5c))) & HIGHS;
            if stop != 0 {
                self.at += stop.trailing_zeros() as usize / 8;
                return;
            }
            self.at += 8;
        }
        while self.byte().is_some_and(is_plain) {
            self.at += 1;
        }
    }

    fn escape(&mut self) -> Scan<()> {
        self.at += 1;
        match self.byte() {
            Some(b'"' | b'\\' | b'/' | b'b' | b'f' | b'n' | b'r' | b't') => self.at += 1,
            Some(b'u') => {
                self.at += 1;
                for _ in 0..4 {
                    self.expect(|byte| byte.is_ascii_hexdigit())?;
                }
            }
            _ => return Err(Fault::Syntax),
        }
        Ok(())
    }

    fn number(&mut self) -> Scan<()> {
        if self.byte() == Some(b'-') {
            self.at += 1;
        }
        if self.byte() == Some(b'0') {
            self.at += 1;
        } else {
            self.digits()?;
        }
        if self.byte() == Some(b'.') {
            self.at += 1;
            self.digits()?;
        }
        if matches!(self.byte(), Some(b'e' | b'E')) {
            self.at += 1;
            if matches!(self.byte(), Some(b'+' | b'-')) {
                self.at += 1;
            }
            self.digits()?;
        }
        Ok(())
    }

    fn digits(&mut self) -> Scan<()> {
        self.expect(|byte| byte.is_ascii_digit())?;
        while self.byte().is_some_and(|byte| byte.is_ascii_digit()) {
            self.at += 1;
        }
        Ok(())
    }

    fn literal(&mut self, word: &str) -> Scan<()> {
        let rest = self.text.as_bytes().get(self.at..).unwrap_or_default();
        if !rest.starts_with(word.as_bytes()) {
            return Err(Fault::Syntax);
        }
        self.at += word.len();
        Ok(())
    }

    fn expect(&mut self, wanted: impl Fn(u8) -> bool) -> Scan<()> {
        if !self.byte().is_some_and(wanted) {
            return Err(Fault::Syntax);
        }
        self.at += 1;
        Ok(())
    }

    fn byte(&self) -> Option<u8> {
        self.text.as_bytes().get(self.at).copied()
    }
}

/// A byte of a string that stands for itself.
fn is_plain(byte: u8) -> bool {
    byte >= 0x20 && byte != b'"' && byte != b'\\'
}

/// Written so that the compiler looks at 16 bytes with one instruction: each lane of `stops` stands for four bytes of `chunk`.
fn is_all_plain(chunk: &[u8; 64]) -> bool {
    const YES: u8 = 0xff;
    let mut stops = [0; 16];
    for sixteen in chunk.as_chunks::<16>().0 {
        for (stop, &byte) in stops.iter_mut().zip(sixteen) {
            *stop |= if byte < 0x20 { YES } else { 0 };
            *stop |= if byte == b'"' { YES } else { 0 };
            *stop |= if byte == b'\\' { YES } else { 0 };
        }
    }
    u128::from_ne_bytes(stops) == 0
}

/// The high bit of each byte of `word` that is zero, exact up to the first.
fn zero_bytes(word: u64) -> u64 {
    word.wrapping_sub(ONES) & !word
}

/// A string whose escapes are resolved. Lone surrogates become U+FFFD, and the flag says that there were some.
pub(crate) fn unescape(raw: &str) -> (Cow<'_, str>, bool) {
    if !raw.contains('\\') {
        return (Cow::Borrowed(raw), false);
    }
    let mut units: Vec<u16> = Vec::with_capacity(raw.len());
    let mut chars = raw.chars();
    while let Some(char) = chars.next() {
        let resolved = match char {
            '\\' => match chars.next() {
                Some('u') => {
                    let hex: String = chars.by_ref().take(4).collect();
                    units.push(u16::from_str_radix(&hex, 16).unwrap_or(0xfffd));
                    continue;
                }
                Some('b') => '\u{8}',
                Some('f') => '\u{c}',
                Some('n') => '\n',
                Some('r') => '\r',
                Some('t') => '\t',
                other => other.unwrap_or('\\'),
            },
            plain => plain,
        };
        units.extend_from_slice(resolved.encode_utf16(&mut [0; 2]));
    }
    match String::from_utf16(&units) {
        Ok(text) => (Cow::Owned(text), false),
        Err(_) => (Cow::Owned(String::from_utf16_lossy(&units)), true),
    }
}

/// Whether `text` is one JSON value of at most `depth` levels, with nothing but white space around it.
#[cfg(any(test, feature = "fuzzing"))]
pub(crate) fn check(text: &str, depth: usize) -> Scan<()> {
    let mut scanner = Scanner::new(text);
    scanner.value(depth)?;
    if scanner.peek().is_some() { Err(Fault::Syntax) } else { Ok(()) }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use serde_json::value::RawValue;

    #[test]
    fn accepts_every_kind_of_value() {
        for good in [
            "0",
            "-0",
            "-1.5e+10",
            "1E3",
            "true",
            "false",
            "null",
            "\"\"",
            "[]",
            "{}",
            " [1 , 2] ",
            "{\"a\":[{}]}",
            "\"\\ud800\"",
            "\"\\u0000\\\"\\/\"",
            "1e999",
            "123456789012345678901234567890",
            "\"\u{2028}\u{1f980}\"",
        ] {
            assert_eq!(check(good, 64), Ok(()), "{good}");
        }
    }

    #[test]
    fn refuses_what_is_not_json() {
        for bad in [
            "",
            " ",
            "01",
            "-",
            "1.",
            ".5",
            "1e",
            "+1",
            "tru",
            "nul",
            "[1,]",
            "{,}",
            "{\"a\"}",
            "{\"a\":1,}",
            "{a:1}",
            "\"",
            "\"\\x\"",
            "\"\\u12g4\"",
            "\"\n\"",
            "\"\u{1f}\"",
            "[1 2]",
            "1 2",
            "\u{feff}1",
            "'a'",
            "NaN",
            "[",
            "{",
        ] {
            assert_eq!(check(bad, 64), Err(Fault::Syntax), "{bad}");
        }
    }

    #[test]
    fn nesting_is_bounded() {
        let nested = |levels: usize| format!("{}{}", "[".repeat(levels), "]".repeat(levels));
        assert_eq!(check(&nested(64), 64), Ok(()));
        assert_eq!(check(&nested(65), 64), Err(Fault::TooDeep));
        assert_eq!(check(&"[".repeat(1_000_000), 64), Err(Fault::TooDeep));
        assert_eq!(check("7", 0), Ok(()));
    }

    #[test]
    fn unescape_resolves_pairs_and_marks_lone_surrogates() {
        assert_eq!(unescape("a\\u0062\\n"), (Cow::Borrowed("ab\n"), false));
        assert_eq!(unescape("\\ud83e\\udd80"), (Cow::Borrowed("\u{1f980}"), false));
        assert_eq!(unescape("x\\ud800"), (Cow::Borrowed("x\u{fffd}"), true));
    }

    #[test]
    fn each_character_at_each_place_of_a_long_string_is_judged_as_serde_json_does() {
        let chars: Vec<char> = (0..=0x7f_u8).map(char::from).chain(['\u{e9}', '\u{ffff}', '\u{1f980}']).collect();
        for around in ['a', ' ', '!', '#', '[', ']', '\u{7f}', '\u{e9}'] {
            for (at, char) in (0..90).flat_map(|at| chars.iter().map(move |char| (at, *char))) {
                let mut text = vec![around; 90];
                text[at] = char;
                let text = format!("\"{}\"", text.into_iter().collect::<String>());
                let reference = serde_json::from_str::<&RawValue>(&text).is_ok();
                assert_eq!(check(&text, 64).is_ok(), reference, "{char:?} at {at} of {text:?}");
            }
        }
    }

    proptest! {
        #[test]
        fn agrees_with_serde_json(text in "[\\[\\]{}\",:0-9eE.+\\-\\\\utrfalsn \u{e9}\u{1}]{0,40}") {
            let reference = serde_json::from_str::<&RawValue>(&text).is_ok();
            prop_assert_eq!(check(&text, 64).is_ok(), reference);
        }

        #[test]
        fn unescape_agrees_with_serde_json(text in "\\PC{0,40}") {
            let quoted = serde_json::to_string(&text).expect("a string");
            let (back, lone) = unescape(&quoted[1..quoted.len() - 1]);
            prop_assert_eq!(back.as_ref(), text.as_str());
            prop_assert!(!lone);
        }
    }
}
