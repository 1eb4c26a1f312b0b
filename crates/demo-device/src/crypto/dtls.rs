//! Keys and certificates: `dimpl` behind the traits of str0m.

use std::sync::{Arc, OnceLock};
use std::time::Instant;

use dimpl::Config;
use dimpl::crypto::rust_crypto;
use rcgen::{CertificateParams, KeyPair};
use str0m::config::DtlsVersion;
use str0m::crypto::CryptoError;
use str0m::crypto::dtls::{DtlsCert, DtlsImplError, DtlsInstance, DtlsOutput, DtlsProvider, ProtocolVersion};

#[derive(Debug)]
pub(super) struct Dtls;

impl DtlsProvider for Dtls {
    /// A self-signed certificate. It carries no name: peers know it by the fingerprint in the offer.
    fn generate_certificate(&self) -> Option<DtlsCert> {
        let key = KeyPair::generate().ok()?;
        let certificate = CertificateParams::default().self_signed(&key).ok()?;
        Some(DtlsCert { certificate: certificate.der().to_vec(), private_key: key.serialize_der() })
    }

    fn new_dtls(
        &self,
        cert: &DtlsCert,
        now: Instant,
        version: DtlsVersion,
        mtu: Option<usize>,
    ) -> Result<Box<dyn DtlsInstance>, CryptoError> {
        let (config, cert) = (config(mtu)?, cert.clone());
        let dtls = match version {
            DtlsVersion::Dtls13 => dimpl::Dtls::new_13(config, cert, now),
            DtlsVersion::Auto => dimpl::Dtls::new_auto(config, cert, now),
            _ => dimpl::Dtls::new_12(config, cert, now),
        };
        Ok(Box::new(Instance(dtls)))
    }
}

/// The configuration for all connections. Making one tries out every primitive, which costs more than a handshake; so
/// the first one is kept, and str0m always asks for the same MTU.
fn config(mtu: Option<usize>) -> Result<Arc<Config>, CryptoError> {
    static FIRST: OnceLock<(Option<usize>, Arc<Config>)> = OnceLock::new();
    if let Some((_, config)) = FIRST.get().filter(|(first, _)| *first == mtu) {
        return Ok(Arc::clone(config));
    }
    // ICE has shown by now that the peer receives where it sends from; a cookie would show it once more.
    let builder = Config::builder().with_crypto_provider(rust_crypto::default_provider()).use_server_cookie(false);
    let builder = match mtu {
        Some(mtu) => builder.mtu(mtu),
        None => builder,
    };
    let config = Arc::new(builder.build().map_err(|error| CryptoError::Other(error.to_string()))?);
    // Whoever was first stays.
    let _ = FIRST.set((mtu, Arc::clone(&config)));
    Ok(config)
}

#[derive(Debug)]
struct Instance(dimpl::Dtls);

impl DtlsInstance for Instance {
    fn set_active(&mut self, active: bool) {
        self.0.set_active(active);
    }

    fn handle_packet(&mut self, packet: &[u8]) -> Result<(), DtlsImplError> {
        self.0.handle_packet(packet)
    }

    fn poll_output<'a>(&mut self, buf: &'a mut [u8]) -> DtlsOutput<'a> {
        self.0.poll_output(buf)
    }

    fn handle_timeout(&mut self, now: Instant) -> Result<(), DtlsImplError> {
        self.0.handle_timeout(now)
    }

    fn send_application_data(&mut self, data: &[u8]) -> Result<usize, DtlsImplError> {
        self.0.send_application_data(data)
    }

    fn is_active(&self) -> bool {
        self.0.is_active()
    }

    fn protocol_version(&self) -> Option<ProtocolVersion> {
        self.0.protocol_version()
    }

    fn is_closing(&self) -> bool {
        self.0.is_closing()
    }

    fn is_closed(&self) -> bool {
        self.0.is_closed()
    }

    fn close(&mut self) -> Result<(), DtlsImplError> {
        self.0.close()
    }
}
