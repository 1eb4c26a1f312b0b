//! STUN and TURN servers: who is told of which, with what credential, and when again. Security.md T45.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use cuttlebone_client::raw::RawConn;
use cuttlebone_ice::{Privacy, ProviderSettings, Region, RequestBody, Scope, ServerSettings, Settings, TurnSecret};
use cuttlebone_proto::IceServer;
use serde_json::Value;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;
use tokio_util::sync::{CancellationToken, DropGuard};
use tokio_util::task::TaskTracker;

use crate::access::{access, get, known, open};
use crate::support::{Running, expect_type};

fn relay(url: &str) -> ServerSettings {
    let secrets = vec![TurnSecret::new(&"s".repeat(32)).expect("long enough")];
    ServerSettings { secrets, ..stun(url) }
}

fn stun(url: &str) -> ServerSettings {
    IceServer { urls: vec![url.into()], username: None, credential: None }.into()
}

fn both() -> Settings {
    Settings { servers: vec![stun("stun:s"), relay("turn:t")], ..Settings::default() }
}

fn server(ice: Settings) -> Running {
    Running::with(|settings| settings.ice = ice)
}

async fn say(conn: &mut RawConn, text: &str) {
    conn.send_text(text.to_owned()).await.expect("sent");
}

async fn config(conn: &mut RawConn) -> Value {
    serde_json::from_str(&expect_type(conn, "config").await).expect("JSON")
}

fn urls(config: &Value) -> Vec<&str> {
    let servers = config["ice_servers"].as_array().expect("a list");
    servers.iter().flat_map(|server| server["urls"].as_array().expect("a list")).filter_map(Value::as_str).collect()
}

/// The user name of the last server, which is the one with a secret.
fn user(config: &Value) -> &str {
    config["ice_servers"].as_array().and_then(|all| all.last()?["username"].as_str()).expect("a user name")
}

const CONNECT: &str = r#"{"message_type":"connect","device_id":"d"}"#;
const REGISTER: &str = r#"{"message_type":"register","device_id":"d","device_info":1}"#;

