//! Where a server listens, and what is served there.

use std::net::{SocketAddr, TcpListener};
use std::os::unix::net::UnixListener;
use std::path::PathBuf;
use std::sync::Arc;

use cuttlebone_transport::Listener;
use cuttlebone_transport::tls::Tls;

use super::{BindError, Sockets};
use crate::accept::Door;
use crate::admission::{Admission, Bounds};
use crate::app::App;
use crate::descriptors::Shares;
use crate::metrics::endpoint;
use crate::routes::redirect;
use crate::settings::{self, Settings};
use crate::tasks::Tasks;

/// A listener, and where it listens.
pub(super) type Bound = (Listener, SocketAddr);

/// Everything that a server listens on.
pub(super) struct Listeners {
    pub(super) public: Bound,
    /// And whether it was handed over.
    pub(super) unix: Option<(Listener, bool)>,
    pub(super) metrics: Option<Bound>,
    pub(super) redirect: Option<Bound>,
}

impl Listeners {
    /// Listens, on what was handed over or on what the settings say.
    pub(super) fn open(settings: &Settings, tls: Option<&Tls>, sockets: Sockets) -> Result<Self, BindError> {
        let plain = |key, address: Option<SocketAddr>, socket| {
            address.map(|address| listen(settings, (key, address), None, socket)).transpose()
        };
        let listeners = Self {
            public: listen(settings, ("server.listen", settings.listen), tls, sockets.public)?,
            unix: listen_unix(settings, sockets.unix)?,
            metrics: plain("server.metrics_listen", settings.metrics_listen, sockets.metrics)?,
            redirect: plain("tls.redirect_listen", settings.https.redirect_listen, None)?,
        };
        if let Some((_, address)) = &listeners.metrics
            && !settings::is_loopback(*address)
        {
            tracing::warn!(%address, "the metrics are shown to whoever reaches this address");
        }
        Ok(listeners)
    }
}

/// Serves as long as anything does, so that its tasks stop with the abort and not before.
pub(super) fn metrics_door(listener: Listener, address: SocketAddr, app: &Arc<App>, shares: Shares) -> Door {
    let abort = &app.tasks.abort;
    Door {
        listener,
        leaves_queue: true,
        tls: false,
        is_public: false,
        is_unix: false,
        hsts: None,
        admission: Admission::new(Bounds::of(shares.metrics, Some(shares.metrics.div_ceil(2)))),
        turned_away: 1,
        router: endpoint::router(Arc::clone(app), address),
        tasks: Tasks::new(Arc::clone(&app.metrics), abort.clone(), abort.clone()),
        app: Arc::clone(app),
    }
}

/// Has its places among those of the public listener, and stops with it.
pub(super) fn redirect_door(listener: Listener, address: SocketAddr, public: &Door, to: SocketAddr) -> Door {
    Door {
        listener,
        leaves_queue: true,
        tls: false,
        is_public: false,
        is_unix: false,
        hsts: None,
        admission: Arc::clone(&public.admission),
        turned_away: 1,
        router: redirect::router(&public.app, address, to.port()),
        tasks: Arc::clone(&public.tasks),
        app: Arc::clone(&public.app),
    }
}

fn listen(
    settings: &Settings,
    (key, address): (&'static str, SocketAddr),
    tls: Option<&Tls>,
    socket: Option<TcpListener>,
) -> Result<(Listener, SocketAddr), BindError> {
    let fault = |source| BindError::Listen { address, key, source };
    let listener = match socket {
        Some(socket) => Listener::inherit(socket, tls),
        None if settings.reuse_port => Listener::bind_beside_others(address, tls),
        None => Listener::bind(address, tls),
    };
    let mut listener = listener.map_err(fault)?;
    let connections = &settings.connections;
    listener.set_buffers(connections.send_buffer, connections.receive_buffer).map_err(fault)?;
    let bound = listener.local_addr().map_err(fault)?;
    Ok((listener, bound))
}

/// The unix socket, and whether it was handed over.
fn listen_unix(settings: &Settings, socket: Option<UnixListener>) -> Result<Option<(Listener, bool)>, BindError> {
    let fault = |path: PathBuf| |source| BindError::ListenUnix { path, source };
    let (listener, path, is_inherited) = match (socket, &settings.listen_unix) {
        (Some(socket), _) => {
            let path = socket.local_addr().ok().and_then(|address| address.as_pathname().map(PathBuf::from));
            (Listener::inherit_unix(socket), path.unwrap_or_default(), true)
        }
        (None, Some(address)) => (Listener::bind_unix(address), address.path.clone(), false),
        (None, None) => return Ok(None),
    };
    let mut listener = listener.map_err(fault(path.clone()))?;
    let connections = &settings.connections;
    listener.set_buffers(connections.send_buffer, connections.receive_buffer).map_err(fault(path.clone()))?;
    tracing::info!(path = path.to_str(), is_inherited, "listening on a unix socket");
    Ok(Some((listener, is_inherited)))
}
