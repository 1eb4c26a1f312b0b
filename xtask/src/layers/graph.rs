//! The imports between crates, from `cargo metadata`.

use std::collections::BTreeSet;
use std::path::PathBuf;

use anyhow::{Context, Result, ensure};
use serde::Deserialize;

use super::table::{CRATES, MOST_OUTSIDE, NOT_SHIPPED, OUTSIDE};
use crate::shell::{cargo_program, command};

/// No build but that of the models under loom sets it.
const MODELS: &str = "cfg(loom)";

/// The crates of the workspace.
#[derive(Debug, Deserialize)]
pub(super) struct Graph {
    pub(super) packages: Vec<Package>,
}

/// One crate.
#[derive(Debug, Deserialize)]
pub(super) struct Package {
    pub(super) name: String,
    pub(super) manifest_path: PathBuf,
    dependencies: Vec<Dependency>,
}

/// One line of `[dependencies]`, `[dev-dependencies]` or `[build-dependencies]`.
#[derive(Debug, Deserialize)]
struct Dependency {
    name: String,
    /// `dev`, `build`, or nothing for a normal one.
    kind: Option<String>,
    /// Only with a feature. None is on in what is shipped: they are for fuzzing.
    optional: bool,
    /// The platform or `cfg` it is for, if it is not for all.
    target: Option<String>,
    /// Set for crates of this workspace.
    path: Option<PathBuf>,
}

impl Graph {
    /// Asks cargo.
    pub(super) fn load() -> Result<Self> {
        let mut metadata = command(&cargo_program(), &["metadata", "--format-version", "1", "--no-deps"]);
        let output = metadata.output().context("cannot run cargo metadata")?;
        ensure!(output.status.success(), "cargo metadata: {}", String::from_utf8_lossy(&output.stderr));
        serde_json::from_slice(&output.stdout).context("cargo metadata: not the JSON we know")
    }

    /// Every forbidden import, in words.
    pub(super) fn faults(&self) -> Vec<String> {
        let mut faults: Vec<String> = self.packages.iter().flat_map(Package::faults).collect();
        let outside = self.outside();
        if outside.len() > MOST_OUTSIDE {
            let names: Vec<&str> = outside.into_iter().collect();
            faults.push(format!(
                "what is shipped imports {} outside crates, and {MOST_OUTSIDE} is the most: {}",
                names.len(),
                names.join(" ")
            ));
        }
        faults
    }

    /// The outside crates that what is shipped imports directly.
    pub(super) fn outside(&self) -> BTreeSet<&str> {
        let shipped = self.packages.iter().filter(|package| !NOT_SHIPPED.contains(&package.name.as_str()));
        let imports = shipped.flat_map(|package| &package.dependencies);
        imports
            .filter(|import| import.path.is_none() && !import.is_for_tests())
            .map(|import| import.name.as_str())
            .collect()
    }
}

impl Dependency {
    fn is_for_tests(&self) -> bool {
        self.kind.as_deref() == Some("dev") || self.optional || self.target.as_deref() == Some(MODELS)
    }
}

impl Package {
    fn faults(&self) -> Vec<String> {
        let Some((_, allowed)) = CRATES.iter().find(|(name, _)| *name == self.name) else {
            return vec![format!("{} is not in the table of xtask/src/layers/table.rs", self.name)];
        };
        self.dependencies.iter().filter_map(|dependency| self.fault(dependency, allowed)).collect()
    }

    /// Tests may import any library of ours and any outside crate: nothing of that is shipped.
    fn fault(&self, dependency: &Dependency, allowed: &[&str]) -> Option<String> {
        let name = dependency.name.as_str();
        let test = dependency.is_for_tests();
        let ours = dependency.path.is_some();
        let good = match (ours, test) {
            (true, true) => !matches!(name, "cuttlebone" | "xtask"),
            (true, false) => allowed.contains(&name),
            (false, true) => true,
            (false, false) => {
                OUTSIDE.iter().all(|(outside, who)| *outside != name || who.contains(&self.name.as_str()))
            }
        };
        (!good).then(|| format!("{} must not import {name}", self.name))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn faults(name: &str, dependency: &str, kind: Option<&str>, ours: bool) -> Vec<String> {
        let dependency = Dependency {
            name: dependency.to_owned(),
            kind: kind.map(String::from),
            optional: false,
            target: None,
            path: ours.then(PathBuf::new),
        };
        let package = Package { name: name.to_owned(), manifest_path: PathBuf::new(), dependencies: vec![dependency] };
        Graph { packages: vec![package] }.faults()
    }

    #[test]
    fn forbidden_edge_is_found() {
        let found = faults("cuttlebone-proto", "cuttlebone-hub", None, true);
        assert_eq!(found, ["cuttlebone-proto must not import cuttlebone-hub"]);
        assert_eq!(faults("cuttlebone-client", "cuttlebone-server", None, true).len(), 1);
        assert_eq!(faults("cuttlebone-hub", "cuttlebone-ws", None, true).len(), 1);
    }

    #[test]
    fn allowed_edge_is_no_fault() {
        assert_eq!(faults("cuttlebone-hub", "cuttlebone-proto", None, true), Vec::<String>::new());
        assert_eq!(faults("cuttlebone-server", "axum", None, false), Vec::<String>::new());
    }

    #[test]
    fn outside_crate_behind_a_wall_is_found() {
        assert_eq!(faults("cuttlebone-proto", "tokio", None, false).len(), 1);
        assert_eq!(faults("cuttlebone", "axum", None, false).len(), 1);
        assert_eq!(faults("cuttlebone-proto", "serde", None, false), Vec::<String>::new());
    }

    #[test]
    fn tests_may_import_libraries_but_not_the_binary() {
        assert_eq!(faults("cuttlebone-loadgen", "cuttlebone-testkit", Some("dev"), true), Vec::<String>::new());
        assert_eq!(faults("cuttlebone-testkit", "cuttlebone", Some("dev"), true).len(), 1);
    }

    #[test]
    fn too_many_outside_crates_are_found() {
        let dependency = |number: usize| Dependency {
            name: format!("crate-{number}"),
            kind: None,
            optional: false,
            target: None,
            path: None,
        };
        let package = |count| Package {
            name: "cuttlebone-server".to_owned(),
            manifest_path: PathBuf::new(),
            dependencies: (0..count).map(dependency).collect(),
        };
        assert_eq!(Graph { packages: vec![package(MOST_OUTSIDE)] }.faults(), Vec::<String>::new());
        assert_eq!(Graph { packages: vec![package(MOST_OUTSIDE + 1)] }.faults().len(), 1);
    }

    #[test]
    fn unknown_crate_is_found() {
        assert_eq!(faults("cuttlebone-misc", "serde", None, false).len(), 1);
    }
}
