//! Which web pages may connect.
//!
//! A browser lets any page open a WebSocket to any server that it reaches, those of its own machine included, and says in
//! `Origin` where the page is from.

use http::header::{HOST, ORIGIN};
use http::{HeaderMap, HeaderName};

use crate::host;

const FETCH_SITE: HeaderName = HeaderName::from_static("sec-fetch-site");
const FETCH_DEST: HeaderName = HeaderName::from_static("sec-fetch-dest");
const PURPOSE: HeaderName = HeaderName::from_static("sec-purpose");

/// Where a page is from: `https://console.example`, and the port if it is not that of the scheme.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Origin {
    is_https: bool,
    host: String,
    port: u16,
}

impl Origin {
    /// Reads `http://HOST`, `https://HOST` or one with `:PORT`, as browsers write it. Anything else is none.
    #[must_use]
    pub fn new(text: &str) -> Option<Self> {
        let (scheme, authority) = text.split_once("://")?;
        let is_https = scheme.eq_ignore_ascii_case("https");
        if !is_https && !scheme.eq_ignore_ascii_case("http") {
            return None;
        }
        let (host, port) = host::split(authority.as_bytes())?;
        Some(Self { is_https, host, port: port.unwrap_or(default_port(is_https)) })
    }

    pub(crate) const fn is_https(&self) -> bool {
        self.is_https
    }

    /// Its host, in lower case.
    pub(crate) fn host(&self) -> &str {
        &self.host
    }

    /// True if the request is for the site that the page is from.
    fn is_asked_for(&self, headers: &HeaderMap, scheme: Scheme) -> bool {
        let asked = headers.get(HOST).and_then(|value| host::split(value.as_bytes()));
        asked.is_some_and(|(host, port)| {
            let port = port.unwrap_or(default_port(self.is_https));
            let is_of_scheme = match scheme {
                Scheme::Https => self.is_https,
                Scheme::Http => !self.is_https,
                Scheme::Any => true,
            };
            is_of_scheme && (host.as_str(), port) == (self.host.as_str(), self.port)
        })
    }
}

/// Whether a browser says that it is another site whose page makes it ask: in `Origin`, or where it names none, in `Sec-Fetch-Site`.
/// Nobody's page (`none`) is meant to say that somebody goes there, and is said as well of what a page has it fetch beforehand, or
/// in the background.
pub(crate) fn is_of_another_site(headers: &HeaderMap, also: &[Origin], scheme: Scheme) -> bool {
    if headers.contains_key(ORIGIN) {
        return !is_allowed(headers, also, scheme);
    }
    headers.get(FETCH_SITE).is_some_and(|site| match site.as_bytes() {
        b"same-origin" => false,
        b"none" => !headers.contains_key(FETCH_DEST) || !is_visit(headers),
        _ => true,
    })
}

/// Whether it is a page of ours that makes a browser ask, as far as it says so: not somebody who came here by an address that was
/// typed, and led on to us by another site.
pub(crate) fn is_of_our_page(headers: &HeaderMap) -> bool {
    headers.get(FETCH_SITE).is_none_or(|site| site.as_bytes() == b"same-origin") && !headers.contains_key(ORIGIN)
}

/// Whether a browser goes there itself, as far as it says so: else it is something that a page loads, and nobody's attempt.
pub(crate) fn is_visit(headers: &HeaderMap) -> bool {
    headers.get(FETCH_DEST).is_none_or(|dest| dest.as_bytes() == b"document") && !headers.contains_key(PURPOSE)
}

/// The scheme that the server's own site has, as a browser sees it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Scheme {
    /// A server that speaks TLS has no page of plain HTTP, and neither has one whose proxy says that it does.
    Https,
    /// The proxy says that it speaks none.
    Http,
    /// A server without TLS may stand behind a proxy that has it and does not say so. And devices in the field say `http` of
    /// whatever server they connect to.
    Any,
}

impl Scheme {
    /// Whether the page that asks came by TLS. Where nobody has said so, it is the page that says where it is from.
    pub(crate) fn is_https(self, headers: &HeaderMap) -> bool {
        match self {
            Self::Https => true,
            Self::Http => false,
            Self::Any => is_of_https(headers),
        }
    }
}

/// Whether the page that asks says that it is one of HTTPS.
pub(crate) fn is_of_https(headers: &HeaderMap) -> bool {
    headers.get(ORIGIN).is_some_and(|origin| origin.as_bytes().starts_with(b"https://"))
}

