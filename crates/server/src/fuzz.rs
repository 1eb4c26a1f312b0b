//! Bodies of the fuzz targets. Each panics where an invariant breaks.

use std::cell::OnceCell;
use std::sync::Arc;
use std::time::Duration;

use cuttlebone_access::{Access, NewToken, Settings as Kinds, StaticTokens, TokenFields};
use futures_util::FutureExt as _;
use http::header::{AUTHORIZATION, COOKIE, HOST, ORIGIN, SEC_WEBSOCKET_PROTOCOL};
use http::{HeaderMap, HeaderName, HeaderValue, Uri};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _, duplex};
use tokio::runtime::{Builder, Runtime};
use tokio::task::yield_now;
use tokio::time::timeout;

use crate::app::App;
use crate::link::Link;
use crate::origin::{self, Origin, Scheme};
use crate::serve::{self, Plan};
use crate::settings::{LimitSettings, Settings};
use crate::{clock, router};
use crate::{gate, host};

/// The origin that is named as allowed.
const NAMED: &str = "https://console.example:8443";

/// Longer than any answer takes: a server that says nothing for so long has hung.
const PATIENCE: Duration = Duration::from_secs(9);

/// Enough for a request to be answered where nothing is waited for.
const TURNS: usize = 16;

/// A server that lets nobody in but by one token; what runs it.
struct World {
    runtime: Runtime,
    app: Arc<App>,
    token: String,
}

thread_local! {
    static WORLD: OnceCell<World> = const { OnceCell::new() };
}

/// Any header lines that say who somebody is, or where a page is from; a line each: a letter for the name, and the value.
/// Nobody is recognised without the token, and no page is let through but one of ours or of the origin that is named.
pub fn headers(data: &[u8]) {
    let mut headers = HeaderMap::new();
    let mut query = None;
    for line in data.split(|byte| *byte == b'\n') {
        let Some((letter, value)) = line.split_first() else { continue };
        let name = match letter {
            b'a' => AUTHORIZATION,
            b'p' => SEC_WEBSOCKET_PROTOCOL,
            b'c' => COOKIE,
            b'o' => ORIGIN,
            b'h' => HOST,
            b'x' => HeaderName::from_static("x-forwarded-for"),
            b'q' => {
                query = std::str::from_utf8(value).ok().and_then(|text| format!("/?{text}").parse().ok()).or(query);
                continue;
            }
            _ => continue,
        };
        let Ok(value) = HeaderValue::from_bytes(value) else { continue };
        headers.append(name, value);
    }
    let uri: Uri = query.unwrap_or_default();
    WORLD.with(|world| {
        let World { app, token, runtime } = world.get_or_init(World::new);
        let has_token = data.windows(token.len()).any(|window| window == token.as_bytes());
        for scheme in [Scheme::Any, Scheme::Http, Scheme::Https] {
            let link = Link::for_test_of(scheme, clock::now());
            for is_upgrade in [false, true] {
                let recognised = gate::recognise(app, Some(&link), (&headers, &uri), is_upgrade);
                let recognised = runtime.block_on(recognised);
                assert!(recognised.is_err() || has_token, "recognised without the token: {headers:?} {uri}");
            }
            let allowed = origin::is_allowed(&headers, &app.settings.allowed_origins, scheme);
            assert!(!allowed || may_be_allowed(&headers), "a page of another site: {headers:?}");
        }
    });
    let mut request = http::Request::new(());
    *request.headers_mut() = headers;
    let _ = host::is_well_formed(&request.into_parts().0);
}

