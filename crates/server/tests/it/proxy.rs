//! Who is behind a proxy, and who only says so: security.md T42.

use std::time::Duration;

use cuttlebone_access::{Access, NewToken, Settings as Kinds, StaticTokens, TokenFields};
use cuttlebone_server::{Network, ProxySettings, Rate, Settings};
use std::sync::Arc;
use tokio::io::AsyncWriteExt as _;
use tokio::time::Instant;

use crate::support::{Answer, Peer, Running};

const THIS_MACHINE: &str = "127.0.0.1";
/// A header of version 2: 192.0.2.7:12345.
const VERSION_2: &[u8] = b"\r\n\r\n\0\r\nQUIT\n\x21\x11\0\x0c\xc0\0\x02\x07\x7f\0\0\x01\x30\x39\0\x50";
const BAD_TOKEN: &str = "authorization: Bearer x\r\n";

fn behind(trusted: &str, protocol: bool) -> ProxySettings {
    let trusted = vec![Network::new(trusted).expect("a network")];
    ProxySettings { trusted, protocol, ..ProxySettings::default() }
}

/// A server that knows one token, with the proxies of this network.
fn server(trusted: &str, change: impl FnOnce(&mut Settings)) -> (Running, String) {
    let new = NewToken::from_random(&[1; 32]);
    let line = new.line(&TokenFields { name: "x", role: "admin", ..TokenFields::default() }).expect("a line");
    let tokens = StaticTokens::parse(&line).expect("good");
    let server = Running::with(|settings| {
        settings.access.access = Arc::new(Access::new(Kinds { tokens: Some(tokens), ..Kinds::default() }));
        settings.proxy = behind(trusted, false);
        change(settings);
    });
    (server, new.secret().to_owned())
}

fn request(path: &str, headers: &str) -> String {
    format!("GET {path} HTTP/1.1\r\nhost: localhost\r\n{headers}\r\n")
}

fn upgrade(headers: &str) -> String {
    let more = "upgrade: websocket\r\nconnection: upgrade\r\nsec-websocket-version: 13\r\n\
                sec-websocket-key: dGhlIHNhbXBsZSBub25jZQ==\r\n";
    request("/connect_client", &format!("{more}{headers}"))
}

fn from(address: &str) -> String {
    format!("x-forwarded-for: {address}\r\n")
}

/// One request on a connection of its own, which stays.
async fn ask(server: &Running, text: &str) -> (Answer, Peer) {
    let mut peer = Peer::connect(server.addr).await;
    peer.send(text).await;
    (peer.head().await, peer)
}

async fn statuses(server: &Running, texts: &[String]) -> (Vec<u16>, Vec<Peer>) {
    let (mut statuses, mut peers) = (Vec::new(), Vec::new());
    for text in texts {
        let (answer, peer) = ask(server, text).await;
        statuses.push(answer.status);
        peers.push(peer);
    }
    (statuses, peers)
}

/// So many were slowed of three that guess, two of them free, each with an address of its own if it is believed.
async fn slowed(trusted: &str, headers: [&str; 3]) -> u64 {
    let (server, _) = server(trusted, |settings| {
        settings.access.failures = 2;
        settings.access.failure_delay = Duration::from_millis(1);
    });
    for header in headers {
        let answer = ask(&server, &request("/devices", &format!("{header}\r\n{BAD_TOKEN}"))).await.0;
        assert_eq!(answer.status, 401);
    }
    server.metric("cuttlebone_slowed_failures_total").await
}

