//! Where the server is, how far it is believed, and who we are to it.

use std::fmt;
use std::sync::Arc;

use http::Uri;
use rustls::ClientConfig;
use thiserror::Error;

use crate::certificate::ClientCertificate;
use crate::credential::Credential;
use crate::trust::Trust;

const DEFAULT_MAX_MESSAGE: usize = 1024 * 1024;

/// Why an address is of no use. Always the caller's fault.
#[derive(Debug, Error)]
pub enum EndpointError {
    /// Not a URL, or one without a host.
    #[error("not a URL with a host: {0}")]
    Url(String),
    /// A scheme other than `http`, `https`, `ws` and `wss`.
    #[error("the scheme must be http, https, ws or wss")]
    Scheme,
    /// A user name, a password, a query or a fragment, none of which means anything here.
    #[error("the URL must have no user name, query or fragment")]
    Surplus,
    /// The text for [`Trust::Pem`] holds no certificate, or a broken one.
    #[error("no certificate in the PEM text")]
    Pem,
    /// A client certificate is of no use without TLS.
    #[error("a client certificate needs https or wss")]
    CertificateWithoutTls,
    /// The TLS library refused the settings, such as a client certificate and a key that do not belong together.
    #[error("TLS settings: {0}")]
    Tls(#[from] rustls::Error),
}

/// The address of a server.
///
/// `http` and `ws` mean the same, so do `https` and `wss`. A path is a prefix for a server behind a proxy: with
/// `https://example.org/signaling` a device registers at `wss://example.org/signaling/register_device`.
#[derive(Clone)]
pub struct Endpoint {
    host: String,
    port: u16,
    prefix: String,
    tls: Option<Tls>,
    max_message: usize,
    credential: Option<Credential>,
}

/// What TLS is made with, and what is made of that.
#[derive(Clone)]
struct Tls {
    trust: Trust,
    certificate: Option<ClientCertificate>,
    config: Arc<ClientConfig>,
}

impl Tls {
    fn new(trust: Trust, certificate: Option<ClientCertificate>) -> Result<Self, EndpointError> {
        let config = trust.config(certificate.as_ref())?;
        Ok(Self { trust, certificate, config })
    }
}

impl fmt::Debug for Endpoint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Endpoint({self})")
    }
}

impl fmt::Display for Endpoint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let scheme = if self.is_tls() { "wss" } else { "ws" };
        let (host, port, prefix) = (&self.host, self.port, &self.prefix);
        write!(f, "{scheme}://{host}:{port}{prefix}")
    }
}

impl Endpoint {
    /// Reads an address such as `http://127.0.0.1:8080`. With TLS it trusts the public roots, see
    /// [`Endpoint::with_trust`].
    ///
    /// # Errors
    /// See [`EndpointError`].
    pub fn parse(url: &str) -> Result<Self, EndpointError> {
        let bad = || EndpointError::Url(url.to_owned());
        if url.contains(['#', '?']) {
            return Err(EndpointError::Surplus);
        }
        let uri: Uri = url.parse().map_err(|_| bad())?;
        let tls = match uri.scheme_str() {
            Some("http" | "ws") => None,
            Some("https" | "wss") => Some(Tls::new(Trust::WebPki, None)?),
            _ => return Err(EndpointError::Scheme),
        };
        let authority = uri.authority().ok_or_else(bad)?;
        if authority.as_str().contains('@') {
            return Err(EndpointError::Surplus);
        }
        let fallback = if tls.is_some() { 443 } else { 80 };
        Ok(Self {
            host: authority.host().to_owned(),
            port: authority.port_u16().unwrap_or(fallback),
            prefix: uri.path().trim_end_matches('/').to_owned(),
            tls,
            max_message: DEFAULT_MAX_MESSAGE,
            credential: None,
        })
    }

    /// Sets whom to believe. Without TLS it changes nothing.
    ///
    /// # Errors
    /// [`EndpointError::Pem`] and [`EndpointError::Tls`].
    pub fn with_trust(mut self, trust: Trust) -> Result<Self, EndpointError> {
        if let Some(tls) = self.tls.take() {
            self.tls = Some(Tls::new(trust, tls.certificate)?);
        }
        Ok(self)
    }

    /// Sets a certificate that is shown to this server, if it asks for one.
    ///
    /// # Errors
    /// [`EndpointError::CertificateWithoutTls`], and [`EndpointError::Tls`] if the key is not of the certificate.
    pub fn with_certificate(mut self, certificate: ClientCertificate) -> Result<Self, EndpointError> {
        let tls = self.tls.take().ok_or(EndpointError::CertificateWithoutTls)?;
        self.tls = Some(Tls::new(tls.trust, Some(certificate))?);
        Ok(self)
    }

