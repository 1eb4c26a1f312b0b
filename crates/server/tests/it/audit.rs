//! What the audit log tells. Each line that any test of this program produces is compared with the schema, see
//! [`Running`].

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use cuttlebone_server::{ServerHandle, Settings, audit_lost_line};
use serde_json::{Value, json};
use tokio::io::AsyncWriteExt as _;
use tokio::net::TcpSocket;

use crate::access::{self, EXPIRED, Known, access, client, connect, device, expect_end, known, open, register};
use crate::support::{AuditLines, Peer, Running, expect_type};

const UPGRADE: &str = "upgrade: websocket\r\nconnection: upgrade\r\nsec-websocket-version: 13\r\n\
    sec-websocket-key: dGhlIHNhbXBsZSBub25jZQ==\r\n";

async fn from(address: &str, server: &Running) -> Peer {
    let socket = TcpSocket::new_v4().expect("a socket");
    socket.bind(format!("{address}:0").parse().expect("an address")).expect("bound");
    Peer::from(socket.connect(server.addr).await.expect("accepted"))
}

/// A device that comes from this address.
async fn device_from(address: &str, server: &Running, who: &Known, id: &str) -> Peer {
    let mut peer = from(address, server).await;
    let head = format!(
        "GET /register_device HTTP/1.1\r\nhost: {}\r\n{UPGRADE}authorization: Bearer {}\r\n\r\n",
        server.addr, who.token
    );
    peer.send(&head).await;
    assert_eq!(peer.head().await.status, 101);
    let text = register(id);
    let length = u8::try_from(text.len()).expect("short") | 0x80;
    // Masked with zeros.
    let frame = [&[0x81, length, 0, 0, 0, 0], text.as_bytes()].concat();
    peer.socket.write_all(&frame).await.expect("sent");
    peer.until("config").await;
    peer
}

fn is_from(line: &Value, address: &str) -> bool {
    line["from"].as_str().is_some_and(|from| from.starts_with(&format!("{address}:")))
}

#[tokio::test]
async fn life_of_a_device_and_its_client_is_told_from_the_start_to_the_stop() {
    let camera = known(1, "name=camera role=device devices=* tenant=lab7");
    let viewer = known(2, "name=viewer role=client devices=* tenant=lab7");
    let server = access::server(&[&camera, &viewer]);
    let start = server.until_audited("start", &[("anonymous", false.into()), ("tls", false.into())]).await;
    assert_eq!(start["listen"], server.addr.to_string());
    let early = connect(&server, &viewer, "cvd-1").await;
    let waiting = server.until_audited("connect", &[("outcome", "waiting".into())]).await;
    assert_eq!(
        waiting["who"],
        json!({"kind": "token", "identity": "token:viewer", "name": "viewer", "tenant": "lab7"})
    );
    let camera = device(&server, &camera, "cvd-1").await;
    let registered = server.until_audited("register", &[("outcome", "ok".into())]).await;
    assert_eq!((&registered["device_id"], &registered["role"]), (&"cvd-1".into(), &"device".into()));
    assert!(is_from(&registered, "127.0.0.1"), "{registered}");
    let own = &waiting["connection"];
    let attached = server.until_audited("connect", &[("outcome", "ok".into()), ("connection", own.clone())]).await;
    assert!(attached["client_id"].is_u64(), "{attached}");
    early.close(1000, "", Duration::from_secs(5)).await.expect("closed");
    let left = server.until_audited("disconnect", &[("connection", own.clone())]).await;
    let of_left = [&left["outcome"], &left["reason"], &left["client_id"]];
    assert_eq!(of_left, [&"gone".into(), &"closed_by_peer".into(), &attached["client_id"]]);
    drop(camera);
    let broken = server.until_audited("disconnect", &[("role", "device".into())]).await;
    assert_eq!(broken["outcome"], "kept", "{broken}");
    assert!(broken["kept_ms"].as_u64().is_some_and(|ms| ms <= 10_000), "{broken}");
    server.stop();
    let audit = Arc::clone(&server.audit);
    server.ended().await;
    let last = audit.all().pop().expect("lines");
    assert_eq!(last["event"], "stop", "{last}");
}

