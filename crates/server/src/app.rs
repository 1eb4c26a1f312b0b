//! What all routes and tasks of one server share.

use std::sync::Arc;

use cuttlebone_hub::Registry;
use cuttlebone_transport::ws::Assembly;
use tokio::sync::Semaphore;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use crate::admission::{Admission, Bounds};
use crate::audit::Audit;
use crate::clock;
use crate::drain::Waves;
use crate::feed::Feed;
use crate::fetch::Fetcher;
use crate::gate::Gate;
use crate::greeter::Greeter;
use crate::listing::Listings;
use crate::memory;
use crate::metrics::Metrics;
use crate::settings::Settings;
use crate::tasks::Tasks;

/// One server's shared state.
#[derive(Debug)]
pub(crate) struct App {
    pub(crate) settings: Arc<Settings>,
    pub(crate) registry: Arc<Registry>,
    pub(crate) metrics: Arc<Metrics>,
    /// Who did what.
    pub(crate) audit: Arc<Audit>,
    /// Who is let in.
    pub(crate) gate: Gate,
    /// What peers are told of STUN and TURN servers.
    pub(crate) greeter: Greeter,
    /// When the server was made: small numbers count from here.
    pub(crate) started: Instant,
    /// Asks other servers.
    pub(crate) fetcher: Fetcher,
    /// Changes of the device list, as text.
    pub(crate) feed: Feed,
    /// The device list as text.
    pub(crate) listings: Listings,
    /// The bound of unfinished messages.
    pub(crate) assembly: Arc<Assembly>,
    /// Places for streams of events.
    pub(crate) event_streams: Arc<Semaphore>,
    /// Places for sessions whose connection broke, bounded as connections are: what they keep is no less.
    pub(crate) away: Arc<Admission>,
    /// Who is closed when, once the server stops.
    pub(crate) waves: Waves,
    /// Every connection of the public listener, HTTP or upgraded.
    pub(crate) tasks: Arc<Tasks>,
}

impl App {
    pub(crate) fn new(
        settings: Settings,
        registry: Arc<Registry>,
        metrics: Arc<Metrics>,
        fetcher: Fetcher,
    ) -> Arc<Self> {
        Arc::new(Self {
            greeter: Greeter::new(settings.ice.clone()),
            started: clock::now(),
            audit: Arc::new(Audit::new(&settings.audit, Arc::clone(&metrics))),
            fetcher,
            gate: Gate::new(&settings.access, settings.tls.is_some()),
            feed: Feed::new(settings.hub.event_buffer),
            listings: Listings::default(),
            assembly: Assembly::new(memory::assembling(settings.memory)),
            event_streams: Arc::new(Semaphore::new(settings.http.event_streams)),
            away: Admission::new(Bounds::of(settings.connections.max, settings.connections.per_address)),
            waves: Waves::new(),
            tasks: Tasks::new(Arc::clone(&metrics), CancellationToken::new(), CancellationToken::new()),
            settings: Arc::new(settings),
            registry,
            metrics,
        })
    }

    /// With nobody there.
    #[cfg(test)]
    pub(crate) fn for_test(settings: Settings) -> Arc<Self> {
        let (metrics, ids) = (Arc::new(Metrics::new()), Box::new(crate::ids::SystemRandom));
        let tokens = crate::server::tokens(None);
        let registry = Registry::new(settings.hub.clone(), ids, tokens, Arc::clone(&metrics) as _);
        let fetcher = Fetcher::new(&settings.fetch).expect("no file is named");
        Self::new(settings, Arc::new(registry), metrics, fetcher)
    }
}
