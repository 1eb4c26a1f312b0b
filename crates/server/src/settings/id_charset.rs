//! Which device ids are taken, of those that the protocol has.

use cuttlebone_proto::DeviceId;

/// The longest plain id, in bytes.
const PLAIN_BYTES: usize = 128;

/// Of which characters an id may be: `devices.id_charset`.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum IdCharset {
    /// Whatever protocol.md 2.2 allows.
    #[default]
    Any,
    /// Letters and digits of ASCII and `. _ : @ + ~ / -`, at most 128 of them: no two that look alike.
    Plain,
}

impl IdCharset {
    /// Whether a device may register under this id.
    pub(crate) fn takes(self, id: &DeviceId) -> bool {
        let is_plain = |byte: u8| byte.is_ascii_alphanumeric() || b"._:@+~/-".contains(&byte);
        match self {
            Self::Any => true,
            Self::Plain => id.as_str().len() <= PLAIN_BYTES && id.as_str().bytes().all(is_plain),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn t60_plain_ids_have_no_look_alikes() {
        let takes = |charset: IdCharset, id: &str| charset.takes(&DeviceId::new(id).expect("valid"));
        for plain in ["cvd-1", "lab7/cvd_1", "a.b:c@d+e~f", &"x".repeat(128)] {
            assert!(takes(IdCharset::Plain, plain), "{plain}");
        }
        // A hyphen that is none, a Cyrillic c, a full-width 1, a space, and one that is composed.
        let others = ["cvd\u{2011}1", "\u{441}vd-1", "cvd-\u{ff11}", "cvd 1", "e\u{301}", "a*", "\"", &"x".repeat(129)];
        for other in others {
            assert!(!takes(IdCharset::Plain, other) && takes(IdCharset::Any, other), "{other}");
        }
    }
}
