//! Situations of the protocol as data: a header line, then one step a line.

mod step;
mod template;

use std::collections::{BTreeMap, BTreeSet};

use serde::Deserialize;
use serde_json::Value;

pub use step::{Expect, Fragments, Send, SendBody, Step};
pub(crate) use template::Bindings;

/// One situation of the protocol.
#[derive(Debug, Clone, PartialEq)]
pub struct Transcript {
    /// The name of its file.
    pub name: String,
    /// The situation in a sentence.
    pub situation: String,
    /// The section of the protocol it belongs to.
    pub section: String,
    /// Settings of the server that it needs, by their names in the config file.
    pub settings: BTreeMap<String, Value>,
    /// What else it needs.
    pub needs: BTreeSet<Need>,
    /// The steps, each with the number of its line.
    pub steps: Vec<(usize, Step)>,
}

/// What not every world or server has.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Need {
    /// Frames as they are on a socket.
    Sockets,
    /// Timers so short that a test can wait for them.
    ShortTimers,
    /// Connections that break without a close frame.
    BrokenConnections,
    /// Peers that do not answer pings.
    SilentPeers,
}

/// A transcript that can't be read.
#[derive(Debug, thiserror::Error)]
#[error("{name}.jsonl, line {line}: {fault}")]
pub struct TranscriptError {
    name: String,
    line: usize,
    fault: serde_json::Error,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Header {
    situation: String,
    section: String,
    #[serde(default)]
    settings: BTreeMap<String, Value>,
    #[serde(default)]
    needs: BTreeSet<Need>,
}

impl Transcript {
    /// Reads the text of `name.jsonl`.
    ///
    /// # Errors
    /// The first line that is not what it should be.
    pub fn parse(name: &str, text: &str) -> Result<Self, TranscriptError> {
        let fault = |line: usize, fault| TranscriptError { name: name.to_owned(), line, fault };
        let mut lines = text.lines().enumerate().map(|(index, line)| (index + 1, line));
        let (_, first) = lines.next().unwrap_or((1, ""));
        let header: Header = serde_json::from_str(first).map_err(|error| fault(1, error))?;
        let steps = lines
            .filter(|(_, line)| !line.trim().is_empty())
            .map(|(number, line)| Ok((number, Step::parse(line).map_err(|error| fault(number, error))?)))
            .collect::<Result<_, _>>()?;
        Ok(Self {
            name: name.to_owned(),
            situation: header.situation,
            section: header.section,
            settings: header.settings,
            needs: header.needs,
            steps,
        })
    }
}

/// All transcripts of the repository, in the order of their names.
///
/// # Errors
/// The first one that can't be read.
pub fn embedded() -> Result<Vec<Transcript>, TranscriptError> {
    const FILES: &[(&str, &str)] = &include!(concat!(env!("OUT_DIR"), "/transcripts.rs"));
    FILES.iter().map(|(name, text)| Transcript::parse(name, text)).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_is_a_header_and_steps() {
        let text = "{\"situation\":\"s\",\"section\":\"1\",\"needs\":[\"sockets\"]}\n\n{\"advance\":5}\n";
        let transcript = Transcript::parse("1-x", text).expect("valid");
        assert_eq!(transcript.needs, BTreeSet::from([Need::Sockets]));
        assert_eq!(transcript.steps, [(3, Step::Advance(std::time::Duration::from_millis(5)))]);
    }

    #[test]
    fn a_fault_names_its_line() {
        let error = Transcript::parse("1-x", "{\"situation\":\"s\",\"section\":\"1\"}\n{\"jump\":1}").expect_err("bad");
        assert!(error.to_string().starts_with("1-x.jsonl, line 2: "), "{error}");
    }

    #[test]
    fn every_embedded_transcript_can_be_read_and_is_named_after_its_section() {
        let all = embedded().expect("valid");
        assert!(all.len() >= 80, "only {}", all.len());
        for transcript in &all {
            assert!(transcript.name.starts_with(&format!("{}-", transcript.section)), "{}", transcript.name);
            assert!(transcript.steps.iter().any(|(_, step)| step.expects()), "{} expects nothing", transcript.name);
        }
    }
}
