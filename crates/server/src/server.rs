//! Binding, serving and stopping.

mod doors;
pub(crate) mod leases;

use std::io;
use std::net::{SocketAddr, TcpListener};
use std::os::unix::net::UnixListener;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use cuttlebone_access::Access;
use cuttlebone_hub::{Registry, Tokens};
use cuttlebone_transport::Rate;
use cuttlebone_transport::tls::{ClientSettings, Tls, TlsError, TlsSettings};
use thiserror::Error;
use tokio::task::JoinHandle;
use tokio::time::timeout;
use tokio_util::sync::CancellationToken;

use crate::accept::{self, Door};
use crate::acme::Acme;
use crate::admission::Admission;
use crate::app::App;
use crate::audit::{Entry, Event};
use crate::descriptors::Shares;
use crate::drain::News;
use crate::fetch::{FetchError, Fetcher};
use crate::gate::{hook, jwks};
use crate::ids::SystemRandom;
use crate::memory::{self, Watch};
use crate::metrics::{Metrics, Timeout};
use crate::resume_key::ResumeKey;
use crate::settings::{Fault, Settings};
use crate::tasks::{Services, Tasks};
use crate::{certificate, clock, descriptors, logged, router};
use doors::{Listeners, metrics_door, redirect_door};

/// Connections to the metrics listener at once.
const METRICS_CONNECTIONS: usize = 32;

/// Connections at once that are told that there is no place.
const TURNED_AWAY: usize = 64;

/// How long aborted tasks may take to be dropped.
const ABORTING: Duration = Duration::from_secs(1);

/// A server that listens and does not serve yet.
pub struct Server {
    public: Door,
    unix: Option<Door>,
    metrics: Option<Door>,
    redirect: Option<Door>,
    local_addr: SocketAddr,
    metrics_addr: Option<SocketAddr>,
    redirect_addr: Option<SocketAddr>,
    tls: Option<Tls>,
    acme: Option<Acme>,
    /// Of the certificate it starts with.
    fingerprint: Option<Arc<str>>,
    app: Arc<App>,
}

/// Sockets that listen already, in place of those that the settings name.
#[derive(Debug, Default)]
pub struct Sockets {
    /// Where devices, clients and browsers connect.
    pub public: Option<TcpListener>,
    /// Where those of this machine do.
    pub unix: Option<UnixListener>,
    /// Where `/metrics` is served.
    pub metrics: Option<TcpListener>,
}

/// What can be changed while a server runs. Cheap to clone.
#[derive(Debug, Clone)]
pub struct ServerHandle {
    app: Arc<App>,
    tls: Option<Tls>,
}

impl ServerHandle {
    /// Changes what `config` offers. Every peer that was sent `config` is sent it again. The settings have no faults.
    pub fn set_ice(&self, ice: cuttlebone_ice::Settings) {
        self.app.greeter.replace(ice);
        self.app.waves.tell_news(News::servers());
    }

    /// Notes in the audit log that something was read again, by a word that names it, and whether it was taken.
    pub fn note_reload(&self, what: &'static str, is_taken: bool) {
        self.app.note_reload(what, is_taken);
    }

    /// Asks other servers, as `[fetch]` says.
    #[must_use]
    pub fn fetcher(&self) -> Fetcher {
        self.app.fetcher.clone()
    }

    /// Waits until the server has shown that it works: the table of devices can be read, and the loop that accepts connections
    /// answers. One that stops on purpose works too. The caller sets the deadline.
    pub async fn beat(&self) -> bool {
        let _ = self.app.registry.counts();
        self.app.pulse.beat().await
    }

    /// Changes who is let in. Whoever is here with what is not accepted any more, or means something else now, is closed.
    pub fn set_access(&self, access: Arc<Access>) {
        self.app.gate.replace(access);
        self.app.tell_who_may_come();
    }

    /// Reads the certificate again, and who vouches for those of clients, from what the settings name now. Whether it is another:
    /// handshakes from now on are done with it, and connections that are there go on. A server without TLS has none.
    ///
    /// # Errors
    /// It can't be used: the old one is kept. Who vouches for clients is taken all the same, unless it is [`TlsError::Clients`].
    pub fn reload_tls(&self, settings: &TlsSettings, clients: Option<&ClientSettings>) -> Result<bool, TlsError> {
        let Some(tls) = &self.tls else { return Ok(false) };
        certificate::reload(tls, settings, clients, &self.app)
    }
}

