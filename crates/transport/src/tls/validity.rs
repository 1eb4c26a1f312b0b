//! When a certificate is good.

use x509_cert::Certificate;
use x509_cert::der::Decode;

/// Seconds since 1970, the last one included.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Validity {
    pub(super) from: u64,
    pub(super) until: u64,
}

impl Validity {
    /// Of a certificate in DER, if it can be read.
    pub(super) fn of(der: &[u8]) -> Option<Self> {
        let certificate = Certificate::from_der(der).ok()?;
        let validity = certificate.tbs_certificate().validity();
        let seconds = |time: &x509_cert::time::Time| time.to_unix_duration().as_secs();
        Some(Self { from: seconds(&validity.not_before), until: seconds(&validity.not_after) })
    }

    pub(super) fn has(self, now: u64) -> bool {
        (self.from..=self.until).contains(&now)
    }
}

#[cfg(test)]
mod tests {
    use rcgen::{CertificateParams, KeyPair, date_time_ymd};

    use super::*;

    #[test]
    fn is_what_the_certificate_says() {
        let mut params = CertificateParams::new(["a.example".to_owned()]).expect("a name");
        params.not_before = date_time_ymd(2020, 1, 1);
        params.not_after = date_time_ymd(2055, 1, 1);
        let certificate = params.self_signed(&KeyPair::generate().expect("a key")).expect("a certificate");
        let validity = Validity::of(certificate.der()).expect("readable");
        assert_eq!(validity, Validity { from: 1_577_836_800, until: 2_682_374_400 });
        let inside = [1_577_836_799, 1_577_836_800, 2_682_374_400, 2_682_374_401].map(|now| validity.has(now));
        assert_eq!(inside, [false, true, true, false]);
        assert_eq!(Validity::of(b"nothing"), None);
    }
}
