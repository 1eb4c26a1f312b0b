//! Who comes by a unix socket: the system says who it is.

use std::fs;
use std::os::unix::fs::MetadataExt as _;
use std::path::PathBuf;
use std::sync::Arc;

use cuttlebone_access::{
    Access, NewToken, Settings as Kinds, StaticTokens, TokenFields, UserFields, UserRule, Users, Who,
};
use cuttlebone_server::{Settings, UnixAddress};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::UnixStream;
use tokio::time::timeout;

use crate::support::{PATIENCE, Running};

const UPGRADE: &str = "upgrade: websocket\r\nconnection: upgrade\r\nsec-websocket-version: 13\r\n\
                       sec-websocket-key: dGhlIHNhbXBsZSBub25jZQ==\r\n";

/// A path that is gone with this.
struct Place(PathBuf);

impl Place {
    fn new(test: &str) -> Self {
        Self(std::env::temp_dir().join(format!("cuttlebone-server-{test}-{}", std::process::id())))
    }

    fn address(&self) -> UnixAddress {
        UnixAddress { path: self.0.clone(), mode: 0o600, group: None }
    }

    /// The user and the group of this process, by a file of its own.
    fn own(&self) -> (u32, u32) {
        let metadata = fs::symlink_metadata(&self.0).expect("there");
        (metadata.uid(), metadata.gid())
    }

    async fn send(&self, request: &str) -> UnixStream {
        let mut stream = UnixStream::connect(&self.0).await.expect("accepted");
        stream.write_all(request.as_bytes()).await.expect("sent");
        stream
    }

    async fn ask(&self, path: &str, headers: &str) -> String {
        let request = format!("GET {path} HTTP/1.1\r\nhost: localhost\r\nconnection: close\r\n{headers}\r\n");
        let mut answer = String::new();
        let mut stream = self.send(&request).await;
        timeout(PATIENCE, stream.read_to_string(&mut answer)).await.expect("in time").expect("text");
        answer
    }

    /// An upgrade, up to the end of its head.
    async fn upgrade(&self, path: &str) -> (u16, UnixStream) {
        let mut stream = self.send(&format!("GET {path} HTTP/1.1\r\nhost: localhost\r\n{UPGRADE}\r\n")).await;
        let head = until(&mut stream, "\r\n\r\n").await;
        (head.get(9..12).and_then(|status| status.parse().ok()).expect("a status"), stream)
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        drop(fs::remove_file(&self.0));
        let mut lock = self.0.clone().into_os_string();
        lock.push(".lock");
        drop(fs::remove_file(lock));
    }
}

async fn until(stream: &mut UnixStream, mark: &str) -> String {
    let mut seen = Vec::new();
    while !String::from_utf8_lossy(&seen).contains(mark) {
        let read = timeout(PATIENCE, stream.read_buf(&mut seen)).await.expect("in time").unwrap_or_default();
        assert!(read > 0, "ended before {mark:?}: {}", String::from_utf8_lossy(&seen));
    }
    String::from_utf8_lossy(&seen).into_owned()
}

fn rule(who: Who, name: &str, role: &str) -> UserRule {
    let texts = |text: &str| vec![text.to_owned()];
    UserRule::new(who, UserFields { name, roles: &texts(role), devices: Some(&texts("lab7/*")), tenant: None })
        .expect("good")
}

fn users(rules: Vec<UserRule>) -> Arc<Access> {
    Arc::new(Access::new(Kinds { users: Users::new(rules), ..Kinds::default() }))
}

/// A server at this place that serves nobody without asking, and knows nobody yet.
fn server(place: &Place, change: impl FnOnce(&mut Settings)) -> Running {
    Running::with(|settings| {
        settings.listen_unix = Some(place.address());
        settings.access.anonymous = false;
        change(settings);
    })
}

/// A masked text frame.
fn frame(text: &str) -> Vec<u8> {
    [&[0x81, 0x80 | text.len() as u8, 0, 0, 0, 0], text.as_bytes()].concat()
}

