//! Plays the transcripts of the protocol against any server that speaks it.

use std::error::Error;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::{fs, io};

use clap::Parser;
use cuttlebone_testkit::conformance::{Outcome, Plan, play, table};
use cuttlebone_testkit::{Compare, Need, RunOptions, Transcript, embedded};
use url::Url;

/// Plays the transcripts of the protocol against a server and prints a table. Exit code 1 if one fails.
#[derive(Debug, Parser)]
#[command(name = "conformance")]
struct Arguments {
    /// The server: ws://HOST:PORT, with a path if its endpoints are below one.
    #[arg(long)]
    url: Url,
    /// Read the transcripts from this folder instead of the built-in ones.
    #[arg(long, value_name = "DIR")]
    transcripts: Option<PathBuf>,
    /// Play only the transcripts whose name contains this.
    #[arg(long, value_name = "NAME")]
    only: Option<String>,
    /// Write the outcome to this file as JSON.
    #[arg(long, value_name = "FILE")]
    json: Option<PathBuf>,
    /// The server is ours: compare error codes too.
    #[arg(long)]
    own: bool,
    /// The server was started with the settings that the transcripts chosen by --only name.
    #[arg(long)]
    settings_known: bool,
    /// Accept messages that say the same in other bytes.
    #[arg(long)]
    meaning: bool,
    /// Skip the transcripts that need this: sockets, short_timers, broken_connections or silent_peers.
    #[arg(long, value_name = "NEED", value_parser = need)]
    without: Vec<Need>,
    /// How many transcripts are played at the same time.
    #[arg(long, default_value_t = 8)]
    parallel: usize,
}

fn need(name: &str) -> Result<Need, serde_json::Error> {
    serde_json::from_value(name.into())
}

#[tokio::main]
async fn main() -> Result<ExitCode, Box<dyn Error>> {
    let arguments = Arguments::parse();
    let mut transcripts = match &arguments.transcripts {
        Some(folder) => read(folder)?,
        None => embedded()?,
    };
    transcripts.retain(|transcript| arguments.only.as_ref().is_none_or(|only| transcript.name.contains(only)));
    let compare = if arguments.meaning { Compare::Meaning } else { Compare::Bytes };
    let plan = Plan {
        url: arguments.url,
        options: RunOptions { compare, without_codes: !arguments.own },
        settings_known: arguments.settings_known,
        without: arguments.without.into_iter().collect(),
        parallel: arguments.parallel,
    };
    let rows = play(&transcripts, &plan).await;
    if let Some(file) = arguments.json {
        fs::write(file, serde_json::to_string_pretty(&rows)?)?;
    }
    print!("{}", table(&rows));
    let failed = rows.iter().any(|row| matches!(row.outcome, Outcome::Failed(_)));
    Ok(if failed || rows.is_empty() { ExitCode::FAILURE } else { ExitCode::SUCCESS })
}

fn read(folder: &Path) -> Result<Vec<Transcript>, Box<dyn Error>> {
    let entries = fs::read_dir(folder)?.collect::<io::Result<Vec<_>>>()?;
    let mut files: Vec<PathBuf> = entries.into_iter().map(|entry| entry.path()).collect();
    files.retain(|file| file.extension().is_some_and(|extension| extension == "jsonl"));
    files.sort();
    let transcript = |file: &PathBuf| {
        let name = file.file_stem().map(|stem| stem.to_string_lossy().into_owned()).unwrap_or_default();
        Ok(Transcript::parse(&name, &fs::read_to_string(file)?)?)
    };
    files.iter().map(transcript).collect()
}
