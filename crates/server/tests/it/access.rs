//! Who is let in, and what they may do: security.md T02, T18 to T21, T40.

use std::fmt::Write as _;
use std::sync::Arc;
use std::time::Duration;

use cuttlebone_access::{Access, NewToken, Settings as Kinds, StaticTokens, TokenFields};
use cuttlebone_client::Endpoint;
use cuttlebone_client::raw::{self, ConnectError, RawConn, RawEvent};
use tokio::time::{Instant, timeout};

use crate::support::{Answer, PATIENCE, Peer, Running, expect_type, request};

pub(crate) const EXPIRED: &str = r#"{"error":"Credential expired or revoked","cuttlebone_code":"credential_expired"}"#;

/// A token, and what its line says.
#[derive(Clone)]
pub(crate) struct Known {
    pub(crate) token: String,
    pub(crate) line: String,
}

/// The token with this number, of one who is and may what `fields` say.
pub(crate) fn known(number: u8, fields: &str) -> Known {
    let new = NewToken::from_random(&[number; 32]);
    let line = new.line(&TokenFields { name: "x", role: "observer", ..TokenFields::default() }).expect("a line");
    let hash = line.split(' ').next().expect("a hash");
    Known { token: new.secret().to_owned(), line: format!("{hash} {fields}") }
}

pub(crate) fn access(all: &[&Known]) -> Arc<Access> {
    let file = all.iter().fold(String::new(), |mut file, known| {
        let _ = writeln!(file, "{}", known.line);
        file
    });
    let tokens = StaticTokens::parse(&file).expect("lines without a fault");
    Arc::new(Access::new(Kinds { tokens: Some(tokens), ..Kinds::default() }))
}

pub(crate) fn server(all: &[&Known]) -> Running {
    Running::with(|settings| {
        settings.access.access = access(all);
        settings.access.anonymous = false;
    })
}

pub(crate) async fn open(server: &Running, path: &str, who: &Known) -> Result<RawConn, ConnectError> {
    open_with(server, path, &who.token).await
}

async fn open_with(server: &Running, path: &str, token: &str) -> Result<RawConn, ConnectError> {
    let endpoint = Endpoint::parse(&format!("ws://{}", server.addr)).expect("an address");
    raw::connect(&endpoint, path, &[&format!("bearer.{token}")]).await
}

/// A client that has not said which device it wants.
pub(crate) async fn newcomer(server: &Running, token: &str) -> RawConn {
    open_with(server, "/connect_client", token).await.expect("upgraded")
}

pub(crate) async fn device(server: &Running, who: &Known, id: &str) -> RawConn {
    let mut device = open(server, "/register_device", who).await.expect("upgraded");
    device.send_text(register(id)).await.expect("sent");
    expect_type(&mut device, "config").await;
    device
}

