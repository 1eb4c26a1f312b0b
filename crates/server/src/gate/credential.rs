//! The token of a request: `Authorization: Bearer TOKEN`, the subprotocol `bearer.TOKEN` of browsers, which can't set headers,
//! the query, where that is switched on; or else the cookie of our own pages, which a browser sends whether asked or not.

use cuttlebone_access::Token;
use http::HeaderMap;
use http::header::{AUTHORIZATION, COOKIE, SEC_WEBSOCKET_PROTOCOL};

use crate::host;
use crate::origin::Scheme;

const SCHEME: &[u8] = b"bearer ";
const SUBPROTOCOL: &[u8] = b"bearer.";
const PARAMETER: &str = "access_token=";

/// The cookie where the page came by TLS: a browser takes it from no other host and sends it nowhere else, and takes it from no
/// script if it knows what `Http-` says.
pub(crate) const SECURE_COOKIE: &str = "__Host-Http-cuttlebone";
/// The cookie where it did not.
pub(crate) const PLAIN_COOKIE: &str = "cuttlebone";
/// The cookies of an attempt to sign in at a provider: where the page did not come by TLS, and where it did.
pub(crate) const LOGIN_COOKIES: [&str; 2] = ["cuttlebone-login", "__Host-Http-cuttlebone-login"];

/// Several credentials, or one that is none.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Malformed;

/// What a request presents.
#[derive(Debug)]
pub(super) enum Presented {
    Nothing,
    /// Somebody put it there.
    Explicit(Token),
    /// The browser did.
    Cookie(Token),
}

/// The one token of a request, if it has one; `is_named` is whether a page of HTTPS is, as one of ours: then a proxy may be in front.
pub(super) fn of(
    headers: &HeaderMap,
    query: Option<&str>,
    (scheme, is_named): (Scheme, bool),
) -> Result<Presented, Malformed> {
    if let Some(token) = presented(headers, query)? {
        return Ok(Presented::Explicit(token));
    }
    Ok(cookie(headers, (scheme, is_named)).map_or(Presented::Nothing, Presented::Cookie))
}

/// Of the two, the one that only this host can have set. The other may be of anybody who has a page of plain HTTP near by, and
/// counts only where there is nothing else. On this machine any such page can set the first, and not overwrite the second; but a
/// proxy in front may say that it asks for this machine, and not what a browser asked for.
fn cookie(headers: &HeaderMap, (scheme, is_named): (Scheme, bool)) -> Option<Token> {
    let is_https = scheme.is_https(headers);
    let secure = cookie_of(headers, SECURE_COOKIE);
    let plain = cookie_of(headers, PLAIN_COOKIE).filter(|_| !is_https);
    let is_of_this_machine = !is_https && !is_named && host::is_for_this_machine(headers);
    let found = if is_of_this_machine { plain.or(secure) } else { secure.or(plain) };
    found.and_then(Token::new)
}

/// The value of a cookie. What others beside it have in theirs is of no matter: pages of the same host, on any port, can set some.
/// Of several with the name it is the last: browsers put those for a part of our paths before those for all, as ours are.
pub(crate) fn cookie_of<'h>(headers: &'h HeaderMap, wanted: &str) -> Option<&'h str> {
    let pairs = headers.get_all(COOKIE).iter().flat_map(|value| value.as_bytes().split(|byte| *byte == b';'));
    let mut values = pairs.filter_map(|pair| pair.trim_ascii().strip_prefix(wanted.as_bytes())?.strip_prefix(b"="));
    std::str::from_utf8(values.next_back()?).ok()
}

/// The token that somebody put into a request.
fn presented(headers: &HeaderMap, query: Option<&str>) -> Result<Option<Token>, Malformed> {
    let authorization =
        headers.get_all(AUTHORIZATION).iter().map(|value| after(value.as_bytes(), SCHEME).ok_or(Malformed));
    let subprotocols = headers
        .get_all(SEC_WEBSOCKET_PROTOCOL)
        .iter()
        .flat_map(|value| value.as_bytes().split(|byte| *byte == b','))
        .filter_map(|item| after(item.trim_ascii(), SUBPROTOCOL))
        .map(Ok);
    let parameters = query.into_iter().flat_map(|query| query.split('&'));
    let parameters = parameters.filter_map(|pair| pair.strip_prefix(PARAMETER)).map(|text| Ok(text.as_bytes()));
    let mut found = authorization.chain(subprotocols).chain(parameters);
    match (found.next().transpose()?, found.next()) {
        (None, _) => Ok(None),
        (Some(token), None) => {
            let text = std::str::from_utf8(token.trim_ascii()).map_err(|_| Malformed)?;
            Token::new(text).map(Some).ok_or(Malformed)
        }
        (Some(_), Some(_)) => Err(Malformed),
    }
}

/// What follows a prefix that is written in letters of any case.
fn after<'v>(value: &'v [u8], prefix: &[u8]) -> Option<&'v [u8]> {
    let (start, rest) = value.split_at_checked(prefix.len())?;
    start.eq_ignore_ascii_case(prefix).then_some(rest)
}

#[cfg(test)]
mod tests {
    use super::*;
    use http::header::{HOST, ORIGIN};
    use http::{HeaderName, HeaderValue};

    fn presented(lines: &[(HeaderName, &str)], query: Option<&str>) -> Result<bool, Malformed> {
        let mut headers = HeaderMap::new();
        for (name, value) in lines {
            headers.append(name, HeaderValue::from_bytes(value.as_bytes()).expect("a value"));
        }
        super::presented(&headers, query).map(|token| token.is_some())
    }

