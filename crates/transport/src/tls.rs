//! Certificates, and what is made of them.
//!
//! TLS 1.2 and 1.3, no client certificates, `http/1.1` by ALPN, and always the `ring` provider: no
//! process-wide default is read or set. Files are read when [`TlsSettings::load`] is called and never again.

mod fingerprint;
mod pem;
mod self_signed;

use std::fmt;
use std::io;
use std::path::PathBuf;
use std::sync::Arc;

use rustls::ServerConfig;
use rustls::crypto::ring;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use thiserror::Error;
use tokio_rustls::TlsAcceptor;

/// Where the certificate comes from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum TlsSettings {
    /// PEM files.
    Files {
        /// The certificate, then those that issued it.
        cert_file: PathBuf,
        /// Its key, not encrypted. May be the same file.
        key_file: PathBuf,
    },
    /// Made by ourselves, and kept.
    SelfSigned {
        /// The directory in which it is kept; made if it is not there.
        state_dir: PathBuf,
        /// Names and addresses beside `localhost`, `127.0.0.1` and `::1`.
        names: Vec<String>,
    },
}

/// Why there is no TLS. Every text names the file.
#[derive(Debug, Error)]
pub enum TlsError {
    /// A file can't be read.
    #[error("cannot read {}: {source}", path.display())]
    Read {
        /// The file.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// A file can't be written.
    #[error("cannot write {}: {source}", path.display())]
    Write {
        /// The file or directory.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// A file is not PEM.
    #[error("{} is not valid PEM: {reason}", path.display())]
    Pem {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        reason: String,
    },
    /// No certificate in the file.
    #[error("{} has no certificate in it (expected -----BEGIN CERTIFICATE-----)", path.display())]
    NoCertificate {
        /// The file.
        path: PathBuf,
    },
    /// No key in the file.
    #[error("{} has no private key in it that is not encrypted (expected -----BEGIN PRIVATE KEY-----)", path.display())]
    NoKey {
        /// The file.
        path: PathBuf,
    },
    /// Certificate and key were read but are of no use.
    #[error("cannot use the certificate {} with the key {}: {source}", cert.display(), key.display())]
    Unusable {
        /// The file of the certificate.
        cert: PathBuf,
        /// The file of the key.
        key: PathBuf,
        /// What is wrong: most often, they do not belong together.
        source: rustls::Error,
    },
    /// The file of the self-signed certificate was not made by us.
    #[error("{} was not made by this program; move it away, or use it as a certificate file", path.display())]
    Foreign {
        /// The file.
        path: PathBuf,
    },
    /// No certificate can be made for these names.
    #[error("cannot make a certificate for {names}: {source}")]
    Make {
        /// The names asked for.
        names: String,
        /// What is wrong.
        source: rcgen::Error,
    },
}

/// A certificate that is ready for use. A clone is cheap.
#[derive(Clone)]
pub struct Tls {
    acceptor: TlsAcceptor,
    fingerprint: Arc<str>,
}

/// Certificate chain and key, and the files they came from.
struct Identity {
    chain: Vec<CertificateDer<'static>>,
    key: PrivateKeyDer<'static>,
    cert_file: PathBuf,
    key_file: PathBuf,
}

impl TlsSettings {
    /// Reads the files, or makes the certificate. Blocks for as long as the disk does.
    ///
    /// # Errors
    /// [`TlsError`], with the name of the file.
    pub fn load(&self) -> Result<Tls, TlsError> {
        let identity = match self {
            Self::Files { cert_file, key_file } => Identity {
                chain: pem::certificates(cert_file)?,
                key: pem::key(key_file)?,
                cert_file: cert_file.clone(),
                key_file: key_file.clone(),
            },
            Self::SelfSigned { state_dir, names } => self_signed::load_or_make(state_dir, names)?,
        };
        Tls::new(identity)
    }
}

impl Tls {
    fn new(identity: Identity) -> Result<Self, TlsError> {
        let Identity { chain, key, cert_file, key_file } = identity;
        let fingerprint = chain.first().map(|cert| fingerprint::sha256(cert)).unwrap_or_default().into();
        let config = server_config(chain, key).map_err(|source| TlsError::Unusable {
            cert: cert_file,
            key: key_file,
            source,
        })?;
        Ok(Self { acceptor: TlsAcceptor::from(Arc::new(config)), fingerprint })
    }

    /// What does the handshakes.
    #[must_use]
    pub fn acceptor(&self) -> TlsAcceptor {
        self.acceptor.clone()
    }

    /// SHA-256 of the certificate, as `AA:BB:…`: what a browser shows, and what a peer may pin.
    #[must_use]
    pub fn fingerprint(&self) -> &str {
        &self.fingerprint
    }
}

impl fmt::Debug for Tls {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Tls").field("fingerprint", &self.fingerprint).finish_non_exhaustive()
    }
}

fn server_config(
    chain: Vec<CertificateDer<'static>>,
    key: PrivateKeyDer<'static>,
) -> Result<ServerConfig, rustls::Error> {
    let mut config = ServerConfig::builder_with_provider(Arc::new(ring::default_provider()))
        .with_safe_default_protocol_versions()?
        .with_no_client_auth()
        .with_single_cert(chain, key)?;
    config.alpn_protocols = vec![b"http/1.1".to_vec()];
    // Sessions are resumed by tickets that the peer keeps, so that none are kept here.
    config.ticketer = ring::Ticketer::new()?;
    Ok(config)
}