#[tokio::test]
async fn t42_address_that_a_peer_says_it_has_counts_only_if_the_peer_is_listed() {
    let each = ["x-forwarded-for: 192.0.2.1", "x-forwarded-for: 192.0.2.2", "x-forwarded-for: 192.0.2.3"];
    assert_eq!(slowed("192.0.2.9", each).await, 1, "of somebody: they are all one");
    assert_eq!(slowed(THIS_MACHINE, each).await, 0, "of a proxy");
    let same =
        ["x-forwarded-for: 9.9.9.1, 192.0.2.1", "x-forwarded-for: 9.9.9.2, 192.0.2.1", "x-forwarded-for: 192.0.2.1:3"];
    assert_eq!(slowed(THIS_MACHINE, same).await, 1, "what the client itself has written does not count");
    let lines =
        ["x-forwarded-for: 9.9.9.1\r\nx-forwarded-for: 192.0.2.1", same[1], "x-forwarded-for: unknown, 192.0.2.1"];
    assert_eq!(slowed(THIS_MACHINE, lines).await, 1);
    let subnet =
        ["x-forwarded-for: 2001:db8::1", "x-forwarded-for: [2001:db8::2]:7", "x-forwarded-for: 2001:db8:0:0:9::"];
    assert_eq!(slowed(THIS_MACHINE, subnet).await, 1, "one /64");
    let garbage = ["x-forwarded-for: unknown", "x-forwarded-for: 192.0.2.1, -", "forwarded: for=192.0.2.1"];
    assert_eq!(slowed(THIS_MACHINE, garbage).await, 1, "what can't be read is the proxy's");
}

