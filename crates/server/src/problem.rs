//! Errors over HTTP: a fixed text and its stable word, never a detail of the server.

use axum::Json;
use axum::response::{IntoResponse, Response};
use http::header::{CACHE_CONTROL, RETRY_AFTER};
use http::{HeaderValue, StatusCode};
use serde::Serialize;

#[derive(Serialize)]
struct Problem<'a> {
    error: &'a str,
    cuttlebone_code: &'a str,
}

/// An answer with `status` and `{"error":text,"cuttlebone_code":code}`.
pub(crate) fn problem(status: StatusCode, code: &'static str, text: &str) -> Response {
    (status, [(CACHE_CONTROL, "no-store")], Json(Problem { error: text, cuttlebone_code: code })).into_response()
}

pub(crate) async fn not_found() -> Response {
    problem(StatusCode::NOT_FOUND, "not_found", "Not found")
}

pub(crate) async fn method_not_allowed() -> Response {
    problem(StatusCode::METHOD_NOT_ALLOWED, "method_not_allowed", "Method not allowed")
}

/// No route of ours reads a body.
pub(crate) fn body_not_accepted() -> Response {
    problem(StatusCode::PAYLOAD_TOO_LARGE, "body_not_accepted", "No request body is accepted here")
}

/// 503 that names a time to come back.
pub(crate) fn unavailable(code: &'static str, text: &str) -> Response {
    let mut response = problem(StatusCode::SERVICE_UNAVAILABLE, code, text);
    response.headers_mut().insert(RETRY_AFTER, HeaderValue::from_static(RETRY_AFTER_SECONDS));
    response
}

/// When somebody who was turned away may come back, in seconds.
pub(crate) const RETRY_AFTER_SECONDS: &str = "5";
