//! Listening sockets that a service manager hands over: `LISTEN_FDS`, as systemd and others do it.
//!
//! The first of TCP is for devices, clients and browsers, the second, if there is one, for `/metrics`; one unix socket
//! is for those of this machine. While one process stops and the next starts, connections wait in them.

use std::net::TcpListener;
use std::os::unix::net::UnixListener;

use anyhow::{Context, Result, bail, ensure};
use cuttlebone_server::Sockets;
use listenfd::ListenFd;

use crate::config::Override;

/// What messages call the place where such an address comes from.
const ORIGIN: &str = "LISTEN_FDS";

/// The sockets that were handed over, if any.
pub(crate) fn inherited() -> Result<Sockets> {
    let mut handed = ListenFd::from_env();
    let mut sockets = Sockets::default();
    for at in 0..handed.len() {
        // One that is of another kind is left at its place.
        if let Ok(Some(unix)) = handed.take_unix_listener(at) {
            ensure!(sockets.unix.replace(unix).is_none(), "LISTEN_FDS has more than one unix socket");
            continue;
        }
        let tcp = handed.take_tcp_listener(at);
        let tcp =
            tcp.with_context(|| format!("socket {at} of LISTEN_FDS is neither a TCP nor a unix socket that listens"))?;
        if sockets.public.is_none() {
            sockets.public = tcp;
        } else if sockets.metrics.is_none() {
            sockets.metrics = tcp;
        } else {
            bail!("LISTEN_FDS has more than two TCP sockets");
        }
    }
    Ok(sockets)
}

/// Their addresses, as values of the configuration: what it says of an address holds for these.
pub(crate) fn overrides(sockets: &Sockets) -> Result<Vec<Override>> {
    let address = |key, socket: &Option<TcpListener>| {
        let Some(socket) = socket else { return Ok(None) };
        let address = socket.local_addr().context("a socket of LISTEN_FDS has no address")?.to_string();
        anyhow::Ok(Some(Override { flag: ORIGIN, key: ("server", key), value: address.into() }))
    };
    let unix = sockets.unix.as_ref().and_then(path).map(|path| Override {
        flag: ORIGIN,
        key: ("server", "listen_unix"),
        value: path.into(),
    });
    let all = [address("listen", &sockets.public)?, address("metrics_listen", &sockets.metrics)?, unix];
    Ok(all.into_iter().flatten().collect())
}

/// The file of a unix socket; one without a file has none.
fn path(socket: &UnixListener) -> Option<String> {
    let address = socket.local_addr().ok()?;
    address.as_pathname().map(|path| path.to_string_lossy().into_owned())
}
