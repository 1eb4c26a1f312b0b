//! Certificates, and what is made of them.
//!
//! TLS 1.2 and 1.3, `http/1.1` by ALPN, and always the `ring` provider: no process-wide default is read or set. Files are read
//! by [`TlsSettings::load`] and [`Tls::reload`], and at no other time.
//!
//! Invariants: 1. what can't be used never takes the place of what is in use; 2. a handshake that begins after a reload has the
//! new, and connections that are there go on; 3. after a reload no session of before is resumed, for what it stood on may not
//! be good any more; 4. who vouches for clients waits for no certificate of our own.

mod below;
mod chain;
mod challenge;
mod clients;
mod error;
mod fingerprint;
mod pem;
mod self_signed;
mod validity;

use std::fmt;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use parking_lot::RwLock;
use ring::digest::{Context, SHA256};
use rustls::ServerConfig;
use rustls::crypto::ring as provider;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::server::danger::ClientCertVerifier;
use rustls::server::{ResolvesServerCert, WebPkiClientVerifier};
use rustls::sign::{CertifiedKey, SingleCertAndKey};
use tokio::net::TcpStream;
use tokio_rustls::TlsAcceptor;
use tokio_rustls::server::TlsStream;

pub use below::BelowTls;
pub use chain::ShortChains;
pub use challenge::ChallengeGuard;
use challenge::{Challenges, no_certificate};
pub use clients::ClientSettings;
use clients::Clients;
pub use error::TlsError;
use validity::Validity;

/// What TLS holds of what a peer does not read, in bytes: one record. The rest waits before it, where it is counted.
pub(crate) const UNSENT: usize = 16 * 1024;

/// Where the certificate comes from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum TlsSettings {
    /// PEM files.
    Files {
        /// The certificate, then those that issued it.
        cert_file: PathBuf,
        /// Its key, not encrypted. May be the same file. Nobody but its owner may read it, or the group of a file of root.
        key_file: PathBuf,
    },
    /// Made by ourselves, and kept.
    SelfSigned {
        /// The directory in which it is kept; made if it is not there.
        state_dir: PathBuf,
        /// Names and addresses beside `localhost`, `127.0.0.1` and `::1`.
        names: Vec<String>,
    },
    /// Got by this program while it runs. Until then there is none, and no handshake comes about.
    Kept {
        /// The chain and its key, as they were written by [`keep_secret`].
        file: PathBuf,
    },
}

/// What handshakes are done with. A clone is cheap, and the same: what one is reloaded with, all have.
#[derive(Clone)]
pub struct Tls {
    current: Arc<RwLock<Current>>,
    challenges: Challenges,
}

/// What is in use.
#[derive(Clone, Default)]
struct Current {
    config: Option<Arc<ServerConfig>>,
    fingerprint: Option<Arc<str>>,
    validity: Option<Validity>,
    cert_file: PathBuf,
    /// Of all that was read: of this server, and of who vouches for clients.
    digests: ([u8; 32], [u8; 32]),
}

/// Who vouches for clients.
struct Vouching {
    verifier: Arc<dyn ClientCertVerifier>,
    digest: [u8; 32],
}

/// Certificate chain and key, and the files they came from.
struct Identity {
    chain: Vec<CertificateDer<'static>>,
    key: PrivateKeyDer<'static>,
    cert_file: PathBuf,
    key_file: PathBuf,
}

impl TlsSettings {
    /// Reads the files, or makes the certificate. Blocks for as long as the disk does.
    ///
    /// # Errors
    /// [`TlsError`], with the name of the file.
    pub fn load(&self) -> Result<Tls, TlsError> {
        self.load_with(None)
    }

    /// As [`Self::load`], and asks clients for a certificate.
    ///
    /// # Errors
    /// As [`Self::load`].
    pub fn load_with(&self, clients: Option<&ClientSettings>) -> Result<Tls, TlsError> {
        let current = Current::read(self, &Vouching::read(clients)?)?;
        let current = Arc::new(RwLock::new(current.unwrap_or_default()));
        Ok(Tls { current, challenges: Challenges::default() })
    }

