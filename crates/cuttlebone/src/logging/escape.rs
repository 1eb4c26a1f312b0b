//! Escapes for characters that forge log lines or steer terminals.

use std::fmt::{self, Write};
use std::io;

/// Tells whether a character must not reach a log as it is: C0, DEL, C1, line and paragraph
/// separators, direction marks, overrides and isolates, and the byte order mark.
fn is_unsafe(character: char) -> bool {
    character.is_control()
        || matches!(
            character,
            '\u{061c}' | '\u{200e}' | '\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2066}'..='\u{2069}' | '\u{feff}'
        )
}

/// A text writer that writes unsafe characters as `\u{1b}`.
pub(crate) struct Escaped<W>(pub(crate) W);

impl<W: Write> Write for Escaped<W> {
    fn write_str(&mut self, text: &str) -> fmt::Result {
        let mut rest = text;
        while let Some(at) = rest.find(is_unsafe) {
            self.0.write_str(&rest[..at])?;
            let mut after = rest[at..].chars();
            if let Some(character) = after.next() {
                write!(self.0, "{}", character.escape_unicode())?;
            }
            rest = after.as_str();
        }
        self.0.write_str(rest)
    }
}

/// A byte writer for lines of JSON: unsafe characters are written as JSON escapes.
///
/// The JSON formatter has escaped C0 already; such characters stand only in strings, so that an
/// escape is right wherever one is found. Each call gets a whole line.
pub(super) struct EscapedJson<W>(pub(super) W);

impl<W: io::Write> io::Write for EscapedJson<W> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let line = String::from_utf8_lossy(bytes);
        let mut out = String::with_capacity(line.len());
        for character in line.chars() {
            if character != '\n' && is_unsafe(character) {
                let mut units = [0; 2];
                for unit in character.encode_utf16(&mut units) {
                    write!(out, "\\u{unit:04x}").map_err(io::Error::other)?;
                }
            } else {
                out.push(character);
            }
        }
        self.0.write_all(out.as_bytes())?;
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        self.0.flush()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const HOSTILE: &str = "a\n2026 INFO forged\u{1b}[2J\u{9b}\u{202e}\u{2028}é";

    #[test]
    fn text_keeps_letters_and_escapes_the_rest() {
        let mut out = String::new();
        Escaped(&mut out).write_str(HOSTILE).expect("writes");
        assert_eq!(out, "a\\u{a}2026 INFO forged\\u{1b}[2J\\u{9b}\\u{202e}\\u{2028}é");
    }

    #[test]
    fn json_stays_json_of_the_same_text() {
        let line = "{\"id\":\"x\u{9b}\u{202e}é\"}\n";
        let mut out = Vec::new();
        io::Write::write_all(&mut EscapedJson(&mut out), line.as_bytes()).expect("writes");
        assert_eq!(String::from_utf8_lossy(&out), "{\"id\":\"x\\u009b\\u202eé\"}\n");
    }
}
