//! What browsers are told so that they come by TLS.

use std::net::SocketAddr;
use std::time::Duration;

use cuttlebone_client::{Endpoint, Trust, raw};
use cuttlebone_server::{Server, Settings};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};

use crate::certificates::Pair;
use crate::support::{Peer, Running, request};

fn any() -> SocketAddr {
    SocketAddr::from(([127, 0, 0, 1], 0))
}

fn redirecting(pair: &Pair, change: impl FnOnce(&mut Settings)) -> Running {
    Running::with(|settings| {
        settings.tls = Some(pair.settings());
        settings.https.redirect_listen = Some(any());
        change(settings);
    })
}

#[tokio::test]
async fn plain_port_sends_pages_on_and_takes_nothing_else() {
    let pair = Pair::new("redirect");
    let server = redirecting(&pair, |_| ());
    let (plain, port) = (server.redirect.expect("it listens"), server.addr.port());
    for method in ["GET", "HEAD"] {
        let answer = request(plain, &format!("{method} /devices?a=b HTTP/1.1\r\nhost: localhost:80\r\n\r\n")).await;
        assert_eq!(answer.status, 308, "{method}");
        assert_eq!(answer.header("location"), format!("https://localhost:{port}/devices?a=b"));
        assert_eq!(answer.header("connection"), "close");
        assert_eq!(answer.header("strict-transport-security"), "", "it counts by TLS only");
    }
    let upgrade = "upgrade: websocket\r\nconnection: upgrade\r\nsec-websocket-version: 13\r\n\
                   sec-websocket-key: dGhlIHNhbXBsZSBub25jZQ==\r\n";
    for (method, path, more) in [
        ("GET", "/register_device", upgrade),
        ("GET", "/connect_client", upgrade),
        ("POST", "/api/v1/session", "authorization: Bearer CANARY\r\n"),
        ("DELETE", "/devices", ""),
        ("OPTIONS", "*", ""),
    ] {
        let answer = request(plain, &format!("{method} {path} HTTP/1.1\r\nhost: localhost\r\n{more}\r\n")).await;
        assert_eq!(answer.status, 403, "{method} {path}");
        assert!(answer.text().contains(r#""cuttlebone_code":"tls_needed""#), "{}", answer.text());
        assert_eq!(answer.header("location"), "");
    }
    server.until_metric(r#"cuttlebone_rejects_total{reason="tls_needed"}"#, |count| count == 5).await;
    // A page that gave its name our address is not sent to itself.
    let answer = request(plain, "GET / HTTP/1.1\r\nhost: evil.example\r\n\r\n").await;
    assert_eq!((answer.status, answer.header("location")), (421, ""));
}

#[tokio::test]
async fn plain_port_has_the_bounds_of_the_other() {
    let pair = Pair::new("redirect-bounds");
    let server = redirecting(&pair, |settings| {
        settings.connections.max = 1;
        settings.timeouts.handshake = Duration::from_millis(200);
    });
    let plain = server.redirect.expect("it listens");
    let mut idle = Peer::connect(plain).await;
    server.until_metric(r#"cuttlebone_refused_connections_total{reason="full"}"#, |_| true).await;
    server.until_metric(r#"cuttlebone_connections{role="http"}"#, |open| open >= 2).await;
    assert_eq!(request(plain, "GET / HTTP/1.1\r\nhost: localhost\r\n\r\n").await.status, 503);
    assert!(idle.is_closed().await, "no request came in time");
    server.until_metric(r#"cuttlebone_timeouts_total{which="handshake"}"#, |count| count == 1).await;
}

#[tokio::test]
async fn plain_port_closes_with_the_server() {
    let pair = Pair::new("redirect-stop");
    let server = redirecting(&pair, |_| ());
    let plain = server.redirect.expect("it listens");
    let mut idle = Peer::connect(plain).await;
    server.stop();
    assert!(idle.is_closed().await);
    assert_eq!(server.ended().await.aborted, 0);
    assert!(tokio::net::TcpStream::connect(plain).await.is_err());
}

#[test]
fn plain_port_without_tls_is_a_fault() {
    let mut settings = Settings { listen: any(), ..Settings::default() };
    settings.https.redirect_listen = Some(any());
    let error = Server::bind(settings).err().expect("a fault").to_string();
    assert!(error.contains("tls.redirect_listen: needs TLS"), "{error}");
}

/// The answer of a server with TLS to a request for `host`.
async fn answer(server: &Running, host: &str) -> String {
    let endpoint = Endpoint::parse(&format!("wss://{}", server.addr)).and_then(|it| it.with_trust(Trust::Insecure));
    let mut stream = raw::Stream::open(&endpoint.expect("good")).await.expect("TLS came about");
    let request = format!("GET /livez HTTP/1.1\r\nhost: {host}\r\nconnection: close\r\n\r\n");
    stream.write_all(request.as_bytes()).await.expect("sent");
    let mut answer = String::new();
    stream.read_to_string(&mut answer).await.expect("an answer");
    answer.to_ascii_lowercase()
}

#[tokio::test]
async fn browser_is_told_to_come_by_tls_only_but_for_localhost() {
    let pair = Pair::new("hsts");
    let year = "strict-transport-security: max-age=31536000\r\n";
    let server = Running::with(|settings| {
        settings.tls = Some(pair.settings());
        settings.https.hsts_max_age = Duration::from_secs(31_536_000);
    });
    assert!(answer(&server, "127.0.0.1").await.contains(year));
    for host in ["localhost", "localhost:8443", "LOCALHOST."] {
        assert!(!answer(&server, host).await.contains("strict-transport"), "{host}");
    }
    let server = Running::with(|settings| settings.tls = Some(pair.settings()));
    assert!(!answer(&server, "127.0.0.1").await.contains("strict-transport"), "zero says nothing");
    let plain = Running::with(|settings| settings.https.hsts_max_age = Duration::from_secs(1));
    assert_eq!(plain.get("/livez").await.header("strict-transport-security"), "");
}
