//! Asks other servers: for keys, credentials and permissions.
//!
//! Invariants: 1. a whole exchange is bounded in time, and all that comes of HTTP in it, in bytes; 2. no redirect is followed
//! and no proxy of the environment is used; 3. nothing is sent without TLS, but to this machine where that was allowed; 4. no
//! private address is asked unless that was allowed, whatever a name resolves to; 5. no error has a path, a query, a user or a
//! header in it.

mod address;
mod bounded;
mod resolver;

use std::io::BufReader;
use std::path::{Path, PathBuf};
use std::sync::{Arc, OnceLock};
use std::time::Duration;
use std::{fmt, io};

use bytes::Bytes;
use cuttlebone_transport::file;
use cuttlebone_transport::tls::ShortChains;
use http::header::USER_AGENT;
use http::uri::Scheme;
use http::{HeaderValue, Request, Response, Uri};
use http_body_util::{BodyExt as _, Full, LengthLimitError, Limited};
use hyper::rt::Executor;
use hyper_rustls::{HttpsConnector, HttpsConnectorBuilder};
use hyper_util::client::legacy::Client;
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::rt::TokioTimer;
use rustls::client::WebPkiServerVerifier;
use rustls::crypto::ring;
use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::{self, PemObject as _};
use rustls::{ClientConfig, RootCertStore};
use thiserror::Error;
use tokio::time::timeout;
use tokio_util::task::TaskTracker;

use address::Host;
use bounded::TooMuch;
use resolver::{PrivateAddress, Resolver};

use crate::logged;

const AGENT: HeaderValue = HeaderValue::from_static("cuttlebone");

/// Connections to one host that are kept for the next request, and how long.
const KEPT: (usize, Duration) = (8, Duration::from_secs(30));

/// The longest head of an answer. So much is read at once.
const HEAD_BYTES: usize = 16 * 1024;

/// What an answer may have beside its body: its head, the lengths of its chunks, and answers before it (`1xx`).
const BESIDE_THE_BODY: usize = 4 * HEAD_BYTES;

/// How other servers are asked: `[fetch]`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FetchSettings {
    /// From the first packet to the last byte of the answer: `fetch.timeout_ms`.
    pub timeout: Duration,
    /// The longest answer: `fetch.max_bytes`.
    pub max_bytes: usize,
    /// Whether private, loopback and link-local addresses may be asked: `fetch.allow_private`.
    pub allow_private: bool,
    /// Certificates (PEM) of those who may vouch for others, beside those that the system knows: `fetch.ca_file`.
    pub ca_file: Option<PathBuf>,
}

impl Default for FetchSettings {
    fn default() -> Self {
        Self { timeout: Duration::from_secs(3), max_bytes: 64 * 1024, allow_private: false, ca_file: None }
    }
}

/// Why there is no answer. None has anything of the request in it but scheme, host and port.
#[derive(Debug, Error)]
pub enum FetchError {
    /// The file of certificates can't be used.
    #[error("fetch.ca_file: {}: {reason}", path.display())]
    Ca {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        reason: String,
    },
    /// The address is none that is asked.
    #[error("{host} is not asked: {reason}")]
    Refused {
        /// Scheme, host and port.
        host: String,
        /// Which rule forbids it.
        reason: &'static str,
    },
    /// It took too long.
    #[error("{host} did not answer within {within:?}")]
    Timeout {
        /// Scheme, host and port.
        host: String,
        /// The bound.
        within: Duration,
    },
    /// The answer was too long.
    #[error("{host} answers with more than {most} bytes")]
    TooLarge {
        /// Scheme, host and port.
        host: String,
        /// The bound.
        most: usize,
    },
    /// No connection, no TLS, or no HTTP.
    #[error("{host}: {reason}")]
    Failed {
        /// Scheme, host and port.
        host: String,
        /// What the libraries said.
        reason: String,
    },
}

impl FetchError {
    /// The word that counts it.
    #[must_use]
    pub const fn label(&self) -> &'static str {
        match self {
            Self::Ca { .. } => "ca",
            Self::Refused { .. } => "refused",
            Self::Timeout { .. } => "timeout",
            Self::TooLarge { .. } => "too_large",
            Self::Failed { .. } => "failed",
        }
    }
}

