//! The handlers, one file for each topic.

pub(crate) mod admin;
pub(crate) mod assets;
pub(crate) mod devices;
pub(crate) mod events;
pub(crate) mod health;
pub(crate) mod leases;
pub(crate) mod login;
pub(crate) mod redirect;
pub(crate) mod session;
pub(crate) mod upgrade;
pub(crate) mod whoami;

use axum::response::{IntoResponse, Response};
use http::header::CACHE_CONTROL;
use http::{HeaderValue, StatusCode};

/// How much of a peer's text a log line shows, in characters.
const LOGGED_CHARS: usize = 256;

/// Done, and nothing to say.
fn no_content() -> Response {
    let mut response = StatusCode::NO_CONTENT.into_response();
    response.headers_mut().insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
    response
}

/// Text of a peer as a log shows it: escaped by the log, and cut.
fn cut(text: &str) -> tracing::field::DebugValue<String> {
    tracing::field::debug(text.chars().take(LOGGED_CHARS).collect())
}
