//! `[[ice.servers]]`.

use cuttlebone_proto::IceServer;
use cuttlebone_server::Settings;

use super::super::raw::{RawIce, RawIceServer};
use super::check::Check;

/// The key of the list, and what the faults of one entry begin with.
pub(super) const KEY: &str = "ice.servers";

/// The list as written, with each `credential_file` read. Each entry is judged by itself, so that its faults
/// have its number and its line.
pub(super) fn servers(raw: &RawIce, check: &mut Check<'_>) -> Vec<IceServer> {
    raw.servers.iter().enumerate().map(|(index, server)| entry(index, server, check)).collect()
}

fn entry(index: usize, raw: &RawIceServer, check: &mut Check<'_>) -> IceServer {
    let key = format!("{KEY}[{index}]");
    let credential = credential(&key, raw, check);
    let server = IceServer { urls: raw.urls.clone(), username: raw.username.clone(), credential };
    let alone = Settings { ice_servers: vec![server.clone()], ..Settings::default() };
    for fault in alone.validate().err().into_iter().flatten() {
        check.fault(&fault.key.replacen(KEY, &key, 1), fault.text);
    }
    server
}

fn credential(key: &str, raw: &RawIceServer, check: &mut Check<'_>) -> Option<String> {
    let path = match (&raw.credential, &raw.credential_file) {
        (None, None) => return None,
        (Some(secret), None) => return Some(secret.expose().to_owned()),
        (Some(_), Some(_)) => {
            check.fault(&format!("{key}.credential_file"), "give credential or credential_file, not both");
            return None;
        }
        (None, Some(path)) => path,
    };
    let file_key = format!("{key}.credential_file");
    match std::fs::read_to_string(path) {
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