/// Asks. Cheap to clone; all clones share their connections. The system's certificates are read with the first request.
#[derive(Clone)]
pub struct Fetcher {
    shared: Arc<Shared>,
    timeout: Duration,
    max_bytes: usize,
}

struct Shared {
    allow_private: bool,
    max_bytes: usize,
    extra: Vec<CertificateDer<'static>>,
    client: OnceLock<Client<Connector, Full<Bytes>>>,
}

type Connector = bounded::Connector<HttpsConnector<HttpConnector<Resolver>>>;

impl Fetcher {
    /// Reads the file of certificates, if one is named.
    ///
    /// # Errors
    /// [`FetchError::Ca`].
    pub fn new(settings: &FetchSettings) -> Result<Self, FetchError> {
        let extra = settings.ca_file.as_deref().map(certificates).transpose()?.unwrap_or_default();
        let FetchSettings { allow_private, max_bytes, timeout, .. } = *settings;
        let shared = Shared { allow_private, max_bytes, extra, client: OnceLock::new() };
        Ok(Self { shared: Arc::new(shared), timeout, max_bytes })
    }

    /// The same with another time, and at most so many bytes, where these are fewer.
    #[must_use]
    pub fn with_limits(&self, timeout: Duration, max_bytes: usize) -> Self {
        Self { shared: Arc::clone(&self.shared), timeout, max_bytes: max_bytes.min(self.max_bytes) }
    }

    /// Whether a URL is one that is asked, as far as its text tells: what its name resolves to is seen when it is asked.
    ///
    /// # Errors
    /// [`FetchError::Refused`].
    pub fn check(&self, uri: &Uri) -> Result<(), FetchError> {
        let refused = |reason| FetchError::Refused { host: host_of(uri), reason };
        let authority = uri.authority().ok_or_else(|| refused("it has no host"))?;
        if authority.as_str().contains('@') {
            return Err(refused("it has a user or a password in it"));
        }
        let host = Host::of(authority.host());
        if host.is_private() && !self.shared.allow_private {
            return Err(refused("its address is private, and fetch.allow_private is false"));
        }
        match uri.scheme() {
            Some(scheme) if *scheme == Scheme::HTTPS => Ok(()),
            Some(scheme) if *scheme == Scheme::HTTP && host.is_loopback() => Ok(()),
            _ => Err(refused("it is not https")),
        }
    }

    /// Asks, and waits for the whole answer, whatever its status is.
    ///
    /// # Errors
    /// [`FetchError`].
    pub async fn send(&self, mut request: Request<Bytes>) -> Result<Response<Bytes>, FetchError> {
        self.check(request.uri())?;
        let host = host_of(request.uri());
        request.headers_mut().entry(USER_AGENT).or_insert(AGENT);
        let exchange = self.exchange(request.map(Full::new), &host);
        match timeout(self.timeout, exchange).await {
            Ok(answer) => answer,
            Err(_) => Err(FetchError::Timeout { host, within: self.timeout }),
        }
    }

    async fn exchange(&self, request: Request<Full<Bytes>>, host: &str) -> Result<Response<Bytes>, FetchError> {
        let answer = self.shared.client().request(request).await.map_err(|error| self.failed(host, &error))?;
        let (parts, body) = answer.into_parts();
        match Limited::new(body, self.max_bytes).collect().await {
            Ok(body) => Ok(Response::from_parts(parts, body.to_bytes())),
            Err(error) => Err(self.failed(host, error.as_ref())),
        }
    }

    fn failed(&self, host: &str, error: &(dyn std::error::Error + 'static)) -> FetchError {
        let mut reason = error.to_string();
        let mut next = Some(error);
        while let Some(error) = next {
            if is::<PrivateAddress>(error) {
                let reason = "its address is private, and fetch.allow_private is false";
                return FetchError::Refused { host: host.to_owned(), reason };
            }
            if is::<LengthLimitError>(error) || is::<TooMuch>(error) {
                return FetchError::TooLarge { host: host.to_owned(), most: self.max_bytes };
            }
            next = error.source();
            if let Some(error) = next {
                reason = format!("{reason}: {error}");
            }
        }
        FetchError::Failed { host: host.to_owned(), reason: logged::cut(&reason).to_owned() }
    }
}

impl fmt::Debug for Fetcher {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Fetcher")
            .field("timeout", &self.timeout)
            .field("max_bytes", &self.max_bytes)
            .finish_non_exhaustive()
    }
}

