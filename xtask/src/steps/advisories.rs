//! Known faults of dependencies, by the RustSec advisory database: cargo-audit and cargo-deny.
//!
//! Where there is a copy, they need no network: an archive with the folder `advisory-db`, where the variable [`VARIABLE`]
//! says or at [`ARCHIVE`]. Without one they fetch the database themselves. What is let pass is in `deny.toml`, with a
//! reason; both programs go by it.

use std::env;
use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, ensure};

use super::tools;
use crate::shell::{command, root, run_command, target};

/// Names the archive.
const VARIABLE: &str = "ADVISORY_DB";

/// Where it is unless it is named, from the root of the workspace.
const ARCHIVE: &str = "../shared/advisory-db.tar.xz";

/// The name that cargo-deny gives to the database of RustSec.
const DENY_NAME: &str = "advisory-db-3157b0e258782691";

/// The locks that are looked at: the program's and the fuzzer's.
const LOCKS: [&str; 2] = ["Cargo.lock", "fuzz/Cargo.lock"];

pub(super) fn run_step() -> Result<()> {
    tools::pinned("cargo-audit", &tools::AUDIT)?;
    tools::pinned("cargo-deny", &tools::DENY)?;
    let database = copy(env::var_os(VARIABLE).map(PathBuf::from), root().join(ARCHIVE))?;
    let database = database.map(|archive| unpack(&archive)).transpose()?;
    if database.is_none() {
        println!("there is no copy of the advisory database, and {VARIABLE} names none: it is fetched");
    }
    let rules = fs::read_to_string(root().join("deny.toml")).context("cannot read deny.toml")?;
    let ignored = ignored(&rules);
    for lock in LOCKS {
        let mut audit = command("cargo-audit", &["audit", "--deny", "warnings", "--file", lock]);
        if let Some(database) = &database {
            audit.args(["--no-fetch", "--stale", "--db"]).arg(database);
        }
        audit.args(ignored.iter().flat_map(|id| ["--ignore", id]));
        run_command(audit)?;
    }
    let mut deny = command("cargo-deny", &["--locked"]);
    deny.args(database.map(|_| "--offline")).args(["check", "--hide-inclusion-graph", "advisories"]);
    run_command(deny)
}

/// The copy: the one that is `named`, which has to be there, or the one that may be `beside` the checkout.
fn copy(named: Option<PathBuf>, beside: PathBuf) -> Result<Option<PathBuf>> {
    let Some(named) = named else { return Ok(Some(beside).filter(|archive| archive.is_file())) };
    ensure!(named.is_file(), "there is no {}, which {VARIABLE} names", named.display());
    Ok(Some(named))
}

/// Unpacks the archive and makes a repository of it, as cargo-deny wants one; its folder.
fn unpack(archive: &Path) -> Result<PathBuf> {
    let folder = target().join("advisories");
    if folder.exists() {
        fs::remove_dir_all(&folder).with_context(|| format!("cannot remove {}", folder.display()))?;
    }
    fs::create_dir_all(&folder).with_context(|| format!("cannot make {}", folder.display()))?;
    let mut tar = command("tar", &["-xJf"]);
    tar.arg(archive).arg("-C").arg(&folder);
    run_command(tar)?;
    let database = folder.join(DENY_NAME);
    fs::rename(folder.join("advisory-db"), &database).context("the archive has no folder advisory-db")?;
    for args in [&["init", "-q"][..], &["add", "-A"], &["commit", "-q", "-m", "a copy"]] {
        git(&database, args)?;
    }
    Ok(database)
}

/// Without what the user has configured, such as signatures.
fn git(folder: &Path, args: &[&str]) -> Result<()> {
    let mut git =
        command("git", &["-c", "user.name=ci", "-c", "user.email=ci@localhost", "-c", "commit.gpgsign=false"]);
    git.args(args).current_dir(folder);
    run_command(git)
}

/// The advisories that `deny.toml` lets pass.
fn ignored(text: &str) -> Vec<&str> {
    text.lines().filter_map(|line| line.trim().strip_prefix("{ id = \"")?.split_once('"')).map(|(id, _)| id).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn copy_is_needed_only_where_one_is_named() {
        let (there, gone) = (root().join("Cargo.toml"), root().join("no such archive"));
        assert_eq!(copy(None, gone.clone()).expect("is fetched"), None);
        assert_eq!(copy(None, there.clone()).expect("beside"), Some(there.clone()));
        assert_eq!(copy(Some(there.clone()), gone.clone()).expect("named"), Some(there.clone()));
        assert!(copy(Some(gone), there).is_err());
    }

    #[test]
    fn what_is_let_pass_is_read_from_the_one_file() {
        let text = "[advisories]\nignore = [\n  { id = \"RUSTSEC-2023-0071\", reason = \"no private key\" },\n]\n";
        assert_eq!(ignored(text), ["RUSTSEC-2023-0071"]);
        assert!(ignored("# { id = \"RUSTSEC-2023-0071\" }\n").is_empty());
    }
}