    /// Sets how many bytes a message from the server may have (1 MiB if not set).
    #[must_use]
    pub fn with_max_message(mut self, bytes: usize) -> Self {
        self.max_message = bytes;
        self
    }

    /// Sets what to show this server, on each connection: a [`Token`](crate::Token), or a provider of tokens. Without it
    /// nothing is shown. Without TLS whoever sits between can read it.
    #[must_use]
    pub fn with_credential(mut self, credential: impl Into<Credential>) -> Self {
        self.credential = Some(credential.into());
        self
    }

    /// Whether the connection is encrypted.
    pub fn is_tls(&self) -> bool {
        self.tls.is_some()
    }

    /// The host, without the brackets of an IPv6 address.
    pub fn host(&self) -> &str {
        self.host.trim_start_matches('[').trim_end_matches(']')
    }

    /// The port, given or implied by the scheme.
    pub fn port(&self) -> u16 {
        self.port
    }

    /// The path prefix without a slash at its end; empty if there is none.
    pub fn prefix(&self) -> &str {
        &self.prefix
    }

    pub(crate) fn tls(&self) -> Option<&Arc<ClientConfig>> {
        self.tls.as_ref().map(|tls| &tls.config)
    }

    pub(crate) fn max_message(&self) -> usize {
        self.max_message
    }

    pub(crate) fn credential(&self) -> Option<&Credential> {
        self.credential.as_ref()
    }

    /// Whether a server that refuses what it is shown may be shown something else the next time.
    pub(crate) fn is_renewable(&self) -> bool {
        self.credential.as_ref().is_some_and(Credential::is_renewable)
    }

    /// The full URL of a path that begins with a slash.
    pub(crate) fn uri(&self, path: &str) -> Result<Uri, http::uri::InvalidUri> {
        format!("{self}{path}").parse()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::certificate::NotACertificate;

    fn url(text: &str, path: &str) -> String {
        Endpoint::parse(text).unwrap().uri(path).unwrap().to_string()
    }

    #[test]
    fn http_and_ws_are_the_same() {
        assert_eq!(url("http://a:1", "/x"), "ws://a:1/x");
        assert_eq!(url("ws://a", "/x"), "ws://a:80/x");
        assert_eq!(url("https://a", "/x"), "wss://a:443/x");
    }

    #[test]
    fn a_path_is_a_prefix() {
        assert_eq!(url("ws://a:1/p/q/", "/x"), "ws://a:1/p/q/x");
        assert_eq!(url("ws://[::1]:1/", "/x"), "ws://[::1]:1/x");
        assert_eq!(Endpoint::parse("ws://[::1]:1").unwrap().host(), "::1");
    }

    #[test]
    fn certificate_and_key_belong_together_and_go_with_tls_alone() {
        let pair = || rcgen::generate_simple_self_signed(["device".to_owned()]).unwrap();
        let (one, other) = (pair(), pair());
        let read = |key: &str| ClientCertificate::from_pem(&one.cert.pem(), key);
        let good = read(&one.signing_key.serialize_pem()).unwrap();
        assert!(Endpoint::parse("wss://a").unwrap().with_certificate(good.clone()).is_ok());
        let plain = Endpoint::parse("ws://a").unwrap().with_certificate(good.clone());
        assert!(matches!(plain, Err(EndpointError::CertificateWithoutTls)));
        let mixed = read(&other.signing_key.serialize_pem()).unwrap();
        assert!(matches!(Endpoint::parse("wss://a").unwrap().with_certificate(mixed), Err(EndpointError::Tls(_))));
        assert_eq!(read("CANARY").unwrap_err(), NotACertificate::Key);
        assert_eq!(ClientCertificate::from_pem("CANARY", "").unwrap_err(), NotACertificate::Certificate);
        assert_eq!(format!("{good:?}"), "ClientCertificate(1)");
    }

    #[test]
    fn what_means_nothing_is_refused() {
        for (text, expected) in [
            ("ftp://a", "scheme"),
            ("a:1", "scheme"),
            ("http://", "host"),
            ("http://u:p@a", "user name"),
            ("http://a/?q=1", "query"),
            ("", "host"),
        ] {
            let error = Endpoint::parse(text).unwrap_err().to_string();
            assert!(error.contains(expected), "{text}: {error}");
        }
    }
}