    fn read(&self) -> Result<Option<Identity>, TlsError> {
        match self {
            Self::Files { cert_file, key_file } => Identity::read(cert_file, key_file).map(Some),
            Self::SelfSigned { state_dir, names } => self_signed::load_or_make(state_dir, names).map(Some),
            Self::Kept { file } => match Identity::read(file, file) {
                Err(TlsError::Read { source, .. }) if source.kind() == io::ErrorKind::NotFound => Ok(None),
                read => read.map(Some),
            },
        }
    }

    /// The files that are read, to be watched.
    #[must_use]
    pub fn files(&self) -> Vec<PathBuf> {
        match self {
            Self::Files { cert_file, key_file } => vec![cert_file.clone(), key_file.clone()],
            Self::SelfSigned { .. } | Self::Kept { .. } => Vec::new(),
        }
    }
}

impl Identity {
    fn read(cert_file: &Path, key_file: &Path) -> Result<Self, TlsError> {
        let (chain, key) = (pem::certificates(cert_file)?, pem::key(key_file)?);
        Ok(Self { chain, key, cert_file: cert_file.into(), key_file: key_file.into() })
    }
}

/// Writes a file that only its owner may read, in a directory that is made if it is not there. It is never half a file. Blocks
/// for as long as the disk does.
///
/// # Errors
/// Those of the system.
pub fn keep_secret(file: &Path, text: &str) -> io::Result<()> {
    self_signed::keep(file.parent().unwrap_or(Path::new(".")), file, text)
}

impl Tls {
    /// Without a certificate.
    #[must_use]
    pub fn without_certificate() -> Self {
        Self { current: Arc::default(), challenges: Challenges::default() }
    }

    /// Answers the challenge of an authority for one of our names, which may come by any connection, until the guard is
    /// dropped. `digest` is that of the key authorization.
    ///
    /// # Errors
    /// The name is one that no certificate can hold.
    pub fn answer_challenge(&self, name: &str, digest: &[u8; 32]) -> Result<ChallengeGuard, TlsError> {
        let answer = self.challenges.answer(name, digest);
        answer.map_err(|source| TlsError::Make { names: name.to_owned(), source })
    }

    /// Reads again what `settings` name. Whether it is something else than before: handshakes have it from now on. `now` is
    /// in seconds since 1970. Blocks for as long as the disk does.
    ///
    /// # Errors
    /// [`TlsError::Clients`]: all that was there goes on. Any other: the certificate that was there does, with what `clients` name
    /// now. One that is not good now takes the place of none that is.
    pub fn reload(&self, settings: &TlsSettings, clients: Option<&ClientSettings>, now: u64) -> Result<bool, TlsError> {
        let vouching = Vouching::read(clients)?;
        let read = Current::read(settings, &vouching);
        let mut current = self.current.write();
        let (new, fault) = match read {
            Ok(Some(new)) if new.is_good_at(now) || !current.is_good_at(now) => (new, None),
            Ok(Some(new)) => (current.with(&vouching)?, Some(TlsError::NotNow { path: new.cert_file })),
            // A kept certificate whose file is gone is still there.
            Ok(None) => (current.with(&vouching)?, None),
            Err(fault) => (current.with(&vouching)?, Some(fault)),
        };
        let is_another = new.digests != current.digests;
        if is_another {
            *current = new;
        }
        fault.map_or(Ok(is_another), Err)
    }

    /// Does a handshake. The caller sets the deadline.
    ///
    /// # Errors
    /// The peer spoke no TLS, or none that is accepted here, or hung up.
    pub(crate) async fn accept(&self, tcp: TcpStream) -> io::Result<TlsStream<BelowTls>> {
        let tcp = BelowTls::new(tcp);
        let config = self.current.read().config.clone();
        let mut stream = if self.challenges.are_none() {
            TlsAcceptor::from(config.ok_or_else(no_certificate)?).accept(tcp).await?
        } else {
            self.challenges.accept(tcp, config).await?
        };
        stream.get_mut().1.set_buffer_limit(Some(UNSENT));
        Ok(stream)
    }

    /// SHA-256 of the certificate, as `AA:BB:…`: what a browser shows, and what a peer may pin.
    #[must_use]
    pub fn fingerprint(&self) -> Option<Arc<str>> {
        self.current.read().fingerprint.clone()
    }

