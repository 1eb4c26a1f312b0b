//! Having a device for oneself, over HTTP.

use std::sync::Arc;
use std::time::Duration;

use cuttlebone_access::{Access, IssuerSettings, Jwt, KeySet, Revoked, Settings as Kinds, StaticTokens};
use serde_json::{Value, json};
use tokio::net::TcpSocket;

use crate::access::{Known, access, ask, client, connect, device, expect_end, get, known, register, server};
use crate::frames::{PING, RawWs, Sent, frame};
use crate::idp::{ISSUER, Signer, jwks};
use crate::support::{Answer, Peer, Running, expect_type};

const LEASED: &str = r#"{"error":"Connection failed: Device is leased to another","cuttlebone_code":"device_leased"}"#;

async fn send(server: &Running, method: &str, path: &str, who: &Known) -> Answer {
    ask(server, method, path, &format!("authorization: Bearer {}\r\n", who.token)).await
}

fn code(answer: &Answer) -> (u16, String) {
    let said: Value = serde_json::from_str(&answer.text()).expect("json");
    (answer.status, said["cuttlebone_code"].as_str().unwrap_or_default().to_owned())
}

#[tokio::test]
async fn device_is_taken_shown_renewed_and_given_back() {
    let (camera, ann) = (known(1, "name=camera role=device devices=*"), known(2, "name=ann role=client devices=*"));
    let (bob, watcher) = (known(3, "name=bob role=client devices=*"), known(4, "name=w role=observer"));
    let server = server(&[&camera, &ann, &bob, &watcher]);
    let _device = device(&server, &camera, "d").await;
    const PATH: &str = "/api/v1/devices/d/lease";
    assert_eq!(code(&get(&server, PATH, &ann).await), (404, "not_leased".into()));
    let taken = send(&server, "POST", &format!("{PATH}?ttl_ms=60000"), &ann).await;
    assert_eq!(taken.status, 200);
    let said: Value = serde_json::from_str(&taken.text()).expect("json");
    assert_eq!(
        (said["device_id"].as_str(), said["holder"].as_str(), &said["yours"]),
        (Some("d"), Some("ann"), &Value::Bool(true))
    );
    let until = said["until_ms"].as_u64().expect("a time");
    let shown: Value = serde_json::from_str(&get(&server, PATH, &watcher).await.text()).expect("json");
    assert_eq!((&shown["until_ms"], &shown["yours"]), (&until.into(), &Value::Bool(false)));
    let lease = format!(r#""cuttlebone_lease":{{"holder":"ann","until_ms":{until}}}"#);
    for path in ["/devices", "/devices/d"] {
        let text = get(&server, path, &watcher).await.text();
        assert!(text.contains(&lease), "{text}");
    }
    client(&server, &ann, "d").await;
    expect_end(&mut connect(&server, &bob, "d").await, LEASED, 1013).await;
    for method in ["POST", "DELETE"] {
        assert_eq!(code(&send(&server, method, PATH, &bob).await), (409, "device_leased".into()));
    }
    let renewed: Value = serde_json::from_str(&send(&server, "PUT", PATH, &ann).await.text()).expect("json");
    assert!(renewed["until_ms"].as_u64().expect("a time") > until, "ten minutes from now, and not one");
    assert_eq!(server.metric("cuttlebone_leases").await, 1);
    assert_eq!(send(&server, "DELETE", PATH, &ann).await.status, 204);
    client(&server, &bob, "d").await;
    assert_eq!(server.metric(r#"cuttlebone_rejects_total{reason="device_leased"}"#).await, 1);
    for what in ["take", "renew", "give_back"] {
        let line = server.until_audited("lease", &[("what", what.into()), ("outcome", "ok".into())]).await;
        assert_eq!((&line["who"]["name"], &line["device_id"]), (&"ann".into(), &"d".into()), "{what}");
    }
    server.until_audited("lease", &[("reason", "device_leased".into())]).await;
}

#[tokio::test]
async fn who_may_not_control_a_device_takes_no_lease_and_learns_of_none() {
    let camera = known(1, "name=camera role=device devices=*");
    let (ann, watcher) = (known(2, "name=ann role=client devices=lab7/*"), known(3, "name=w role=observer"));
    let (far, root) = (known(4, "name=far role=client devices=* tenant=far"), known(5, "name=root role=admin"));
    let server = server(&[&camera, &ann, &watcher, &far, &root]);
    let _devices = [device(&server, &camera, "lab7/d").await, device(&server, &camera, "lab8/d").await];
    assert_eq!(send(&server, "POST", "/api/v1/devices/lab8%2Fd/lease", &root).await.status, 200);
    for (who, id, expected) in [
        (&ann, "lab8%2Fd", (404, "device_not_found")),
        (&ann, "lab7%2Fabsent", (404, "device_not_found")),
        (&far, "lab7%2Fd", (404, "device_not_found")),
        (&watcher, "lab7%2Fd", (403, "forbidden")),
        (&watcher, "absent", (404, "device_not_found")),
        (&camera, "lab7%2Fd", (404, "device_not_found")),
    ] {
        for method in ["POST", "DELETE"] {
            let answer = send(&server, method, &format!("/api/v1/devices/{id}/lease"), who).await;
            assert_eq!(code(&answer), (expected.0, expected.1.into()), "{method} {id} {}", who.line);
        }
    }
    let tried = [("reason", "device_forbidden".into()), ("device_id", "lab8/d".into())];
    server.until_audited("refusal", &tried).await;
    let shown = get(&server, "/api/v1/devices/lab8%2Fd/lease", &ann).await;
    assert_eq!(code(&shown), (404, "device_not_found".into()));
    for query in ["ttl_ms=999", "ttl_ms=43200001", "ttl_ms=x", "ttl_ms=-1", "force=x"] {
        let answer = send(&server, "POST", &format!("/api/v1/devices/lab7%2Fd/lease?{query}"), &ann).await;
        assert_eq!(answer.status, 400, "{query}");
    }
    assert_eq!(send(&server, "POST", "/api/v1/devices/lab7%2Fd/lease?force=true", &ann).await.status, 403);
}

#[tokio::test]
async fn nobody_in_particular_has_no_device_for_himself() {
    let server = Running::start();
    let _device = server.device("d", "1").await;
    let answer = ask(&server, "POST", "/api/v1/devices/d/lease", "").await;
    assert_eq!(code(&answer), (403, "lease_needs_token".into()));
    for (method, path) in [("DELETE", "/api/v1/devices/d/connection"), ("DELETE", "/api/v1/sessions?identity=x")] {
        assert_eq!(ask(&server, method, path, "").await.status, 403, "{path}");
    }
}

#[tokio::test]
async fn device_in_use_is_taken_by_an_administrator_only() {
    let (camera, ann) = (known(1, "name=camera role=device devices=*"), known(2, "name=ann role=client devices=*"));
    let (bob, root) = (known(3, "name=bob role=client devices=*"), known(4, "name=root role=admin"));
    let server = server(&[&camera, &ann, &bob, &root]);
    let mut device = device(&server, &camera, "d").await;
    let mut viewing = client(&server, &bob, "d").await;
    viewing.send_text(r#"{"message_type":"forward","payload":1}"#).await.expect("sent");
    expect_type(&mut device, "client_msg").await;
    const PATH: &str = "/api/v1/devices/d/lease";
    assert_eq!(code(&send(&server, "POST", PATH, &ann).await), (409, "device_in_use".into()));
    assert_eq!(code(&send(&server, "POST", PATH, &root).await), (409, "device_in_use".into()), "not by accident");
    assert_eq!(send(&server, "POST", &format!("{PATH}?force=true"), &root).await.status, 200);
    expect_end(&mut viewing, LEASED, 1013).await;
    expect_type(&mut device, "client_disconnected").await;
    assert_eq!(send(&server, "DELETE", PATH, &root).await.status, 204);
    assert_eq!(send(&server, "POST", PATH, &ann).await.status, 200);
    assert_eq!(send(&server, "DELETE", PATH, &root).await.status, 204, "an administrator gives back anybody's");
    server.until_audited("lease", &[("what", "give_back".into()), ("whom", "token:ann".into())]).await;
}

/// Enough for the buffers of both sides to be full of one.
fn long_message() -> String {
    format!(r#"{{"message_type":"forward","client_id":ID,"payload":"{}"}}"#, "x".repeat(200_000))
}

/// A viewer that does not read is no less sent away; what it was sent before is still there for it to read.
#[tokio::test]
async fn viewer_that_does_not_read_loses_a_device_that_is_taken() {
    let (camera, bob) = (known(1, "name=camera role=device devices=*"), known(2, "name=bob role=client devices=*"));
    let root = known(3, "name=root role=admin");
    let server = Running::with(|settings| {
        settings.access.access = access(&[&camera, &bob, &root]);
        settings.access.token_in_query = true;
        settings.connections.send_buffer = 4096;
    });
    let mut device = RawWs::open(&server, &format!("/register_device?access_token={}", camera.token)).await;
    device.text(&register("d")).await;
    device.expect_type("config").await;
    let socket = TcpSocket::new_v4().expect("a socket");
    socket.set_recv_buffer_size(4096).expect("set");
    let socket = socket.connect(server.addr).await.expect("accepted");
    let mut viewer = RawWs::over(Peer::from(socket), &format!("/connect_client?access_token={}", bob.token)).await;
    viewer.text(r#"{"message_type":"connect","device_id":"d"}"#).await;
    viewer.expect_type("config").await;
    viewer.expect_type("device_info").await;
    viewer.text(r#"{"message_type":"forward","payload":1}"#).await;
    let told: Value = serde_json::from_str(&device.expect_type("client_msg").await).expect("json");
    let message = long_message().replace("ID", &told["client_id"].to_string());
    device.text(&message).await;
    viewer.peer.socket.readable().await.expect("open");
    // By now the first one is being written: this one waits, and it has been taken when the ping is answered.
    device.text(&message).await;
    device.send(&frame(PING, b"taken")).await;
    while device.next().await != Sent::Pong(b"taken".to_vec()) {}
    assert_eq!(send(&server, "POST", "/api/v1/devices/d/lease?force=true", &root).await.status, 200);
    viewer.text(r#"{"message_type":"forward","payload":2}"#).await;
    device.expect_type("client_disconnected").await;
    for _ in 0..2 {
        viewer.expect_type("device_msg").await;
    }
    viewer.expect_refused("device_leased", 1013).await;
}

#[tokio::test]
async fn lease_ends_by_itself_and_whoever_watches_is_told() {
    let (camera, ann) = (known(1, "name=camera role=device devices=*"), known(2, "name=ann role=client devices=*"));
    let server = server(&[&camera, &ann]);
    let _device = device(&server, &camera, "d").await;
    let mut watch = Peer::connect(server.addr).await;
    let request = format!(
        "GET /api/v1/devices/events HTTP/1.1\r\nhost: {}\r\nauthorization: Bearer {}\r\n\r\n",
        server.addr, ann.token
    );
    watch.send(&request).await;
    watch.until("event: snapshot").await;
    assert_eq!(send(&server, "POST", "/api/v1/devices/d/lease?ttl_ms=1000", &ann).await.status, 200);
    watch.until("event: lease\ndata: {\"device_id\":\"d\",\"cuttlebone_lease\":{\"holder\":\"ann\",").await;
    watch.until("event: lease\ndata: {\"device_id\":\"d\",\"cuttlebone_lease\":null}").await;
    assert_eq!(server.metric("cuttlebone_leases").await, 0);
    server.until_audited("lease", &[("what", "over".into()), ("whom", "token:ann".into())]).await;
}

#[tokio::test]
async fn leases_of_a_principal_are_bounded() {
    let (camera, ann) = (known(1, "name=camera role=device devices=*"), known(2, "name=ann role=client devices=*"));
    let server = Running::with(|settings| {
        settings.access.access = access(&[&camera, &ann]);
        settings.hub.leases_per_holder = 1;
    });
    let _devices = [device(&server, &camera, "d").await, device(&server, &camera, "e").await];
    assert_eq!(send(&server, "POST", "/api/v1/devices/d/lease", &ann).await.status, 200);
    let answer = send(&server, "POST", "/api/v1/devices/e/lease", &ann).await;
    assert_eq!(code(&answer), (429, "too_many_leases".into()));
    assert_eq!(server.metric(r#"cuttlebone_rejects_total{reason="too_many_leases"}"#).await, 1);
}

#[tokio::test]
async fn lease_that_is_asked_for_too_often_is_refused_and_audited() {
    let (camera, ann) = (known(1, "name=camera role=device devices=*"), known(2, "name=ann role=client devices=*"));
    let server = Running::with(|settings| {
        settings.access.access = access(&[&camera, &ann]);
        (settings.quotas.registrations, settings.quotas.registrations_burst) = (1, 2);
    });
    let _device = device(&server, &camera, "d").await;
    for method in ["POST", "DELETE"] {
        assert!(matches!(send(&server, method, "/api/v1/devices/d/lease", &ann).await.status, 200 | 204), "{method}");
    }
    for (method, what) in [("POST", "take"), ("DELETE", "give_back")] {
        let answer = send(&server, method, "/api/v1/devices/d/lease", &ann).await;
        assert_eq!(code(&answer), (429, "rate_limited".into()));
        server.until_audited("lease", &[("reason", "rate_limited".into()), ("what", what.into())]).await;
    }
}

/// A page of another site has the browser send a request, and the cookie goes with it.
#[tokio::test]
async fn page_of_another_site_changes_nothing() {
    let (camera, root) = (known(1, "name=camera role=device devices=*"), known(2, "name=root role=admin"));
    let server = server(&[&camera, &root]);
    let _device = device(&server, &camera, "d").await;
    let cookie = format!("cookie: cuttlebone={}\r\n", root.token);
    let own = format!("origin: http://{}\r\n", server.addr);
    for (method, path) in [
        ("POST", "/api/v1/devices/d/lease"),
        ("DELETE", "/api/v1/devices/d/lease"),
        ("DELETE", "/api/v1/devices/d/connection"),
        ("DELETE", "/api/v1/sessions?identity=token:root"),
    ] {
        for (origin, expected) in [("origin: https://evil.example\r\n", 403), ("origin: null\r\n", 403), ("", 401)] {
            let answer = ask(&server, method, path, &format!("{cookie}{origin}")).await;
            assert_eq!(answer.status, expected, "{method} {path} {origin}");
        }
    }
    let bearer = format!("authorization: Bearer {}\r\norigin: https://evil.example\r\n", root.token);
    assert_eq!(ask(&server, "POST", "/api/v1/devices/d/lease", &bearer).await.status, 403);
    let answer = ask(&server, "POST", "/api/v1/devices/d/lease", &format!("{cookie}{own}")).await;
    assert_eq!(answer.status, 200, "our own page");
    assert_eq!(ask(&server, "GET", "/devices", &cookie).await.status, 200);
}

/// T20: an administrator shuts somebody out at once.
#[tokio::test]
async fn t20_who_is_shut_out_is_closed_and_does_not_come_back() {
    let host =
        |number, tenant: &str| known(number, &format!("name=h{number} role=device,client devices=* tenant={tenant}"));
    let (one, other, far) = (host(1, "one"), host(2, "one"), host(3, "two"));
    let (root, foreign) = (known(4, "name=root role=admin tenant=one"), known(5, "name=foreign role=admin tenant=two"));
    let server = server(&[&one, &other, &far, &root, &foreign]);
    let mut gone = device(&server, &one, "d").await;
    let mut stays = device(&server, &other, "e").await;
    assert_eq!(send(&server, "DELETE", "/api/v1/sessions?identity=token:h1", &foreign).await.status, 204);
    // It would be said to be done, and is not.
    assert_eq!(send(&server, "DELETE", "/api/v1/sessions?identity=jti:h%2377", &root).await.status, 400);
    assert_eq!(get(&server, "/devices", &one).await.status, 200, "another tenant's administrator reaches nobody");
    assert_eq!(send(&server, "DELETE", "/api/v1/sessions?identity=token:h1", &other).await.status, 403);
    assert_eq!(send(&server, "DELETE", "/api/v1/sessions", &root).await.status, 400);
    let begun = tokio::time::Instant::now();
    assert_eq!(send(&server, "DELETE", "/api/v1/sessions?identity=token:h1", &root).await.status, 204);
    let expired = r#"{"error":"Credential expired or revoked","cuttlebone_code":"credential_expired"}"#;
    expect_end(&mut gone, expired, 4003).await;
    assert!(begun.elapsed() < Duration::from_secs(5));
    assert_eq!(get(&server, "/devices", &one).await.status, 401);
    server
        .until_audited("admin", &[("what", "shut_out".into()), ("whom", "token:h1".into()), ("outcome", "ok".into())])
        .await;
    server.until_audited("admin", &[("what", "shut_out".into()), ("reason", "forbidden".into())]).await;
    // Once more is nothing new.
    for identity in ["token:h1", "token:other"] {
        let path = format!("/api/v1/sessions?identity={identity}");
        assert_eq!(send(&server, "DELETE", &path, &root).await.status, 204);
    }
    server.until_audited("admin", &[("whom", "token:other".into())]).await;
    let lines = server.audit.all();
    let said =
        lines.iter().filter(|line| line["whom"] == "token:h1" && line["who"]["identity"] == "token:root").count();
    assert_eq!(said, 1, "{lines:#?}");
    server.handle.set_access(access(&[&one, &other, &far, &root, &foreign]));
    assert_eq!(get(&server, "/devices", &one).await.status, 401, "a file that is read again lets nobody in again");
    stays.send_text("{}").await.expect("sent");
    assert_eq!(get(&server, "/devices", &other).await.status, 200);
}

/// T20: or whoever was found out could keep everybody from a device for hours.
#[tokio::test]
async fn t20_lease_of_who_was_taken_back_ends_within_a_moment() {
    let camera = known(1, "name=camera role=device devices=*");
    let (ann, bob) = (known(2, "name=ann role=client devices=*"), known(3, "name=bob role=client devices=*"));
    let root = known(4, "name=root role=admin");
    let server = server(&[&camera, &ann, &bob, &root]);
    let _device = device(&server, &camera, "d").await;
    let take = async |who| send(&server, "POST", "/api/v1/devices/d/lease", who).await.status;
    assert_eq!((take(&ann).await, take(&bob).await), (200, 409));
    server.handle.set_access(access(&[&camera, &bob, &root]));
    server.until_audited("lease", &[("what", "taken_back".into()), ("whom", "token:ann".into())]).await;
    assert_eq!(take(&bob).await, 200);
    assert_eq!(send(&server, "DELETE", "/api/v1/sessions?identity=token:bob", &root).await.status, 204);
    server.until_audited("lease", &[("what", "taken_back".into()), ("whom", "token:bob".into())]).await;
    assert_eq!(server.metric("cuttlebone_leases").await, 0);
}

/// One account can be of two tenants, and can have two tokens: each lease is of the one that took it.
#[tokio::test]
async fn lease_ends_with_the_credential_that_took_it_and_with_no_other() {
    let host =
        |number, tenant: &str| known(number, &format!("name=host-{tenant} role=device devices=* tenant={tenant}"));
    let (hosts, root) = ([host(1, "one"), host(2, "two")], known(3, "name=root role=admin tenant=one"));
    let signer = Signer::new("1");
    let alice = |tenant: &str, id: &str| Known {
        token: signer.token_of(json!({"cuttlebone_tenant": tenant, "jti": id})),
        line: String::new(),
    };
    let in_force = |revoked: &str| {
        let rules = IssuerSettings::new(ISSUER);
        let jwt = Jwt::new(vec![(rules, KeySet::from_jwks(&jwks(&[&signer])).expect("keys"))]).expect("good settings");
        let lines: String = [&hosts[0], &hosts[1], &root].map(|known| format!("{}\n", known.line)).concat();
        let tokens = Some(StaticTokens::parse(&lines).expect("lines"));
        let revoked = Revoked::parse(revoked).expect("names");
        Arc::new(Access::new(Kinds { tokens, jwt: Some(jwt), revoked, ..Kinds::default() }))
    };
    let server = Running::with(|settings| {
        settings.access.access = in_force("");
        settings.access.anonymous = false;
    });
    let mut devices = Vec::new();
    for (host, id) in [(&hosts[0], "a"), (&hosts[1], "b"), (&hosts[1], "c")] {
        devices.push(device(&server, host, id).await);
    }
    for (id, who) in [("b", alice("two", "first")), ("c", alice("two", "second")), ("a", alice("one", "third"))] {
        let answer = send(&server, "POST", &format!("/api/v1/devices/{id}/lease"), &who).await;
        assert_eq!(answer.status, 200, "{id}: {}", answer.text());
    }
    let ended = async |id: &str, tenant: &str, left: u64| {
        let expected = [("what", "taken_back".into()), ("device_id", id.into()), ("tenant", tenant.into())];
        server.until_audited("lease", &expected).await;
        assert_eq!(server.metric("cuttlebone_leases").await, left, "{id}");
    };
    let path = format!("/api/v1/sessions?identity=jwt:{ISSUER}%23alice");
    assert_eq!(send(&server, "DELETE", &path, &root).await.status, 204);
    ended("a", "one", 2).await;
    server.handle.set_access(in_force(&format!("jti:{ISSUER}#second")));
    ended("c", "two", 1).await;
    server.handle.set_access(in_force(&format!("jti:{ISSUER}#first")));
    ended("b", "two", 0).await;
}

#[tokio::test]
async fn administrator_closes_a_device_of_its_tenant() {
    let camera = known(1, "name=camera role=device devices=* tenant=one");
    let (root, foreign) = (known(2, "name=root role=admin tenant=one"), known(3, "name=foreign role=admin tenant=two"));
    let viewer = known(4, "name=v role=client devices=* tenant=one");
    let server = server(&[&camera, &root, &foreign, &viewer]);
    let mut closed = device(&server, &camera, "events").await;
    const PATH: &str = "/api/v1/devices/events/connection";
    assert_eq!(send(&server, "DELETE", PATH, &foreign).await.status, 404);
    assert_eq!(send(&server, "DELETE", PATH, &viewer).await.status, 403);
    assert_eq!(send(&server, "DELETE", PATH, &root).await.status, 204);
    let error = r#"{"error":"Connection closed by an administrator","cuttlebone_code":"closed_by_admin"}"#;
    expect_end(&mut closed, error, 1008).await;
    server.until_audited("admin", &[("what", "close_device".into()), ("device_id", "events".into())]).await;
    assert_eq!(send(&server, "DELETE", PATH, &root).await.status, 404);
    device(&server, &camera, "events").await;
}
