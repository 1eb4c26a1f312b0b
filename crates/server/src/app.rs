//! What all routes and tasks of one server share.

use std::sync::Arc;
use std::sync::atomic::AtomicBool;

use cuttlebone_hub::{Budgets, Registry, Weights};
use cuttlebone_transport::tls::ClientSettings;
use parking_lot::Mutex;
use tokio::sync::Semaphore;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use crate::acme::Tokens;
use crate::admission::{Admission, Bounds};
use crate::audit::{Audit, Entry, Event, Outcome};
use crate::clock;
use crate::drain::{News, Waves};
use crate::feed::Feed;
use crate::fetch::Fetcher;
use crate::gate::{Gate, Throttle};
use crate::greeter::Greeter;
use crate::listing::Listings;
use crate::login::Login;
use crate::memory;
use crate::metrics::Metrics;
use crate::pulse::Pulse;
use crate::quotas::{Quotas, Registrations};
use crate::server::leases::Holders;
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
    /// Signing in at a provider, if there is one.
    pub(crate) login: Option<Arc<Login>>,
    /// What peers are told of STUN and TURN servers.
    pub(crate) greeter: Greeter,
    /// When the server was made: small numbers count from here.
    pub(crate) started: Instant,
    /// Asks other servers.
    pub(crate) fetcher: Fetcher,
    /// What an authority may ask for to see that a name is ours.
    pub(crate) acme_tokens: Tokens,
    /// There is TLS, and no certificate yet: nobody can be served.
    pub(crate) lacks_certificate: AtomicBool,
    /// How clients are asked for a certificate, as of the last good reload. Held while one goes on, which blocks.
    pub(crate) tls_clients: Mutex<Option<ClientSettings>>,
    /// Changes of the device list, as text.
    pub(crate) feed: Feed,
    /// The device list as text.
    pub(crate) listings: Listings,
    /// The bound of unfinished messages.
    pub(crate) assembling: Budgets,
    /// Places for streams of events.
    pub(crate) event_streams: Arc<Semaphore>,
    /// Places for sessions whose connection broke, bounded as connections are: what they keep is no less.
    pub(crate) away: Arc<Admission>,
    /// Whether connections are accepted.
    pub(crate) pulse: Pulse,
    /// Places of principals: for connections, and for sessions whose connection broke.
    pub(crate) quotas: Arc<Quotas>,
    pub(crate) away_quotas: Arc<Quotas>,
    /// How often each principal registers.
    pub(crate) registrations: Registrations,
    /// Who has leases.
    pub(crate) lease_holders: Holders,
    /// How often each principal takes, renews or gives back a lease: each time is a line of the audit log.
    pub(crate) leasing: Registrations,
    /// Connects that led to no device, by identity.
    pub(crate) failed_connects: Throttle<Box<str>>,
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
        let gate = Gate::new(&settings.access, &settings.allowed_origins);
        let login = settings.access.login.as_ref();
        Arc::new(Self {
            login: login.and_then(|login| Login::new(login, gate.session_key(), &fetcher)).map(Arc::new),
            gate,
            greeter: Greeter::new(settings.ice.clone()),
            started: clock::now(),
            audit: Arc::new(Audit::new(&settings.audit, Arc::clone(&metrics))),
            fetcher,
            acme_tokens: Tokens::default(),
            lacks_certificate: AtomicBool::new(false),
            tls_clients: Mutex::new(settings.https.clients.clone()),
            feed: Feed::new(settings.hub.event_buffer),
            listings: Listings::new(memory::lists(settings.memory)),
            assembling: Budgets::new(memory::assembling(settings.memory), Weights::STEEP_FOR_OWNERS),
            event_streams: Arc::new(Semaphore::new(settings.http.event_streams)),
            away: Admission::new(Bounds::of(settings.connections.max, settings.connections.per_address)),
            pulse: Pulse::new(),
            quotas: Quotas::new(settings.quotas),
            away_quotas: Quotas::new(settings.quotas),
            registrations: Registrations::new(&settings.quotas),
            lease_holders: Holders::new(memory::leases(settings.memory)),
            leasing: Registrations::new(&settings.quotas),
            failed_connects: Throttle::new(
                (settings.quotas.failed_connects, settings.quotas.failed_connects_within),
                settings.access.failure_delay,
                settings.access.remembered,
            ),
            waves: Waves::new(),
            tasks: Tasks::new(Arc::clone(&metrics), CancellationToken::new(), CancellationToken::new()),
            settings: Arc::new(settings),
            registry,
            metrics,
        })
    }

    /// Somebody may not be good any more who is here: has everybody look.
    pub(crate) fn tell_who_may_come(&self) {
        self.gate.tell();
        self.waves.tell_news(News::access());
    }

    /// Notes in the audit log that something was read again, by a word that names it, and whether it was taken.
    pub(crate) fn note_reload(&self, what: &'static str, is_taken: bool) {
        let entry = Entry::new(Event::Reload).what(what);
        self.audit.note(&if is_taken { entry.outcome(Outcome::Ok) } else { entry.refused("kept_the_old") });
    }

    /// With nobody there.
    #[cfg(any(test, feature = "fuzzing"))]
    pub(crate) fn for_test(settings: Settings) -> Arc<Self> {
        let (metrics, ids) = (Arc::new(Metrics::new()), Box::new(crate::ids::SystemRandom));
        let tokens = crate::server::tokens(None);
        let registry = Registry::new(settings.hub.clone(), ids, tokens, Arc::clone(&metrics) as _);
        let fetcher = Fetcher::new(&settings.fetch).expect("no file is named");
        Self::new(settings, Arc::new(registry), metrics, fetcher)
    }
}
