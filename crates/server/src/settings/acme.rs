//! How a certificate is got from an authority.

use std::fmt;
use std::path::PathBuf;
use std::time::Duration;

/// How a certificate is got from an authority (RFC 8555): `acme`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AcmeSettings {
    /// The names that it is for: `acme.domains`.
    pub domains: Vec<String>,
    /// Whom the authority writes to, as URIs: `acme.contact`.
    pub contact: Vec<String>,
    /// Where the authority says what it offers: `acme.directory_url`.
    pub directory_url: String,
    /// How it is shown that the names are ours: `acme.challenge`.
    pub challenge: AcmeChallenge,
    /// Certificates (PEM) of those who may vouch for the authority's own server: `acme.ca_file`.
    pub ca_file: Option<PathBuf>,
    /// Where the account, the certificate and its key are kept: `tls.state_dir`.
    pub state_dir: PathBuf,
    /// How long before its end a certificate is replaced: `acme.renew_before_days`. Never more than a third of its life.
    pub renew_before: Duration,
    /// The account at the authority that ours belongs to: `acme.external_account_kid`, `acme.external_account_hmac_file`.
    pub external_account: Option<ExternalAccount>,
    /// How long it waits after a first failure, and at least between two certificates: `acme.retry_ms`.
    pub retry: Duration,
    /// How long it waits at most: `acme.retry_max_ms`.
    pub retry_max: Duration,
}

impl AcmeSettings {
    /// Where the certificate and its key are kept.
    #[must_use]
    pub fn certificate_file(&self) -> PathBuf {
        self.state_dir.join("acme.pem")
    }
}

/// How it is shown that a name is ours.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum AcmeChallenge {
    /// By a file that is asked for at port 80, which must reach `tls.redirect_listen`.
    Http01,
    /// By a certificate that is asked for at port 443, which must reach `server.listen`.
    TlsAlpn01,
}

/// The account at an authority that ours belongs to.
#[derive(Clone, PartialEq, Eq)]
pub struct ExternalAccount {
    /// How the authority calls its key.
    pub kid: String,
    /// The key.
    pub hmac: Vec<u8>,
}

impl fmt::Debug for ExternalAccount {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ExternalAccount").field("kid", &self.kid).finish_non_exhaustive()
    }
}
