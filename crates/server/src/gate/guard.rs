//! What a request that is not recognised is told.

use std::sync::Arc;

use axum::extract::{Request, State};
use axum::middleware::Next;
use axum::response::Response;
use http::header::WWW_AUTHENTICATE;
use http::{HeaderValue, StatusCode};
use tokio::time::sleep;

use super::{Unrecognised, recognise};
use crate::app::App;
use crate::audit::{Entry, Event};
use crate::caller::OtherTenant;
use crate::link::Link;
use crate::origin::{self, Scheme};
use crate::problem;

const CHALLENGE: HeaderValue = HeaderValue::from_static("Bearer realm=\"cuttlebone\"");

/// Lets a request through that is recognised, with its [`crate::caller::Caller`] in the extensions. It is not of a page of another
/// site, and where it changes something a cookie counts only if the browser says which page it is (invariant 4).
pub(crate) async fn require(State(app): State<Arc<App>>, mut request: Request, next: Next) -> Response {
    let link = request.extensions().get::<Arc<Link>>().cloned();
    let is_change = !request.method().is_safe();
    let scheme = link.as_ref().map_or(Scheme::Any, |link| link.scheme);
    // Of what it loads a page can't read anything, but learns whether it is there.
    if origin::is_of_another_site(request.headers(), &app.settings.allowed_origins, scheme) {
        app.metrics.refused_with("origin_not_allowed");
        app.audit.note(&refusal(link.as_ref()).refused("origin_not_allowed"));
        return problem::origin_not_allowed();
    }
    match recognise(&app, link.as_deref(), (request.headers(), request.uri()), is_change).await {
        Ok(caller) => match caller.clone().in_tenant(request.uri().query()) {
            Ok(caller) => {
                request.extensions_mut().insert(caller);
                next.run(request).await
            }
            Err(OtherTenant) => {
                app.metrics.refused_with("forbidden");
                app.audit.note(&refusal(link.as_ref()).refused("forbidden").who(&caller));
                problem::other_tenant()
            }
        },
        Err(reason) => unauthenticated(&app, link.as_deref(), reason).await,
    }
}

fn refusal(link: Option<&Arc<Link>>) -> Entry<'static> {
    let refusal = Entry::new(Event::Refusal);
    link.map_or(refusal.clone(), |link| refusal.from(link.peer))
}

/// 401, slowly where the address has failed often; 503 where it is not known whether the credential is good.
pub(crate) async fn unauthenticated(app: &App, link: Option<&Link>, reason: Unrecognised) -> Response {
    app.metrics.refused_with(reason.label());
    let refusal = Entry::new(Event::Refusal).refused(reason.label());
    app.audit.note(&link.map_or(refusal.clone(), |link| refusal.from(link.peer)));
    if let Unrecognised::Unknown(_) = reason {
        return problem::unavailable("token_unchecked", &reason.to_string());
    }
    // Whoever presents nothing guesses nothing.
    if let Some(link) = link.filter(|_| reason.is_guess()) {
        tracing::info!(peer = %link.peer, reason = reason.label(), "not recognised");
        hold_back(app, link).await;
    }
    let mut response = problem::problem(StatusCode::UNAUTHORIZED, "unauthenticated", &reason.to_string());
    response.headers_mut().insert(WWW_AUTHENTICATE, CHALLENGE);
    response
}

/// Lets somebody who has failed wait, where the address has failed often.
pub(crate) async fn hold_back(app: &App, link: &Link) {
    let delay = app.gate.throttle.failed(link.peer.ip());
    if !delay.is_zero() {
        app.metrics.slowed();
        link.set_held();
        let _ = app.tasks.stopping.run_until_cancelled(sleep(delay)).await;
    }
}