impl Shared {
    fn client(&self) -> &Client<Connector, Full<Bytes>> {
        self.client.get_or_init(|| {
            let mut http = HttpConnector::new_with_resolver(Resolver::new(self.allow_private));
            http.enforce_http(false);
            http.set_nodelay(true);
            let connector = HttpsConnectorBuilder::new().with_tls_config(tls(&self.extra)).https_or_http();
            let connector = connector.enable_http1().wrap_connector(http);
            let connector = bounded::Connector::new(connector, self.max_bytes + BESIDE_THE_BODY);
            Client::builder(Tracked(TaskTracker::new()))
                .http1_max_buf_size(HEAD_BYTES)
                .pool_timer(TokioTimer::new())
                .pool_max_idle_per_host(KEPT.0)
                .pool_idle_timeout(KEPT.1)
                .build(connector)
        })
    }
}

/// Runs what drives a connection. It ends with the connection, and that with the client.
#[derive(Clone)]
struct Tracked(TaskTracker);

impl<F: Future<Output = ()> + Send + 'static> Executor<F> for Tracked {
    fn execute(&self, task: F) {
        self.0.spawn(task);
    }
}

fn tls(extra: &[CertificateDer<'static>]) -> ClientConfig {
    let system = rustls_native_certs::load_native_certs();
    for error in &system.errors {
        tracing::warn!(%error, "some certificates of the system can't be read");
    }
    let mut roots = RootCertStore::empty();
    roots.add_parsable_certificates(system.certs);
    roots.add_parsable_certificates(extra.iter().cloned());
    let provider = Arc::new(ring::default_provider());
    let builder = ClientConfig::builder_with_provider(Arc::clone(&provider));
    let builder = builder.with_safe_default_protocol_versions().expect("ring has suites for the default versions");
    match WebPkiServerVerifier::builder_with_provider(Arc::new(roots), provider).build() {
        Ok(verifier) => builder.dangerous().with_custom_certificate_verifier(ShortChains::new(verifier)),
        // Nobody vouches for anybody here: nobody is believed.
        Err(_) => builder.with_root_certificates(RootCertStore::empty()),
    }
    .with_no_client_auth()
}

fn certificates(path: &Path) -> Result<Vec<CertificateDer<'static>>, FetchError> {
    let fault = |reason: String| FetchError::Ca { path: path.into(), reason };
    let opened = file::open(path).map_err(|error| fault(error.to_string()))?;
    let certificates: Result<Vec<_>, _> = CertificateDer::pem_reader_iter(BufReader::new(opened)).collect();
    // The library's own words have what stands in the file, and it may be the wrong one.
    let certificates = certificates.map_err(|error| match error {
        pem::Error::Io(error) => fault(error.to_string()),
        _ => fault("it is not valid PEM".to_owned()),
    })?;
    let mut store = RootCertStore::empty();
    for certificate in &certificates {
        store.add(certificate.clone()).map_err(|error| fault(error.to_string()))?;
    }
    if certificates.is_empty() { Err(fault("it has no certificate in it".to_owned())) } else { Ok(certificates) }
}

/// Scheme, host and port: what of a URL may be shown.
fn host_of(uri: &Uri) -> String {
    let scheme = uri.scheme_str().unwrap_or("?");
    let port = uri.port_u16().map(|port| format!(":{port}")).unwrap_or_default();
    format!("{scheme}://{}{port}", logged::cut(uri.host().unwrap_or("?")))
}

/// Whether an error is one of this type, or what the library of the system says of such a one.
fn is<E: std::error::Error + 'static>(error: &(dyn std::error::Error + 'static)) -> bool {
    error.is::<E>()
        || error.downcast_ref::<io::Error>().and_then(io::Error::get_ref).is_some_and(|inner| inner.is::<E>())
}