#[tokio::test]
async fn user_is_recognised_by_the_system_and_speaks_for_its_devices_until_its_rule_is_gone() {
    let place = Place::new("user");
    let server = server(&place, |_| ());
    let (user, group) = place.own();
    assert!(place.ask("/api/v1/whoami", "").await.starts_with("HTTP/1.1 401"), "nobody is named");
    server.handle.set_access(users(vec![rule(Who::User(user), "host-7", "device")]));
    assert!(place.ask("/api/v1/whoami", "").await.ends_with(r#"{"name":"host-7","roles":["device"]}"#));
    let (status, mut device) = place.upgrade("/register_device").await;
    assert_eq!(status, 101);
    device.write_all(&frame(r#"{"message_type":"register","device_id":"lab7/cvd-1"}"#)).await.expect("sent");
    until(&mut device, r#""message_type":"config""#).await;
    assert_eq!(place.upgrade("/connect_client").await.0, 403, "not its role");
    assert!(server.get("/api/v1/whoami").await.status == 401, "by TCP it is nobody");
    server.handle.set_access(users(vec![rule(Who::Group(group), "lab", "observer")]));
    until(&mut device, "credential_expired").await;
    assert!(place.ask("/api/v1/whoami", "").await.contains(r#""name":"lab""#));
}

#[tokio::test]
async fn token_goes_before_the_user_and_a_bad_one_is_refused() {
    let place = Place::new("token");
    let new = NewToken::from_random(&[3; 32]);
    let line = new.line(&TokenFields { name: "t", role: "observer", ..TokenFields::default() }).expect("a line");
    let server = server(&place, |_| ());
    let rules = Users::new(vec![rule(Who::User(place.own().0), "u", "client")]);
    let tokens = StaticTokens::parse(&line).expect("good");
    let kinds = Kinds { users: rules, tokens: Some(tokens), ..Kinds::default() };
    server.handle.set_access(Arc::new(Access::new(kinds)));
    let bearer = |token: &str| format!("authorization: Bearer {token}\r\n");
    assert!(place.ask("/api/v1/whoami", &bearer(new.secret())).await.contains(r#""name":"t""#));
    assert!(place.ask("/api/v1/whoami", &bearer("nonsense")).await.starts_with("HTTP/1.1 401"));
    assert!(place.ask("/api/v1/whoami", "").await.contains(r#""name":"u""#));
}

#[tokio::test]
async fn anybody_is_anybody_there_too_where_that_is_allowed() {
    let place = Place::new("anybody");
    let _server = server(&place, |settings| settings.access.anonymous = true);
    assert!(place.ask("/devices", "").await.ends_with("[]"));
    assert!(place.ask("/api/v1/whoami", "x-forwarded-for: 192.0.2.1\r\n").await.ends_with(r#"{"roles":[]}"#));
}

#[tokio::test]
async fn bounds_of_one_address_do_not_count_there_and_those_of_all_do() {
    let place = Place::new("bounds");
    let server = server(&place, |settings| {
        settings.access.anonymous = true;
        settings.connections.per_address = Some(1);
        settings.connections.max = 3;
    });
    let mut held = Vec::new();
    for _ in 0..3 {
        let (status, stream) = place.upgrade("/connect_client").await;
        assert_eq!(status, 101);
        held.push(stream);
    }
    assert!(place.ask("/livez", "").await.starts_with("HTTP/1.1 503"));
    assert_eq!(server.get("/livez").await.status, 503, "they are the same places");
    drop(held);
    server.until_metric(r#"cuttlebone_connections{role="client"}"#, |count| count == 0).await;
    assert_eq!(server.get("/livez").await.status, 200);
}

#[tokio::test]
async fn proxy_that_comes_by_it_says_for_whom_it_asks_and_is_no_user() {
    let place = Place::new("proxy");
    let server = server(&place, |settings| {
        settings.access.anonymous = true;
        settings.proxy.unix = true;
        settings.connections.per_address = Some(1);
    });
    server.handle.set_access(users(vec![rule(Who::User(place.own().0), "proxy", "admin")]));
    let upgrade = async |from: &str| {
        let headers = format!("{UPGRADE}x-forwarded-for: {from}\r\n");
        let mut stream = place.send(&format!("GET /connect_client HTTP/1.1\r\nhost: localhost\r\n{headers}\r\n")).await;
        (until(&mut stream, "\r\n\r\n").await.get(9..12).map(str::to_owned), stream)
    };
    let mut held = Vec::new();
    for (from, expected) in [("192.0.2.1", "101"), ("192.0.2.1", "429"), ("192.0.2.2", "101")] {
        let (status, stream) = upgrade(from).await;
        assert_eq!(status.as_deref(), Some(expected), "{from}");
        held.push(stream);
    }
    let who = place.ask("/api/v1/whoami", "x-forwarded-for: 192.0.2.3\r\n").await;
    assert!(who.ends_with(r#"{"roles":[]}"#), "who is behind it is not the proxy: {who}");
}

#[tokio::test]
async fn stop_says_goodbye_there_too_and_takes_the_file_along() {
    let place = Place::new("stop");
    let server = server(&place, |settings| settings.access.anonymous = true);
    let (_, mut client) = place.upgrade("/connect_client").await;
    server.stop();
    let mut seen = Vec::new();
    timeout(PATIENCE, client.read_to_end(&mut seen)).await.expect("closed").expect("read");
    assert!(seen.windows(2).any(|code| code == 1012_u16.to_be_bytes()), "{seen:?}");
    assert_eq!(server.ended().await.aborted, 0);
    assert!(!place.0.exists());
}
