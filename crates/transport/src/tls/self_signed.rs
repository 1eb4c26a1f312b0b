//! A certificate of our own, kept between starts.
//!
//! Certificate and key are one file, so that there is never one without the other. Its first line says
//! which names it is for: other names make another certificate, the same names use it again.

use std::fs::{self, DirBuilder, OpenOptions};
use std::io::{self, Write as _};
use std::os::unix::fs::{DirBuilderExt as _, OpenOptionsExt as _};
use std::path::{Path, PathBuf};

use rcgen::{CertificateParams, DnType, ExtendedKeyUsagePurpose, KeyPair, KeyUsagePurpose, date_time_ymd};

use super::{Identity, TlsError, pem};

const FILE: &str = "self-signed.pem";
const ALWAYS: [&str; 3] = ["localhost", "127.0.0.1", "::1"];
const FIRST_LINE: &str = "Self-signed certificate of Cuttlebone for: ";

/// The kept certificate if it is for these names, else a new one.
pub(super) fn load_or_make(state_dir: &Path, extra: &[String]) -> Result<Identity, TlsError> {
    let path = state_dir.join(FILE);
    let names = all_names(extra);
    if kept_names(&path)?.as_deref() != Some(&names.join(", ")) {
        let text = make(&names).map_err(|source| TlsError::Make { names: names.join(", "), source })?;
        keep(state_dir, &path, &text).map_err(|source| TlsError::Write { path: path.clone(), source })?;
    }
    Ok(Identity { chain: pem::certificates(&path)?, key: pem::key(&path)?, cert_file: path.clone(), key_file: path })
}

fn all_names(extra: &[String]) -> Vec<String> {
    let mut names: Vec<String> = ALWAYS.map(str::to_owned).into();
    for name in extra {
        if !names.contains(name) {
            names.push(name.clone());
        }
    }
    names
}

/// The names that the kept certificate is for; none if there is no certificate.
fn kept_names(path: &Path) -> Result<Option<String>, TlsError> {
    let text = match fs::read_to_string(path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        Err(source) => return Err(TlsError::Read { path: path.into(), source }),
        Ok(text) => text,
    };
    let first = text.lines().next().unwrap_or_default();
    match first.strip_prefix(FIRST_LINE) {
        Some(names) => Ok(Some(names.to_owned())),
        None => Err(TlsError::Foreign { path: path.into() }),
    }
}

/// The content of the file.
fn make(names: &[String]) -> Result<String, rcgen::Error> {
    let mut params = CertificateParams::new(names)?;
    params.distinguished_name.push(DnType::CommonName, "Cuttlebone self-signed");
    params.key_usages = vec![KeyUsagePurpose::DigitalSignature];
    params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth];
    params.not_before = date_time_ymd(2025, 1, 1);
    params.not_after = date_time_ymd(2049, 12, 31);
    let key = KeyPair::generate()?;
    let cert = params.self_signed(&key)?;
    Ok(format!("{FIRST_LINE}{}\n{}{}", names.join(", "), cert.pem(), key.serialize_pem()))
}

/// Writes the file beside its place and moves it there, so that it is never half a file. Nobody but its owner may read it, or
/// look into the directory, if that is made.
pub(super) fn keep(state_dir: &Path, path: &Path, text: &str) -> io::Result<()> {
    DirBuilder::new().recursive(true).mode(0o700).create(state_dir)?;
    let mut beside = path.as_os_str().to_owned();
    beside.push(format!(".{}", std::process::id()));
    let beside = PathBuf::from(beside);
    remove_stale(&beside)?;
    let mut file = OpenOptions::new().write(true).create_new(true).mode(0o600).open(&beside)?;
    let moved = file.write_all(text.as_bytes()).and_then(|()| file.sync_all()).and_then(|()| fs::rename(&beside, path));
    if moved.is_err() {
        // Best effort: the first fault is the one to report.
        let _ = fs::remove_file(&beside);
    }
    moved
}

/// Removes what a start that was cut off left behind.
fn remove_stale(beside: &Path) -> io::Result<()> {
    match fs::remove_file(beside) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
        _ => Ok(()),
    }
}
