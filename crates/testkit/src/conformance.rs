//! Many transcripts against one server, and the table of what came out.

use std::collections::BTreeSet;
use std::fmt::Write as _;

use futures_util::StreamExt as _;
use futures_util::stream;
use serde::Serialize;
use tokio_util::task::TaskTracker;
use url::Url;

use crate::runner::{RunOptions, run};
use crate::sockets::Sockets;
use crate::transcript::{Need, Transcript};

/// Which transcripts are played, and how.
#[derive(Debug, Clone)]
pub struct Plan {
    /// The server.
    pub url: Url,
    /// How they are played.
    pub options: RunOptions,
    /// The server has the settings that a transcript names, so none is skipped for them.
    pub settings_known: bool,
    /// Transcripts with one of these needs are skipped.
    pub without: BTreeSet<Need>,
    /// How many are played at the same time.
    pub parallel: usize,
}

/// What became of one transcript.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Row {
    /// The name of its file.
    pub name: String,
    /// The situation.
    pub situation: String,
    /// The section of the protocol.
    pub section: String,
    /// The outcome.
    #[serde(flatten)]
    pub outcome: Outcome,
}

/// How a transcript ended.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(tag = "outcome", content = "reason", rename_all = "lowercase")]
pub enum Outcome {
    /// As the protocol asks for.
    Ok,
    /// Not as the protocol asks for.
    Failed(String),
    /// Not played.
    Skipped(String),
}

/// Plays `transcripts`; the rows are in the same order.
pub async fn play(transcripts: &[Transcript], plan: &Plan) -> Vec<Row> {
    let tracker = TaskTracker::new();
    let runs = transcripts.iter().map(|transcript| play_one(transcript, plan, tracker.clone()));
    let rows = stream::iter(runs).buffered(plan.parallel.max(1)).collect().await;
    tracker.close();
    tracker.wait().await;
    rows
}

async fn play_one(transcript: &Transcript, plan: &Plan, tracker: TaskTracker) -> Row {
    let outcome = match skipped(transcript, plan) {
        Some(reason) => Outcome::Skipped(reason),
        None => {
            let mut world = Sockets::new(plan.url.clone(), tracker);
            match run(transcript, &mut world, plan.options).await {
                Ok(()) => Outcome::Ok,
                Err(failure) => Outcome::Failed(failure.to_string()),
            }
        }
    };
    let Transcript { name, situation, section, .. } = transcript.clone();
    Row { name, situation, section, outcome }
}

fn skipped(transcript: &Transcript, plan: &Plan) -> Option<String> {
    if let Some(need) = transcript.needs.intersection(&plan.without).next() {
        return Some(format!("needs {need:?}"));
    }
    let names: Vec<&str> = transcript.settings.keys().map(String::as_str).collect();
    (!plan.settings_known && !names.is_empty()).then(|| format!("needs settings: {}", names.join(", ")))
}

/// The rows as a table, with the counts below it.
#[must_use]
pub fn table(rows: &[Row]) -> String {
    let mut table = String::new();
    for row in rows {
        let (word, reason) = match &row.outcome {
            Outcome::Ok => ("ok", ""),
            Outcome::Failed(reason) => ("FAILED", reason.as_str()),
            Outcome::Skipped(reason) => ("skipped", reason.as_str()),
        };
        let _ = writeln!(table, "{word:7}  {:4}  {}", row.section, row.situation);
        if !reason.is_empty() {
            let _ = writeln!(table, "{:15}{}: {reason}", "", row.name);
        }
    }
    let count = |wanted: fn(&Outcome) -> bool| rows.iter().filter(|row| wanted(&row.outcome)).count();
    let ok = count(|outcome| matches!(outcome, Outcome::Ok));
    let failed = count(|outcome| matches!(outcome, Outcome::Failed(_)));
    let skipped = count(|outcome| matches!(outcome, Outcome::Skipped(_)));
    let _ = writeln!(table, "\n{ok} ok, {failed} failed, {skipped} skipped");
    table
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_table_counts_its_rows() {
        let row = |outcome| Row { name: "n".into(), situation: "s".into(), section: "1".into(), outcome };
        let rows = [row(Outcome::Ok), row(Outcome::Failed("why".into())), row(Outcome::Skipped("because".into()))];
        let table = table(&rows);
        assert!(table.contains("FAILED"), "{table}");
        assert!(table.contains("n: why"), "{table}");
        assert!(table.ends_with("1 ok, 1 failed, 1 skipped\n"), "{table}");
    }
}
