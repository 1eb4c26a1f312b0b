//! Finds out whose token it is from somebody else: an issuer that may have new keys, or the hook.

use std::future::Future;
use std::net::IpAddr;
use std::pin::Pin;
use std::time::Duration;

use cuttlebone_access::{Denied, Token, WantedKey};

use super::hook::{Hook, Outcome};
use super::{Unchecked, Unrecognised};
use crate::app::App;
use crate::caller::Caller;
use crate::link::Link;

/// To begin a fetch and to use what it brought takes so much more than the fetch.
const MARGIN: Duration = Duration::from_secs(1);

type Asked<'a> = Pin<Box<dyn Future<Output = Result<Caller, Unrecognised>> + Send + 'a>>;

/// Whose token it is that was `denied`, as far as somebody else may know. Boxed, so that who has to ask nobody has no room for it.
pub(super) fn ask<'a>(app: &'a App, link: Option<&'a Link>, token: &'a Token, denied: Denied) -> Asked<'a> {
    if let Some(hook) = app.gate.hook_for(token, denied) {
        return Box::pin(ask_hook(app, link, token, hook));
    }
    let wanted = match denied {
        Denied::Key | Denied::KeysAwaited => app.gate.access().wanted_key(token),
        _ => None,
    };
    match wanted {
        Some(key) => Box::pin(wait_for_key(app, link, token, key)),
        None => Box::pin(std::future::ready(Err(Unrecognised::Denied(denied)))),
    }
}

async fn ask_hook(app: &App, link: Option<&Link>, token: &Token, hook: &Hook) -> Result<Caller, Unrecognised> {
    let guess = Guess::new(app, link);
    let outcome = held(app, link, hook.ask(token, link.map(|link| link.peer.ip()), &app.metrics)).await;
    guess.answered();
    match outcome {
        Some(Outcome::Recognised(principal)) if app.gate.access().is_still_good(&principal) => {
            Ok(Caller::known(principal))
        }
        Some(Outcome::Recognised(_)) => Err(Unrecognised::Denied(Denied::Revoked)),
        Some(Outcome::Denied) => Err(Unrecognised::Denied(Denied::Hook)),
        Some(Outcome::Failed) | None => Err(Unrecognised::Unknown(Unchecked::Hook)),
    }
}

/// Somebody waits for an answer that may be that it guessed wrong. Who hangs up before it comes has failed.
pub(crate) struct Guess<'a> {
    app: &'a App,
    address: Option<IpAddr>,
}

impl<'a> Guess<'a> {
    pub(crate) fn new(app: &'a App, link: Option<&Link>) -> Self {
        Self { app, address: link.map(|link| link.peer.ip()) }
    }

    /// It waited: what the answer was is counted by whoever tells it.
    pub(crate) fn answered(mut self) {
        self.address = None;
    }
}

impl Drop for Guess<'_> {
    fn drop(&mut self) {
        if let Some(address) = self.address {
            self.app.gate.throttle.failed(address);
        }
    }
}

async fn wait_for_key(app: &App, link: Option<&Link>, token: &Token, key: WantedKey) -> Result<Caller, Unrecognised> {
    let longest = app.settings.fetch.timeout + MARGIN;
    if held(app, link, app.gate.jwks.fetched_for(&key, longest)).await == Some(false) {
        app.metrics.key_not_fetched();
    }
    // It is a JWT, wherever it stood.
    app.gate.authenticate(token, false, &app.metrics).map_err(|denied| match denied {
        Denied::KeysAwaited => Unrecognised::Unknown(Unchecked::Keys),
        denied => Unrecognised::Denied(denied),
    })
}

/// Waits for what others say, while the peer is not to blame for the time that takes. Nothing if the server stops.
async fn held<T>(app: &App, link: Option<&Link>, answer: impl Future<Output = T>) -> Option<T> {
    if let Some(link) = link {
        link.set_held();
    }
    app.tasks.stopping.run_until_cancelled(answer).await
}
