//! The web UI and the JavaScript SDK, embedded at build time.
//!
//! Invariant: a file is found by comparing the whole path as it was sent with the names in the table. Nothing is decoded,
//! joined or looked up on a disk, so there is no path to walk out of.

use axum::extract::Request;
use axum::response::{IntoResponse, Response};
use http::header::{ALLOW, CACHE_CONTROL, CONTENT_TYPE, ETAG, IF_NONE_MATCH};
use http::{HeaderMap, HeaderValue, Method, StatusCode};

use crate::problem;

/// One embedded file.
#[derive(Debug)]
struct Asset {
    path: &'static str,
    content_type: &'static str,
    etag: &'static str,
    body: &'static [u8],
}

// `const ASSETS: &[Asset]`, sorted by path.
include!(concat!(env!("OUT_DIR"), "/assets.rs"));

const INDEX: &str = "/index.html";

/// Answers every path that is no route.
pub(crate) async fn serve(request: Request) -> Response {
    let Some(asset) = find(request.uri().path()) else { return problem::not_found().await };
    if !matches!(*request.method(), Method::GET | Method::HEAD) {
        let mut response = problem::method_not_allowed().await;
        response.headers_mut().insert(ALLOW, HeaderValue::from_static("GET, HEAD"));
        return response;
    }
    asset.response(request.headers())
}

/// Whether there is a page at this path below the root.
pub(crate) fn is_page(path: &str) -> bool {
    find(&format!("/{path}")).is_some_and(|asset| asset.content_type.starts_with("text/html"))
}

fn find(path: &str) -> Option<&'static Asset> {
    let path = if path == "/" { INDEX } else { path };
    let index = ASSETS.binary_search_by(|asset| asset.path.cmp(path)).ok()?;
    ASSETS.get(index)
}

impl Asset {
    fn response(&self, request: &HeaderMap) -> Response {
        let headers = [(CONTENT_TYPE, self.content_type), (CACHE_CONTROL, "no-cache"), (ETAG, self.etag)];
        if request.get_all(IF_NONE_MATCH).iter().any(|value| names(value, self.etag)) {
            (StatusCode::NOT_MODIFIED, headers).into_response()
        } else {
            (headers, self.body).into_response()
        }
    }
}

/// True if a value of `If-None-Match` names `etag`, weakly compared.
fn names(value: &HeaderValue, etag: &str) -> bool {
    let Ok(value) = value.to_str() else { return false };
    value.split(',').map(str::trim).any(|one| one == "*" || one.strip_prefix("W/").unwrap_or(one) == etag)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn table_is_sorted_and_every_path_begins_with_a_slash() {
        assert!(ASSETS.is_sorted_by(|a, b| a.path < b.path));
        assert!(ASSETS.iter().all(|asset| asset.path.starts_with('/')));
    }

    #[test]
    fn etag_matches_alone_in_a_list_and_weakly() {
        let named = |value: &'static str| names(&HeaderValue::from_static(value), "\"abc\"");
        assert!(named("\"abc\"") && named("\"x\", \"abc\"") && named("W/\"abc\"") && named("*"));
        assert!(!named("abc") && !named("\"abcd\"") && !named(""));
    }
}
