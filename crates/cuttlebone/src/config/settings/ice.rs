//! `[[ice.servers]]`.

use cuttlebone_proto::IceServer;
use cuttlebone_server::Settings;

use super::super::raw::{RawIce, RawIceServer};
use super::super::secret::Secret;
use super::check::Check;
use super::secrets;

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
    let secret = raw.credential.as_ref().map(Secret::expose);
    secrets::read(&format!("{key}.credential"), secret, raw.credential_file.as_deref(), check)
}
