//! Errors over HTTP: a fixed text and its stable word, never a detail of the server.

use axum::response::{IntoResponse, Response};
use cuttlebone_proto::encode;
use http::header::{self, CACHE_CONTROL, CONTENT_TYPE};
use http::{HeaderValue, StatusCode};

use crate::metrics::Refusal;

/// The least and the most that somebody who was turned away is told to wait, in seconds.
const RETRY_AFTER: (u16, u16) = (3, 9);

/// An answer with `status` and `{"error":text,"cuttlebone_code":code}`. `text` may repeat what a peer sent.
pub(crate) fn problem(status: StatusCode, code: &'static str, text: &str) -> Response {
    let body = format!(r#"{{"error":{},"cuttlebone_code":"{code}"}}"#, encode::json_text(text));
    (status, [(CACHE_CONTROL, "no-store"), (CONTENT_TYPE, "application/json")], body).into_response()
}

pub(crate) async fn not_found() -> Response {
    problem(StatusCode::NOT_FOUND, "not_found", "Not found")
}

pub(crate) async fn method_not_allowed() -> Response {
    problem(StatusCode::METHOD_NOT_ALLOWED, "method_not_allowed", "Method not allowed")
}

/// The request does not say once, and in a way that can be read, which host it is for.
pub(crate) fn bad_host() -> Response {
    problem(StatusCode::BAD_REQUEST, "bad_host", "A request needs one Host header")
}

/// The request is for a host that this listener is not.
pub(crate) fn misdirected() -> Response {
    let text = "This listener is asked by address or as localhost";
    problem(StatusCode::MISDIRECTED_REQUEST, "misdirected", text)
}

/// The request is from a page of another site.
pub(crate) fn origin_not_allowed() -> Response {
    problem(StatusCode::FORBIDDEN, "origin_not_allowed", "Pages of this origin may not connect")
}

/// One who was recognised asks for what it may not have.
pub(crate) fn forbidden(text: &str) -> Response {
    problem(StatusCode::FORBIDDEN, "forbidden", text)
}

/// One names a tenant that is not its own.
pub(crate) fn other_tenant() -> Response {
    forbidden("This token is of one tenant, and not of this one")
}

/// No route of ours reads a body.
pub(crate) fn body_not_accepted() -> Response {
    problem(StatusCode::PAYLOAD_TOO_LARGE, "body_not_accepted", "No request body is accepted here")
}

/// 503 that names a time to come back.
pub(crate) fn unavailable(code: &'static str, text: &str) -> Response {
    let mut response = problem(StatusCode::SERVICE_UNAVAILABLE, code, text);
    response.headers_mut().insert(header::RETRY_AFTER, HeaderValue::from(retry_after_seconds()));
    response
}

/// 429 or 503 for one whom a bound keeps out.
pub(crate) fn refused(reason: Refusal) -> Response {
    let (status, code, text) = reason.answer();
    let mut response = problem(status, code, text);
    response.headers_mut().insert(header::RETRY_AFTER, HeaderValue::from(retry_after_seconds()));
    response
}

/// 429 that names a time to come back.
pub(crate) fn too_many(text: &str) -> Response {
    let mut response = problem(StatusCode::TOO_MANY_REQUESTS, "rate_limited", text);
    response.headers_mut().insert(header::RETRY_AFTER, HeaderValue::from(retry_after_seconds()));
    response
}

/// When somebody who was turned away may come back: at random, so that all who are do not come back together.
pub(crate) fn retry_after_seconds() -> u16 {
    let mut random = [0_u8; 1];
    // Without random numbers they come back together.
    let _ = getrandom::fill(&mut random);
    RETRY_AFTER.0 + u16::from(random[0]) % (RETRY_AFTER.1 - RETRY_AFTER.0 + 1)
}
