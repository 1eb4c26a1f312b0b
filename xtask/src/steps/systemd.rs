//! The units of `deploy/systemd` under a real systemd: a Debian is made (once), and booted in a container of its own.
//!
//! Not a step of CI: it needs root, and a machine on which containers may be booted.

use std::fs::{self, File, Permissions};
use std::os::unix::fs::{PermissionsExt, symlink};
use std::path::Path;
use std::process::Stdio;

use anyhow::{Context, Result, ensure};

use super::tools;
use crate::shell::{build, command, root, run, run_command, target};

const PACKAGES: &str = "systemd,systemd-sysv,dbus,curl,ca-certificates";

/// What tries the units, from inside.
const INSIDE: &str = include_str!("systemd/inside.sh");

/// How many things it looks at.
const CHECKS: usize = 9;

const RUN_INSIDE: &str = "[Unit]\nAfter=basic.target\n[Service]\nType=oneshot\nExecStart=/root/inside.sh\nTimeoutStartSec=240\n\
                          StandardOutput=file:/root/said\nStandardError=inherit\n";

const CONFIG: &str = "[server]\nlisten = \"127.0.0.1:8080\"\n[tls]\nmode = \"self-signed\"\nstate_dir = \"/var/lib/cuttlebone\"\n\
                      [access]\ntokens_file = \"/etc/cuttlebone/tokens\"\n[clients]\n\
                      resume_key_file = \"/run/credentials/cuttlebone.service/resume-key\"\n";

/// Boots, and shows what was seen.
pub(crate) fn with() -> Result<()> {
    tools::system_packages(&[
        ("debootstrap", &["--version"], "debootstrap"),
        ("systemd-nspawn", &["--version"], "systemd-container"),
    ])?;
    let folder = target().join("systemd");
    fs::create_dir_all(&folder)?;
    let base = folder.join("debian");
    if !base.exists() {
        // Half of one is not taken for a whole the next time.
        let begun = folder.join("debian-begun");
        run("rm", &["-rf", &begun.to_string_lossy()])?;
        let mut debian = command("debootstrap", &["--variant=minbase", "--include", PACKAGES, "bookworm"]);
        debian.arg(&begun);
        run_command(debian)?;
        fs::rename(&begun, &base)?;
    }
    let machine = folder.join("machine");
    run("rm", &["-rf", &machine.to_string_lossy()])?;
    run("cp", &["-a", &base.to_string_lossy(), &machine.to_string_lossy()])?;
    furnish(&machine)?;
    let mut boot =
        command("systemd-nspawn", &["--quiet", "--register=no", "--keep-unit", "--private-network", "--boot"]);
    boot.arg("--directory").arg(&machine).stdout(File::create(folder.join("console"))?).stderr(Stdio::inherit());
    run_command(boot)?;
    let said = fs::read_to_string(machine.join("root/said")).context("nothing was tried")?;
    println!("{said}");
    let good = said.lines().filter(|line| line.starts_with("ok ")).count();
    ensure!(good == CHECKS && !said.contains("FAILED"), "{good} of {CHECKS} things are as they should be");
    println!("all {CHECKS} things are as they should be");
    Ok(())
}

/// Puts in what docs/DEPLOY.md says, and what tries it.
fn furnish(machine: &Path) -> Result<()> {
    let write = |path: &str, text: &str, mode: u32| -> Result<()> {
        let path = machine.join(path);
        fs::create_dir_all(path.parent().context("a folder")?)?;
        fs::write(&path, text)?;
        Ok(fs::set_permissions(&path, Permissions::from_mode(mode))?)
    };
    let program = build("cuttlebone")?;
    fs::copy(&program, machine.join("usr/local/bin/cuttlebone")).context("the program is there")?;
    let units = root().join("deploy/systemd");
    for unit in ["cuttlebone.socket", "cuttlebone.service"] {
        let text = fs::read_to_string(units.join(unit))?;
        let text = text.replace("#LoadCredential=resume-key:", "LoadCredential=resume-key:");
        write(&format!("etc/systemd/system/{unit}"), &text, 0o644)?;
    }
    let made = command(&program, &["token", "new", "--name", "ann", "--role", "observer"]).output()?;
    let (text, line) = (String::from_utf8_lossy(&made.stdout), String::from_utf8_lossy(&made.stderr));
    let all = format!("{text}\n{line}");
    let token = all.split_whitespace().find(|word| word.starts_with("cbt_")).context("a token")?;
    let line = all.lines().map(str::trim).find(|line| line.starts_with("sha256:")).context("its line")?;
    write("etc/cuttlebone/tokens", &format!("{line}\n"), 0o644)?;
    write("etc/cuttlebone/cuttlebone.toml", CONFIG, 0o644)?;
    write("etc/cuttlebone/secrets/resume-key", "a-key-for-this-trial-of-32-bytes-or-more\n", 0o600)?;
    write("root/token", token, 0o600)?;
    write("root/inside.sh", INSIDE, 0o755)?;
    write("etc/systemd/system/inside.service", RUN_INSIDE, 0o644)?;
    let wanted = machine.join("etc/systemd/system/multi-user.target.wants");
    fs::create_dir_all(&wanted)?;
    Ok(symlink("/etc/systemd/system/inside.service", wanted.join("inside.service"))?)
}
