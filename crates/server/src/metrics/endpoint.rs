//! The listener of `/metrics`, apart from the public one.
//!
//! It answers until the last connection of a stopping server is gone, so that a drain can be watched: `/readyz` is here too.
//! On loopback it is for this machine: a browser that was sent here under another name gets nothing.

use std::sync::Arc;

use axum::Router;
use axum::extract::{Request, State};
use axum::middleware::{self, Next};
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use http::header::{CACHE_CONTROL, CONTENT_TYPE};

use crate::app::App;
use crate::routes::health;
use crate::{host, problem};

/// The routes of the metrics listener.
pub(crate) fn router(app: Arc<App>) -> Router {
    let is_loopback = app.settings.metrics_listen.is_some_and(|address| address.ip().to_canonical().is_loopback());
    let routes = Router::new()
        .route("/metrics", get(metrics))
        .route("/livez", get(health::livez))
        .route("/readyz", get(health::readyz))
        .fallback(problem::not_found)
        .method_not_allowed_fallback(problem::method_not_allowed)
        .with_state(app);
    if is_loopback { routes.layer(middleware::from_fn(local_only)) } else { routes }
}

async fn local_only(request: Request, next: Next) -> Response {
    if host::is_local(request.uri(), request.headers()) { next.run(request).await } else { problem::misdirected() }
}

async fn metrics(State(app): State<Arc<App>>) -> impl IntoResponse {
    let headers =
        [(CONTENT_TYPE, "application/openmetrics-text; version=1.0.0; charset=utf-8"), (CACHE_CONTROL, "no-store")];
    app.metrics.set_assembling(app.assembly.bytes());
    (headers, app.metrics.render(app.registry.counts()))
}
