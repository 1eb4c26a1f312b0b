//! A report as it is written to a file: with the scenario and the command line, so that it can be repeated.

use anyhow::{Context, Result};
use serde::Serialize;

#[derive(Serialize)]
struct Published<'a, R> {
    scenario: &'a str,
    loadgen: &'static str,
    command: Vec<String>,
    #[serde(flatten)]
    report: &'a R,
}

/// The JSON of a report.
///
/// # Errors
/// When the system does not tell the command line.
pub fn json<R: Serialize>(scenario: &str, report: &R) -> Result<String> {
    let line = std::fs::read("/proc/self/cmdline").context("cannot read the command line")?;
    let command = line.split(|byte| *byte == 0).filter(|part| !part.is_empty());
    let command = command.map(|part| String::from_utf8_lossy(part).into_owned()).collect();
    let published = Published { scenario, loadgen: env!("CARGO_PKG_VERSION"), command, report };
    Ok(serde_json::to_string_pretty(&published)? + "\n")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_report_says_what_it_is_and_how_it_was_made() {
        let text = json("pairs", &crate::Spread { min: 1.0, median: 2.0, max: 3.0 }).unwrap();
        let value: serde_json::Value = serde_json::from_str(&text).unwrap();
        assert_eq!((&value["scenario"], &value["median"]), (&"pairs".into(), &2.0.into()));
        assert!(!value["command"][0].as_str().unwrap().is_empty());
    }
}