/// Any bytes as what comes over a socket, in two pieces: `data` begins with where it is cut. They are answered by HTTP/1.1
/// or not at all, the socket ends with them, and no WebSocket is opened without the token.
pub fn upgrade(data: &[u8]) {
    let Some((at, bytes)) = data.split_first() else { return };
    let (first, second) = bytes.split_at(usize::from(*at).min(bytes.len()));
    WORLD.with(|world| {
        let world = world.get_or_init(World::new);
        let answer = world.runtime.block_on(world.exchange(first, second));
        assert!(answer.is_empty() || answer.starts_with(b"HTTP/1."), "{}", String::from_utf8_lossy(&answer));
        let has = |part: &[u8]| data.windows(part.len()).any(|window| window == part);
        let switched = answer.windows(13).any(|window| window == b"HTTP/1.1 101 ");
        assert!(!switched || has(world.token.as_bytes()), "let in without the token");
        let page = world.app.metrics.render(world.app.registry.counts());
        assert!(page.contains("cuttlebone_panics_total 0\n"), "a connection ended in a fault");
    });
}

impl World {
    fn new() -> Self {
        let token = NewToken::from_random(&[7; 32]);
        let fields = TokenFields { name: "x", role: "device,client", devices: Some("*"), ..TokenFields::default() };
        let tokens = StaticTokens::parse(&token.line(&fields).expect("good fields")).expect("a good line");
        let mut settings = Settings { limits: LimitSettings::OFF, ..Settings::default() };
        settings.access.access = Arc::new(Access::new(Kinds { tokens: Some(tokens), ..Kinds::default() }));
        settings.access.anonymous = false;
        settings.access.token_in_query = true;
        settings.access.failure_delay = Duration::ZERO;
        settings.allowed_origins.extend(Origin::new(NAMED));
        // What waits is let go at once: its socket has ended.
        settings.hub.client_wait = Duration::ZERO;
        settings.hub.device_grace = Duration::ZERO;
        let runtime = Builder::new_current_thread().enable_time().build().expect("a runtime");
        Self { runtime, app: App::for_test(settings), token: token.secret().to_owned() }
    }

    /// Everything that the server says to these bytes.
    async fn exchange(&self, first: &[u8], second: &[u8]) -> Vec<u8> {
        let link = Link::for_test(clock::now() + PATIENCE);
        let router = router::router(&self.app, ([127, 0, 0, 1], 80).into());
        let (app, stopping) = (Arc::clone(&self.app), self.app.tasks.stopping.clone());
        let plan = Plan { router, app, stopping, is_proxy: false, hsts: None };
        let (mut peer, socket) = duplex(64 * 1024);
        let serving = serve::serve_http(socket, link, plan);
        let talking = async {
            let mut answer = Vec::new();
            // The server may have hung up by any of these.
            for piece in [first, second] {
                let _ = peer.write_all(piece).await;
                // Whoever ends a socket is not answered any more: everybody has their turns first.
                for _ in 0..TURNS {
                    let _ = peer.read_buf(&mut answer).now_or_never();
                    yield_now().await;
                }
            }
            let _ = peer.shutdown().await;
            let _ = peer.read_to_end(&mut answer).await;
            answer
        };
        let begun = clock::now();
        let ended = timeout(PATIENCE, async { tokio::join!(serving, talking) }).await;
        let ((), answer) = ended.unwrap_or_else(|_| panic!("no end after {:?}", begun.elapsed()));
        answer
    }
}

/// What [`origin::is_allowed`] may let through, said in another way: no origin; or one that is the one that is named, or that has
/// the first host and its port.
fn may_be_allowed(headers: &HeaderMap) -> bool {
    let origins: Vec<&[u8]> = headers.get_all(ORIGIN).iter().map(HeaderValue::as_bytes).collect();
    let [origin] = origins[..] else { return origins.is_empty() };
    let lower = String::from_utf8_lossy(origin).to_ascii_lowercase();
    let (rest, port) = match (lower.strip_prefix("https://"), lower.strip_prefix("http://")) {
        (Some(rest), _) => (rest, 443),
        (_, Some(rest)) => (rest, 80),
        (None, None) => return false,
    };
    let host = headers.get(HOST).map(|host| String::from_utf8_lossy(host.as_bytes()).to_ascii_lowercase());
    let is_ours = host.is_some_and(|host| with_port(&host, port) == with_port(rest, port));
    is_ours || with_port(&lower, 443) == with_port(NAMED, 443)
}

