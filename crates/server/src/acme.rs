//! Gets the certificate from an authority, and another one before it ends (ACME, RFC 8555).
//!
//! Invariants: 1. no failure ends the server or takes a certificate away that is there; 2. a start with a kept certificate that
//! is good asks nobody; 3. the authority is asked again only after `acme.retry_ms`, and after failures later and later; 4. the
//! keys are in files that nobody but their owner may read, and no file is ever half written; 5. what was issued and can be used is kept,
//! and no other is ordered while none could be taken because of the files of `tls.client_*`.

mod client;
mod order;
mod state;
mod tokens;

use std::panic::AssertUnwindSafe;
use std::sync::Arc;
use std::time::Duration;

use cuttlebone_transport::tls::{Tls, TlsError, TlsSettings};
use futures_util::FutureExt as _;
use tokio::time::{sleep, timeout};
use tokio_util::sync::CancellationToken;

use crate::app::App;
use crate::fetch::{FetchError, FetchSettings, Fetcher};
use crate::metrics::Order;
use crate::settings::{AcmeSettings, Settings};
use crate::{certificate, clock};
use order::Issued;
use state::State;
pub(crate) use tokens::Tokens;

/// The longest wait before the clock is looked at again: it may have been set.
const LOOK: Duration = Duration::from_secs(60 * 60);

/// How long all steps of one certificate may take.
const LONGEST: Duration = Duration::from_secs(10 * 60);

/// How long one question to the authority may take, and the longest answer.
const EXCHANGE: (Duration, usize) = (Duration::from_secs(30), 256 * 1024);

/// Gets certificates for one server.
pub(crate) struct Acme {
    settings: AcmeSettings,
    state: State,
    fetcher: Fetcher,
    tls: Tls,
    app: Arc<App>,
}

impl Acme {
    /// `None` where the certificate comes from elsewhere. Reads `acme.ca_file`.
    pub(crate) fn new(app: &Arc<App>, tls: Option<&Tls>) -> Result<Option<Self>, FetchError> {
        let (Some(settings), Some(tls)) = (&app.settings.acme, tls) else { return Ok(None) };
        Ok(Some(Self {
            state: State::new(settings),
            fetcher: fetcher(settings, &app.settings)?,
            settings: settings.clone(),
            tls: tls.clone(),
            app: Arc::clone(app),
        }))
    }

    /// Runs until `stop`.
    pub(crate) async fn run(self, stop: CancellationToken) {
        let mut failures = 0;
        loop {
            let wait = self.until_due();
            if !wait.is_zero() {
                if stop.run_until_cancelled(sleep(wait.min(LOOK))).await.is_none() {
                    return;
                }
                continue;
            }
            let Some(failed) = stop.run_until_cancelled(self.attempt()).await else { return };
            failures = if failed.is_some() { failures + 1 } else { 0 };
            let pause = self.pause(failures);
            self.tell(failed, pause);
            if stop.run_until_cancelled(sleep(pause)).await.is_none() {
                return;
            }
        }
    }

    fn tell(&self, failed: Option<Failure>, pause: Duration) {
        let domains = self.settings.domains.join(" ");
        let next_try_s = pause.as_secs();
        match failed {
            None => {}
            Some(Failure::Order(error)) => {
                self.app.metrics.ordered(Order::Failed);
                tracing::error!(%domains, %error, next_try_s, "the authority has issued no certificate");
            }
            Some(Failure::Take(error)) => {
                tracing::error!(%domains, %error, next_try_s, "the kept certificate can't be taken");
            }
        }
    }

    /// How long the kept certificate is good enough.
    fn until_due(&self) -> Duration {
        let lifetime = self.tls.valid_from().zip(self.tls.expires_at());
        let Some((from, until)) = lifetime.filter(|_| self.state.is_for(&self.settings.domains)) else {
            return Duration::ZERO;
        };
        let margin = self.settings.renew_before.as_secs().min(until.saturating_sub(from) / 3);
        Duration::from_secs((until - margin).saturating_sub(clock::unix_ms() / 1000))
    }

