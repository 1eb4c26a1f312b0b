//! `cargo xtask ci --only cited`: the tests that documents name are there.
//!
//! In the documents of [`DOCUMENTS`], a code span is looked up when it is a file of tests (`crates/hub/tests/it/rules.rs`;
//! `crates/` may be left out), a test in one (`FILE::test`; `::test` is of the file before it), or a transcript
//! (`2.1-empty-message`). `…` at the beginning stands for `crates/server/tests/it/`.

use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail};

const DOCUMENTS: &[&str] = &["docs/RELIABILITY.md", "docs/SECURITY.md", "docs/SECURITY_TESTS.md"];
const SHORT: &str = "crates/server/tests/it/";

/// Looks every test up.
pub(crate) fn run() -> Result<()> {
    let mut faults = Vec::new();
    let mut found = 0;
    for document in DOCUMENTS {
        let text = fs::read_to_string(document).with_context(|| format!("cannot read {document}"))?;
        let mut last = None;
        for span in spans(&text) {
            match look_up(Path::new("."), span, &mut last) {
                None => {}
                Some(Ok(())) => found += 1,
                Some(Err(fault)) => faults.push(format!("{document}: `{span}`: {fault}")),
            }
        }
    }
    if !faults.is_empty() {
        bail!("what documents name is not there:\n  {}", faults.join("\n  "));
    }
    println!("{found} tests are named, and there");
    Ok(())
}

/// Every code span, in order.
fn spans(text: &str) -> impl Iterator<Item = &str> {
    text.lines().flat_map(|line| line.split('`').skip(1).step_by(2))
}

/// Whether what a span names is there; `None` if it names no test. `last` is the file named before.
fn look_up(root: &Path, span: &str, last: &mut Option<PathBuf>) -> Option<Result<(), String>> {
    if is_transcript(span) {
        let path = root.join("transcripts").join(format!("{span}.jsonl"));
        return Some(if path.is_file() { Ok(()) } else { Err("no such transcript".to_owned()) });
    }
    let (file, test) = span.split_once("::").map_or((span, None), |(file, test)| (file, Some(test)));
    if file.is_empty() {
        let test = test.filter(|test| is_test(test))?;
        return Some(last.as_deref().map_or_else(|| Err("of which file?".to_owned()), |path| has(path, test)));
    }
    if !file.ends_with(".rs") && !file.ends_with(".test.js") {
        return None;
    }
    let written = file.strip_prefix('…').map_or_else(|| file.to_owned(), |rest| format!("{SHORT}{rest}"));
    let path = [root.join(&written), root.join("crates").join(&written)].into_iter().find(|path| path.is_file());
    let Some(path) = path else { return Some(Err("no such file".to_owned())) };
    let result = test.map_or(Ok(()), |test| has(&path, test));
    *last = Some(path);
    Some(result)
}

fn is_test(name: &str) -> bool {
    name.contains('_') && name.bytes().all(|byte| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'_')
}

fn is_transcript(span: &str) -> bool {
    let number = span.find('-').map_or("", |at| &span[..at]);
    matches!(number.as_bytes(), [b'1'..=b'9'] | [b'1'..=b'9', b'.', b'0'..=b'9'])
        && span.bytes().all(|byte| byte.is_ascii_lowercase() || byte.is_ascii_digit() || b"-.".contains(&byte))
}

fn has(path: &Path, test: &str) -> Result<(), String> {
    let text = fs::read_to_string(path).map_err(|error| error.to_string())?;
    let function = format!("fn {test}(");
    if text.contains(&function) { Ok(()) } else { Err(format!("no such test in {}", path.display())) }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn looked_up(spans: &[&str]) -> Vec<Option<bool>> {
        let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("..");
        let mut last = None;
        spans.iter().map(|span| look_up(&root, span, &mut last).map(|result| result.is_ok())).collect()
    }

    #[test]
    fn tests_that_are_there_are_found_and_others_are_not() {
        let own = "xtask/src/cited.rs";
        let named = |name: &str| format!("{own}::{name}");
        let spans =
            [&named("tests_that_are_there_are_found_and_others_are_not"), "::looked_up", "::not_there", "::1", own];
        assert_eq!(looked_up(&spans), [Some(true), Some(true), Some(false), None, Some(true)]);
        assert_eq!(
            looked_up(&["::looked_up", "xtask/src/gone.rs", "hub/src/mailbox.rs"]),
            [Some(false), Some(false), Some(true)]
        );
        assert_eq!(
            looked_up(&["1-device-first", "2.1-nothing-like-it", "cargo xtask sim", "2.5", "10-20"]),
            [Some(true), Some(false), None, None, None]
        );
    }

    #[test]
    fn spans_are_what_stands_between_ticks_of_a_line() {
        assert_eq!(spans("a `b` c `d e`\n`f` g").collect::<Vec<_>>(), ["b", "d e", "f"]);
    }
}