/// True if the page that asks is the server's own or one of `also`, or if it is no page that asks: native peers send no
/// `Origin`, or name the server itself in it.
pub(crate) fn is_allowed(headers: &HeaderMap, also: &[Origin], scheme: Scheme) -> bool {
    let mut values = headers.get_all(ORIGIN).iter();
    match (values.next(), values.next()) {
        (None, _) => true,
        (Some(only), None) => {
            let origin = only.to_str().ok().and_then(Origin::new);
            origin.is_some_and(|origin| {
                // A host that is named with HTTPS has no other page of ours. One of plain HTTP may be a neighbour.
                let is_named = also.iter().any(|named| named.is_https && named.host == origin.host);
                also.contains(&origin) || (!is_named && origin.is_asked_for(headers, scheme))
            })
        }
        (Some(_), Some(_)) => false,
    }
}

const fn default_port(is_https: bool) -> u16 {
    if is_https { 443 } else { 80 }
}

#[cfg(test)]
mod tests {
    use super::*;
    use http::{HeaderName, HeaderValue};

    fn headers(lines: &[(HeaderName, &str)]) -> HeaderMap {
        let value = |text: &str| HeaderValue::from_bytes(text.as_bytes()).expect("a value");
        lines.iter().map(|(name, text)| (name.clone(), value(text))).collect()
    }

    fn is_allowed(host: &str, origins: &[&str], tls: bool) -> bool {
        let mut lines = vec![(HOST, host)];
        lines.extend(origins.iter().map(|origin| (ORIGIN, *origin)));
        let also = Origin::new("https://console.example").expect("an origin");
        let scheme = if tls { Scheme::Https } else { Scheme::Any };
        super::is_allowed(&headers(&lines), &[also], scheme)
    }

    #[test]
    fn page_of_the_server_itself_and_who_is_no_page_may_connect() {
        for (host, origin) in [
            ("127.0.0.1:8080", "http://127.0.0.1:8080"),
            ("localhost:8080", "http://LocalHost:8080"),
            ("[::1]:8080", "http://[::1]:8080"),
            ("A.example", "http://a.example"),
            ("a.example:80", "http://a.example"),
            ("a.example", "https://a.example:443"),
            ("a.example:443", "https://a.example"),
        ] {
            assert!(is_allowed(host, &[origin], false), "{host} {origin}");
        }
        assert!(is_allowed("127.0.0.1:8080", &[], false) && super::is_allowed(&headers(&[]), &[], Scheme::Https));
    }

    #[test]
    fn page_of_another_site_may_not_connect_unless_it_is_named() {
        for origin in [
            "http://evil.example",
            "http://127.0.0.1",
            "http://127.0.0.1:3000",
            "http://127.0.0.1:8080.evil.example",
            "http://127.0.0.1:8080/",
            "http://a@127.0.0.1:8080",
            "http://127.0.0.1:",
            "http://127.0.0.1:+8080",
            "127.0.0.1:8080",
            "ftp://127.0.0.1:8080",
            "http://console.example",
            "https://console.example:8443",
            "https://x.console.example",
            "null",
            "",
            "http://\u{fc}",
        ] {
            assert!(!is_allowed("127.0.0.1:8080", &[origin], false), "{origin}");
        }
        let own = "http://127.0.0.1:8080";
        assert!(!is_allowed("127.0.0.1:8080", &[own, own], false), "one that says it twice");
        assert!(!is_allowed("", &["http://"], false));
        for origin in ["http://console.example:8080", "https://console.example:8080"] {
            assert!(!is_allowed("console.example:8080", &[origin], false), "{origin}");
        }
        for origin in ["https://console.example", "HTTPS://Console.Example:443"] {
            assert!(is_allowed("127.0.0.1:8080", &[origin], false), "{origin}");
        }
    }

    #[test]
    fn page_of_a_neighbour_that_is_named_leaves_ours_as_it_is() {
        let of = |origin: &str| {
            let also = Origin::new("http://localhost:3000").expect("an origin");
            super::is_allowed(&headers(&[(HOST, "localhost:8080"), (ORIGIN, origin)]), &[also], Scheme::Any)
        };
        assert!(of("http://localhost:3000") && of("http://localhost:8080") && !of("http://localhost:4000"));
    }

    #[test]
    fn server_of_tls_has_no_page_of_plain_http() {
        assert!(is_allowed("a.example", &["https://a.example"], true));
        assert!(!is_allowed("a.example", &["http://a.example"], true));
        assert!(!is_allowed("a.example:8443", &["http://a.example:8443"], true));
    }

    #[test]
    fn only_exact_origins_can_be_named() {
        for text in
            ["*", "https://*", "https://*.example", "console.example", "https://", "https://a:x", "https://a:70000"]
        {
            assert_eq!(Origin::new(text), None, "{text}");
        }
    }
}
