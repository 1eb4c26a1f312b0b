//! Shows an authority that a name is ours: TLS-ALPN-01 (RFC 8737).
//!
//! Invariants: 1. only a handshake that offers nothing but `acme-tls/1` gets the certificate of a challenge, and nothing else
//! comes of it; 2. while there is no challenge, no handshake is looked into for it.

use std::collections::HashMap;
use std::fmt;
use std::io;
use std::sync::Arc;

use parking_lot::Mutex;
use rcgen::{CertificateParams, CustomExtension, KeyPair};
use rustls::ServerConfig;
use rustls::crypto::ring;
use rustls::pki_types::PrivateKeyDer;
use rustls::server::{Acceptor, ClientHello};
use rustls::sign::{CertifiedKey, SingleCertAndKey};
use tokio::io::AsyncWriteExt as _;
use tokio_rustls::LazyConfigAcceptor;
use tokio_rustls::server::TlsStream;

use super::below::BelowTls;

const PROTOCOL: &[u8] = b"acme-tls/1";

/// What is answered, by name.
#[derive(Clone, Default)]
pub(super) struct Challenges(Arc<Mutex<HashMap<String, Arc<ServerConfig>>>>);

/// A challenge that is answered until this is dropped.
pub struct ChallengeGuard {
    challenges: Challenges,
    name: String,
}

impl fmt::Debug for ChallengeGuard {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ChallengeGuard").field("name", &self.name).finish_non_exhaustive()
    }
}

impl Drop for ChallengeGuard {
    fn drop(&mut self) {
        self.challenges.0.lock().remove(&self.name);
    }
}

impl Challenges {
    pub(super) fn are_none(&self) -> bool {
        self.0.lock().is_empty()
    }

    pub(super) fn answer(&self, name: &str, digest: &[u8; 32]) -> Result<ChallengeGuard, rcgen::Error> {
        let name = name.to_ascii_lowercase();
        let config = config(&name, digest)?;
        self.0.lock().insert(name.clone(), Arc::new(config));
        Ok(ChallengeGuard { challenges: self.clone(), name })
    }

    /// Does a handshake with `otherwise`, unless it is one for a challenge: that comes to nothing.
    pub(super) async fn accept(
        &self,
        tcp: BelowTls,
        otherwise: Option<Arc<ServerConfig>>,
    ) -> io::Result<TlsStream<BelowTls>> {
        let start = LazyConfigAcceptor::new(Acceptor::default(), tcp).await?;
        if !is_challenge(&start.client_hello()) {
            return start.into_stream(otherwise.ok_or_else(no_certificate)?).await;
        }
        let name = start.client_hello().server_name().map(str::to_ascii_lowercase).unwrap_or_default();
        let config = self.0.lock().get(&name).cloned();
        let config = config.ok_or_else(|| io::Error::other("a challenge for a name that is none of ours"))?;
        let mut stream = start.into_stream(config).await?;
        stream.shutdown().await?;
        Err(io::Error::other("it was a challenge"))
    }
}

pub(super) fn no_certificate() -> io::Error {
    io::Error::other("there is no certificate yet")
}

fn is_challenge(hello: &ClientHello<'_>) -> bool {
    hello.alpn().is_some_and(|mut offered| offered.next() == Some(PROTOCOL) && offered.next().is_none())
}

fn config(name: &str, digest: &[u8; 32]) -> Result<ServerConfig, rcgen::Error> {
    let mut params = CertificateParams::new([name.to_owned()])?;
    params.custom_extensions = vec![CustomExtension::new_acme_identifier(digest)];
    let key = KeyPair::generate()?;
    let certificate = params.self_signed(&key)?;
    let key = PrivateKeyDer::try_from(key.serialize_der()).map_err(|_| rcgen::Error::CouldNotParseKeyPair)?;
    let builder = ServerConfig::builder_with_provider(Arc::new(ring::default_provider()));
    let builder = builder.with_safe_default_protocol_versions().expect("ring has suites for the default versions");
    let key = ring::sign::any_supported_type(&key).map_err(|_| rcgen::Error::CouldNotParseKeyPair)?;
    // Not with_single_cert: that looks into the certificate, and the extension of a challenge is critical and unknown to it.
    let shown = CertifiedKey::new(vec![certificate.der().clone()], key);
    let mut config = builder.with_no_client_auth().with_cert_resolver(Arc::new(SingleCertAndKey::from(shown)));
    config.alpn_protocols = vec![PROTOCOL.to_vec()];
    Ok(config)
}
