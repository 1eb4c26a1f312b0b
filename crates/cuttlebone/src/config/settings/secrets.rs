//! Secrets: written in the configuration, or in a file of their own.

use std::io;
use std::path::Path;

use cuttlebone_access::is_sample_secret;
use cuttlebone_server::ResumeKey;
use cuttlebone_transport::file;

use super::super::raw::RawClients;
use super::check::Check;

/// The secret of `key`, or the first line of the file of `{key}_file`.
pub(super) fn read(key: &str, secret: Option<&str>, file: Option<&str>, check: &mut Check<'_>) -> Option<String> {
    let file_key = format!("{key}_file");
    let path = match (secret, file) {
        (secret, None) => return secret.map(ToOwned::to_owned),
        (Some(_), Some(_)) => {
            let name = key.rsplit('.').next().unwrap_or(key);
            check.fault(&file_key, format!("give {name} or {name}_file, not both"));
            return None;
        }
        (None, Some(path)) => path,
    };
    match file::open(Path::new(path)).and_then(io::read_to_string) {
        Ok(text) => match text.lines().next().filter(|line| !line.is_empty()) {
            Some(line) => Some(line.to_owned()),
            None => {
                check.fault(&file_key, format!("{path}: the first line is empty"));
                None
            }
        },
        Err(error) => {
            check.fault(&file_key, format!("cannot read {path}: {error}"));
            None
        }
    }
}

/// The secrets of a file that has one a line, with the numbers of their lines. What begins with `#` is a comment.
pub(super) fn lines(text: &str) -> impl Iterator<Item = (usize, &str)> {
    let text = text.strip_prefix('\u{feff}').unwrap_or(text);
    let is_one = |line: &str| !line.trim().is_empty() && !is_comment(line);
    (1..).zip(text.lines()).filter(move |(_, line)| is_one(line))
}

fn is_comment(line: &str) -> bool {
    line.trim_start_matches('\u{feff}').trim_start().starts_with('#')
}

/// `clients.resume_key`; an empty text is none.
pub(super) fn resume_key(raw: &RawClients, check: &mut Check<'_>) -> Option<ResumeKey> {
    let given = |text| Some(text).filter(|text: &&str| !text.is_empty());
    let (secret, file) = (given(raw.resume_key.expose()), given(raw.resume_key_file.as_str()));
    let secret = read("clients.resume_key", secret, file, check)?;
    let named = if file.is_some() { "clients.resume_key_file" } else { "clients.resume_key" };
    self::key(named, &secret, ResumeKey::new, check)
}

/// A key of ours, which has to be one that nobody guesses.
pub(super) fn key<T>(named: &str, secret: &str, new: impl Fn(&[u8]) -> Option<T>, check: &mut Check<'_>) -> Option<T> {
    let made = "such as `openssl rand -base64 32` gives";
    let key = new(secret.as_bytes());
    if key.is_none() {
        check.fault(named, format!("needs at least 32 bytes, {made}"));
    } else if is_sample_secret(secret.as_bytes()) || is_comment(secret) {
        check.fault(named, format!("can be guessed: make one of your own, {made}"));
        return None;
    }
    key
}