/// Why a server can't start.
#[derive(Debug, Error)]
pub enum BindError {
    /// The settings can't be served.
    #[error("the settings can't be served: {}", join(.0))]
    Settings(Vec<Fault>),
    /// The certificate can't be used.
    #[error(transparent)]
    Tls(#[from] TlsError),
    /// Other servers can't be asked.
    #[error(transparent)]
    Fetch(#[from] FetchError),
    /// An address can't be listened on.
    #[error("can't listen on {address} ({key}), choose another")]
    Listen {
        /// The address.
        address: SocketAddr,
        /// The key of the configuration that names it.
        key: &'static str,
        /// What the system said.
        source: io::Error,
    },
    /// A unix socket can't be listened on.
    #[error("can't listen on {} (server.listen_unix)", path.display())]
    ListenUnix {
        /// Its file.
        path: PathBuf,
        /// What the system said.
        source: io::Error,
    },
}

/// How a server ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Summary {
    /// Connections that were open when the stop began.
    pub open: usize,
    /// Connections that had not left in time and were aborted.
    pub aborted: usize,
    /// From the stop to the end.
    pub took: Duration,
}

impl Server {
    /// Checks `settings`, loads the certificate, raises the limit of open files and listens. Needs a tokio runtime.
    ///
    /// # Errors
    /// [`BindError`], before anything is served.
    pub fn bind(settings: Settings) -> Result<Self, BindError> {
        Self::bind_with(settings, Sockets::default())
    }

    /// As [`Server::bind`], on sockets that listen already: a connection that comes while one process stops and the next
    /// starts waits in such a socket, and is not refused. What the settings say of an address is left aside then.
    ///
    /// # Errors
    /// As [`Server::bind`].
    pub fn bind_with(mut settings: Settings, sockets: Sockets) -> Result<Self, BindError> {
        settings.validate().map_err(BindError::Settings)?;
        let shares = shares(settings.connections.max);
        settings.hub.all_queues_bytes = memory::queues(settings.memory);
        settings.hub.all_device_infos_bytes = memory::device_infos(settings.memory);
        settings.connections.max = shares.connections;
        let tls = certificate::load(&settings)?;
        let fetcher = Fetcher::new(&settings.fetch)?;
        let leaves_queue = sockets.public.is_some();
        let Listeners { public: (listener, local_addr), unix, metrics: metrics_listener, redirect: redirect_listener } =
            Listeners::open(&settings, tls.as_ref(), sockets)?;
        let requests = if settings.proxy.is_used() { settings.limits.requests } else { Rate::OFF };
        let admission = Admission::new(settings.connections.bounds(requests));
        let metrics = Arc::new(Metrics::new());
        let observer = Arc::clone(&metrics);
        let tokens = tokens(settings.resume_key.clone());
        let ids = Box::new(SystemRandom);
        let registry = Registry::new(settings.hub.clone(), ids, tokens, observer);
        let app = App::new(settings, Arc::new(registry), metrics, fetcher);

        if let Some(tls) = &tls {
            certificate::look_at(tls, &app);
        }
        let acme = Acme::new(&app, tls.as_ref())?;

        let router = router::router(&app, local_addr);
        let tasks = Arc::clone(&app.tasks);
        let public = Door {
            listener,
            leaves_queue,
            tls: tls.is_some(),
            is_public: true,
            is_unix: false,
            hsts: certificate::hsts(&app.settings),
            admission: Arc::clone(&admission),
            turned_away: shares.turned_away,
            router: router.clone(),
            tasks: Arc::clone(&tasks),
            app: Arc::clone(&app),
        };
        let unix = unix.map(|(listener, leaves_queue)| Door {
            listener,
            leaves_queue,
            tls: false,
            is_public: false,
            is_unix: true,
            hsts: None,
            admission,
            turned_away: shares.turned_away,
            router,
            tasks,
            app: Arc::clone(&app),
        });
        let (metrics, metrics_addr) = match metrics_listener {
            Some((listener, address)) => (Some(metrics_door(listener, address, &app, shares)), Some(address)),
            None => (None, None),
        };
        let (redirect, redirect_addr) = match redirect_listener {
            Some((listener, address)) => (Some(redirect_door(listener, address, &public, local_addr)), Some(address)),
            None => (None, None),
        };
        let fingerprint = tls.as_ref().and_then(Tls::fingerprint);
        Ok(Self {
            public,
            unix,
            metrics,
            redirect,
            local_addr,
            metrics_addr,
            redirect_addr,
            tls,
            acme,
            fingerprint,
            app,
        })
    }

    /// To change it while it runs.
    #[must_use]
    pub fn handle(&self) -> ServerHandle {
        ServerHandle { app: Arc::clone(&self.app), tls: self.tls.clone() }
    }

    /// Where it listens.
    #[must_use]
    pub fn local_addr(&self) -> SocketAddr {
        self.local_addr
    }

    /// Where `/metrics` is, if it is on.
    #[must_use]
    pub fn metrics_addr(&self) -> Option<SocketAddr> {
        self.metrics_addr
    }

    /// Where plain HTTP is sent on to TLS, if it is.
    #[must_use]
    pub fn redirect_addr(&self) -> Option<SocketAddr> {
        self.redirect_addr
    }

    /// Whether it speaks TLS.
    #[must_use]
    pub fn is_tls(&self) -> bool {
        self.tls.is_some()
    }

    /// SHA-256 of the certificate that it starts with as `AA:BB:…`, with TLS.
    #[must_use]
    pub fn fingerprint(&self) -> Option<&str> {
        self.fingerprint.as_deref()
    }

