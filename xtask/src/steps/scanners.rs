//! What two scanners of TLS have to say of our server: `sslyze`, from PyPI, and `testssl`, from Debian.
//!
//! The server has a certificate of an authority that is made here; what can only be said of a public one is excused by name.

mod sslyze;
mod testssl;

use std::fs::{self, Permissions};
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, ensure};
use serde_json::Value;

use super::tools;
use crate::server::Running;
use crate::shell::{build, command, run_command, target};

/// The certificate of the server.
const EXTENSIONS: &str = "subjectAltName=IP:127.0.0.1\nextendedKeyUsage=serverAuth\nkeyUsage=critical,digitalSignature\n\
                          basicConstraints=critical,CA:FALSE\n";

/// A curve that every browser has.
const KEY: [&str; 5] = ["-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes"];

/// What the scanners are told.
struct Scanned<'a> {
    /// The address of the server: host and port.
    address: &'a str,
    /// Where files may be written; `ca.pem` is the authority.
    folder: &'a Path,
}

pub(super) fn run() -> Result<()> {
    tools::python("sslyze", &["--help"], "sslyze==6.3.1")?;
    let folder = certificate()?;
    let mut serve = command(&build("cuttlebone")?, &["serve", "--listen", "127.0.0.1:0", "--metrics-listen", ""]);
    serve.arg("--tls-cert").arg(folder.join("cert.pem")).arg("--tls-key").arg(folder.join("key.pem"));
    let (_server, address) = Running::encrypted(serve)?;
    let scanned = Scanned { address: &address, folder: &folder };
    let mut faults = sslyze::faults(&scanned)?;
    faults.extend(testssl::faults(&scanned)?);
    ensure!(faults.is_empty(), "{}", faults.join("; "));
    println!("both scanners have nothing to say");
    Ok(())
}

/// An authority and a certificate of it, in a folder of their own.
fn certificate() -> Result<PathBuf> {
    let folder = target().join("scanners");
    fs::create_dir_all(&folder).context("cannot make a folder for certificates")?;
    fs::write(folder.join("extensions"), EXTENSIONS)?;
    let openssl = |args: &[&[&str]]| {
        let mut openssl = command("openssl", &args.concat());
        openssl.current_dir(&folder);
        run_command(openssl)
    };
    openssl(&[
        &["req", "-x509", "-days", "90", "-subj", "/CN=Scanners", "-keyout", "ca.key", "-out", "ca.pem"],
        &KEY,
        &["-addext", "keyUsage=critical,keyCertSign,cRLSign"],
    ])?;
    openssl(&[&["req", "-subj", "/CN=127.0.0.1", "-keyout", "key.pem", "-out", "request.pem"], &KEY])?;
    openssl(&[
        &["x509", "-req", "-days", "80", "-in", "request.pem", "-out", "cert.pem", "-extfile", "extensions"],
        &["-CA", "ca.pem", "-CAkey", "ca.key", "-CAcreateserial"],
    ])?;
    fs::set_permissions(folder.join("key.pem"), Permissions::from_mode(0o600))?;
    Ok(folder)
}

fn read(path: &Path) -> Result<Value> {
    let text = fs::read(path).with_context(|| format!("no report: {}", path.display()))?;
    serde_json::from_slice(&text).with_context(|| format!("{} is no JSON", path.display()))
}
