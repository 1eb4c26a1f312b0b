//! Who is there, and which ICE servers to use.

use std::sync::Arc;

use axum::extract::rejection::PathRejection;
use axum::extract::{Path, State};
use axum::response::{IntoResponse, Response};
use cuttlebone_proto::limits::ECHOED_CHARS;
use http::StatusCode;
use http::header::{CACHE_CONTROL, CONTENT_TYPE};

use crate::app::App;
use crate::{listing, problem};

/// `GET /infra_config`: the same text as the `config` message.
pub(crate) async fn infra_config(State(app): State<Arc<App>>) -> Response {
    json(app.registry.config().to_string())
}

/// `GET /devices`.
pub(crate) async fn list(State(app): State<Arc<App>>) -> Response {
    json(app.listings.current(&app.registry).await.array())
}

/// `GET /devices/{id}`.
pub(crate) async fn one(State(app): State<Arc<App>>, id: Result<Path<String>, PathRejection>) -> Response {
    let Ok(Path(id)) = id else { return problem::not_found().await };
    match app.registry.find(&id) {
        Some(device) => json(listing::detail(&device)),
        None => device_not_found(&id),
    }
}

fn device_not_found(id: &str) -> Response {
    let shown: String = id.chars().take(ECHOED_CHARS).collect();
    problem::problem(StatusCode::NOT_FOUND, "device_not_found", &format!("Device not found: '{shown}'"))
}

fn json(body: impl IntoResponse) -> Response {
    let headers = [(CONTENT_TYPE, "application/json"), (CACHE_CONTROL, "no-store")];
    (headers, body).into_response()
}
