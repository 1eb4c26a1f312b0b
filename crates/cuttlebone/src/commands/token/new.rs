//! `cuttlebone token new`

use std::fs::{File, OpenOptions};
use std::io::Write;
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;
use std::process::ExitCode;

use anyhow::{Context, Result, bail};
use cuttlebone_access::{NewToken, StaticTokens, TokenFields};
use serde_json::json;

use super::super::config_doc::print;
use crate::cli::NewTokenArgs;
use crate::clock;
use crate::files::{self, Others};

/// Wrong usage, as clap has it.
const USAGE: u8 = 2;

pub(super) fn run(args: &NewTokenArgs) -> Result<ExitCode> {
    let token = random()?;
    let line = match line(&token, args) {
        Ok(line) => line,
        Err(faults) => {
            faults.iter().for_each(|fault| eprintln!("cuttlebone: --{fault}"));
            return Ok(ExitCode::from(USAGE));
        }
    };
    if let Some(path) = &args.append_to {
        append(path, &line)?;
    }
    print(&shown(&token, &line, args))
}

fn random() -> Result<NewToken> {
    let mut random = [0; 32];
    getrandom::fill(&mut random).map_err(anyhow::Error::msg).context("the system gives no random numbers")?;
    Ok(NewToken::from_random(&random))
}

/// The line of the token; else what is wrong, each fault beginning with the name of a flag.
fn line(token: &NewToken, args: &NewTokenArgs) -> Result<String, Vec<String>> {
    let devices = args.devices.join(",");
    let max_clients = args.max_clients.map(|most| most.to_string());
    let fields = TokenFields {
        name: &args.name,
        role: &args.role,
        devices: Some(devices.as_str()).filter(|_| !args.devices.is_empty()),
        tenant: args.tenant.as_deref(),
        expires: args.expires.as_deref(),
        prefix: args.prefix.as_deref(),
        max_clients: max_clients.as_deref(),
    };
    let texts = [("name", Some(fields.name)), ("role", Some(fields.role)), ("devices", fields.devices)];
    let texts = texts.into_iter().chain([("tenant", fields.tenant), ("expires", fields.expires)]);
    let texts = texts.chain([("prefix", fields.prefix)]);
    let spaced = texts.filter(|(_, text)| text.is_some_and(|text| text.contains(char::is_whitespace)));
    let spaced: Vec<String> =
        spaced.map(|(flag, _)| format!("{flag}: has white space, which a line can't have")).collect();
    if !spaced.is_empty() {
        return Err(spaced);
    }
    let line = token.line(&fields).map_err(|faults| faults.iter().map(ToString::to_string).collect::<Vec<_>>())?;
    if fields.expires_at().is_some_and(|end| end <= clock::unix_seconds()) {
        return Err(vec!["expires: that time is over, and nobody would be let in with the token".to_owned()]);
    }
    Ok(line)
}

fn shown(token: &NewToken, line: &str, args: &NewTokenArgs) -> String {
    let token = token.secret();
    match (args.json, &args.append_to) {
        (true, _) => format!("{}\n", json!({ "token": token, "line": line })),
        (false, Some(_)) => format!("{token}\n"),
        (false, None) => format!(
            "The token, for its holder. It is not shown again:\n  {token}\n\
             Its line, for the file of access.tokens_file:\n  {line}\n"
        ),
    }
}

/// Appends a line to a file that is good, and stays so.
fn append(path: &Path, line: &str) -> Result<()> {
    let cannot = || format!("cannot write {}", path.display());
    let mut file = open(path).with_context(cannot)?;
    file.lock().with_context(cannot)?;
    let before = files::read_open(&file, path, Others::MayRead).map_err(anyhow::Error::msg)?;
    let end = if before.is_empty() || before.ends_with('\n') { "" } else { "\n" };
    let more = format!("{end}{line}\n");
    if let Err(faults) = StaticTokens::parse(&(before + &more)) {
        let faults: String = faults.iter().map(|fault| format!("\n  {fault}")).collect();
        bail!("nothing was written, for then {} would have faults:{faults}", path.display());
    }
    file.write_all(more.as_bytes()).and_then(|()| file.sync_all()).with_context(cannot)
}

fn open(path: &Path) -> std::io::Result<File> {
    OpenOptions::new().read(true).append(true).create(true).mode(0o600).open(path)
}
