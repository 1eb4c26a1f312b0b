//! Other programs: run from the root of the workspace, their output passed through.

use std::ffi::OsString;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

use anyhow::{Context, Result, ensure};

/// The root of the workspace.
pub(crate) fn root() -> PathBuf {
    let own = Path::new(env!("CARGO_MANIFEST_DIR"));
    own.parent().unwrap_or(own).to_owned()
}

/// Where tools that are installed for the tests are kept: they never touch the system's own.
pub(crate) fn tools() -> PathBuf {
    target().join("tools")
}

/// A program at the root, without standard input, that finds our tools first. What cargo builds for it is built once:
/// what would make a second build faster takes more of the disk than all the rest.
pub(crate) fn command(program: &str, args: &[&str]) -> Command {
    let mut command = Command::new(program);
    command.args(args).current_dir(root()).stdin(Stdio::null()).env("PATH", path()).env("CARGO_INCREMENTAL", "0");
    command
}

fn path() -> OsString {
    let mut path = OsString::from(tools().join("bin"));
    if let Some(system) = std::env::var_os("PATH") {
        path.push(":");
        path.push(system);
    }
    path
}

/// Runs a program; that it fails is an error.
pub(crate) fn run(program: &str, args: &[&str]) -> Result<()> {
    run_command(command(program, args))
}

/// Runs a prepared program; that it fails is an error.
pub(crate) fn run_command(mut command: Command) -> Result<()> {
    let program = command.get_program().to_string_lossy().into_owned();
    let line = command.get_args().map(|arg| arg.to_string_lossy()).fold(program, |line, arg| line + " " + &arg);
    println!("$ {line}");
    let status = command.status().with_context(|| format!("cannot run {line}"))?;
    ensure!(status.success(), "{line}: {status}");
    Ok(())
}

/// Runs cargo, the one that runs us.
pub(crate) fn cargo(args: &[&str]) -> Result<()> {
    run(&cargo_program(), args)
}

/// Builds everything and gives the path of one program. Everything, because a part alone would be built with
/// other features than the tests were, and so again from the start.
pub(crate) fn build(program: &str) -> Result<String> {
    cargo(&["build", "--workspace", "--locked"])?;
    Ok(target().join("debug").join(program).to_string_lossy().into_owned())
}

/// Cargo's target folder.
pub(crate) fn target() -> PathBuf {
    let named = std::env::var_os("CARGO_TARGET_DIR").map(PathBuf::from);
    root().join(named.unwrap_or_else(|| PathBuf::from("target")))
}

/// The name of the cargo that runs us.
pub(crate) fn cargo_program() -> String {
    std::env::var_os("CARGO").map_or_else(|| "cargo".to_owned(), |cargo| cargo.to_string_lossy().into_owned())
}

/// Tells whether a program is there and runs.
pub(crate) fn has(program: &str, args: &[&str]) -> bool {
    let probe = command(program, args).stdout(Stdio::null()).stderr(Stdio::null()).status();
    probe.is_ok_and(|status| status.success())
}
