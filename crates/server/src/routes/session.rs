//! `/api/v1/session`: signing in and out of our own pages.
//!
//! POST with a token (`Authorization: Bearer`) puts it into a cookie that only the browser reads, DELETE takes it out. There is no
//! session on the server: the cookie is the token, and is as good as that.

use std::sync::Arc;

use axum::extract::Extension;
use axum::response::{IntoResponse, Response};
use http::header::{AUTHORIZATION, CACHE_CONTROL, SET_COOKIE};
use http::{HeaderMap, HeaderValue, StatusCode};

use crate::caller::Caller;
use crate::gate::{PLAIN_COOKIE, SECURE_COOKIE};
use crate::link::Link;
use crate::problem;

/// Signs in. The request was recognised; what it came with is what the cookie will hold.
pub(crate) async fn begin(
    Extension(link): Extension<Arc<Link>>,
    Extension(caller): Extension<Caller>,
    headers: HeaderMap,
) -> Response {
    let token =
        headers.get(AUTHORIZATION).and_then(|value| value.to_str().ok()).and_then(|value| value.split_once(' '));
    let Some((_, token)) = token.filter(|_| caller.principal().is_some()) else {
        return problem::problem(StatusCode::BAD_REQUEST, "token_missing", "Sign in with Authorization: Bearer TOKEN");
    };
    let is_secure = link.scheme.is_https(&headers);
    // What would end the value of a cookie ends a token, too: RFC 6265 4.1.1.
    let token = token.trim();
    match cookie(is_secure, token, "").filter(|_| !token.contains([';', '"', '\\', ','])) {
        Some(cookie) => set([cookie]),
        None => {
            problem::problem(StatusCode::BAD_REQUEST, "token_malformed", "The token has characters that no token has")
        }
    }
}

/// Signs out, whichever of the two there is.
pub(crate) async fn end() -> Response {
    set([true, false].into_iter().filter_map(|is_secure| cookie(is_secure, "", "; Max-Age=0")))
}

/// The cookie of a session.
pub(super) fn cookie(is_secure: bool, value: &str, more: &str) -> Option<HeaderValue> {
    let (name, secure) = if is_secure { (SECURE_COOKIE, "; Secure") } else { (PLAIN_COOKIE, "") };
    let text = format!("{name}={value}; Path=/; HttpOnly; SameSite=Strict{secure}{more}");
    let mut cookie = HeaderValue::try_from(text).ok()?;
    cookie.set_sensitive(true);
    Some(cookie)
}

fn set(cookies: impl IntoIterator<Item = HeaderValue>) -> Response {
    let mut response = StatusCode::NO_CONTENT.into_response();
    response.headers_mut().insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
    for cookie in cookies {
        response.headers_mut().append(SET_COOKIE, cookie);
    }
    response
}