/// T20: whoever has somebody's token, and uses it from elsewhere, is seen.
#[tokio::test]
async fn takeover_from_another_address_is_told_as_one() {
    let owner = known(1, "name=owner role=device devices=*");
    let server = access::server(&[&owner]);
    let _first = device(&server, &owner, "d").await;
    let first = server.until_audited("register", &[]).await;
    let _second = device(&server, &owner, "d").await;
    let near = server.until_audited("takeover", &[("outcome", "same_address".into())]).await;
    assert_eq!(near["previous"], json!({"connection": first["connection"], "from": first["from"]}));
    let third = device_from("127.0.0.2", &server, &owner, "d").await;
    let far = server.until_audited("takeover", &[("outcome", "other_address".into())]).await;
    assert!(is_from(&far, "127.0.0.2"), "{far}");
    assert_eq!(far["previous"]["connection"], near["connection"]);
    // Nobody is there to be taken over from, and still it is another address that has the device now.
    drop(third);
    server.until_audited("disconnect", &[("connection", far["connection"].clone()), ("outcome", "kept".into())]).await;
    let _fourth = device(&server, &owner, "d").await;
    let back = server.until_audited("register", &[("outcome", "returned".into())]).await;
    let previous = json!({"connection": far["connection"], "from": far["from"]});
    let fields = [("outcome", "other_address".into()), ("previous", previous)];
    let again = server.until_audited("takeover", &fields).await;
    assert_eq!(again["connection"], back["connection"]);
}

#[tokio::test]
async fn device_that_comes_back_from_where_it_was_is_no_takeover() {
    let server = Running::start();
    drop(server.device("d", "1").await);
    server.until_audited("disconnect", &[("outcome", "kept".into())]).await;
    let _again = server.device("d", "1").await;
    server.until_audited("register", &[("outcome", "returned".into()), ("who", json!({"kind": "anonymous"}))]).await;
    assert!(server.audit.all().iter().all(|line| line["event"] != "takeover"));
}

