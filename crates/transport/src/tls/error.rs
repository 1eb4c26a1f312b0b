//! Why there is no TLS.

use std::io;
use std::path::PathBuf;

use thiserror::Error;

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
    /// No list in the file.
    #[error("{} has no list in it (expected -----BEGIN X509 CRL-----)", path.display())]
    NoList {
        /// The file.
        path: PathBuf,
    },
    /// The authorities of clients, or their lists, are of no use.
    #[error("{reason}")]
    Clients {
        /// The file.
        path: PathBuf,
        /// What is wrong with it, in words that name it.
        reason: String,
    },
    /// Others may read the key.
    #[error("{}: others than its owner may read the key (mode {mode:03o}). Do: chmod 600 {}", path.display(), path.display())]
    OpenKey {
        /// The file.
        path: PathBuf,
        /// What the owner, the group and all others may do.
        mode: u32,
    },
    /// It is too late or too early for the certificate, and there is one that is good.
    #[error("the certificate {} has expired, or is not valid yet", path.display())]
    NotNow {
        /// The file of the certificate.
        path: PathBuf,
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
