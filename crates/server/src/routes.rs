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

use axum::extract::{FromRequestParts, Path};
use axum::response::{IntoResponse, Response};
use http::header::{CACHE_CONTROL, CONTENT_TYPE};
use http::request::Parts;
use http::{HeaderValue, StatusCode};

use crate::problem;

/// The `{id}` of a path, whatever it is. One that is no text is as a path that is not there.
pub(crate) struct PathId(String);

impl<S: Send + Sync> FromRequestParts<S> for PathId {
    type Rejection = Response;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, Response> {
        match Path::from_request_parts(parts, state).await {
            Ok(Path(id)) => Ok(Self(id)),
            Err(_) => Err(problem::not_found().await),
        }
    }
}

fn json(body: impl IntoResponse) -> Response {
    let headers = [(CONTENT_TYPE, "application/json"), (CACHE_CONTROL, "no-store")];
    (headers, body).into_response()
}

/// Done, and nothing to say.
fn no_content() -> Response {
    let mut response = StatusCode::NO_CONTENT.into_response();
    response.headers_mut().insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
    response
}
