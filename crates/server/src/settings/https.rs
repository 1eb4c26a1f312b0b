//! What there is beside the certificate where the server speaks TLS.

use std::net::SocketAddr;
use std::time::Duration;

use cuttlebone_transport::tls::ClientSettings;

/// What there is beside the certificate where the server speaks TLS: `tls`.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct HttpsSettings {
    /// How clients are asked for a certificate: `tls.client_auth`, `tls.client_ca_file`, `tls.client_crl_file`. `None` is not.
    pub clients: Option<ClientSettings>,
    /// Where plain HTTP is sent on to it: `tls.redirect_listen`. `None` is nowhere. Port 0 takes a free one.
    pub redirect_listen: Option<SocketAddr>,
    /// For how long a browser that was here comes by TLS only: `tls.hsts_max_age_s`. Zero says nothing of it.
    pub hsts_max_age: Duration,
}
