//! SHA-256 fingerprints.

use std::fmt::Write as _;

use ring::digest::{SHA256, digest};

/// The fingerprint of a certificate in DER, as `AA:BB:…`.
pub(super) fn sha256(der: &[u8]) -> String {
    let mut text = String::with_capacity(95);
    for byte in digest(&SHA256, der).as_ref() {
        let separator = if text.is_empty() { "" } else { ":" };
        let _infallible = write!(text, "{separator}{byte:02X}");
    }
    text
}

#[cfg(test)]
mod tests {
    #[test]
    fn is_what_other_tools_print() {
        assert_eq!(
            super::sha256(b"abc"),
            "BA:78:16:BF:8F:01:CF:EA:41:41:40:DE:5D:AE:22:23:B0:03:61:A3:96:17:7A:9C:B4:10:FF:61:F2:00:15:AD"
        );
    }
}
