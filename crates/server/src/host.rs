//! Which host a request says it is for.
//!
//! A web page can give its own name the address of a listener that only this machine reaches, and read it as its own site
//! (DNS rebinding). The browser still sends that name.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::sync::Arc;

use axum::Router;
use axum::extract::{Request, State};
use axum::middleware::{self, Next};
use axum::response::Response;
use http::header::HOST;
use http::request::Parts;
use http::uri::Authority;
use http::{HeaderMap, Uri, Version};

use crate::metrics::Metrics;
use crate::origin::Origin;
use crate::{problem, settings};

/// What a listener that only this machine reaches is asked under, besides its address and localhost.
#[derive(Debug)]
struct Guard {
    also: Vec<Origin>,
    metrics: Arc<Metrics>,
}

/// `routes`, kept from what is for another host if `listen` is loopback; the hosts of `also` are none.
pub(crate) fn guarded(routes: Router, listen: SocketAddr, also: &[Origin], metrics: &Arc<Metrics>) -> Router {
    if !settings::is_loopback(listen) {
        return routes;
    }
    let guard = Guard { also: also.to_vec(), metrics: Arc::clone(metrics) };
    routes.layer(middleware::from_fn_with_state(Arc::new(guard), local_only))
}

async fn local_only(State(guard): State<Arc<Guard>>, request: Request, next: Next) -> Response {
    if is_local(request.uri(), request.headers(), &guard.also) {
        return next.run(request).await;
    }
    guard.metrics.refused_with("misdirected");
    problem::misdirected()
}

/// True if the request names its host as RFC 9112 3.2 asks: once, since HTTP/1.1 has it.
pub(crate) fn is_well_formed(request: &Parts) -> bool {
    let mut values = request.headers.get_all(HOST).iter();
    match (values.next(), values.next()) {
        (None, _) => request.version < Version::HTTP_11,
        (Some(only), None) => only.is_empty() || authority(only.as_bytes()).is_some(),
        (Some(_), Some(_)) => false,
    }
}

/// True if every host that the request names is an address, this machine or of `also`, so that no page can have made it its
/// own. One that names none comes from no browser.
fn is_local(uri: &Uri, headers: &HeaderMap, also: &[Origin]) -> bool {
    let is_ours = |host: &str| {
        is_address(host) || is_localhost(host) || also.iter().any(|origin| origin.host().eq_ignore_ascii_case(host))
    };
    let named = headers.get_all(HOST).iter().filter(|value| !value.is_empty());
    named
        .map(|value| authority(value.as_bytes()))
        .chain(uri.authority().cloned().map(Some))
        .all(|authority| authority.is_some_and(|authority| is_ours(authority.host())))
}

/// The host in lower case, and the port if there is one.
pub(crate) fn split(value: &[u8]) -> Option<(String, Option<u16>)> {
    let authority = authority(value)?;
    let host = authority.host();
    let is_name = !host.is_empty() && host.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"-._".contains(&byte));
    let rest = authority.as_str().get(host.len()..)?;
    let digits = rest.strip_prefix(':');
    if !rest.is_empty() && !digits.is_some_and(|digits| digits.bytes().all(|byte| byte.is_ascii_digit())) {
        return None;
    }
    let port = digits.map(str::parse).transpose().ok()?;
    (is_name || is_address(host)).then(|| (host.to_ascii_lowercase(), port))
}

/// Whether the request names localhost. What a browser is told of that name holds for every server of its machine.
pub(crate) fn is_for_localhost(headers: &HeaderMap) -> bool {
    let named = headers.get(HOST).and_then(|value| authority(value.as_bytes()));
    named.is_some_and(|authority| is_localhost(authority.host()))
}

/// Whether the request names this machine: browsers take for safe what comes by plain HTTP from there.
pub(crate) fn is_for_this_machine(headers: &HeaderMap) -> bool {
    let named = headers.get(HOST).and_then(|value| split(value.as_bytes()));
    named.is_some_and(|(host, _)| {
        let address = host.trim_start_matches('[').trim_end_matches(']').parse::<IpAddr>();
        is_localhost(&host) || address.is_ok_and(|address| address.is_loopback())
    })
}

fn authority(value: &[u8]) -> Option<Authority> {
    Authority::try_from(value).ok().filter(|authority| !authority.as_str().contains('@'))
}

fn is_localhost(host: &str) -> bool {
    host.eq_ignore_ascii_case("localhost") || host.eq_ignore_ascii_case("localhost.")
}

fn is_address(host: &str) -> bool {
    let inside = host.strip_prefix('[').and_then(|host| host.strip_suffix(']'));
    inside.map_or_else(|| host.parse::<Ipv4Addr>().is_ok(), |host| host.parse::<Ipv6Addr>().is_ok())
}

#[cfg(test)]
mod tests {
    use super::*;
    use http::Request;

    fn request(version: Version, uri: &str, hosts: &[&[u8]]) -> Parts {
        let mut builder = Request::builder().version(version).uri(uri);
        for host in hosts {
            builder = builder.header(HOST, *host);
        }
        builder.body(()).expect("a request").into_parts().0
    }

    #[test]
    fn http_1_1_names_its_host_once() {
        let good = |version, hosts: &[&[u8]]| is_well_formed(&request(version, "/", hosts));
        for host in ["x", "", "127.0.0.1:8080", "[::1]:8080", "my_host.example.:1"] {
            assert!(good(Version::HTTP_11, &[host.as_bytes()]), "{host}");
        }
        assert!(good(Version::HTTP_10, &[]) && good(Version::HTTP_10, &[b"x"]));
        assert!(!good(Version::HTTP_11, &[]));
        for version in [Version::HTTP_10, Version::HTTP_11] {
            assert!(!good(version, &[b"x", b"x"]) && !good(version, &[b"", b"x"]));
            for host in [b"a b".as_slice(), b"a@b", b"a/b", b"\xff"] {
                assert!(!good(version, &[host]), "{host:?}");
            }
        }
    }

    #[test]
    fn only_addresses_and_localhost_are_local() {
        let local = |uri: &str, host: &str| {
            let request = request(Version::HTTP_11, uri, &[host.as_bytes()]);
            let also = [Origin::new("https://console.example:8443").expect("an origin")];
            is_local(&request.uri, &request.headers, &also)
        };
        for host in ["127.0.0.1", "127.0.0.1:9090", "10.0.0.7:1", "[::1]:9090", "[fe80::1]", "LocalHost:9090", ""] {
            assert!(local("/", host), "{host}");
        }
        for host in
            ["evil.example", "127.0.0.1.evil.example:9090", "localhost.evil.example", "2130706433", "[x]", "::1"]
        {
            assert!(!local("/", host), "{host}");
        }
        assert!(local("/", "Console.example") && local("/", "console.example:1"), "what an allowed origin names");
        assert!(!local("/", "x.console.example"));
        assert!(local("http://localhost/metrics", "127.0.0.1"));
        assert!(!local("http://evil.example/metrics", "127.0.0.1") && !local("http://127.0.0.1/", "evil.example"));
    }
}
