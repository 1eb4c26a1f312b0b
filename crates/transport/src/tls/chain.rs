//! Verifiers that are asked about short chains only.
//!
//! The library looks for a path through everything that a peer sends, in every order, and in one go: a dozen certificates of one
//! name, which nobody has to have signed, would keep it busy for seconds, and all others waiting. And what a client sends is kept as
//! long as its connection, to be looked at again.

use std::sync::Arc;

use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::pki_types::{CertificateDer, ServerName, UnixTime};
use rustls::server::danger::{ClientCertVerified, ClientCertVerifier};
use rustls::{CertificateError, DigitallySignedStruct, DistinguishedName, Error, SignatureScheme};
use x509_cert::Certificate;
use x509_cert::der::Decode;
use x509_cert::name::Name;

/// The most certificates that a peer may send beside its own. As many as in `access` and `client`, which do not know this crate.
const MOST: usize = 6;
/// The most bytes of a client's chain. As many as in `access`.
const MOST_BYTES: usize = 16 * 1024;

/// Asks another verifier, if the chain is short.
#[derive(Debug)]
pub struct ShortChains<V: ?Sized>(Arc<V>);

impl<V: ?Sized> ShortChains<V> {
    /// In front of another.
    pub fn new(inner: Arc<V>) -> Arc<Self> {
        Arc::new(Self(inner))
    }
}

/// An error, unless the chain is short.
fn only_if(is_short: bool) -> Result<(), Error> {
    if is_short { Ok(()) } else { Err(CertificateError::ApplicationVerificationFailure.into()) }
}

/// Whether no two have one name: then they follow each other in one order only. Of several each order is tried, of certificates that
/// nobody has signed too, for up to a hundred signatures.
fn have_names_of_their_own(certificates: &[CertificateDer<'_>]) -> bool {
    let mut seen: Vec<Name> = Vec::new();
    certificates.iter().all(|der| {
        // One that can't be read is none that has a name of its own.
        let Ok(certificate) = Certificate::from_der(der) else { return false };
        let name = certificate.tbs_certificate().subject();
        let is_new = !seen.contains(name);
        seen.push(name.clone());
        is_new
    })
}

impl ClientCertVerifier for ShortChains<dyn ClientCertVerifier> {
    fn verify_client_cert(
        &self,
        end_entity: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        now: UnixTime,
    ) -> Result<ClientCertVerified, Error> {
        let bytes = end_entity.len() + intermediates.iter().map(|der| der.len()).sum::<usize>();
        only_if(intermediates.len() <= MOST && bytes <= MOST_BYTES && have_names_of_their_own(intermediates))?;
        self.0.verify_client_cert(end_entity, intermediates, now)
    }

    fn offer_client_auth(&self) -> bool {
        self.0.offer_client_auth()
    }

    fn client_auth_mandatory(&self) -> bool {
        self.0.client_auth_mandatory()
    }

    fn root_hint_subjects(&self) -> &[DistinguishedName] {
        self.0.root_hint_subjects()
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        self.0.verify_tls12_signature(message, certificate, signature)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        self.0.verify_tls13_signature(message, certificate, signature)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.0.supported_verify_schemes()
    }
}

impl<V: ServerCertVerifier + ?Sized> ServerCertVerifier for ShortChains<V> {
    fn verify_server_cert(
        &self,
        end_entity: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        name: &ServerName<'_>,
        ocsp_response: &[u8],
        now: UnixTime,
    ) -> Result<ServerCertVerified, Error> {
        only_if(intermediates.len() <= MOST)?;
        self.0.verify_server_cert(end_entity, intermediates, name, ocsp_response, now)
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        self.0.verify_tls12_signature(message, certificate, signature)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        certificate: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        self.0.verify_tls13_signature(message, certificate, signature)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.0.supported_verify_schemes()
    }
}