    #[test]
    fn token_comes_in_a_header_a_subprotocol_or_the_query() {
        assert_eq!(presented(&[], None), Ok(false));
        assert_eq!(presented(&[(AUTHORIZATION, "Bearer abc")], None), Ok(true));
        assert_eq!(presented(&[(AUTHORIZATION, "bEARER  abc ")], None), Ok(true));
        assert_eq!(presented(&[(SEC_WEBSOCKET_PROTOCOL, "x, bearer.abc, y")], None), Ok(true));
        assert_eq!(presented(&[(SEC_WEBSOCKET_PROTOCOL, "x"), (SEC_WEBSOCKET_PROTOCOL, "Bearer.abc")], None), Ok(true));
        assert_eq!(presented(&[(SEC_WEBSOCKET_PROTOCOL, "bearer, x")], None), Ok(false));
        assert_eq!(presented(&[], Some("a=b&access_token=abc")), Ok(true));
        assert_eq!(presented(&[], Some("xaccess_token=abc")), Ok(false));
    }

    #[test]
    fn cookie_is_found_beside_those_of_others_whatever_they_have_in_them() {
        for (line, value) in [
            ("t=\u{e9}; wanted=a; u=\u{e9}", Some("a")),
            ("wantedx=b; xwanted=c;\twanted=a ", Some("a")),
            ("wanted", None),
            ("\u{2000}wanted=a", None),
            ("wanted=\u{e9}=", Some("\u{e9}=")),
            ("wanted=of /api; x=y; wanted=b", Some("b")),
        ] {
            let value_of = HeaderValue::from_bytes(line.as_bytes()).expect("a value");
            assert_eq!(cookie_of(&HeaderMap::from_iter([(COOKIE, value_of)]), "wanted"), value, "{line}");
        }
        let not_text = HeaderValue::from_bytes(b"wanted=\xff").expect("a value");
        assert_eq!(cookie_of(&HeaderMap::from_iter([(COOKIE, not_text)]), "wanted"), None);
    }

    #[test]
    fn cookie_counts_where_nothing_else_was_said() {
        let of = |lines: &[(HeaderName, &str)]| {
            let headers =
                lines.iter().map(|(name, value)| (name.clone(), HeaderValue::from_str(value).expect("a value")));
            super::of(&headers.collect(), None, (Scheme::Any, false)).expect("readable")
        };
        let cookie = (COOKIE, "a=b; cuttlebone=abc; c");
        assert!(matches!(of(std::slice::from_ref(&cookie)), Presented::Cookie(_)));
        assert!(matches!(
            of(&[(COOKIE, "x__Host-Http-cuttlebone=abc; acuttlebone=x; cuttlebone=")]),
            Presented::Nothing
        ));
        assert!(matches!(of(&[cookie.clone(), (ORIGIN, "https://x")]), Presented::Nothing));
        let of_tls = |name: &str| {
            let headers = [(COOKIE, HeaderValue::from_str(&format!("{name}=abc")).expect("a value"))];
            super::of(&headers.into_iter().collect(), None, (Scheme::Https, false)).expect("readable")
        };
        assert!(matches!(of_tls(PLAIN_COOKIE), Presented::Nothing));
        assert!(matches!(of_tls(SECURE_COOKIE), Presented::Cookie(_)));
        assert!(matches!(of(&[cookie, (AUTHORIZATION, "Bearer x")]), Presented::Explicit(_)));
    }

    #[test]
    fn cookie_that_others_can_not_have_set_counts() {
        let of_any = |host: &str, scheme, is_named| {
            let value = |text: &str| HeaderValue::from_str(text).expect("a value");
            let lines = [(HOST, value(host)), (COOKIE, value("__Host-Http-cuttlebone=of-tls; cuttlebone=plain"))];
            match super::of(&lines.into_iter().collect(), None, (scheme, is_named)).expect("readable") {
                Presented::Cookie(token) => token.as_str().to_owned(),
                _ => String::new(),
            }
        };
        let of = |host, scheme| of_any(host, scheme, false);
        assert_eq!(of_any("127.0.0.1:8080", Scheme::Any, true), "of-tls", "a proxy may be in front");
        for host in ["localhost:8080", "LocalHost", "127.0.0.1:8080", "127.7.7.7", "[::1]:8080"] {
            assert_eq!(
                (of(host, Scheme::Any).as_str(), of(host, Scheme::Https).as_str()),
                ("plain", "of-tls"),
                "{host}"
            );
        }
        for host in ["lab.example", "192.0.2.7:8080", "localhost.example", "[2001:db8::1]"] {
            assert_eq!(
                (of(host, Scheme::Any).as_str(), of(host, Scheme::Https).as_str()),
                ("of-tls", "of-tls"),
                "{host}"
            );
        }
    }

    #[test]
    fn two_tokens_or_none_where_one_should_be_are_refused() {
        let bearer = (AUTHORIZATION, "Bearer abc");
        assert_eq!(presented(&[bearer.clone(), bearer.clone()], None), Err(Malformed));
        assert_eq!(presented(&[bearer.clone(), (SEC_WEBSOCKET_PROTOCOL, "bearer.abc")], None), Err(Malformed));
        assert_eq!(presented(&[bearer], Some("access_token=abc")), Err(Malformed));
        assert_eq!(presented(&[(SEC_WEBSOCKET_PROTOCOL, "bearer.a, bearer.a")], None), Err(Malformed));
        for bad in ["Basic abc", "Bearer", "Bearer ", "Bearer a b", "Bearer \u{e9}", "abc", ""] {
            assert_eq!(presented(&[(AUTHORIZATION, bad)], None), Err(Malformed), "{bad:?}");
        }
        assert_eq!(presented(&[(SEC_WEBSOCKET_PROTOCOL, "bearer.")], None), Err(Malformed));
        assert_eq!(presented(&[(AUTHORIZATION, &format!("Bearer {}", "a".repeat(8193)))], None), Err(Malformed));
    }
}
