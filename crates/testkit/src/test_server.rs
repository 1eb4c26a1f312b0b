//! A real server on a free port of loopback.

use std::net::SocketAddr;

use cuttlebone_server::{BindError, Server, Settings, Summary};
use tokio::task::JoinHandle;
use tokio_util::sync::{CancellationToken, DropGuard};
use tokio_util::task::TaskTracker;
use url::Url;

/// A server that runs until it is dropped or stopped.
#[derive(Debug)]
pub struct TestServer {
    address: SocketAddr,
    metrics: Option<SocketAddr>,
    fingerprint: Option<String>,
    tls: bool,
    stop: CancellationToken,
    running: JoinHandle<Option<Summary>>,
    _abort: DropGuard,
}

impl TestServer {
    /// Starts a server on the present runtime. For free ports: [`local_settings`](crate::local_settings).
    ///
    /// # Errors
    /// Those of [`Server::bind`].
    pub fn start(settings: Settings) -> Result<Self, BindError> {
        let tls = settings.tls.is_some();
        let server = Server::bind(settings)?;
        let (address, metrics) = (server.local_addr(), server.metrics_addr());
        let fingerprint = server.fingerprint().map(str::to_owned);
        let (stop, abort) = (CancellationToken::new(), CancellationToken::new());
        let (stopped, aborted) = (stop.clone(), abort.clone());
        let running = TaskTracker::new().spawn(async move {
            // Dropping the future of a server ends all of it at once.
            aborted.run_until_cancelled(server.run(stopped)).await
        });
        Ok(Self { address, metrics, fingerprint, tls, stop, running, _abort: abort.drop_guard() })
    }

    /// Where it listens.
    #[must_use]
    pub const fn address(&self) -> SocketAddr {
        self.address
    }

    /// Where its metrics are.
    #[must_use]
    pub const fn metrics_address(&self) -> Option<SocketAddr> {
        self.metrics
    }

    /// The fingerprint of its certificate.
    #[must_use]
    pub fn fingerprint(&self) -> Option<&str> {
        self.fingerprint.as_deref()
    }

    /// `ws://127.0.0.1:PORT`, or `wss`.
    ///
    /// # Panics
    /// Never: an address always makes a url.
    #[must_use]
    pub fn url(&self) -> Url {
        let scheme = if self.tls { "wss" } else { "ws" };
        Url::parse(&format!("{scheme}://{}", self.address)).expect("an address makes a url")
    }

    /// Stops it as a signal would, and waits until it has drained. `None` if it was gone already.
    pub async fn stop(self) -> Option<Summary> {
        self.stop.cancel();
        self.running.await.ok().flatten()
    }
}