    /// At random, from half of it on: servers that failed together do not come back together.
    fn pause(&self, failures: u32) -> Duration {
        let doubled = 1_u32.checked_shl(failures.saturating_sub(1)).unwrap_or(u32::MAX);
        let longest = self.settings.retry.saturating_mul(doubled).min(self.settings.retry_max.max(self.settings.retry));
        // Without random numbers they do.
        let random = f64::from(getrandom::u32().unwrap_or(u32::MAX)) / f64::from(u32::MAX);
        if failures == 0 { longest } else { longest.mul_f64(0.5 + random / 2.0) }
    }

    /// Why there is no other certificate. What the authority says may be more than a library can bear: that is no end of this.
    async fn attempt(&self) -> Option<Failure> {
        let failed = |text: &str| Some(Failure::Order(text.to_owned()));
        match timeout(LONGEST, AssertUnwindSafe(self.obtain()).catch_unwind()).await {
            Ok(Ok(outcome)) => outcome.err(),
            Ok(Err(_)) => {
                self.app.metrics.panicked();
                failed("a fault of the server (see above)")
            }
            Err(_) => failed("it took too long"),
        }
    }

    /// Takes what is kept, if it was not taken yet and is good enough; else gets a certificate, keeps it, and takes it.
    async fn obtain(&self) -> Result<(), Failure> {
        match self.keep_and_take(None).await? {
            Ok(true) if !self.until_due().is_zero() => return Ok(()),
            // Another certificate could not be taken either.
            Err(error @ TlsError::Clients { .. }) => return Err(Failure::Take(error)),
            Ok(_) | Err(_) => {}
        }
        let issued = order::certificate(self).await.map_err(Failure::Order)?;
        let taken = self.keep_and_take(Some(issued)).await?;
        self.app.metrics.ordered(Order::Issued);
        tracing::info!(domains = self.settings.domains.join(" "), "the authority has issued a certificate");
        taken.map(drop).map_err(Failure::Take)
    }

    /// Keeps what was issued, and takes what is kept, on a thread of its own. Outer error: nothing could be kept.
    async fn keep_and_take(&self, issued: Option<Issued>) -> Result<Result<bool, TlsError>, Failure> {
        let (state, domains) = (self.state.clone(), self.settings.domains.clone());
        let kept = TlsSettings::Kept { file: self.settings.certificate_file() };
        let (tls, app) = (self.tls.clone(), Arc::clone(&self.app));
        let work = tokio::task::spawn_blocking(move || {
            if let Some(issued) = issued {
                state.keep_certificate(&domains, &issued, |candidate| {
                    let new =
                        TlsSettings::Kept { file: candidate.to_owned() }.load().map_err(|error| error.to_string())?;
                    let now = clock::unix_ms() / 1000;
                    if !new.is_good_at(now) && tls.is_good_at(now) {
                        return Err("the certificate that was issued has expired, or is not valid yet".to_owned());
                    }
                    Ok(())
                })?;
            }
            Ok(certificate::renew(&tls, &kept, &app))
        });
        work.await.unwrap_or_else(|error| Err(error.to_string())).map_err(Failure::Order)
    }
}

/// Why there is no other certificate.
enum Failure {
    /// None was issued, or it could not be kept: in words.
    Order(String),
    /// One is kept and can't be taken, which is counted with the loads.
    Take(TlsError),
}

fn fetcher(acme: &AcmeSettings, settings: &Settings) -> Result<Fetcher, FetchError> {
    let ca_file = acme.ca_file.clone().or_else(|| settings.fetch.ca_file.clone());
    let (timeout, max_bytes) = EXCHANGE;
    Fetcher::new(&FetchSettings { ca_file, timeout, max_bytes, ..settings.fetch.clone() })
}
