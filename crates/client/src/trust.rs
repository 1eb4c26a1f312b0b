//! Which certificate of a server is believed, and the TLS settings made of that.

use std::sync::Arc;

use rustls::client::WebPkiServerVerifier;
use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::crypto::{CryptoProvider, ring};
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, ServerName, UnixTime};
use rustls::{
    CertificateError, ClientConfig, DigitallySignedStruct, Error, RootCertStore, SignatureScheme, SupportedCipherSuite,
};

use crate::certificate::ClientCertificate;
use crate::endpoint::EndpointError;

/// Whom to believe when the server shows its certificate.
#[derive(Clone, Debug, Default)]
pub enum Trust {
    /// The public roots that browsers trust.
    #[default]
    WebPki,
    /// Only the certificates of this PEM text, as roots.
    Pem(String),
    /// Exactly the certificate whose DER form has this SHA-256. Name and dates are not looked at: this is for the
    /// self-signed certificate of one server, which prints its fingerprint at start.
    Fingerprint([u8; 32]),
    /// Anyone. For tests only: the connection is open to whoever sits between.
    Insecure,
}

impl Trust {
    /// Reads a fingerprint as the server prints it: 64 hex digits, with or without colons.
    pub fn fingerprint(text: &str) -> Option<Self> {
        let digits: Vec<u32> = text.chars().filter(|c| *c != ':').map(|c| c.to_digit(16)).collect::<Option<_>>()?;
        let bytes: Vec<u8> = digits
            .chunks(2)
            .map(|pair| match pair {
                [high, low] => u8::try_from(high * 16 + low).ok(),
                _ => None,
            })
            .collect::<Option<_>>()?;
        bytes.try_into().ok().map(Self::Fingerprint)
    }

    /// The settings for TLS with a server that is believed so, and that is shown `certificate`.
    pub(crate) fn config(&self, certificate: Option<&ClientCertificate>) -> Result<Arc<ClientConfig>, EndpointError> {
        let provider = Arc::new(ring::default_provider());
        let builder =
            ClientConfig::builder_with_provider(Arc::clone(&provider)).with_safe_default_protocol_versions()?;
        let believed = match self {
            Self::WebPki => by_roots(public_roots(), &provider)?,
            Self::Pem(text) => by_roots(own_roots(text)?, &provider)?,
            Self::Fingerprint(pin) => Believed::One(*pin),
            Self::Insecure => Believed::Anybody,
        };
        let builder = builder.dangerous().with_custom_certificate_verifier(Arc::new(Verifier { believed, provider }));
        let mut config = match certificate {
            Some(certificate) => builder.with_client_auth_cert(certificate.chain(), certificate.key())?,
            None => builder.with_no_client_auth(),
        };
        config.alpn_protocols = vec![b"http/1.1".to_vec()];
        Ok(Arc::new(config))
    }
}

/// Whose certificate is believed.
#[derive(Debug)]
enum Believed {
    /// That of whom these roots vouch for.
    Vouched(Arc<WebPkiServerVerifier>),
    /// The one with this SHA-256.
    One([u8; 32]),
    Anybody,
}

/// The most certificates that a server may send beside its own: as many as in the server's own `transport::tls`. The library looks
/// for a path through all of them, in every order, and in one go: a dozen of one name would keep it busy for seconds.
const MOST_INTERMEDIATES: usize = 6;

fn by_roots(roots: RootCertStore, provider: &Arc<CryptoProvider>) -> Result<Believed, EndpointError> {
    let verifier = WebPkiServerVerifier::builder_with_provider(Arc::new(roots), Arc::clone(provider)).build();
    Ok(Believed::Vouched(verifier.map_err(|error| Error::General(error.to_string()))?))
}

fn public_roots() -> RootCertStore {
    RootCertStore { roots: webpki_roots::TLS_SERVER_ROOTS.to_vec() }
}

fn own_roots(text: &str) -> Result<RootCertStore, EndpointError> {
    let mut roots = RootCertStore::empty();
    for certificate in CertificateDer::pem_slice_iter(text.as_bytes()) {
        roots.add(certificate.map_err(|_| EndpointError::Pem)?)?;
    }
    if roots.is_empty() {
        return Err(EndpointError::Pem);
    }
    Ok(roots)
}

/// Judges the certificate of a server. The handshake's signature is checked in any case.
#[derive(Debug)]
struct Verifier {
    believed: Believed,
    provider: Arc<CryptoProvider>,
}

impl ServerCertVerifier for Verifier {
    fn verify_server_cert(
        &self,
        end_entity: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        server_name: &ServerName<'_>,
        ocsp_response: &[u8],
        now: UnixTime,
    ) -> Result<ServerCertVerified, Error> {
        let is_believed = match &self.believed {
            Believed::Vouched(roots) if intermediates.len() <= MOST_INTERMEDIATES => {
                return roots.verify_server_cert(end_entity, intermediates, server_name, ocsp_response, now);
            }
            Believed::Vouched(_) => false,
            Believed::One(pin) => sha256(end_entity).as_deref() == Some(pin.as_slice()),
            Believed::Anybody => true,
        };
        if is_believed {
            Ok(ServerCertVerified::assertion())
        } else {
            Err(CertificateError::ApplicationVerificationFailure.into())
        }
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        let algorithms = &self.provider.signature_verification_algorithms;
        rustls::crypto::verify_tls12_signature(message, cert, dss, algorithms)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        let algorithms = &self.provider.signature_verification_algorithms;
        rustls::crypto::verify_tls13_signature(message, cert, dss, algorithms)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.provider.signature_verification_algorithms.supported_schemes()
    }
}

/// The SHA-256 that the crypto provider has anyway.
fn sha256(data: &[u8]) -> Option<Vec<u8>> {
    match ring::cipher_suite::TLS13_AES_128_GCM_SHA256 {
        SupportedCipherSuite::Tls13(suite) => Some(suite.common.hash_provider.hash(data).as_ref().to_vec()),
        SupportedCipherSuite::Tls12(_) => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sha256_is_sha256() {
        let hash = sha256(b"abc").unwrap();
        assert_eq!(hash[..4], [0xba, 0x78, 0x16, 0xbf]);
        assert_eq!(hash.len(), 32);
    }

    #[test]
    fn fingerprints_are_read_with_and_without_colons() {
        let plain = "ab".repeat(32);
        let colons = vec!["AB"; 32].join(":");
        for text in [plain, colons] {
            let Some(Trust::Fingerprint(pin)) = Trust::fingerprint(&text) else {
                panic!("{text} was refused");
            };
            assert_eq!(pin, [0xab; 32]);
        }
        for bad in ["", "ab", "zz", &"ab".repeat(33), &"a".repeat(63)] {
            assert!(Trust::fingerprint(bad).is_none(), "{bad}");
        }
    }

    #[test]
    fn pem_without_a_certificate_is_refused() {
        let result = Trust::Pem("nothing here".into()).config(None);
        assert!(matches!(result, Err(EndpointError::Pem)));
    }
}
