//! Web pages of somebody else, in the browser of somebody who reaches the server.

use std::net::SocketAddr;

use cuttlebone_server::{Origin, Settings};

use crate::support::{Answer, Peer, Running, request};

const PATHS: [&str; 2] = ["/register_device", "/connect_client"];

/// What a server answers to an upgrade with these headers.
async fn upgrade(addr: SocketAddr, path: &str, headers: &str) -> Answer {
    let mut peer = Peer::connect(addr).await;
    peer.send(&format!(
        "GET {path} HTTP/1.1\r\n{headers}upgrade: websocket\r\nconnection: upgrade\r\n\
         sec-websocket-version: 13\r\nsec-websocket-key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n"
    ))
    .await;
    peer.answer().await
}

fn allow_console(settings: &mut Settings) {
    settings.allowed_origins = Origin::new("https://console.example").into_iter().collect();
}

#[tokio::test]
async fn t01_page_of_another_site_opens_no_websocket() {
    let server = Running::start();
    let (addr, own) = (server.addr, format!("host: {}\r\n", server.addr));
    for path in PATHS {
        for origin in ["https://evil.example", "http://127.0.0.1", "http://localhost:3000", "null", ""] {
            let answer = upgrade(addr, path, &format!("{own}origin: {origin}\r\n")).await;
            let expected = r#"{"error":"Pages of this origin may not connect","cuttlebone_code":"origin_not_allowed"}"#;
            assert_eq!((answer.status, answer.text().as_str()), (403, expected), "{path} {origin}");
        }
        let twice = format!("{own}origin: http://{addr}\r\norigin: http://{addr}\r\n");
        assert_eq!(upgrade(addr, path, &twice).await.status, 403);
        assert_eq!(upgrade(addr, path, &format!("{own}origin: http://{addr}\r\n")).await.status, 101, "its own page");
        let port = addr.port();
        let by_name = format!("host: localhost:{port}\r\norigin: http://localhost:{port}\r\n");
        assert_eq!(upgrade(addr, path, &by_name).await.status, 101, "its own page, opened by name");
        assert_eq!(upgrade(addr, path, &own).await.status, 101, "who is no page");
    }
    assert_eq!(server.metric(r#"cuttlebone_rejects_total{reason="origin_not_allowed"}"#).await, 12);
}

/// It can't read what it loads, and would learn from the status whether there is a device.
#[tokio::test]
async fn t01_page_of_another_site_loads_nothing() {
    let server = Running::with(allow_console);
    let _device = server.device("there", "1").await;
    let status = async |path: &str, lines: &str| {
        let text = format!("GET {path} HTTP/1.1\r\nhost: {}\r\nconnection: close\r\n{lines}\r\n", server.addr);
        request(server.addr, &text).await.status
    };
    for (path, expected) in [
        ("/devices", 200),
        ("/devices/there", 200),
        ("/devices/absent", 404),
        ("/infra_config", 200),
        ("/readyz", 200),
        ("/api/v1/whoami", 200),
        ("/api/v1/devices/there/lease", 404),
    ] {
        assert_eq!(status(path, "").await, expected, "{path} of who is no page");
        for who in ["same-origin\r\nsec-fetch-dest: empty", "none\r\nsec-fetch-dest: document"] {
            assert_eq!(status(path, &format!("sec-fetch-site: {who}\r\n")).await, expected, "{path} {who}");
        }
        let own = "sec-fetch-site: same-origin\r\nsec-purpose: prefetch;prerender\r\n";
        assert_eq!(status(path, own).await, expected, "{path} of our page, that is prepared");
        // So browsers say that somebody goes there; some say it too of what a page has them fetch.
        for more in
            ["dest: document\r\nsec-purpose: prefetch", "dest: empty\r\nsec-fetch-mode: navigate", "mode: navigate"]
        {
            let lines = format!("sec-fetch-site: none\r\nsec-fetch-{more}\r\n");
            assert_eq!(status(path, &lines).await, 403, "{path} {more}");
        }
        for who in ["", "sec-fetch-site: none\r\nsec-fetch-dest: document\r\n", "sec-fetch-site: same-origin\r\n"] {
            let other = format!("{who}origin: https://evil.example\r\n");
            assert_eq!(status(path, &other).await, 403, "{path} of another, {who}");
        }
        for site in ["same-site", "cross-site"] {
            assert_eq!(status(path, &format!("sec-fetch-site: {site}\r\n")).await, 403, "{path} {site}");
            let named = format!("sec-fetch-site: {site}\r\norigin: https://console.example\r\n");
            assert_eq!(status(path, &named).await, expected, "{path} of a page that is named");
        }
    }
    assert_eq!(
        status("/viewer.html?deviceId=there", "sec-fetch-site: cross-site\r\n").await,
        200,
        "a link to our page"
    );
}

#[tokio::test]
async fn t01_page_that_gave_its_name_our_address_gets_nothing() {
    let server = Running::start();
    let evil = format!("host: evil.example:{0}\r\norigin: http://evil.example:{0}\r\n", server.addr.port());
    for path in ["/register_device", "/connect_client", "/devices", "/api/v1/devices/events", "/", "/nothing"] {
        let answer = upgrade(server.addr, path, &evil).await;
        assert_eq!(answer.status, 421, "{path}");
        assert!(answer.text().ends_with(r#""cuttlebone_code":"misdirected"}"#), "{}", answer.text());
    }
    assert_eq!(server.metric(r#"cuttlebone_rejects_total{reason="misdirected"}"#).await, 6);
}

#[tokio::test]
async fn t01_named_origin_may_connect_through_a_proxy_that_keeps_the_host_and_through_one_that_does_not() {
    let server = Running::with(allow_console);
    for host in [server.addr.to_string(), "console.example".into()] {
        let headers = |origin: &str| format!("host: {host}\r\norigin: {origin}\r\n");
        for path in PATHS {
            assert_eq!(upgrade(server.addr, path, &headers("https://console.example")).await.status, 101, "{host}");
            assert_eq!(upgrade(server.addr, path, &headers("https://evil.example")).await.status, 403, "{host}");
        }
        assert_eq!(upgrade(server.addr, "/devices", &headers("https://console.example")).await.status, 200, "{host}");
    }
    // The metrics are no business of a page.
    assert_eq!(upgrade(server.metrics, "/metrics", "host: console.example\r\n").await.status, 421);
}

#[tokio::test]
async fn t01_listener_of_the_network_has_any_name_and_only_its_own_pages() {
    let server = Running::with(|settings| settings.listen = ([0, 0, 0, 0], 0).into());
    let addr = SocketAddr::from(([127, 0, 0, 1], server.addr.port()));
    let headers = |origin: &str| format!("host: lab.example\r\norigin: {origin}\r\n");
    for path in PATHS {
        assert_eq!(upgrade(addr, path, &headers("http://lab.example")).await.status, 101);
        assert_eq!(upgrade(addr, path, &headers("https://lab.example")).await.status, 101, "behind a proxy of TLS");
        assert_eq!(upgrade(addr, path, &headers("http://evil.example")).await.status, 403);
    }
}