#[tokio::test]
async fn t45_each_peer_has_a_credential_of_its_own_and_none_before_its_device_is_there() {
    let server = server(both());
    let mut early = server.websocket("/connect_client").await;
    say(&mut early, CONNECT).await;
    let bare = config(&mut early).await;
    assert_eq!(bare.to_string(), r#"{"ice_servers":[{"urls":["stun:s"]}],"message_type":"config"}"#);
    let mut device = server.websocket("/register_device").await;
    say(&mut device, REGISTER).await;
    let mut late = server.websocket("/connect_client").await;
    say(&mut late, CONNECT).await;
    let mut users = Vec::new();
    for peer in [&mut device, &mut early, &mut late] {
        let config = config(peer).await;
        assert_eq!(urls(&config), ["stun:s", "turn:t"]);
        let (expiry, name) = user(&config).split_once(':').expect("expiry and name");
        assert!(expiry.parse::<u64>().is_ok() && name.len() == 16, "{name}");
        users.push(name.to_owned());
    }
    expect_type(&mut early, "device_info").await;
    expect_type(&mut late, "device_info").await;
    users.sort();
    users.dedup();
    assert_eq!(users.len(), 3);
    assert_eq!(server.metric("cuttlebone_turn_credentials_total").await, 3);
}

#[tokio::test]
async fn t45_forbidden_device_gives_no_credential_and_is_as_an_absent_one() {
    let (camera, viewer) =
        (known(1, "name=camera role=device devices=*"), known(2, "name=viewer role=client devices=mine-*"));
    let server = Running::with(|settings| {
        settings.access.access = access(&[&camera, &viewer]);
        settings.access.anonymous = false;
        settings.ice = both();
        settings.hub.client_wait = std::time::Duration::ZERO;
    });
    let mut device = open(&server, "/register_device", &camera).await.expect("upgraded");
    say(&mut device, REGISTER).await;
    expect_type(&mut device, "config").await;
    let mut answers = Vec::new();
    for id in ["d", "e"] {
        let mut client = open(&server, "/connect_client", &viewer).await.expect("upgraded");
        say(&mut client, &CONNECT.replace("\"d\"", &format!("\"{id}\""))).await;
        answers.push(expect_type(&mut client, "config").await);
    }
    assert_eq!(answers[0], r#"{"message_type":"config","ice_servers":[{"urls":["stun:s"]}]}"#);
    assert_eq!(answers[0], answers[1]);
    assert_eq!(server.metric("cuttlebone_turn_credentials_total").await, 1, "the device's");
}

#[tokio::test]
async fn infra_config_has_credentials_for_whoever_may_be_a_device_or_a_client() {
    let camera = known(1, "name=camera role=device devices=*");
    let viewer = known(2, "name=viewer role=client devices=*");
    let watcher = known(3, "name=watcher role=observer");
    let boss = known(4, "name=boss role=admin");
    let server = Running::with(|settings| {
        settings.access.access = access(&[&camera, &viewer, &watcher, &boss]);
        settings.access.anonymous = false;
        settings.ice = Settings { privacy: Privacy::RelayOnly, ..both() };
    });
    for (who, expected) in
        [(&camera, &["stun:s", "turn:t"][..]), (&viewer, &["turn:t"]), (&boss, &["turn:t"]), (&watcher, &[])]
    {
        let config = serde_json::from_str(&get(&server, "/infra_config", who).await.text()).expect("JSON");
        assert_eq!(urls(&config), expected);
    }
    assert_eq!(server.get("/infra_config").await.status, 401);
    // Each request may have another credential, and nobody gets names by asking again: a relay counts by them.
    let name_of = async |who| {
        let config: Value = serde_json::from_str(&get(&server, "/infra_config", who).await.text()).expect("JSON");
        user(&config).split_once(':').expect("expiry and name").1.to_owned()
    };
    let (one, again, other) = (name_of(&viewer).await, name_of(&viewer).await, name_of(&boss).await);
    assert!(one == again && one != other, "{one} {again} {other}");
}

#[tokio::test]
async fn peer_is_told_what_is_for_its_tenant_and_its_region() {
    let scoped = |url: &str, tenants: &[&str], regions: &[&str]| {
        let texts = |names: &[&str]| names.iter().map(|&name| name.into()).collect();
        ServerSettings { scope: Scope { tenants: texts(tenants), regions: texts(regions) }, ..stun(url) }
    };
    let (lab, other) = (known(1, "name=a role=client devices=* tenant=lab"), known(2, "name=b role=client devices=*"));
    let server = Running::with(|settings| {
        settings.access.access = access(&[&lab, &other]);
        settings.access.anonymous = false;
        settings.ice.servers = vec![
            scoped("stun:lab", &["lab"], &[]),
            scoped("stun:near", &[], &["near"]),
            scoped("stun:far", &[], &["far"]),
        ];
        settings.ice.regions =
            vec![Region { name: "near".into(), networks: vec!["127.0.0.0/8".parse().expect("a network")] }];
        settings.ice.default_region = Some("far".into());
    });
    for (who, expected) in [(&lab, &["stun:lab", "stun:near"][..]), (&other, &["stun:near"])] {
        let mut client = open(&server, "/connect_client", who).await.expect("upgraded");
        say(&mut client, CONNECT).await;
        assert_eq!(urls(&config(&mut client).await), expected);
    }
}

#[tokio::test]
async fn client_is_told_to_use_relays_only_if_it_asks() {
    let server = server(Settings { privacy: Privacy::RelayOnly, ..both() });
    let mut device = server.websocket("/register_device").await;
    say(&mut device, REGISTER).await;
    let of_device = config(&mut device).await;
    assert_eq!(urls(&of_device), ["stun:s", "turn:t"]);
    for (more, expected) in [(r#","cuttlebone_ice":true"#, Value::from("relay")), ("", Value::Null)] {
        let mut client = server.websocket("/connect_client").await;
        say(&mut client, &CONNECT.replace('}', &format!("{more}}}"))).await;
        let config = config(&mut client).await;
        assert_eq!((urls(&config), &config["cuttlebone_ice_transport_policy"]), (vec!["turn:t"], &expected));
    }
}

#[tokio::test]
async fn new_servers_reach_everybody_who_was_told_of_the_old() {
    let server = server(both());
    let mut silent = server.websocket("/connect_client").await;
    let mut device = server.device("d", "1").await;
    let mut client = server.client("d").await;
    let mut waiting = server.websocket("/connect_client").await;
    say(&mut waiting, &CONNECT.replace("\"d\"", "\"other\"")).await;
    expect_type(&mut waiting, "config").await;
    server.handle.set_ice(Settings { servers: vec![stun("stun:new"), relay("turn:new")], ..Settings::default() });
    for peer in [&mut device, &mut client] {
        assert_eq!(urls(&config(peer).await), ["stun:new", "turn:new"]);
    }
    assert_eq!(urls(&config(&mut waiting).await), ["stun:new"]);
    say(&mut silent, CONNECT).await;
    assert_eq!(urls(&config(&mut silent).await), ["stun:new", "turn:new"], "the first it hears");
    expect_type(&mut silent, "device_info").await;
    server.until_metric("cuttlebone_config_renewals_total{reason=\"changed\"}", |count| count == 3).await;
}

#[tokio::test]
async fn connection_is_given_the_next_credential_before_the_first_expires() {
    let server = server(Settings { ttl: std::time::Duration::from_secs(4), ..both() });
    let mut device = server.websocket("/register_device").await;
    say(&mut device, REGISTER).await;
    let first = config(&mut device).await;
    let second = config(&mut device).await;
    let parts = |config: &Value| {
        let (expiry, name) = user(config).split_once(':').expect("expiry and name");
        (expiry.parse::<u64>().expect("a number"), name.to_owned())
    };
    let (first, second) = (parts(&first), parts(&second));
    assert_eq!(first.1, second.1, "the same connection");
    assert!(second.0 > first.0 && second.0 - first.0 <= 4, "{first:?} {second:?}");
    assert!(server.metric("cuttlebone_config_renewals_total{reason=\"expiring\"}").await >= 1);
}

/// One who sells relays: answers each question with what it has at the moment.
struct Provider {
    url: String,
    asked: Arc<AtomicUsize>,
    answer: watch::Sender<&'static str>,
    _stop: DropGuard,
}

const SOLD: &str = r#"{"iceServers":[{"urls":["stun:p"]},{"urls":["turn:p"],"username":"u","credential":"c"}]}"#;
/// It takes its time.
const NOTHING_YET: &str = "";
const REFUSAL: &str = "no";

impl Provider {
    async fn new(answer: &'static str) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("listens");
        let url = format!("http://{}/generate", listener.local_addr().expect("bound"));
        let (stop, asked, tasks) = (CancellationToken::new(), Arc::new(AtomicUsize::new(0)), TaskTracker::new());
        let (answer, answers) = watch::channel(answer);
        let (counter, spawner) = (Arc::clone(&asked), tasks.clone());
        tasks.spawn(stop.clone().run_until_cancelled_owned(async move {
            while let Ok((socket, _)) = listener.accept().await {
                spawner.spawn(serve(socket, Arc::clone(&counter), answers.clone()));
            }
        }));
        Self { url, asked, answer, _stop: stop.drop_guard() }
    }

    fn settings(&self) -> Settings {
        let provider = ProviderSettings {
            url: self.url.clone(),
            body: RequestBody::Json,
            username: None,
            secret: "token".into(),
            scope: Scope::default(),
        };
        Settings { providers: vec![provider], ..Settings::default() }
    }

    /// That asks it.
    fn server(ice: Settings) -> Running {
        Running::with(|settings| {
            settings.fetch.allow_private = true;
            settings.ice = ice;
        })
    }

    async fn until_asked(&self, times: usize) {
        while self.asked.load(Ordering::SeqCst) < times {
            tokio::task::yield_now().await;
        }
    }
}

async fn serve(mut socket: TcpStream, asked: Arc<AtomicUsize>, mut answers: watch::Receiver<&'static str>) {
    let mut head = Vec::new();
    while !head.ends_with(b"{\"ttl\":3600}") {
        if socket.read_buf(&mut head).await.unwrap_or_default() == 0 {
            return;
        }
    }
    let head = String::from_utf8_lossy(&head).to_ascii_lowercase();
    assert!(head.starts_with("post /generate http/1.1\r\n") && head.contains("authorization: bearer token\r\n"));
    assert!(head.contains("content-type: application/json\r\n"));
    asked.fetch_add(1, Ordering::SeqCst);
    let answer = *answers.wait_for(|answer| *answer != NOTHING_YET).await.expect("an answer");
    let status = if answer == REFUSAL { "500 No" } else { "201 Created" };
    let text = format!("HTTP/1.1 {status}\r\ncontent-length: {}\r\nconnection: close\r\n\r\n{answer}", answer.len());
    let _ = socket.write_all(text.as_bytes()).await;
}

#[tokio::test]
async fn provider_is_asked_once_for_all_who_come_and_they_wait_for_its_answer() {
    let provider = Provider::new(NOTHING_YET).await;
    let server = Provider::server(provider.settings());
    let mut device = server.websocket("/register_device").await;
    say(&mut device, REGISTER).await;
    let mut clients = Vec::new();
    for _ in 0..10 {
        let mut client = server.websocket("/connect_client").await;
        say(&mut client, CONNECT).await;
        clients.push(client);
    }
    provider.until_asked(1).await;
    provider.answer.send_replace(SOLD);
    let told = config(&mut device).await;
    assert_eq!(urls(&told), ["stun:p", "turn:p"]);
    for client in &mut clients {
        // Who asked before the device was registered was told first what all may know.
        let mut told = config(client).await;
        if urls(&told) == ["stun:p"] {
            told = config(client).await;
        }
        assert_eq!(urls(&told), ["stun:p", "turn:p"]);
        expect_type(client, "device_info").await;
    }
    assert_eq!(provider.asked.load(Ordering::SeqCst), 1);
    assert_eq!(server.metric("cuttlebone_ice_fetches_total{outcome=\"done\"}").await, 1);
    let infra = server.get("/infra_config").await.text();
    assert!(infra.contains("turn:p"), "{infra}");
}

/// It waits for the provider, and meanwhile the token is taken back.
#[tokio::test]
async fn infra_config_has_no_credentials_for_who_was_shut_out_meanwhile() {
    let provider = Provider::new(NOTHING_YET).await;
    let viewer = known(1, "name=viewer role=client devices=*");
    let server = Running::with(|settings| {
        settings.fetch.allow_private = true;
        settings.access.access = access(&[&viewer]);
        settings.access.anonymous = false;
        settings.ice = provider.settings();
    });
    let taken_back = async {
        provider.until_asked(1).await;
        server.handle.set_access(access(&[]));
        provider.answer.send_replace(SOLD);
    };
    let (answer, ()) = tokio::join!(get(&server, "/infra_config", &viewer), taken_back);
    assert_eq!(answer.status, 401);
    assert!(!answer.text().contains("turn:p"), "{}", answer.text());
}

#[tokio::test]
async fn provider_that_fails_keeps_nobody_waiting_and_is_left_out() {
    let provider = Provider::new(REFUSAL).await;
    let server = Provider::server(Settings { servers: vec![relay("turn:t")], ..provider.settings() });
    let mut device = server.websocket("/register_device").await;
    say(&mut device, REGISTER).await;
    assert_eq!(urls(&config(&mut device).await), ["turn:t"]);
    let _client = server.client("d").await;
    assert_eq!(provider.asked.load(Ordering::SeqCst), 1, "not again at once");
    assert_eq!(server.metric("cuttlebone_ice_fetches_total{outcome=\"failed\"}").await, 1);
}

#[tokio::test]
async fn answer_that_is_none_is_counted() {
    let provider = Provider::new(r#"{"iceServers":[{"urls":"http://x"}]}"#).await;
    let server = Provider::server(provider.settings());
    let _device = server.device("d", "1").await;
    assert_eq!(server.metric("cuttlebone_ice_fetches_total{outcome=\"bad_answer\"}").await, 1);
}

#[tokio::test]
async fn servers_of_a_new_provider_reach_those_who_are_connected() {
    let provider = Provider::new(SOLD).await;
    let server = Provider::server(Settings::default());
    let mut device = server.device("d", "1").await;
    server.handle.set_ice(provider.settings());
    let mut told = config(&mut device).await;
    if urls(&told).is_empty() {
        told = config(&mut device).await;
    }
    assert_eq!(urls(&told), ["stun:p", "turn:p"]);
    assert_eq!(provider.asked.load(Ordering::SeqCst), 1);
}