#[tokio::test]
async fn client_that_goes_on_with_its_session_is_told_as_one_that_returned() {
    let server = Running::start();
    let _device = server.device("d", "1").await;
    let connect =
        |resume: &str| format!(r#"{{"message_type":"connect","device_id":"d","cuttlebone_resume":{resume}}}"#);
    let mut first = server.websocket("/connect_client").await;
    first.send_text(connect("true")).await.expect("sent");
    expect_type(&mut first, "config").await;
    let info: Value = serde_json::from_str(&expect_type(&mut first, "device_info").await).expect("JSON");
    let token = info["cuttlebone_resume"].as_str().expect("a token").to_owned();
    drop(first);
    server.until_audited("disconnect", &[("outcome", "kept".into()), ("role", "client".into())]).await;
    let mut second = server.websocket("/connect_client").await;
    second.send_text(connect(&format!("\"{token}\",\"cuttlebone_received\":0"))).await.expect("sent");
    let back = server.until_audited("connect", &[("outcome", "returned".into())]).await;
    let before = server.until_audited("connect", &[("outcome", "ok".into())]).await;
    assert_eq!(back["client_id"], before["client_id"]);
    assert!(!server.audit.all().iter().any(|line| line.to_string().contains(&token)));
}

#[tokio::test]
async fn refusals_say_why_and_to_whom_as_far_as_that_is_known() {
    let viewer = known(1, "name=viewer role=client devices=lab7/*");
    let camera = known(2, "name=camera role=device devices=lab7/*");
    let server = access::server(&[&viewer, &camera]);
    assert_eq!(server.get("/devices").await.status, 401);
    let missing = server.until_audited("refusal", &[("reason", "token_missing".into())]).await;
    assert!(missing["who"].is_null() && is_from(&missing, "127.0.0.1"), "{missing}");
    assert!(open(&server, "/connect_client", &known(3, "name=x role=client devices=*")).await.is_err());
    server.until_audited("refusal", &[("reason", "token_unknown".into())]).await;
    assert!(open(&server, "/register_device", &viewer).await.is_err());
    let forbidden = server.until_audited("refusal", &[("reason", "forbidden".into())]).await;
    assert_eq!((&forbidden["role"], &forbidden["who"]["name"]), (&"device".into(), &"viewer".into()));
    let evil = format!(
        "GET /connect_client HTTP/1.1\r\nhost: {}\r\n{UPGRADE}origin: http://evil.example\r\n\r\n",
        server.addr
    );
    // From elsewhere: of one address few are written in a second.
    let mut page = from("127.0.0.2", &server).await;
    page.send(&evil).await;
    assert_eq!(page.answer().await.status, 403);
    server.until_audited("refusal", &[("reason", "origin_not_allowed".into())]).await;
}

/// What a peer is not told, the audit log is (T18, T21).
#[tokio::test]
async fn forbidden_device_is_told_as_forbidden_and_a_taken_one_as_taken() {
    let viewer = known(1, "name=viewer role=client devices=lab7/*");
    let (camera, other) =
        (known(2, "name=camera role=device devices=*"), known(3, "name=other role=device devices=lab7/*"));
    let server = access::server(&[&viewer, &camera, &other]);
    let _device = device(&server, &camera, "lab7/a").await;
    let _waits = connect(&server, &viewer, "lab8/a").await;
    let line = server.until_audited("connect", &[("reason", "device_forbidden".into())]).await;
    assert_eq!((&line["outcome"], &line["device_id"]), (&"refused".into(), &"lab8/a".into()));
    for (id, reason) in [("lab8/b", "device_forbidden"), ("lab7/a", "device_id_taken")] {
        let mut rival = open(&server, "/register_device", &other).await.expect("upgraded");
        rival.send_text(register(id)).await.expect("sent");
        let line = server.until_audited("register", &[("reason", reason.into())]).await;
        assert_eq!((&line["device_id"], &line["who"]["name"]), (&id.into(), &"other".into()));
    }
    let told: Vec<_> = server.audit.all().into_iter().filter(|line| line["device_id"] == "lab8/a").collect();
    assert_eq!(told.len(), 1, "nobody waits for what is forbidden: {told:?}");
}

#[tokio::test]
async fn credential_that_is_over_is_told_and_how() {
    let gone = known(1, "name=gone role=device,client devices=*");
    let server = access::server(&[&gone]);
    let mut device = device(&server, &gone, "d").await;
    let mut viewer = client(&server, &gone, "d").await;
    server.handle.set_access(access(&[]));
    for conn in [&mut device, &mut viewer] {
        expect_end(conn, EXPIRED, 4003).await;
    }
    for role in ["device", "client"] {
        let over = server.until_audited("credential", &[("role", role.into())]).await;
        assert_eq!((&over["outcome"], &over["who"]["name"]), (&"revoked".into(), &"gone".into()));
        let fields = [("connection", over["connection"].clone()), ("close_code", 4003.into())];
        server.until_audited("disconnect", &fields).await;
    }
    let soon = std::time::UNIX_EPOCH.elapsed().expect("after 1970").as_secs() + 2;
    let short = known(2, &format!("name=short role=device devices=* expires={}", access::rfc3339(soon)));
    let server = Running::with(|settings| {
        settings.access.access = access(&[&short]);
        settings.access.anonymous = false;
        settings.timeouts.ping = Duration::from_millis(200);
    });
    let _device = access::device(&server, &short, "d").await;
    server.until_audited("credential", &[("outcome", "expired".into())]).await;
}

/// Nobody fills the log, or pushes out of it what others did, by being refused.
#[tokio::test]
async fn flood_of_refusals_is_counted_and_its_count_is_told() {
    let server = access::server(&[&known(1, "name=viewer role=client devices=*")]);
    const ASKED: u64 = 200;
    for _ in 0..ASKED {
        assert_eq!(server.get("/devices").await.status, 401);
    }
    server.until_audited("left_out", &[]).await;
    let count = || {
        let lines = server.audit.all();
        let written = lines.iter().filter(|line| line["event"] == "refusal").count() as u64;
        let left_out: u64 = lines.iter().filter_map(|line| line["count"].as_u64()).sum();
        (written, written + left_out)
    };
    let mut tick = tokio::time::interval(Duration::from_millis(20));
    while count().1 < ASKED {
        tick.tick().await;
    }
    assert_eq!(count().1, ASKED, "each is told once");
    assert!(count().0 <= ASKED / 2, "{} lines", count().0);
    assert_eq!(server.metric("cuttlebone_audit_left_out_total").await, ASKED - count().0);
    assert!(server.metric("cuttlebone_audit_lines_total").await > count().0);
}

/// Each connection that is refused ends, too.
#[tokio::test]
async fn end_of_who_was_refused_is_bounded_as_the_refusal_is() {
    let other = known(1, "name=other role=device devices=lab7/*");
    let server = access::server(&[&other]);
    const ASKED: usize = 60;
    for _ in 0..ASKED {
        let mut rival = open(&server, "/register_device", &other).await.expect("upgraded");
        rival.send_text(register("lab8/b")).await.expect("sent");
        let taken = r#"{"error":"Device id already taken: lab8/b","cuttlebone_code":"device_id_taken"}"#;
        expect_end(&mut rival, taken, 1008).await;
    }
    let told = |event: &str| server.audit.all().iter().filter(|line| line["event"] == event).count();
    let all = r#"cuttlebone_connections{role="device"}"#;
    server.until_metric(all, |open| open == 0).await;
    let (refused, ended) = (told("register"), told("disconnect"));
    assert!(refused > 0 && refused <= ASKED / 2 && ended == refused, "{refused} and {ended} of {ASKED} each");
    let left_out = server.metric("cuttlebone_audit_left_out_total").await;
    assert_eq!(refused + left_out as usize, ASKED, "each is told once");
    // Who had what it asked for leaves a line, whatever else there is.
    drop(device(&server, &other, "lab7/a").await);
    server.until_audited("disconnect", &[("device_id", "lab7/a".into())]).await;
}

/// Its refusal is only counted, that it is thrown out is not.
#[tokio::test]
async fn end_of_who_is_thrown_out_is_told() {
    let viewer = known(1, "name=viewer role=client devices=lab7/*");
    let server = Running::with(|settings| {
        settings.access.access = access(&[&viewer]);
        settings.access.anonymous = false;
        settings.audit.refusals_per_second = 0;
    });
    let _waits = connect(&server, &viewer, "lab8/a").await;
    server.until_metric("cuttlebone_audit_left_out_total", |count| count == 1).await;
    server.handle.set_access(access(&[]));
    let over = server.until_audited("credential", &[("outcome", "revoked".into())]).await;
    server.until_audited("disconnect", &[("connection", over["connection"].clone())]).await;
}

#[tokio::test]
async fn limit_of_an_address_is_told() {
    let server = Running::with(|settings| settings.connections.per_address = Some(1));
    let _own = server.websocket("/connect_client").await;
    assert_eq!(Peer::connect(server.addr).await.answer().await.status, 429);
    server.until_audited("refusal", &[("reason", "address_full".into())]).await;
}

/// The kinds that no other test has, and that all there are occur.
#[tokio::test]
async fn every_kind_of_event_fits_the_schema() {
    let owner = known(1, "name=owner role=device,client,admin devices=*");
    let server = access::server(&[&owner]);
    let note: fn(&ServerHandle, &'static str, bool) = ServerHandle::note_reload;
    note(&server.handle, "configuration", true);
    note(&server.handle, "access", false);
    let _first = device(&server, &owner, "d").await;
    let _second = device(&server, &owner, "d").await;
    let viewer = client(&server, &owner, "d").await;
    drop(viewer);
    let bearer = format!("authorization: Bearer {}\r\n", owner.token);
    access::ask(&server, "POST", "/api/v1/devices/d/lease", &bearer).await;
    access::ask(&server, "DELETE", "/api/v1/sessions?identity=token:x", &bearer).await;
    server.until_audited("disconnect", &[("role", "client".into())]).await;
    for _ in 0..20 {
        server.get("/devices").await;
    }
    server.until_audited("left_out", &[]).await;
    server.handle.set_access(access(&[]));
    server.until_audited("credential", &[]).await;
    server.stop();
    let audit: Arc<AuditLines> = Arc::clone(&server.audit);
    server.ended().await;
    audit.put_line(audit_lost_line(3));
    let mut seen: BTreeSet<String> =
        audit.all().iter().filter_map(|line| Some(line["event"].as_str()?.to_owned())).collect();
    // It takes a provider, which the tests in `login` have.
    seen.insert("sign_in".to_owned());
    let schema: Value = serde_json::from_str(include_str!("../../../../docs/audit.schema.json")).expect("JSON");
    let known = schema["properties"]["event"]["enum"].as_array().expect("kinds").iter();
    let known: BTreeSet<String> = known.filter_map(|kind| Some(kind.as_str()?.to_owned())).collect();
    assert_eq!(seen, known);
}

#[tokio::test]
async fn nothing_is_kept_for_an_audit_log_that_is_off() {
    assert!(Settings::default().audit.sink.is_none());
    let server = Running::with(|settings| settings.audit.sink = None);
    let _device = server.device("d", "1").await;
    let _client = server.client("d").await;
    assert_eq!(server.metric("cuttlebone_audit_lines_total").await, 0);
}