#[tokio::test]
async fn each_address_behind_a_proxy_has_its_bounds_and_the_proxy_has_none() {
    let (server, _) = server(THIS_MACHINE, |settings| settings.connections.per_address = Some(2));
    let [one, other] = ["192.0.2.1", "192.0.2.2"].map(from);
    let (seen, peers) = statuses(&server, &[&one, &one, &one, &other].map(|from| upgrade(from))).await;
    assert_eq!(seen, [101, 101, 429, 101]);
    let (answer, _) = ask(&server, &request("/livez", &one)).await;
    assert_eq!((answer.status, answer.header("connection")), (429, "close"), "a request is one more");
    assert!(!answer.header("retry-after").is_empty() && answer.header("x-content-type-options") == "nosniff");
    let (answer, _) = ask(&server, &request("/livez", &other)).await;
    assert_eq!(answer.status, 200);
    assert_eq!(server.metric(r#"cuttlebone_refused_connections_total{reason="address_full"}"#).await, 2);
    drop(peers);
    server.until_metric(r#"cuttlebone_connections{role="client"}"#, |count| count == 0).await;
    assert_eq!(ask(&server, &upgrade(&one)).await.0.status, 101, "places are given back");
}

#[tokio::test]
async fn stream_of_events_has_a_place_of_its_address_for_as_long_as_it_lasts() {
    let (server, _) = server(THIS_MACHINE, |settings| settings.connections.per_address = Some(1));
    let from = from("192.0.2.1");
    let (answer, stream) = ask(&server, &request("/api/v1/devices/events", &from)).await;
    assert_eq!(answer.status, 200);
    assert_eq!(ask(&server, &request("/livez", &from)).await.0.status, 429);
    drop(stream);
    server.until_metric("cuttlebone_event_streams", |count| count == 0).await;
    assert_eq!(ask(&server, &request("/livez", &from)).await.0.status, 200);
}

#[tokio::test]
async fn requests_of_many_on_one_connection_of_a_proxy_do_not_wait_for_each_other() {
    let (server, _) = server(THIS_MACHINE, |settings| settings.limits.requests = Rate { per_second: 1, burst: 2 });
    let mut proxy = Peer::connect(server.addr).await;
    let begun = Instant::now();
    for host in 1..=50 {
        proxy.send(&request("/livez", &from(&format!("192.0.2.{host}")))).await;
        assert_eq!(proxy.answer().await.status, 200);
    }
    assert_eq!(server.metric(r#"cuttlebone_rate_pauses_total{bucket="requests"}"#).await, 0);
    assert!(begun.elapsed() < Duration::from_secs(10), "{:?}", begun.elapsed());
    for _ in 0..3 {
        ask(&server, &request("/livez", &from("192.0.2.99"))).await;
    }
    assert_eq!(server.metric(r#"cuttlebone_rate_pauses_total{bucket="requests"}"#).await, 1, "one address waits");
}

#[tokio::test]
async fn upgrades_of_one_address_come_at_a_rate() {
    let rate = Rate { per_second: 1, burst: 2 };
    let (server, _) = server(THIS_MACHINE, |settings| settings.connections.rate_per_address = rate);
    let [one, other] = ["192.0.2.1", "192.0.2.2"].map(from);
    let seen = statuses(&server, &[&one, &one, &one, &other].map(|from| upgrade(from))).await.0;
    assert_eq!(seen, [101, 101, 429, 101]);
    assert_eq!(ask(&server, &request("/livez", &one)).await.0.status, 200, "a request is none");
    assert_eq!(server.metric(r#"cuttlebone_refused_connections_total{reason="address_rate"}"#).await, 1);
}

#[tokio::test]
async fn proxy_says_whether_the_page_came_by_tls() {
    let (server, token) = server(THIS_MACHINE, |settings| settings.access.anonymous = false);
    let bearer = format!("authorization: Bearer {token}\r\n");
    let sign_in = |headers: &str| format!("POST /api/v1/session HTTP/1.1\r\nhost: localhost\r\n{bearer}{headers}\r\n");
    for (headers, is_secure) in [
        ("x-forwarded-proto: https\r\n", true),
        ("x-forwarded-proto: http\r\norigin: https://localhost\r\n", false),
        ("origin: https://localhost\r\n", true),
        ("", false),
    ] {
        let (answer, _) = ask(&server, &sign_in(headers)).await;
        let cookie = answer.header("set-cookie");
        assert_eq!(cookie.contains("; Secure"), is_secure, "{headers}: {cookie}");
        assert_eq!(cookie.starts_with("__Host-"), is_secure, "{headers}: {cookie}");
    }
    for (proto, origin, status) in [
        ("https", "https://localhost", 101),
        ("https", "http://localhost", 403),
        ("http", "http://localhost", 101),
        ("http", "https://localhost", 403),
        ("ftp", "https://localhost", 101),
    ] {
        let headers = format!("x-forwarded-proto: {proto}\r\norigin: {origin}\r\n{bearer}");
        assert_eq!(ask(&server, &upgrade(&headers)).await.0.status, status, "{proto} {origin}");
    }
    // The cookie of plain HTTP does not count for a page of TLS.
    for (proto, status) in [("https", 401), ("http", 200)] {
        let headers = format!("x-forwarded-proto: {proto}\r\ncookie: cuttlebone={token}\r\n");
        assert_eq!(ask(&server, &request("/devices", &headers)).await.0.status, status, "{proto}");
    }
}

#[tokio::test]
async fn peer_that_is_not_listed_does_not_decide_what_is_secure() {
    let (server, token) = server("192.0.2.9", |_| ());
    let headers = format!("authorization: Bearer {token}\r\nx-forwarded-proto: https\r\n");
    let text = format!("POST /api/v1/session HTTP/1.1\r\nhost: localhost\r\n{headers}\r\n");
    assert!(!ask(&server, &text).await.0.header("set-cookie").contains("Secure"));
}

#[tokio::test]
async fn header_of_the_proxy_protocol_says_whose_connection_it_is() {
    let server = Running::with(|settings| {
        settings.proxy = behind(THIS_MACHINE, true);
        settings.connections.per_address = Some(1);
    });
    let connect = async |header: &[u8]| {
        let mut peer = Peer::connect(server.addr).await;
        peer.socket.write_all(header).await.expect("sent");
        peer.send(&upgrade("")).await;
        (peer.head().await, peer)
    };
    let (answer, _held) = connect(VERSION_2).await;
    assert_eq!(answer.status, 101);
    let (answer, mut refused) = connect(b"PROXY TCP4 192.0.2.7 127.0.0.1 1 80\r\n").await;
    assert_eq!((answer.status, answer.header("connection")), (429, "close"), "the same address");
    refused.drain().await;
    let (answer, _other) = connect(b"PROXY TCP6 2001:db8::7 ::1 1 80\r\n").await;
    assert_eq!(answer.status, 101);
    // What the proxy asks for itself has an address too: its own. What such a client says of others is not believed.
    let (answer, _own) = connect(b"PROXY UNKNOWN\r\n").await;
    assert_eq!(answer.status, 101);
    assert_eq!(server.metric(r#"cuttlebone_refused_connections_total{reason="address_full"}"#).await, 1);
}

#[tokio::test]
async fn connection_by_the_proxy_protocol_counts_once_against_the_rate_of_its_address() {
    let server = Running::with(|settings| {
        settings.proxy = behind(THIS_MACHINE, true);
        settings.connections.rate_per_address = Rate { per_second: 1, burst: 2 };
    });
    let mut held = Vec::new();
    for status in [101, 101, 429] {
        let mut peer = Peer::connect(server.addr).await;
        peer.socket.write_all(VERSION_2).await.expect("sent");
        peer.send(&upgrade("")).await;
        assert_eq!(peer.head().await.status, status);
        held.push(peer);
    }
}

/// Also where the proxy does not know its address: then nobody vouches for what comes.
#[tokio::test]
async fn client_behind_the_proxy_protocol_is_not_believed_about_others() {
    const OF_A_UNIX_SOCKET: &[u8] = b"\r\n\r\n\0\r\nQUIT\n\x21\x31\0\0";
    const UNSPECIFIED: &[u8] = b"\r\n\r\n\0\r\nQUIT\n\x21\0\0\0";
    const OWN: &[u8] = b"\r\n\r\n\0\r\nQUIT\n\x20\0\0\0";
    for header in [VERSION_2, b"PROXY UNKNOWN\r\n", OF_A_UNIX_SOCKET, UNSPECIFIED, OWN] {
        let server = Running::with(|settings| {
            settings.proxy = behind(THIS_MACHINE, true);
            settings.connections.per_address = Some(1);
        });
        let mut held = Vec::new();
        for (forwarded, status) in [("9.9.9.1", 101), ("9.9.9.2", 429)] {
            let mut peer = Peer::connect(server.addr).await;
            peer.socket.write_all(header).await.expect("sent");
            peer.send(&upgrade(&from(forwarded))).await;
            assert_eq!(peer.head().await.status, status, "{header:?}");
            held.push(peer);
        }
    }
}

#[tokio::test]
async fn listed_proxy_without_its_header_is_hung_up_on_and_others_may_send_none() {
    let server = Running::with(|settings| {
        settings.proxy = behind(THIS_MACHINE, true);
        settings.timeouts.handshake = Duration::from_millis(300);
    });
    for bad in [
        "GET /livez HTTP/1.1\r\nhost: localhost\r\n\r\n",
        "PROXY TCP4 x\r\n\r\n\r\n\r\n",
        "PROXY TCP5 1.2.3.4 1.2.3.4 1 1\r\n",
    ] {
        let mut peer = Peer::connect(server.addr).await;
        peer.send(bad).await;
        assert!(peer.is_closed().await, "{bad:?}");
    }
    assert_eq!(server.metric(r#"cuttlebone_refused_connections_total{reason="proxy_header"}"#).await, 3);
    let mut silent = Peer::connect(server.addr).await;
    silent.send("PROXY TCP4 192.0").await;
    assert!(silent.is_closed().await, "half a header, at the deadline");
    assert_eq!(server.metric(r#"cuttlebone_timeouts_total{which="handshake"}"#).await, 1);

    let server = Running::with(|settings| settings.proxy = behind("192.0.2.9", true));
    assert_eq!(server.get("/livez").await.status, 200);
    for header in [VERSION_2, b"PROXY TCP4 192.0.2.7 127.0.0.1 1 80\r\n"] {
        let mut peer = Peer::connect(server.addr).await;
        peer.socket.write_all(header).await.expect("sent");
        peer.send(&request("/livez", "")).await;
        assert_eq!(peer.head().await.status, 400, "it is no request");
    }
    assert_eq!(crate::support::get(server.metrics, "/livez").await.status, 200);
}
