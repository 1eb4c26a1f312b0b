//! Signing in at a provider: OpenID Connect, the authorization code flow with PKCE (RFC 7636).
//!
//! A browser is sent to the provider with what only it and this server know of the attempt ([`attempt`]), comes back with a
//! code, and the code is exchanged for an ID token ([`provider`]). What its claims give is for `cuttlebone-access` to say. Then
//! the provider is asked nothing more: the session is ours. Called by `routes::login`.
//!
//! Invariants: 1. who comes back is the browser that was sent, to sign in here: the state, the nonce and the verifier are of its
//! cookie; 2. nothing that a provider or a browser says is shown: a fault is a word of ours; 3. nobody is led anywhere but to the
//! provider and to our own pages; 4. nothing of an attempt is kept here, and exchanges are bounded in number and time.

mod attempt;
mod exchanges;
mod page;
mod provider;
mod settings;

use std::future::Future;
use std::net::IpAddr;
use std::sync::Arc;

use cuttlebone_access::SessionKey;
use serde_json::{Map, Value};
use tokio_util::task::TaskTracker;
use url::Url;

use crate::clock;
use crate::fetch::Fetcher;
use crate::metrics::LoginOutcome;
use attempt::{Attempt, Seal};
use exchanges::Exchanges;
use provider::Provider;

pub(crate) use page::Page;
pub use settings::{ClientSecret, LoginSettings};

/// Where a provider sends a browser back to, below the root of our pages.
const CALLBACK: &str = "api/v1/login/callback";

/// Everything that signing in needs.
#[derive(Debug)]
pub(crate) struct Login {
    settings: LoginSettings,
    /// The root of our pages as browsers see it. Ends with a slash.
    root: Url,
    provider: Provider,
    seal: Seal,
    exchanges: Arc<Exchanges>,
    /// What the provider is asked goes on when whoever caused it hangs up: else nothing would be learned from it, and no bound hold.
    tasks: TaskTracker,
}

/// A browser that is to be sent to the provider.
pub(crate) struct Begun {
    pub(crate) to: Url,
    /// What its cookie is to hold.
    pub(crate) sealed: String,
}

/// What a browser brings back. Each may be there once.
#[derive(Debug, Default)]
pub(crate) struct Answer {
    pub(crate) code: Option<String>,
    pub(crate) state: Option<String>,
    pub(crate) issuer: Option<String>,
    pub(crate) error: Option<String>,
}

/// Somebody for whom the provider has vouched.
pub(crate) struct Vouched {
    pub(crate) claims: Map<String, Value>,
    /// When the session is to end, in seconds since 1970.
    pub(crate) end: u64,
}

impl Login {
    /// `None` where the settings can't be used: they were not validated.
    pub(crate) fn new(settings: &LoginSettings, key: &SessionKey, fetcher: &Fetcher) -> Option<Self> {
        let root = settings.root()?;
        let callback = root.join(CALLBACK).ok()?;
        Some(Self {
            provider: Provider::new(settings, &callback, fetcher.clone())?,
            seal: Seal::new(key),
            exchanges: Exchanges::new(settings.exchanges),
            tasks: TaskTracker::new(),
            settings: settings.clone(),
            root,
        })
    }

    /// Whether our pages come by TLS.
    pub(crate) fn is_secure(&self) -> bool {
        self.root.scheme() == "https"
    }

    /// What people call the provider.
    pub(crate) fn name(&self) -> &str {
        &self.settings.name
    }

    /// How long a browser keeps its part of an attempt, in seconds.
    pub(crate) fn attempt_seconds(&self) -> u64 {
        self.settings.attempt.as_secs()
    }

    /// One of our pages, as browsers see it; with a word on what came of signing in, which the page knows to say.
    pub(crate) fn url(&self, page: &Page, outcome: Option<LoginOutcome>) -> Url {
        let mut url = self.root.join(page.as_str()).unwrap_or_else(|_| self.root.clone());
        url.set_fragment(outcome.map(|outcome| format!("login={}", outcome.word())).as_deref());
        url
    }

    /// Begins an attempt that leads to `page`.
    pub(crate) async fn begin(self: &Arc<Self>, page: &Page) -> Result<Begun, LoginOutcome> {
        let client = self.client().await?;
        let attempt = Attempt::new(page, clock::unix_ms() / 1000 + self.attempt_seconds());
        let to = client.authorize(&attempt, &self.settings.scopes);
        Ok(Begun { to, sealed: self.seal.close(&attempt) })
    }

    /// The attempt that a browser's cookie is of, if its time is not over.
    pub(crate) fn attempt(&self, sealed: &str) -> Option<Attempt> {
        self.seal.open(sealed).filter(|attempt| attempt.until() > clock::unix_ms() / 1000)
    }

    /// Looks at what a browser at `address` brought back from its attempt, and asks the provider who that is.
    pub(crate) async fn finish(
        self: &Arc<Self>,
        (attempt, answer): (&Attempt, Answer),
        address: IpAddr,
    ) -> Result<Vouched, LoginOutcome> {
        let client = self.client().await?;
        if !client.may_be_from(answer.issuer.as_deref()) {
            tracing::warn!("an answer that is of another provider");
            return Err(LoginOutcome::Failed);
        }
        match (answer.error.as_deref(), answer.code) {
            (None, Some(code)) => {
                let running = self.exchanges.begin(address).ok_or(LoginOutcome::Busy)?;
                let (login, attempt) = (Arc::clone(self), attempt.clone());
                let exchange = async move {
                    let claims = login.provider.exchange(client, code, &attempt).await;
                    drop(running);
                    claims
                };
                let claims = self.carry_out(exchange).await?;
                Ok(Vouched { claims, end: clock::unix_ms() / 1000 + self.settings.session.as_secs() })
            }
            (Some("access_denied"), _) => Err(LoginOutcome::Denied),
            (Some(_), _) | (None, None) => Err(LoginOutcome::Failed),
        }
    }

    /// Where the provider signs a browser out, if it says so.
    pub(crate) async fn end(self: &Arc<Self>) -> Result<Url, LoginOutcome> {
        self.client().await?.end(&self.root).ok_or(LoginOutcome::NoEnd)
    }

    async fn client(self: &Arc<Self>) -> Result<Arc<provider::Client>, LoginOutcome> {
        let login = Arc::clone(self);
        self.carry_out(async move { login.provider.client().await }).await
    }

    async fn carry_out<T: Send + 'static>(
        &self,
        work: impl Future<Output = Result<T, LoginOutcome>> + Send + 'static,
    ) -> Result<T, LoginOutcome> {
        self.tasks.spawn(work).await.unwrap_or(Err(LoginOutcome::Failed))
    }
}
