//! `/metrics` on its own listener.

use crate::support::{Running, expect_type, get, request, value};

#[tokio::test]
async fn metrics_are_get_only_and_nowhere_else() {
    let server = Running::start();
    let page = get(server.metrics, "/metrics").await;
    assert_eq!(page.status, 200);
    assert!(page.header("content-type").starts_with("application/openmetrics-text; version=1.0.0"));
    assert!(page.text().ends_with("# EOF\n"));
    assert_eq!(request(server.metrics, "POST /metrics HTTP/1.1\r\nhost: localhost\r\n\r\n").await.status, 405);
    for path in ["/", "/devices", "/infra_config", "/register_device", "/index.html"] {
        assert_eq!(get(server.metrics, path).await.status, 404, "{path}");
    }
    assert_eq!(server.get("/metrics").await.status, 404);
}

#[tokio::test]
async fn what_happens_is_counted() {
    let server = Running::start();
    let mut device = server.device("cvd-1", "1").await;
    let mut client = server.client("cvd-1").await;
    client.send_text(r#"{"message_type":"forward","payload":{"n":1}}"#).await.expect("sent");
    expect_type(&mut device, "client_msg").await;
    let page = get(server.metrics, "/metrics").await.text();
    for line in [
        "cuttlebone_devices 1",
        "cuttlebone_clients 1",
        r#"cuttlebone_connections{role="device"} 1"#,
        r#"cuttlebone_connections{role="client"} 1"#,
        r#"cuttlebone_forwarded_messages_total{direction="to_device"} 1"#,
        r#"cuttlebone_build_info{version="0.1.0"} 1"#,
    ] {
        assert!(page.lines().any(|have| have == line), "{line} is not in\n{page}");
    }
    assert!(value(&page, r#"cuttlebone_forwarded_bytes_total{direction="to_device"}"#) >= 7, "{page}");
    client.send_text("nonsense").await.expect("sent");
    server.until_metric(r#"cuttlebone_rejects_total{reason="invalid_json"}"#, |count| count == 1).await;
    server.until_metric(r#"cuttlebone_closes_total{code="1008"}"#, |count| count == 1).await;
    server.until_metric(r#"cuttlebone_connections{role="client"}"#, |open| open == 0).await;
}

#[tokio::test]
async fn no_peer_can_make_a_series_or_appear_in_one() {
    let server = Running::start();
    let lines = |page: &str| page.lines().count();
    let _first = server.device("first", "1").await;
    let before = get(server.metrics, "/metrics").await.text();
    let mut devices = Vec::new();
    for index in 0..200 {
        devices.push(server.device(&format!("CANARY-{index}-../../etc"), "1").await);
    }
    let after = get(server.metrics, "/metrics").await.text();
    assert_eq!(lines(&before), lines(&after));
    assert!(!after.contains("CANARY"), "{after}");
}

#[tokio::test]
async fn metrics_can_be_off() {
    let any = std::net::SocketAddr::from(([127, 0, 0, 1], 0));
    let settings = cuttlebone_server::Settings { listen: any, metrics_listen: None, ..Default::default() };
    let server = cuttlebone_server::Server::bind(settings).expect("listens");
    assert_eq!(server.metrics_addr(), None);
}

#[tokio::test]
async fn a_page_that_gave_its_name_our_address_reads_nothing() {
    let server = Running::start();
    let ask = async |host: &str, path: &str| {
        request(server.metrics, &format!("GET {path} HTTP/1.1\r\nhost: {host}\r\n\r\n")).await
    };
    for path in ["/metrics", "/readyz", "/nothing"] {
        let answer = ask("evil.example:9090", path).await;
        assert_eq!(answer.status, 421, "{path}");
        assert!(answer.text().ends_with(r#""cuttlebone_code":"misdirected"}"#), "{}", answer.text());
    }
    for host in ["localhost:9090", "127.0.0.1", "[::1]:9090", "192.0.2.7:9090"] {
        assert_eq!(ask(host, "/metrics").await.status, 200, "{host}");
    }
}

/// A page can't read them, but have a browser ask for them all the time.
#[tokio::test]
async fn what_a_page_loads_gets_no_metrics() {
    let server = Running::start();
    let host = server.metrics;
    let ask =
        async |more: &str| request(host, &format!("GET /metrics HTTP/1.1\r\nhost: {host}\r\n{more}\r\n")).await.status;
    for more in ["sec-fetch-site: cross-site\r\n", "sec-fetch-site: same-site\r\n", "origin: http://evil.example\r\n"] {
        assert_eq!(ask(more).await, 403, "{more}");
    }
    let typed = "sec-fetch-site: none\r\nsec-fetch-dest: document\r\nsec-fetch-mode: navigate\r\n";
    assert_eq!((ask("").await, ask(typed).await), (200, 200));
}
