//! What there is to say of the certificate.

use std::sync::atomic::Ordering;
use std::time::Duration;

use cuttlebone_transport::tls::{ClientSettings, Tls, TlsError, TlsSettings};
use http::HeaderValue;

use crate::app::App;
use crate::clock;
use crate::metrics::CertificateLoad;
use crate::settings::Settings;

/// From so long before its end on it is warned of.
const SOON: Duration = Duration::from_secs(7 * 24 * 60 * 60);

/// Shows when it ends, and warns of one that browsers do not take, or soon will not.
pub(crate) fn look_at(tls: &Tls, app: &App) {
    app.lacks_certificate.store(!tls.has_certificate(), Ordering::Relaxed);
    let now = clock::unix_ms() / 1000;
    let end = tls.expires_at();
    app.metrics.set_certificate_end(end);
    if !tls.has_certificate() {
        tracing::warn!("there is no certificate yet: nobody can connect");
    } else if !tls.is_good_at(now) {
        tracing::warn!("the certificate has expired, or is not valid yet: peers will refuse it");
    } else if let Some(left) = end.map(|end| end.saturating_sub(now)).filter(|left| *left < SOON.as_secs()) {
        tracing::warn!(hours = left / 3600, "the certificate ends soon");
    }
}

/// The certificate at the start. One that was got earlier and can't be used is as good as none: another is got.
pub(crate) fn load(settings: &Settings) -> Result<Option<Tls>, TlsError> {
    let Some(from) = &settings.tls else { return Ok(None) };
    match from.load_with(settings.https.clients.as_ref()) {
        Err(error) if matches!(from, TlsSettings::Kept { .. }) && !matches!(error, TlsError::Clients { .. }) => {
            tracing::error!(%error, "the kept certificate can't be used");
            Ok(Some(Tls::without_certificate()))
        }
        loaded => loaded.map(Some),
    }
}

/// Reads it again, and who vouches for clients from what `clients` names now. Whether it is another. Blocks for as long
/// as the disk and another reload do: the later of two has the last word.
pub(crate) fn reload(
    tls: &Tls,
    settings: &TlsSettings,
    clients: Option<&ClientSettings>,
    app: &App,
) -> Result<bool, TlsError> {
    let mut in_force = app.tls_clients.lock();
    let changed = take(tls, settings, clients, app);
    if !matches!(changed, Err(TlsError::Clients { .. })) {
        *in_force = clients.cloned();
    }
    changed
}

/// As [`reload`], with the clients of the last one.
pub(crate) fn renew(tls: &Tls, settings: &TlsSettings, app: &App) -> Result<bool, TlsError> {
    let in_force = app.tls_clients.lock();
    take(tls, settings, in_force.as_ref(), app)
}

fn take(tls: &Tls, settings: &TlsSettings, clients: Option<&ClientSettings>, app: &App) -> Result<bool, TlsError> {
    let changed = tls.reload(settings, clients, clock::unix_ms() / 1000);
    if !matches!(changed, Ok(false)) {
        let outcome = if changed.is_ok() { CertificateLoad::Changed } else { CertificateLoad::Failed };
        app.metrics.certificate_loaded(outcome);
        app.note_reload("certificate", changed.is_ok());
    }
    look_at(tls, app);
    changed
}

/// What browsers are told: to come by TLS only.
pub(crate) fn hsts(settings: &Settings) -> Option<HeaderValue> {
    let seconds = settings.https.hsts_max_age.as_secs();
    if settings.tls.is_none() || seconds == 0 {
        return None;
    }
    HeaderValue::try_from(format!("max-age={seconds}")).ok()
}
