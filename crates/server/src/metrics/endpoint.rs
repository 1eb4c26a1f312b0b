//! The listener of `/metrics`, apart from the public one.
//!
//! It answers until the last connection of a stopping server is gone, so that a drain can be watched: `/readyz` is here too.
//! On loopback it is for this machine: a browser that was sent here under another name gets nothing.

use std::net::SocketAddr;
use std::sync::Arc;

use axum::Router;
use axum::extract::State;
use axum::response::{IntoResponse as _, Response};
use axum::routing::get;
use http::HeaderMap;
use http::header::{CACHE_CONTROL, CONTENT_TYPE};

use crate::app::App;
use crate::routes::health;
use crate::{
    host,
    origin::{self, Scheme},
    problem,
};

/// The routes of the metrics listener, which listens on `address`.
pub(crate) fn router(app: Arc<App>, address: SocketAddr) -> Router {
    let counting = Arc::clone(&app.metrics);
    let routes = Router::new()
        .route("/metrics", get(metrics))
        .route("/livez", get(health::livez))
        .route("/readyz", get(health::readyz))
        .fallback(problem::not_found)
        .method_not_allowed_fallback(problem::method_not_allowed)
        .with_state(app);
    host::guarded(routes, address, &[], &counting)
}

async fn metrics(State(app): State<Arc<App>>, headers: HeaderMap) -> Response {
    // To answer costs some milliseconds where there are many devices: not for what any page has a browser load.
    if origin::is_of_another_site(&headers, &[], Scheme::Any) {
        app.metrics.refused_with("origin_not_allowed");
        return problem::origin_not_allowed();
    }
    let headers =
        [(CONTENT_TYPE, "application/openmetrics-text; version=1.0.0; charset=utf-8"), (CACHE_CONTROL, "no-store")];
    app.metrics.set_assembling(app.assembling.of(None).used());
    app.metrics.set_lists(app.listings.bytes());
    app.metrics.set_leases(app.lease_holders.bytes());
    app.gate.measure(&app.metrics);
    app.metrics.set_audit_lost(app.audit.lost());
    (headers, app.metrics.render(app.registry.counts())).into_response()
}