    /// Whether there is a certificate.
    #[must_use]
    pub fn has_certificate(&self) -> bool {
        self.current.read().config.is_some()
    }

    /// From when on the certificate is good, in seconds since 1970, if that can be read.
    #[must_use]
    pub fn valid_from(&self) -> Option<u64> {
        self.current.read().validity.map(|validity| validity.from)
    }

    /// When the certificate ends, in seconds since 1970, if that can be read.
    #[must_use]
    pub fn expires_at(&self) -> Option<u64> {
        self.current.read().validity.map(|validity| validity.until)
    }

    /// Whether the certificate is good at this time, as far as can be read.
    #[must_use]
    pub fn is_good_at(&self, now: u64) -> bool {
        self.current.read().is_good_at(now)
    }
}

impl fmt::Debug for Tls {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Tls").field("fingerprint", &self.fingerprint()).finish_non_exhaustive()
    }
}

impl Current {
    fn read(settings: &TlsSettings, vouching: &Vouching) -> Result<Option<Self>, TlsError> {
        settings.read()?.map(|identity| Self::new(identity, vouching)).transpose()
    }

    fn new(identity: Identity, vouching: &Vouching) -> Result<Self, TlsError> {
        let Identity { chain, key, cert_file, key_file } = identity;
        let own = digest(chain.iter().map(AsRef::as_ref).chain([key.secret_der()]));
        let fingerprint = chain.first().map(|cert| fingerprint::sha256(cert).into());
        let validity = chain.first().and_then(|cert| Validity::of(cert));
        let certified = CertifiedKey::from_der(chain, key, &provider::default_provider());
        let config = certified
            .and_then(|certified| server_config(Arc::new(SingleCertAndKey::from(certified)), vouching))
            .map_err(|source| TlsError::Unusable { cert: cert_file.clone(), key: key_file, source })?;
        Ok(Self { config: Some(Arc::new(config)), fingerprint, validity, cert_file, digests: (own, vouching.digest) })
    }

    /// The same certificate, if there is one, with who vouches for clients now.
    fn with(&self, vouching: &Vouching) -> Result<Self, TlsError> {
        let Some(config) = self.config.as_ref().filter(|_| self.digests.1 != vouching.digest) else {
            return Ok(self.clone());
        };
        let config = server_config(Arc::clone(&config.cert_resolver), vouching).map_err(|source| {
            TlsError::Unusable { cert: self.cert_file.clone(), key: self.cert_file.clone(), source }
        })?;
        let digests = (self.digests.0, vouching.digest);
        Ok(Self { config: Some(Arc::new(config)), digests, ..self.clone() })
    }

    fn is_good_at(&self, now: u64) -> bool {
        self.config.is_some() && self.validity.is_none_or(|validity| validity.has(now))
    }
}

impl Vouching {
    fn read(clients: Option<&ClientSettings>) -> Result<Self, TlsError> {
        let clients = clients.map(ClientSettings::read).transpose()?;
        let digest = digest(clients.iter().flat_map(Clients::parts));
        let verifier = clients.map_or_else(|| Ok(WebPkiClientVerifier::no_client_auth()), Clients::verifier)?;
        Ok(Self { verifier, digest })
    }
}

/// Tells what was read from what was read before.
fn digest<'a>(parts: impl Iterator<Item = &'a [u8]>) -> [u8; 32] {
    let mut context = Context::new(&SHA256);
    for part in parts {
        context.update(&part.len().to_be_bytes());
        context.update(part);
    }
    let mut digest = [0; 32];
    digest.copy_from_slice(context.finish().as_ref());
    digest
}

fn server_config(own: Arc<dyn ResolvesServerCert>, vouching: &Vouching) -> Result<ServerConfig, rustls::Error> {
    let mut config = ServerConfig::builder_with_provider(Arc::new(provider::default_provider()))
        .with_safe_default_protocol_versions()?
        .with_client_cert_verifier(Arc::clone(&vouching.verifier))
        .with_cert_resolver(own);
    config.alpn_protocols = vec![b"http/1.1".to_vec()];
    // Sessions are resumed by tickets that the peer keeps, so that none are kept here. The keys of tickets are of this config.
    config.ticketer = provider::Ticketer::new()?;
    Ok(config)
}