/// The text before the port, and the port.
fn with_port(authority: &str, default: u16) -> (&str, u16) {
    match authority.rsplit_once(':') {
        Some((host, port)) if !port.contains(']') => (host, port.parse().unwrap_or(default)),
        _ => (authority, default),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    const UPGRADE: &str = "upgrade: websocket\r\nconnection: upgrade\r\nsec-websocket-version: 13\r\n\
        sec-websocket-key: dGhlIHNhbXBsZSBub25jZQ==\r\n";

    fn token() -> String {
        NewToken::from_random(&[7; 32]).secret().to_owned()
    }

    /// The answer to these bytes, cut at `at`.
    fn answer(at: usize, text: &str) -> String {
        WORLD.with(|world| {
            let world = world.get_or_init(World::new);
            let (first, second) = text.as_bytes().split_at(at);
            String::from_utf8_lossy(&world.runtime.block_on(world.exchange(first, second))).into_owned()
        })
    }

    #[test]
    fn good_upgrade_reaches_its_end_and_one_without_the_token_does_not() {
        let request = |token: &str| {
            format!("GET /connect_client HTTP/1.1\r\nhost: localhost\r\n{UPGRADE}authorization: Bearer {token}\r\n\r\n")
        };
        assert!(answer(20, &request(&token())).starts_with("HTTP/1.1 101 "));
        assert!(answer(20, &request("x")).starts_with("HTTP/1.1 401 "));
        upgrade(format!("\x14{}", request(&token())).as_bytes());
        headers(format!("aBearer {}\nohttp://localhost\nhlocalhost", token()).as_bytes());
    }

    #[test]
    fn origin_is_ours_or_the_one_that_is_named_and_both_say_so() {
        for (origin, host, expected) in [
            ("https://console.example:8443", "x", true),
            ("https://console.example", "x", false),
            ("http://x", "x:80", true),
            ("http://x:080", "x", true),
            ("https://x", "x:443", true),
            ("http://x.evil.example", "x", false),
            ("null", "x", false),
        ] {
            let pairs = [(ORIGIN, origin), (HOST, host)];
            let map: HeaderMap =
                pairs.into_iter().map(|(name, value)| (name, HeaderValue::from_static(value))).collect();
            let named = [Origin::new(NAMED).expect("an origin")];
            assert_eq!(origin::is_allowed(&map, &named, Scheme::Any), expected, "{origin}");
            assert_eq!(may_be_allowed(&map), expected, "{origin}");
        }
    }

    /// Roughly a line for [`headers`].
    const LINE: &str = concat!(
        "[apcohxq](Bearer |bearer[.]|cuttlebone=|access_token=|https?://)?",
        "([!-~]{0,12}|x|y|console[.]example:8443|\\PC{0,8})",
    );

    /// Roughly the head of a request.
    const HEAD: &str = concat!(
        "(GET|POST) /(connect_client|register_device|devices)? HTTP/1[.]1\r\nhost: localhost\r\n",
        "(upgrade: websocket\r\nconnection: upgrade\r\nsec-websocket-version: 13\r\n",
        "sec-websocket-key: dGhlIHNhbXBsZSBub25jZQ==\r\n)?(authorization: Bearer [!-~]{1,9}\r\n)?",
        "(content-length: [0-9]\r\n)?(transfer-encoding: chunked\r\n)?\r\n",
    );

    proptest! {
        #[test]
        fn any_lines_are_headers(lines in prop::collection::vec(LINE, 0..6)) {
            headers(lines.join("\n").as_bytes());
        }

        #[test]
        fn any_bytes_are_answered_or_not(bytes in any::<Vec<u8>>(), head in HEAD, at in any::<u8>()) {
            upgrade(&bytes);
            upgrade(&[&[at], head.as_bytes(), &bytes].concat());
        }
    }
}
