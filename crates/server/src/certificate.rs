//! What there is to say of the certificate.

use std::time::Duration;

use cuttlebone_transport::tls::Tls;
use http::HeaderValue;

use crate::clock;
use crate::metrics::Metrics;
use crate::settings::Settings;

/// From so long before its end on it is warned of.
const SOON: Duration = Duration::from_secs(7 * 24 * 60 * 60);

/// Shows when it ends, and warns of one that browsers do not take, or soon will not.
pub(crate) fn look_at(tls: &Tls, metrics: &Metrics) {
    let now = clock::unix_ms() / 1000;
    let end = tls.expires_at();
    metrics.set_certificate_end(end);
    if !tls.is_good_at(now) {
        tracing::warn!("the certificate has expired, or is not valid yet: peers will refuse it");
    } else if let Some(left) = end.map(|end| end.saturating_sub(now)).filter(|left| *left < SOON.as_secs()) {
        tracing::warn!(hours = left / 3600, "the certificate ends soon");
    }
}

/// What browsers are told: to come by TLS only.
pub(crate) fn hsts(settings: &Settings) -> Option<HeaderValue> {
    let seconds = settings.https.hsts_max_age.as_secs();
    if settings.tls.is_none() || seconds == 0 {
        return None;
    }
    HeaderValue::try_from(format!("max-age={seconds}")).ok()
}
