//! What a request that is not recognised is told.

use std::sync::Arc;

use axum::extract::{Request, State};
use axum::middleware::Next;
use axum::response::Response;
use http::header::WWW_AUTHENTICATE;
use http::{HeaderValue, StatusCode};
use tokio::time::sleep;

use super::Unrecognised;
use crate::app::App;
use crate::audit::{Entry, Event};
use crate::link::Link;
use crate::problem;

const CHALLENGE: HeaderValue = HeaderValue::from_static("Bearer realm=\"cuttlebone\"");

/// Lets a request through that is recognised, with its [`crate::caller::Caller`] in the extensions.
pub(crate) async fn require(State(app): State<Arc<App>>, mut request: Request, next: Next) -> Response {
    match app.gate.recognise(request.headers(), request.uri()) {
        Ok(caller) => {
            request.extensions_mut().insert(caller);
            next.run(request).await
        }
        Err(reason) => {
            let link = request.extensions().get::<Arc<Link>>().cloned();
            unauthenticated(&app, link.as_deref(), reason).await
        }
    }
}

/// 401, slowly where the address has failed often.
pub(crate) async fn unauthenticated(app: &App, link: Option<&Link>, reason: Unrecognised) -> Response {
    app.metrics.refused_with(reason.label());
    let refusal = Entry::new(Event::Refusal).refused(reason.label());
    app.audit.note(&link.map_or(refusal.clone(), |link| refusal.from(link.peer)));
    // Whoever presents nothing guesses nothing.
    if let Some(link) = link.filter(|_| reason != Unrecognised::Missing) {
        tracing::info!(peer = %link.peer, reason = reason.label(), "not recognised");
        let delay = app.gate.throttle.failed(link.peer.ip());
        if !delay.is_zero() {
            app.metrics.slowed();
            link.set_held();
            let _ = app.tasks.stopping.run_until_cancelled(sleep(delay)).await;
        }
    }
    let mut response = problem::problem(StatusCode::UNAUTHORIZED, "unauthenticated", &reason.to_string());
    response.headers_mut().insert(WWW_AUTHENTICATE, CHALLENGE);
    response
}
