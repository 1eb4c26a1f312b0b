//! Values as the log has them.

use std::time::Duration;

/// The longest text of a peer in a line.
const CHARS: usize = 500;

/// Text of a peer, or about one, cut: what is wrong with a certificate may be as long as the certificate. To be given to the log as text, which the log escapes.
pub(crate) fn cut(text: &str) -> &str {
    text.char_indices().nth(CHARS).and_then(|(end, _)| text.get(..end)).unwrap_or(text)
}

/// Milliseconds.
pub(crate) fn millis(time: Duration) -> u64 {
    u64::try_from(time.as_millis()).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn text_is_cut_between_characters() {
        assert_eq!(cut("cvd-1"), "cvd-1");
        assert_eq!(cut(&"é".repeat(CHARS)), "é".repeat(CHARS));
        assert_eq!(cut(&"é".repeat(CHARS + 1)), "é".repeat(CHARS));
    }
}