pub(crate) fn register(id: &str) -> String {
    format!(r#"{{"message_type":"register","device_id":"{id}","device_info":1}}"#)
}

pub(crate) async fn connect(server: &Running, who: &Known, id: &str) -> RawConn {
    let mut client = open(server, "/connect_client", who).await.expect("upgraded");
    client.send_text(format!(r#"{{"message_type":"connect","device_id":"{id}"}}"#)).await.expect("sent");
    expect_type(&mut client, "config").await;
    client
}

pub(crate) async fn client(server: &Running, who: &Known, id: &str) -> RawConn {
    let mut client = connect(server, who, id).await;
    expect_type(&mut client, "device_info").await;
    client
}

pub(crate) async fn next(conn: &mut RawConn) -> Option<RawEvent> {
    loop {
        match timeout(PATIENCE, conn.next()).await.expect("in time") {
            Some(RawEvent::Ping | RawEvent::Pong) => {}
            other => return other,
        }
    }
}

pub(crate) async fn expect_end(conn: &mut RawConn, error: &str, code: u16) {
    assert!(matches!(next(conn).await, Some(RawEvent::Text(text)) if text == error));
    assert!(matches!(next(conn).await, Some(RawEvent::Close(Some(closed), _)) if closed == code));
}

/// Its token was taken back.
pub(crate) async fn expect_revoked(conn: &mut RawConn) {
    expect_end(conn, EXPIRED, 4003).await;
}

pub(crate) async fn ask(server: &Running, method: &str, path: &str, headers: &str) -> Answer {
    let addr = server.addr;
    request(addr, &format!("{method} {path} HTTP/1.1\r\nhost: {addr}\r\n{headers}connection: close\r\n\r\n")).await
}

pub(crate) async fn get(server: &Running, path: &str, who: &Known) -> Answer {
    ask(server, "GET", path, &format!("authorization: Bearer {}\r\n", who.token)).await
}

#[tokio::test]
async fn nothing_but_livez_and_the_pages_is_for_those_who_are_not_recognised() {
    let watcher = known(1, "name=w role=observer");
    let server = server(&[&watcher]);
    for path in ["/devices", "/devices/x", "/infra_config", "/readyz", "/api/v1/devices/events", "/api/v1/whoami"] {
        let answer = server.get(path).await;
        assert_eq!((answer.status, answer.header("www-authenticate")), (401, "Bearer realm=\"cuttlebone\""), "{path}");
        assert!(answer.text().contains("\"unauthenticated\""), "{path}");
    }
    for path in ["/livez", "/"] {
        assert_eq!(server.get(path).await.status, 200, "{path}");
    }
    for path in ["/devices", "/infra_config", "/readyz", "/api/v1/whoami"] {
        assert_eq!(get(&server, path, &watcher).await.status, 200, "{path}");
    }
    assert!(server.metric("cuttlebone_rejects_total{reason=\"token_missing\"}").await >= 6);
    let unknown = known(2, "name=x role=observer");
    assert_eq!(get(&server, "/devices", &unknown).await.status, 401);
    let who = get(&server, "/api/v1/whoami", &watcher).await.text();
    assert_eq!(who, r#"{"name":"w","roles":["observer"]}"#);
}

#[tokio::test]
async fn each_role_has_its_endpoint_and_others_are_403_before_the_101() {
    let camera = known(1, "name=camera role=device devices=*");
    let viewer = known(2, "name=viewer role=client devices=*");
    let watcher = known(3, "name=watcher role=observer");
    let server = server(&[&camera, &viewer, &watcher]);
    for (path, who, expected) in [
        ("/register_device", &camera, 101),
        ("/register_device", &viewer, 403),
        ("/register_device", &watcher, 403),
        ("/connect_client", &viewer, 101),
        ("/connect_client", &camera, 403),
        ("/connect_client", &watcher, 403),
    ] {
        let upgrade = format!(
            "GET {path} HTTP/1.1\r\nhost: {}\r\nupgrade: websocket\r\nconnection: upgrade\r\nsec-websocket-version: 13\r\n\
             sec-websocket-key: dGhlIHNhbXBsZSBub25jZQ==\r\nauthorization: Bearer {}\r\n\r\n",
            server.addr, who.token
        );
        let mut peer = Peer::connect(server.addr).await;
        peer.send(&upgrade).await;
        assert_eq!(peer.head().await.status, expected, "{path} {}", who.line);
    }
    assert_eq!(get(&server, "/devices", &camera).await.status, 403, "a device does not see the others");
}

/// T18: a token speaks for its ids, and to one that asks for another it is as one that is taken.
#[tokio::test]
async fn forbidden_id_is_refused_to_a_device_as_one_that_is_taken() {
    let one = known(1, "name=one role=device devices=lab7/*");
    let two = known(2, "name=two role=device devices=*");
    let server = server(&[&one, &two]);
    let _held = device(&server, &two, "lab7/held").await;
    let mut own = device(&server, &one, "lab7/cvd-1").await;
    own.send_text("{}").await.expect("sent");
    for id in ["lab8/cvd-1", "lab7/held", "lab7"] {
        let mut peer = open(&server, "/register_device", &one).await.expect("upgraded");
        peer.send_text(register(id)).await.expect("sent");
        let error = format!(r#"{{"error":"Device id already taken: {id}","cuttlebone_code":"device_id_taken"}}"#);
        expect_end(&mut peer, &error, 1008).await;
    }
    server.until_metric("cuttlebone_rejects_total{reason=\"device_forbidden\"}", |count| count == 2).await;
}

/// T21: what a client may not reach is as what is absent, and a list shows neither.
#[tokio::test]
async fn forbidden_device_is_absent_for_a_client_and_in_the_list() {
    let camera = known(1, "name=camera role=device devices=*");
    let viewer = known(2, "name=viewer role=client devices=lab7/*");
    let server = Running::with(|settings| {
        settings.access.access = access(&[&camera, &viewer]);
        settings.access.anonymous = false;
        settings.hub.client_wait = Duration::from_millis(300);
    });
    let _mine = device(&server, &camera, "lab7/cvd-1").await;
    let _other = device(&server, &camera, "lab8/cvd-1").await;
    client(&server, &viewer, "lab7/cvd-1").await;
    for id in ["lab8/cvd-1", "lab7/absent"] {
        let mut waiting = connect(&server, &viewer, id).await;
        let error = format!(
            r#"{{"error":"Connection failed: Device not found: '{id}'","cuttlebone_code":"device_not_found"}}"#
        );
        expect_end(&mut waiting, &error, 1008).await;
    }
    let list = get(&server, "/devices", &viewer).await.text();
    assert!(list.contains("lab7/cvd-1") && !list.contains("lab8"), "{list}");
    let one = get(&server, "/devices/lab8%2Fcvd-1", &viewer).await;
    let absent = get(&server, "/devices/lab7%2Fabsent", &viewer).await;
    assert_eq!(
        (one.status, one.text().replace("lab8/cvd-1", "ID")),
        (absent.status, absent.text().replace("lab7/absent", "ID"))
    );
}

#[tokio::test]
async fn tenants_do_not_see_each_other() {
    let host =
        |number, tenant: &str| known(number, &format!("name=h{number} role=device,client devices=* tenant={tenant}"));
    let (one, two, common) = (host(1, "one"), host(2, "two"), known(3, "name=c role=client devices=*"));
    let server = server(&[&one, &two, &common]);
    let mut devices = [device(&server, &one, "cvd-1").await, device(&server, &two, "cvd-1").await];
    let mut watch = Peer::connect(server.addr).await;
    let stream =
        format!("GET /api/v1/devices/events HTTP/1.1\r\nhost: x\r\nauthorization: Bearer {}\r\n\r\n", one.token);
    watch.send(&stream.replace("host: x", &format!("host: {}", server.addr))).await;
    watch.until("event: snapshot\n").await;
    assert_eq!(watch.until("\n\n").await.matches("cvd-1").count(), 1);
    for who in [&one, &two] {
        assert_eq!(get(&server, "/devices", who).await.text().matches("cvd-1").count(), 1);
    }
    assert_eq!(get(&server, "/devices", &common).await.text(), "[]");
    let mut viewer = client(&server, &two, "cvd-1").await;
    viewer.send_text(r#"{"message_type":"forward","payload":7}"#).await.expect("sent");
    expect_type(&mut devices[1], "client_msg").await;
    let _late = device(&server, &two, "cvd-2").await;
    let _seen = device(&server, &one, "cvd-3").await;
    assert!(watch.until("cvd-3").await.matches("cvd-2").count() == 0, "an event of another tenant");
}

/// T19, and protocol.md 2.4: no ping decides where identities do.
#[tokio::test]
async fn same_token_takes_its_device_over_and_another_does_not() {
    let (owner, rival) = (known(1, "name=owner role=device devices=*"), known(2, "name=rival role=device devices=*"));
    let viewer = known(3, "name=v role=client devices=*");
    let server = server(&[&owner, &rival, &viewer]);
    let mut first = device(&server, &owner, "d").await;
    let mut watching = client(&server, &viewer, "d").await;
    let mut thief = open(&server, "/register_device", &rival).await.expect("upgraded");
    thief.send_text(register("d")).await.expect("sent");
    expect_end(&mut thief, r#"{"error":"Device id already taken: d","cuttlebone_code":"device_id_taken"}"#, 1008).await;
    let mut second = device(&server, &owner, "d").await;
    let taken = r#"{"error":"Device id taken over by a new registration: d","cuttlebone_code":"taken_over"}"#;
    expect_end(&mut first, taken, 4001).await;
    watching.send_text(r#"{"message_type":"forward","payload":7}"#).await.expect("sent");
    expect_type(&mut second, "client_msg").await;
}

/// T20: a token that is taken out of the file closes what it opened, within 5 s.
#[tokio::test]
async fn revoked_token_closes_its_connections_at_once_and_no_others() {
    let gone = known(1, "name=gone role=device,client devices=*");
    let stays = known(2, "name=stays role=device,client devices=*");
    let server = server(&[&gone, &stays]);
    let mut revoked = [device(&server, &gone, "d").await, client(&server, &gone, "d").await];
    let mut kept = [device(&server, &stays, "k").await, client(&server, &stays, "k").await];
    let mut stream = Peer::connect(server.addr).await;
    let addr = server.addr;
    let token = &gone.token;
    stream
        .send(&format!("GET /api/v1/devices/events HTTP/1.1\r\nhost: {addr}\r\nauthorization: Bearer {token}\r\n\r\n"))
        .await;
    stream.until("event: snapshot\n").await;
    let begun = Instant::now();
    server.handle.set_access(access(&[&stays]));
    for conn in &mut revoked {
        expect_end(conn, EXPIRED, 4003).await;
    }
    stream.until("0\r\n\r\n").await;
    assert!(begun.elapsed() < Duration::from_secs(5), "{:?}", begun.elapsed());
    assert!(open(&server, "/connect_client", &gone).await.is_err());
    kept[1].send_text(r#"{"message_type":"forward","payload":7}"#).await.expect("sent");
    expect_type(&mut kept[0], "client_msg").await;
    assert_eq!(get(&server, "/devices", &stays).await.status, 200);
}

#[tokio::test]
async fn token_whose_rights_changed_is_as_one_that_was_revoked() {
    let viewer = known(1, "name=v role=client,device devices=*");
    let server = server(&[&viewer]);
    let _device = device(&server, &viewer, "d").await;
    let mut watching = client(&server, &viewer, "d").await;
    server.handle.set_access(access(&[&known(1, "name=v role=client devices=x")]));
    expect_end(&mut watching, EXPIRED, 4003).await;
}

/// T40: looked at with each ping.
#[tokio::test]
async fn expired_token_closes_its_connection_with_the_next_ping() {
    let soon = std::time::UNIX_EPOCH.elapsed().expect("after 1970").as_secs() + 2;
    let short = known(1, &format!("name=s role=device devices=* expires={}", rfc3339(soon)));
    let server = Running::with(|settings| {
        settings.access.access = access(&[&short]);
        settings.access.anonymous = false;
        settings.timeouts.ping = Duration::from_millis(200);
    });
    let begun = Instant::now();
    let mut device = device(&server, &short, "d").await;
    expect_end(&mut device, EXPIRED, 4003).await;
    assert!(begun.elapsed() < Duration::from_secs(5));
    assert!(open(&server, "/register_device", &short).await.is_err());
}

/// Seconds since 1970 as a time of day, by the rules of the calendar.
pub(crate) fn rfc3339(seconds: u64) -> String {
    let (days, rest) = (seconds / 86_400, seconds % 86_400);
    let era_days = days + 719_468;
    let era = era_days / 146_097;
    let day_of_era = era_days % 146_097;
    let year_of_era = (day_of_era - day_of_era / 1_460 + day_of_era / 36_524 - day_of_era / 146_096) / 365;
    let day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let shifted = (5 * day_of_year + 2) / 153;
    let day = day_of_year - (153 * shifted + 2) / 5 + 1;
    let month = if shifted < 10 { shifted + 3 } else { shifted - 9 };
    let year = year_of_era + era * 400 + u64::from(month <= 2);
    format!("{year:04}-{month:02}-{day:02}T{:02}:{:02}:{:02}Z", rest / 3600, rest % 3600 / 60, rest % 60)
}

#[tokio::test]
async fn anybody_is_served_where_that_is_allowed_but_not_with_a_bad_token() {
    let camera = known(1, "name=camera role=device devices=*");
    let server = Running::with(|settings| settings.access.access = access(&[&camera]));
    let _device = device(&server, &camera, "d").await;
    server.client("d").await;
    assert_eq!(server.get("/api/v1/whoami").await.text(), r#"{"roles":[]}"#);
    let unknown = known(2, "name=x role=client devices=*");
    assert_eq!(get(&server, "/devices", &unknown).await.status, 401);
    // The id has an owner: nobody in particular does not get it.
    let mut rival = server.websocket("/register_device").await;
    rival.send_text(register("d")).await.expect("sent");
    expect_end(&mut rival, r#"{"error":"Device id already taken: d","cuttlebone_code":"device_id_taken"}"#, 1008).await;
}

#[tokio::test]
async fn eleventh_wrong_token_of_an_address_is_answered_later_than_the_first_ten() {
    let viewer = known(1, "name=v role=observer");
    let server = server(&[&viewer]);
    let wrong = known(2, "name=x role=observer");
    for _ in 0..11 {
        assert_eq!(get(&server, "/devices", &wrong).await.status, 401);
    }
    assert_eq!(server.metric("cuttlebone_slowed_failures_total").await, 1);
    let begun = Instant::now();
    assert_eq!(get(&server, "/devices", &wrong).await.status, 401);
    assert!(begun.elapsed() >= Duration::from_millis(200), "{:?}", begun.elapsed());
    assert_eq!(get(&server, "/devices", &viewer).await.status, 200, "a good one does not wait");
    assert_eq!(server.metric("cuttlebone_slowed_failures_total").await, 2);
}

#[tokio::test]
async fn answer_that_is_held_back_keeps_nobody_of_its_address_out() {
    let viewer = known(1, "name=v role=observer");
    let server = Running::with(|settings| {
        settings.access.access = access(&[&viewer]);
        settings.access.anonymous = false;
        settings.access.failures = 0;
        settings.connections.pending_per_address = Some(1);
    });
    let wrong = known(2, "name=x role=observer");
    for _ in 0..4 {
        assert_eq!(get(&server, "/devices", &wrong).await.status, 401);
    }
    let mut held = Peer::connect(server.addr).await;
    let (addr, token) = (server.addr, &wrong.token);
    held.send(&format!("GET /devices HTTP/1.1\r\nhost: {addr}\r\nauthorization: Bearer {token}\r\n\r\n")).await;
    server.until_metric("cuttlebone_slowed_failures_total", |count| count == 5).await;
    assert_eq!(get(&server, "/devices", &viewer).await.status, 200);
    assert_eq!(held.answer().await.status, 401);
}

#[tokio::test]
async fn page_signs_in_with_a_token_and_is_recognised_by_the_cookie_until_it_signs_out() {
    let viewer = known(1, "name=v role=client devices=*");
    let server = server(&[&viewer]);
    let authorization = format!("authorization: Bearer {}\r\n", viewer.token);
    let signed_in = ask(&server, "POST", "/api/v1/session", &authorization).await;
    assert_eq!(signed_in.status, 204);
    let cookie = signed_in.header("set-cookie").to_owned();
    assert_eq!(cookie, format!("cuttlebone={}; Path=/; HttpOnly; SameSite=Strict", viewer.token));
    let cookie = format!("cookie: a=b; {}\r\n", cookie.split(';').next().expect("a pair"));
    assert_eq!(ask(&server, "GET", "/devices", &cookie).await.status, 200);
    let addr = server.addr;
    let upgrade = format!(
        "upgrade: websocket\r\nconnection: upgrade\r\nsec-websocket-version: 13\r\nsec-websocket-key: dGhlIHNhbXBsZSBub25jZQ==\r\n{cookie}"
    );
    for (origin, expected) in [
        (format!("origin: http://{addr}\r\n"), 101),
        ("origin: http://evil.example\r\n".to_owned(), 403),
        // Whoever can leave it out is no browser, and has no cookie of ours.
        (String::new(), 401),
    ] {
        let mut peer = Peer::connect(addr).await;
        peer.send(&format!("GET /connect_client HTTP/1.1\r\nhost: {addr}\r\n{upgrade}{origin}\r\n")).await;
        assert_eq!(peer.head().await.status, expected, "{origin}");
    }
    let signed_out = ask(&server, "DELETE", "/api/v1/session", &cookie).await;
    assert_eq!(signed_out.status, 204);
    let gone: Vec<_> =
        signed_out.headers.get_all("set-cookie").iter().map(|value| value.to_str().expect("text")).collect();
    let plain = "cuttlebone=; Path=/; HttpOnly; SameSite=Strict; Max-Age=0";
    assert_eq!(gone, ["__Host-Http-cuttlebone=; Path=/; HttpOnly; SameSite=Strict; Secure; Max-Age=0", plain]);
    let https = ask(&server, "POST", "/api/v1/session", &format!("{authorization}origin: https://{addr}\r\n")).await;
    assert!(https.header("set-cookie").starts_with("__Host-Http-cuttlebone="), "{https:?}");
    assert!(https.header("set-cookie").ends_with("; Secure"), "{https:?}");
}

#[tokio::test]
async fn token_in_the_query_counts_only_where_that_is_switched_on() {
    let viewer = known(1, "name=v role=observer");
    let path = format!("/devices?access_token={}", viewer.token);
    let strict = server(&[&viewer]);
    assert_eq!(strict.get(&path).await.status, 401);
    let lenient = Running::with(|settings| {
        settings.access.access = access(&[&viewer]);
        settings.access.anonymous = false;
        settings.access.token_in_query = true;
    });
    assert_eq!(lenient.get(&path).await.status, 200);
}
