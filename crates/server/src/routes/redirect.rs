//! The port of plain HTTP beside one with TLS: it sends browsers there, answers the challenges of an authority, and does nothing
//! else.
//!
//! What was sent to it was sent in the clear: only what asks for a page is sent on, so that whoever has a wrong address in a
//! program learns of it.

use std::net::SocketAddr;
use std::sync::Arc;

use axum::Router;
use axum::extract::{Path, Request, State};
use axum::response::{IntoResponse, Response};
use axum::routing::get;
use http::header::{AUTHORIZATION, CONNECTION, CONTENT_TYPE, HOST, LOCATION, UPGRADE};
use http::{HeaderMap, HeaderValue, Method, StatusCode, Uri};

use crate::app::App;
use crate::{host, problem};

const HTTPS: u16 = 443;

/// A token in a query.
const TOKEN: &str = "access_token=";

/// What the handler knows.
struct Beside {
    app: Arc<App>,
    /// Where the public listener is.
    port: u16,
}

/// The routes of the listener on `address`, which sends on to `port`.
pub(crate) fn router(app: &Arc<App>, address: SocketAddr, port: u16) -> Router {
    let beside = Arc::new(Beside { app: Arc::clone(app), port });
    let routes = Router::new().fallback(send_on).with_state(Arc::clone(&beside));
    let routes = host::guarded(routes, address, &app.settings.allowed_origins, &app.metrics);
    // An authority asks by the name that it wants to see.
    Router::new()
        .route("/.well-known/acme-challenge/{token}", get(challenge))
        .with_state(beside)
        .fallback_service(routes)
}

/// The file that an authority asks for (RFC 8555, 8.3).
async fn challenge(State(beside): State<Arc<Beside>>, Path(token): Path<String>) -> Response {
    match beside.app.acme_tokens.content(&token) {
        Some(content) => ([(CONTENT_TYPE, "application/octet-stream")], content).into_response(),
        None => problem::not_found().await,
    }
}

async fn send_on(State(beside): State<Arc<Beside>>, request: Request) -> Response {
    let mut response = answer(&beside, &request);
    response.headers_mut().insert(CONNECTION, HeaderValue::from_static("close"));
    response
}

fn answer(beside: &Beside, request: &Request) -> Response {
    let headers = request.headers();
    // A program that sends its token in the clear is to notice that.
    let has_token =
        headers.contains_key(AUTHORIZATION) || request.uri().query().is_some_and(|query| query.contains(TOKEN));
    let is_plain = !headers.contains_key(UPGRADE) && !has_token;
    let asks = matches!(*request.method(), Method::GET | Method::HEAD) && is_plain;
    if !asks {
        beside.app.metrics.refused_with("tls_needed");
        let text = "This port is without TLS, and takes nothing: connect by https or wss";
        return problem::problem(StatusCode::FORBIDDEN, "tls_needed", text);
    }
    match location(request.headers(), request.uri(), beside.port) {
        Some(location) => (StatusCode::PERMANENT_REDIRECT, [(LOCATION, location)]).into_response(),
        None => problem::bad_host(),
    }
}

/// The same by TLS.
fn location(headers: &HeaderMap, uri: &Uri, port: u16) -> Option<HeaderValue> {
    let (host, _) = host::split(headers.get(HOST)?.as_bytes())?;
    let path = uri.path_and_query().map_or("/", |path| path.as_str());
    if !path.starts_with('/') {
        return None;
    }
    let port = if port == HTTPS { String::new() } else { format!(":{port}") };
    HeaderValue::try_from(format!("https://{host}{port}{path}")).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn location(host: &str, target: &str, port: u16) -> Option<String> {
        let headers = [(HOST, HeaderValue::from_str(host).expect("a value"))].into_iter().collect();
        let location = super::location(&headers, &target.parse().expect("a target"), port)?;
        Some(location.to_str().expect("text").to_owned())
    }

    #[test]
    fn it_is_the_same_host_path_and_query_at_the_port_with_tls() {
        let at = |host: &str, target: &str, port| location(host, target, port).unwrap_or_default();
        assert_eq!(at("a.example", "/", 443), "https://a.example/");
        assert_eq!(at("A.example:80", "/x?y=%2F&z", 443), "https://a.example/x?y=%2F&z");
        assert_eq!(at("a.example:8080", "/x", 8443), "https://a.example:8443/x");
        assert_eq!(at("[::1]:80", "//evil.example/", 443), "https://[::1]//evil.example/");
        assert_eq!(at("a.example", "http://evil.example/x", 443), "https://a.example/x");
    }

    #[test]
    fn what_names_no_host_is_sent_nowhere() {
        for host in ["", "a b", "user@a.example", "a.example/x", "a.example:x", "a.example\\@b"] {
            assert_eq!(location(host, "/", 443), None, "{host}");
        }
    }
}
