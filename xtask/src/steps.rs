//! The steps of `cargo xtask ci`: one file a topic, in the order in which they run.
//!
//! Cheap steps come first. All of them use the same target folder and, but for loom, the simulator, the soak and the
//! fuzzer, the same profile, so that nothing is built twice.

mod advisories;
mod autobahn;
mod browser;
pub(crate) mod conformance;
mod deny;
mod deploy;
mod examples;
pub(crate) mod fuzz;
pub(crate) mod loom;
mod rust;
mod scanners;
pub(crate) mod sim;
pub(crate) mod soak;
pub(crate) mod systemd;
mod tools;

use anyhow::Result;

/// One step.
pub(crate) struct Step {
    /// What `--only` takes.
    pub(crate) name: &'static str,
    /// What it does, in a few words.
    pub(crate) about: &'static str,
    /// Does it.
    pub(crate) run: fn() -> Result<()>,
}

/// All steps.
pub(crate) const STEPS: &[Step] = &[
    Step { name: "tools", about: "install what the tests need", run: tools::run },
    Step { name: "fmt", about: "formatting", run: rust::fmt },
    Step { name: "layers", about: "which crate imports which", run: crate::layers::run },
    Step { name: "cited", about: "the tests that documents name are there", run: crate::cited::run },
    Step { name: "clippy", about: "lints, warnings are errors", run: rust::clippy },
    Step { name: "doc", about: "documentation builds without a warning", run: rust::doc },
    Step { name: "deny", about: "licences and sources of dependencies", run: deny::run },
    Step { name: "deploy", about: "the container file", run: deploy::run },
    Step { name: "advisories", about: "known faults of dependencies", run: advisories::run_step },
    Step { name: "test", about: "unit and integration tests of all crates", run: rust::test },
    Step { name: "loom", about: "the hub's threads in every order", run: loom::run },
    Step { name: "conformance", about: "transcripts against a running server", run: conformance::run },
    Step { name: "examples", about: "the Python examples against a running server", run: examples::run },
    Step { name: "scanners", about: "what scanners of TLS say", run: scanners::run },
    Step { name: "autobahn", about: "WebSocket conformance", run: autobahn::run },
    Step { name: "browser", about: "web UI and SDK in a real browser", run: browser::run },
    Step { name: "sim", about: "simulated worlds, many seeds", run: sim::run },
    Step { name: "soak", about: "five minutes of load and churn: does the server keep anything?", run: soak::run },
    Step { name: "fuzz", about: "every fuzz target for a while", run: fuzz::run },
];
