//! Each outside crate of what is shipped has its reason in the table of `docs/DECISIONS.md`.

use std::collections::BTreeSet;
use std::fs;

use anyhow::{Context, Result};

use crate::shell::root;

const FILE: &str = "docs/DECISIONS.md";

/// Every crate without a reason, in words.
pub(super) fn faults(outside: &BTreeSet<&str>) -> Result<Vec<String>> {
    let text = fs::read_to_string(root().join(FILE)).with_context(|| format!("cannot read {FILE}"))?;
    Ok(missing(outside, &text))
}

fn missing(outside: &BTreeSet<&str>, text: &str) -> Vec<String> {
    let cells = text.lines().filter_map(|line| line.strip_prefix("| ")?.split('|').next());
    let named: BTreeSet<&str> = cells.flat_map(|cell| cell.split(',')).map(str::trim).collect();
    outside.difference(&named).map(|name| format!("{name} has no reason in {FILE}")).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn crate_without_a_reason_is_found() {
        let text = "serde in a sentence\n| crate | reason |\n| serde, toml | to read |\n";
        assert_eq!(missing(&BTreeSet::from(["serde", "toml"]), text), Vec::<String>::new());
        assert_eq!(missing(&BTreeSet::from(["bytes"]), text).len(), 1);
    }
}
