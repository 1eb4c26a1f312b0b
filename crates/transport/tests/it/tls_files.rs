use std::fs::{self, Permissions};
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

use cuttlebone_transport::tls::{TlsError, TlsSettings};
use rcgen::{CertifiedKey, generate_simple_self_signed};
use rustix::fs::{CWD, Mode, mkfifoat};

/// An empty directory of this test's own.
pub(crate) fn empty_dir(name: &str) -> PathBuf {
    let dir = Path::new(env!("CARGO_TARGET_TMPDIR")).join(name);
    if dir.exists() {
        fs::remove_dir_all(&dir).unwrap();
    }
    fs::create_dir_all(&dir).unwrap();
    dir
}

fn files(dir: &Path) -> TlsSettings {
    TlsSettings::Files { cert_file: dir.join("cert.pem"), key_file: dir.join("key.pem") }
}

fn self_signed(dir: &Path, names: &[&str]) -> TlsSettings {
    let names = names.iter().map(|name| (*name).to_owned()).collect();
    TlsSettings::SelfSigned { state_dir: dir.to_owned(), names }
}

fn write_pair(dir: &Path) {
    let CertifiedKey { cert, signing_key } = generate_simple_self_signed(["a.example".to_owned()]).unwrap();
    fs::write(dir.join("cert.pem"), cert.pem()).unwrap();
    write_key(dir, &signing_key.serialize_pem());
}

fn write_key(dir: &Path, pem: &str) {
    let path = dir.join("key.pem");
    fs::write(&path, pem).unwrap();
    fs::set_permissions(&path, Permissions::from_mode(0o600)).unwrap();
}

#[test]
fn good_files_are_loaded() {
    let dir = empty_dir("good_files");
    write_pair(&dir);
    let fingerprint = files(&dir).load().unwrap().fingerprint().unwrap();
    assert_eq!(fingerprint.len(), 95);
    assert!(fingerprint.split(':').all(|byte| byte.len() == 2 && u8::from_str_radix(byte, 16).is_ok()));
}

/// Whoever may write where the certificate is could hold the server up, and every reload after it.
#[test]
fn pipe_in_the_place_of_a_file_is_not_waited_for() {
    for name in ["cert.pem", "key.pem"] {
        let dir = empty_dir(&format!("pipe-{name}"));
        write_pair(&dir);
        fs::remove_file(dir.join(name)).unwrap();
        mkfifoat(CWD, dir.join(name), Mode::RUSR | Mode::WUSR).unwrap();
        let error = files(&dir).load().unwrap_err();
        assert!(matches!(&error, TlsError::Read { path, .. } if path.ends_with(name)), "{error}");
    }
}

#[test]
fn every_fault_names_its_file() {
    let dir = empty_dir("bad_files");
    let fault = |name: &str, content: Option<&str>| {
        write_pair(&dir);
        match content {
            Some(content) => fs::write(dir.join(name), content).unwrap(),
            None => fs::remove_file(dir.join(name)).unwrap(),
        }
        let error = files(&dir).load().unwrap_err();
        assert!(error.to_string().contains(name), "{error}");
        error
    };
    for name in ["cert.pem", "key.pem"] {
        assert!(matches!(fault(name, None), TlsError::Read { .. }));
        let bad = "-----BEGIN CERTIFICATE-----\n!!\n-----END CERTIFICATE-----\n"
            .replace("CERTIFICATE", if name == "cert.pem" { "CERTIFICATE" } else { "PRIVATE KEY" });
        assert!(matches!(fault(name, Some(&bad)), TlsError::Pem { .. }));
    }
    assert!(matches!(fault("cert.pem", Some("")), TlsError::NoCertificate { .. }));
    assert!(matches!(fault("key.pem", Some("nothing")), TlsError::NoKey { .. }));
    let other = generate_simple_self_signed(["b.example".to_owned()]).unwrap();
    let error = fault("key.pem", Some(&other.signing_key.serialize_pem()));
    assert!(matches!(error, TlsError::Unusable { .. }));
    assert!(error.to_string().contains("cert.pem"));
}

#[test]
fn self_signed_certificate_is_kept() {
    let dir = empty_dir("kept").join("deep").join("state");
    let first = self_signed(&dir, &["cuttlebone.lan"]).load().unwrap();
    let second = self_signed(&dir, &["cuttlebone.lan", "localhost"]).load().unwrap();
    assert_eq!(first.fingerprint(), second.fingerprint());
    let other = self_signed(&dir, &["10.1.2.3"]).load().unwrap();
    assert_ne!(first.fingerprint(), other.fingerprint(), "other names, other certificate");
    let entries: Vec<_> = fs::read_dir(&dir).unwrap().map(|entry| entry.unwrap().file_name()).collect();
    assert_eq!(entries, ["self-signed.pem"], "nothing is left beside it");
}

#[test]
fn self_signed_key_is_for_the_owner_alone() {
    let dir = empty_dir("mode").join("state");
    self_signed(&dir, &[]).load().unwrap();
    let mode = |path: &Path| fs::metadata(path).unwrap().permissions().mode() & 0o777;
    assert_eq!(mode(&dir.join("self-signed.pem")), 0o600);
    assert_eq!(mode(&dir), 0o700);
}

#[test]
fn file_of_someone_else_is_not_overwritten() {
    let dir = empty_dir("foreign");
    let path = dir.join("self-signed.pem");
    fs::write(&path, "precious").unwrap();
    assert!(matches!(self_signed(&dir, &[]).load(), Err(TlsError::Foreign { .. })));
    assert_eq!(fs::read_to_string(path).unwrap(), "precious");
}

#[test]
fn what_a_cut_off_start_left_behind_is_no_obstacle() {
    let dir = empty_dir("stale");
    fs::write(dir.join(format!("self-signed.pem.{}", std::process::id())), "half").unwrap();
    self_signed(&dir, &[]).load().unwrap();
}

#[test]
fn directory_that_cannot_be_made_is_named() {
    let file = empty_dir("not_a_dir").join("file");
    fs::write(&file, "").unwrap();
    let error = self_signed(&file.join("state"), &[]).load().unwrap_err();
    assert!(error.to_string().contains("not_a_dir/file/state"), "{error}");
}

#[test]
fn impossible_name_is_named() {
    let error = self_signed(&empty_dir("names"), &["grüße"]).load().unwrap_err();
    assert!(matches!(error, TlsError::Make { .. }) && error.to_string().contains("grüße"), "{error}");
}
