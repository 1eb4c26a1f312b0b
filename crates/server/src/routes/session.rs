//! `/api/v1/session`: signing in and out of our own pages.
//!
//! POST with a token (`Authorization: Bearer`) puts it into a cookie that only the browser reads, DELETE takes it out. There is no
//! session on the server: the cookie is the token, and is as good as that.

use std::sync::Arc;

use axum::extract::{Extension, State};
use axum::response::{IntoResponse, Response};
use http::header::{AUTHORIZATION, CACHE_CONTROL, ORIGIN, SET_COOKIE};
use http::{HeaderMap, HeaderValue, StatusCode};

use crate::app::App;
use crate::caller::Caller;
use crate::gate::{PLAIN_COOKIE, SECURE_COOKIE};
use crate::problem;

/// Signs in. The request was recognised; what it came with is what the cookie will hold.
pub(crate) async fn begin(
    State(app): State<Arc<App>>,
    Extension(caller): Extension<Caller>,
    headers: HeaderMap,
) -> Response {
    let token =
        headers.get(AUTHORIZATION).and_then(|value| value.to_str().ok()).and_then(|value| value.split_once(' '));
    let Some((_, token)) = token.filter(|_| caller.principal().is_some()) else {
        return problem::problem(StatusCode::BAD_REQUEST, "token_missing", "Sign in with Authorization: Bearer TOKEN");
    };
    cookie(&app, &headers, token.trim(), "")
}

/// Signs out.
pub(crate) async fn end(State(app): State<Arc<App>>, headers: HeaderMap) -> Response {
    cookie(&app, &headers, "", "; Max-Age=0")
}

fn cookie(app: &App, headers: &HeaderMap, value: &str, more: &str) -> Response {
    let page = headers.get(ORIGIN).and_then(|value| value.to_str().ok()).unwrap_or_default();
    let is_secure = app.settings.tls.is_some() || page.starts_with("https://");
    let (name, secure) = if is_secure { (SECURE_COOKIE, "; Secure") } else { (PLAIN_COOKIE, "") };
    let cookie = format!("{name}={value}; Path=/; HttpOnly; SameSite=Strict{secure}{more}");
    match HeaderValue::try_from(cookie) {
        // What would end the value of a cookie ends a token, too: RFC 6265 4.1.1.
        Ok(mut cookie) if !value.contains([';', '"', '\\', ',']) => {
            cookie.set_sensitive(true);
            (StatusCode::NO_CONTENT, [(SET_COOKIE, cookie), (CACHE_CONTROL, HeaderValue::from_static("no-store"))])
                .into_response()
        }
        _ => problem::problem(StatusCode::BAD_REQUEST, "token_malformed", "The token has characters that no token has"),
    }
}
