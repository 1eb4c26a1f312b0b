//! Who vouches for the certificates of clients.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use rustls::RootCertStore;
use rustls::crypto::ring;
use rustls::pki_types::{CertificateDer, CertificateRevocationListDer};
use rustls::server::WebPkiClientVerifier;
use rustls::server::danger::ClientCertVerifier;

use super::{ShortChains, TlsError, pem};

/// How clients are asked for a certificate.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ClientSettings {
    /// The authorities (PEM) that vouch for them.
    pub ca_file: PathBuf,
    /// Their lists (PEM) of what is revoked; of each authority in a chain one.
    pub crl_file: Option<PathBuf>,
    /// Whether nobody is served without one.
    pub required: bool,
}

/// What was read of the files.
pub(super) struct Clients {
    authorities: Vec<CertificateDer<'static>>,
    revoked: Vec<CertificateRevocationListDer<'static>>,
    settings: ClientSettings,
}

impl ClientSettings {
    /// The files that are read, to be watched.
    pub fn files(&self) -> impl Iterator<Item = &PathBuf> {
        [&self.ca_file].into_iter().chain(&self.crl_file)
    }

    /// Whether the files can be used.
    ///
    /// # Errors
    /// [`TlsError::Clients`], and no other: they can't.
    pub fn check(&self) -> Result<(), TlsError> {
        self.read()?.verifier().map(drop)
    }

    pub(super) fn read(&self) -> Result<Clients, TlsError> {
        let unusable =
            |path: &Path, error: TlsError| TlsError::Clients { path: path.into(), reason: error.to_string() };
        let lists = |path: &PathBuf| pem::revocation_lists(path).map_err(|error| unusable(path, error));
        let revoked = self.crl_file.as_ref().map(lists).transpose()?;
        Ok(Clients {
            authorities: pem::certificates(&self.ca_file).map_err(|error| unusable(&self.ca_file, error))?,
            revoked: revoked.unwrap_or_default(),
            settings: self.clone(),
        })
    }
}

impl Clients {
    /// Everything that makes a difference.
    pub(super) fn parts(&self) -> impl Iterator<Item = &[u8]> {
        let required: &[u8] = if self.settings.required { b"required" } else { b"optional" };
        let authorities = self.authorities.iter().map(AsRef::as_ref);
        [required].into_iter().chain(authorities).chain(self.revoked.iter().map(AsRef::as_ref))
    }

    pub(super) fn verifier(self) -> Result<Arc<dyn ClientCertVerifier>, TlsError> {
        let ca_file = &self.settings.ca_file;
        let unusable = |path: &Path, error: String| TlsError::Clients {
            path: path.into(),
            reason: format!("cannot use {}: {error}", path.display()),
        };
        let mut roots = RootCertStore::empty();
        for authority in self.authorities {
            roots.add(authority).map_err(|error| unusable(ca_file, error.to_string()))?;
        }
        let provider = Arc::new(ring::default_provider());
        let builder = WebPkiClientVerifier::builder_with_provider(Arc::new(roots), provider).with_crls(self.revoked);
        let builder = if self.settings.required { builder } else { builder.allow_unauthenticated() };
        let last_read = self.settings.crl_file.as_ref().unwrap_or(ca_file);
        let verifier = builder.build().map_err(|error| unusable(last_read, error.to_string()))?;
        Ok(ShortChains::new(verifier))
    }
}
