//! The payload of a close frame (RFC 6455 section 5.5.1 and 7.4).

use crate::Violation;

/// Reads the code; the reason is only checked.
///
/// A payload of one byte never comes here: its header was refused.
pub(crate) fn read(payload: &[u8]) -> Result<Option<u16>, Violation> {
    let [high, low, reason @ ..] = payload else {
        return Ok(None);
    };
    let code = u16::from_be_bytes([*high, *low]);
    if !may_be_sent(code) {
        return Err(Violation::Protocol);
    }
    match std::str::from_utf8(reason) {
        Ok(_) => Ok(Some(code)),
        Err(_) => Err(Violation::NotUtf8),
    }
}

/// Codes that may stand in a close frame: the registered ones, and those free for libraries and applications.
fn may_be_sent(code: u16) -> bool {
    matches!(code, 1000..=1003 | 1007..=1014 | 3000..=4999)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reserved_and_unknown_codes_are_refused() {
        for code in [0, 999, 1004, 1005, 1006, 1015, 1016, 1100, 2000, 2999, 5000, u16::MAX] {
            assert_eq!(read(&u16::to_be_bytes(code)), Err(Violation::Protocol), "{code}");
        }
        for code in [1000, 1003, 1007, 1014, 3000, 4999] {
            assert_eq!(read(&u16::to_be_bytes(code)), Ok(Some(code)));
        }
    }

    #[test]
    fn reason_must_be_utf8() {
        assert_eq!(read(&[0x03, 0xe8, 0xff]), Err(Violation::NotUtf8));
        assert_eq!(read("\u{3}\u{7f}".as_bytes()), Err(Violation::Protocol));
        assert_eq!(read(&[]), Ok(None));
    }
}