    /// Serves until `cancel`, then drains.
    ///
    /// To drain: not ready any more, no new connections, the open ones are closed in waves, and what has not left after
    /// `timeouts.drain_ms` is aborted. Dropping the future aborts everything at once.
    pub async fn run(self, cancel: CancellationToken) -> Summary {
        let Self { public, unix, metrics, redirect, acme, app, local_addr, tls, .. } = self;
        let tasks = Arc::clone(&app.tasks);
        let stopped = (tasks.stopping.clone().drop_guard(), AbortOnDrop(Arc::clone(&tasks)));
        let metrics_stopped = metrics.as_ref().map(|door| AbortOnDrop(Arc::clone(&door.tasks)));
        let services = Services::new(&app.metrics);
        let watch = Watch::new(app.settings.memory, &public.admission, &app);
        let starts = Entry::new(Event::Start).serving(local_addr, tls.is_some(), app.settings.access.anonymous);
        app.audit.note(&starts);
        let mut accepting = vec![services.spawn(accept::run(public, tasks.stopping.clone()))];
        accepting.extend(unix.map(|door| services.spawn(accept::run(door, tasks.stopping.clone()))));
        if let Some(redirect) = redirect {
            services.spawn(accept::run(redirect, tasks.stopping.clone()));
        }
        if let Some(acme) = acme {
            services.spawn(acme.run(tasks.stopping.clone()));
        }
        if let Some(metrics) = metrics {
            services.spawn(accept::run(metrics, tasks.abort.clone()));
        }
        if let Some(watch) = watch {
            services.spawn(watch.run(tasks.abort.clone()));
        }
        let (feeding, auditing) = (Arc::clone(&app), Arc::clone(&app));
        services.spawn(async move { auditing.audit.run(&auditing.tasks.abort).await });
        services.spawn(async move { feeding.feed.run(&feeding.registry, &feeding.tasks.abort).await });
        let fetching = Arc::clone(&app);
        services.spawn(async move {
            fetching.tasks.abort.run_until_cancelled(jwks::run(&fetching)).await;
        });
        let asking = Arc::clone(&app);
        services.spawn(async move {
            if let Some(hook) = &asking.gate.hook {
                asking.tasks.abort.run_until_cancelled(hook::run(&asking, hook)).await;
            }
        });

        let leasing = Arc::clone(&app);
        services.spawn(async move { leases::run(&leasing).await });

        cancel.cancelled().await;
        tasks.stopping.cancel();
        let summary = drain(&app, accepting).await;
        drop((stopped, metrics_stopped));
        services.ended().await;
        let took_ms = logged::millis(summary.took);
        app.audit.note(&Entry::new(Event::Stop).took_ms(took_ms));
        summary
    }
}

/// Ends the tasks of a listener with the server that they belong to.
struct AbortOnDrop(Arc<Tasks>);

impl Drop for AbortOnDrop {
    fn drop(&mut self) {
        self.0.abort();
    }
}

/// Closes what is open and waits for it, for as long as it may take.
async fn drain(app: &App, accepting: Vec<JoinHandle<()>>) -> Summary {
    let begun = clock::now();
    let longest = app.settings.timeouts.drain;
    let open = app.tasks.len();
    tracing::info!(open, "stopping");
    let leave = async {
        app.registry.stop();
        // Those it takes last are waited for as well.
        for accepting in accepting {
            let _ = accepting.await;
        }
        // Half of the time is for the last wave to say goodbye.
        app.waves.fire(open, longest / 2).await;
        app.tasks.ended().await;
    };
    let aborted = if timeout(longest, leave).await.is_ok() { 0 } else { app.tasks.len() };
    if aborted > 0 {
        (0..aborted).for_each(|_| app.metrics.timed_out(Timeout::Drain));
        app.tasks.abort();
        let _ = timeout(ABORTING, app.tasks.ended()).await;
    }
    let summary = Summary { open, aborted, took: clock::now() - begun };
    tracing::info!(open, aborted, took_ms = logged::millis(summary.took), "stopped");
    summary
}

/// Tokens of this process.
pub(crate) fn tokens(key: Option<ResumeKey>) -> Tokens {
    let process = getrandom::u64().expect("the system has random numbers once it has started");
    let tokens = |key| Tokens::new(Box::new(key), process, clock::unix_ms());
    match key {
        Some(key) => tokens(key).shared(),
        None => tokens(ResumeKey::random()),
    }
}

/// What the limit of open files is enough for.
fn shares(wanted: usize) -> Shares {
    let limit = descriptors::raise_limit();
    let all = Shares { connections: wanted, turned_away: TURNED_AWAY, metrics: METRICS_CONNECTIONS };
    let shares = Shares::within(limit, all);
    let most = shares.connections;
    if most < wanted {
        tracing::warn!(
            wanted,
            most,
            open_files = limit,
            "the limit of open files allows fewer connections than connections.max: raise it (ulimit -n, LimitNOFILE=)"
        );
    } else {
        tracing::info!(most, open_files = limit, "connections");
    }
    shares
}

fn join(faults: &[Fault]) -> String {
    faults.iter().map(ToString::to_string).collect::<Vec<_>>().join("; ")
}
