//! Who we are to a server, by TLS: a certificate that an authority of the server's operator has signed, and its key.

use std::fmt;
use std::sync::Arc;

use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use thiserror::Error;

/// Why there is no client certificate in two texts. It shows nothing of either.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Error)]
pub enum NotACertificate {
    /// The first text has no certificate, or a broken one.
    #[error("no certificate in the PEM text (expected -----BEGIN CERTIFICATE-----)")]
    Certificate,
    /// The second text has no private key, or a broken one.
    #[error("no private key in the PEM text (expected -----BEGIN PRIVATE KEY-----)")]
    Key,
}

/// A client certificate, see [`Endpoint::with_certificate`](crate::Endpoint::with_certificate). `Debug` shows how long its chain
/// is, and nothing of the key. Cheap to clone.
#[derive(Clone)]
pub struct ClientCertificate(Arc<Inner>);

struct Inner {
    chain: Vec<CertificateDer<'static>>,
    key: PrivateKeyDer<'static>,
}

impl ClientCertificate {
    /// Reads PEM texts: the certificate, followed by those between it and the authority if there are any; and its key (PKCS#8,
    /// SEC1 or PKCS#1). Whether the two belong together is seen when they are used.
    ///
    /// # Errors
    /// [`NotACertificate`].
    pub fn from_pem(chain: &str, key: &str) -> Result<Self, NotACertificate> {
        let chain: Result<Vec<_>, _> = CertificateDer::pem_slice_iter(chain.as_bytes()).collect();
        let chain = chain.ok().filter(|chain| !chain.is_empty()).ok_or(NotACertificate::Certificate)?;
        let key = PrivateKeyDer::from_pem_slice(key.as_bytes()).map_err(|_| NotACertificate::Key)?;
        Ok(Self(Arc::new(Inner { chain, key })))
    }

    pub(crate) fn chain(&self) -> Vec<CertificateDer<'static>> {
        self.0.chain.clone()
    }

    pub(crate) fn key(&self) -> PrivateKeyDer<'static> {
        self.0.key.clone_key()
    }
}

impl fmt::Debug for ClientCertificate {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "ClientCertificate({})", self.0.chain.len())
    }
}
