//! PEM files.

use std::fs::{File, Metadata};
use std::io::{self, Read as _};
use std::os::unix::fs::MetadataExt as _;
use std::path::Path;

use rustls::pki_types::pem::{self, PemObject};
use rustls::pki_types::{CertificateDer, CertificateRevocationListDer, PrivateKeyDer};

use super::TlsError;
use crate::file;

/// All certificates of a file, in their order; at least one.
pub(super) fn certificates(path: &Path) -> Result<Vec<CertificateDer<'static>>, TlsError> {
    let chain = CertificateDer::pem_slice_iter(&read(path)?)
        .collect::<Result<Vec<_>, _>>()
        .map_err(|error| TlsError::Pem { path: path.into(), reason: in_words(&error).to_owned() })?;
    if chain.is_empty() {
        return Err(TlsError::NoCertificate { path: path.into() });
    }
    Ok(chain)
}

/// All lists of a file of what is revoked; at least one.
pub(super) fn revocation_lists(path: &Path) -> Result<Vec<CertificateRevocationListDer<'static>>, TlsError> {
    let lists = CertificateRevocationListDer::pem_slice_iter(&read(path)?)
        .collect::<Result<Vec<_>, _>>()
        .map_err(|error| TlsError::Pem { path: path.into(), reason: in_words(&error).to_owned() })?;
    if lists.is_empty() {
        return Err(TlsError::NoList { path: path.into() });
    }
    Ok(lists)
}

/// The first key of a file that no stranger may read.
pub(super) fn key(path: &Path) -> Result<PrivateKeyDer<'static>, TlsError> {
    PrivateKeyDer::pem_slice_iter(&read_secret(path)?)
        .next()
        .ok_or_else(|| TlsError::NoKey { path: path.into() })?
        .map_err(|error| TlsError::Pem { path: path.into(), reason: in_words(&error).to_owned() })
}

/// What is wrong. The library's own words have what stands in the file, which may be a key.
fn in_words(error: &pem::Error) -> &'static str {
    match error {
        pem::Error::MissingSectionEnd { .. } => "a section has no end (a line of its own: -----END ...-----)",
        pem::Error::IllegalSectionStart { .. } => {
            "a section does not begin as one (a line of its own: -----BEGIN ...-----)"
        }
        pem::Error::Base64Decode(_) => "what is in a section is not base64",
        _ => "it can't be understood",
    }
}

fn read_secret(path: &Path) -> Result<Vec<u8>, TlsError> {
    let cannot = |source| TlsError::Read { path: path.into(), source };
    let file = file::open(path).map_err(cannot)?;
    let metadata = file.metadata().map_err(cannot)?;
    if !is_secret(&metadata) {
        return Err(TlsError::OpenKey { path: path.into(), mode: metadata.mode() & 0o777 });
    }
    all_of(file).map_err(cannot)
}

/// A file of root may be readable by its group: systems keep keys so for the services that are in it.
fn is_secret(metadata: &Metadata) -> bool {
    let forbidden = if metadata.uid() == 0 { 0o027 } else { 0o077 };
    metadata.mode() & forbidden == 0
}

fn read(path: &Path) -> Result<Vec<u8>, TlsError> {
    file::open(path).and_then(all_of).map_err(|source| TlsError::Read { path: path.into(), source })
}

fn all_of(mut file: File) -> io::Result<Vec<u8>> {
    let mut content = Vec::new();
    file.read_to_end(&mut content)?;
    Ok(content)
}
