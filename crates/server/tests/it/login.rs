//! Signing in at a provider.

mod hostile;
mod provider;

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;
use std::time::Duration;

use cuttlebone_access::{
    Access, IssuerSettings, Patterns, Revoked, SessionKey, Sessions, Settings as Kinds, StaticTokens,
};
use cuttlebone_server::{LoginSettings, Settings};
use serde_json::{Value, json};
use url::Url;

use crate::access::known;
use crate::frames::RawWs;
use crate::support::{Answer, Running, request};
use provider::{CLIENT, Key, Provider, challenge, unix_seconds};

const ROOT: &str = "http://127.0.0.1:1/lab/";

fn rules(issuer: &str) -> IssuerSettings {
    IssuerSettings {
        audiences: vec![CLIENT.to_owned()],
        roles_claim: "roles".to_owned(),
        devices: Some(Patterns::all()),
        ..IssuerSettings::new(issuer)
    }
}

fn access(rules: IssuerSettings) -> Arc<Access> {
    Arc::new(Access::new(Kinds { sessions: Some(Sessions::new(rules).expect("good")), ..Kinds::default() }))
}

fn login(issuer: &str) -> LoginSettings {
    LoginSettings {
        issuer: issuer.to_owned(),
        client_id: CLIENT.to_owned(),
        client_secret: None,
        scopes: vec!["profile".to_owned()],
        public_url: ROOT.to_owned(),
        name: "Example".to_owned(),
        session: Duration::from_secs(3600),
        attempt: Duration::from_secs(600),
        metadata: Duration::from_secs(600),
        exchanges: 4,
        key: SessionKey::new(&[7; 32]),
    }
}

fn server(provider: &Provider) -> Running {
    server_with(provider, |_| ())
}

fn server_with(provider: &Provider, change: impl FnOnce(&mut Settings)) -> Running {
    Running::with(|settings| {
        settings.fetch.allow_private = true;
        settings.fetch.timeout = Duration::from_secs(15);
        settings.access.anonymous = false;
        settings.access.access = access(rules(&provider.issuer));
        settings.access.login = Some(login(&provider.issuer));
        change(settings);
    })
}

async fn get(server: &Running, path: &str, headers: &str) -> Answer {
    let addr = server.addr;
    request(addr, &format!("GET {path} HTTP/1.1\r\nhost: {addr}\r\n{headers}connection: close\r\n\r\n")).await
}

/// What a browser was told to keep: name and value, with everything else.
fn cookies(answer: &Answer) -> BTreeMap<String, String> {
    let all = answer.headers.get_all("set-cookie").iter().map(|value| value.to_str().expect("text"));
    all.filter_map(|cookie| cookie.split_once('=')).map(|(name, rest)| (name.to_owned(), rest.to_owned())).collect()
}

fn value(cookie: &str) -> &str {
    cookie.split(';').next().unwrap_or_default()
}

/// A browser that is at the provider.
struct Away {
    query: HashMap<String, String>,
    cookie: String,
}

impl Away {
    async fn begin(server: &Running, provider: &Provider, page: &str) -> Self {
        let answer = get(server, &format!("/api/v1/login?return_to={page}"), "").await;
        assert_eq!(answer.status, 303, "{answer:?}");
        let to = Url::parse(answer.header("location")).expect("a URL");
        assert!(to.as_str().starts_with(&format!("{}/authorize?", provider.issuer)), "{to}");
        let query: HashMap<_, _> = to.query_pairs().into_owned().collect();
        provider.change(|plan| plan.nonce = query["nonce"].clone());
        let cookie = value(&cookies(&answer)["cuttlebone-login"]).to_owned();
        Self { query, cookie }
    }

    fn header(&self) -> String {
        format!("cookie: cuttlebone-login={}\r\n", self.cookie)
    }

    /// Comes back with what the provider gave it, and more.
    async fn back(&self, server: &Running, more: &str) -> Answer {
        let path = format!("/api/v1/login/callback?state={}{more}", self.query["state"]);
        get(server, &path, &self.header()).await
    }
}

async fn sign_in(server: &Running, provider: &Provider) -> Answer {
    Away::begin(server, provider, "").await.back(server, "&code=c").await
}

/// The header of a browser that is signed in.
fn session(answer: &Answer) -> String {
    assert_eq!(answer.header("location"), ROOT, "{answer:?}");
    format!("cookie: cuttlebone={}\r\n", value(&cookies(answer)["cuttlebone"]))
}

/// Led to a page that says so, and not signed in.
fn assert_outcome(answer: &Answer, outcome: &str, why: &str) {
    assert_eq!((answer.status, answer.header("location")), (303, format!("{ROOT}#login={outcome}").as_str()), "{why}");
    assert!(!cookies(answer).contains_key("cuttlebone"), "{why}");
}

#[tokio::test]
async fn browser_is_sent_to_the_provider_and_comes_back_with_a_session_of_ours() {
    let provider = Provider::start().await;
    let server = server(&provider);
    let ours = "sec-fetch-site: same-origin\r\nsec-fetch-dest: document\r\n";
    let answer = get(&server, "/api/v1/login?return_to=viewer.html%3FdeviceId%3Da%252Fb", ours).await;
    let attempt = &cookies(&answer)["cuttlebone-login"];
    assert!(attempt.ends_with("; Path=/; HttpOnly; SameSite=Lax; Max-Age=600"), "{attempt}");
    let away = Away::begin(&server, &provider, "viewer.html%3FdeviceId%3Da%252Fb").await;
    let query = &away.query;
    assert_eq!((query["response_type"].as_str(), query["client_id"].as_str()), ("code", CLIENT));
    assert_eq!((query["scope"].as_str(), query["code_challenge_method"].as_str()), ("openid profile", "S256"));
    assert_eq!(query["redirect_uri"], format!("{ROOT}api/v1/login/callback"));
    let back = away.back(&server, "&code=c%20d").await;
    assert_eq!((back.status, back.header("cache-control")), (303, "no-store"));
    assert_eq!(back.header("location"), format!("{ROOT}viewer.html?deviceId=a%2Fb"));
    assert_eq!(cookies(&back)["cuttlebone-login"], "; Path=/; HttpOnly; SameSite=Lax; Max-Age=0");
    let kept = &cookies(&back)["cuttlebone"];
    assert!(kept.starts_with("cbs_") && kept.ends_with("; Path=/; HttpOnly; SameSite=Strict"), "{kept}");
    {
        let plan = provider.plan.lock();
        let (form, _) = &plan.exchanges[0];
        assert_eq!((form["code"].as_str(), form["client_id"].as_str()), ("c d", CLIENT));
        assert_eq!(challenge(&form["code_verifier"]), query["code_challenge"]);
        assert_eq!(form["redirect_uri"], query["redirect_uri"]);
        assert_eq!((plan.exchanges.len(), plan.discoveries), (1, 1));
    }
    let cookie = format!("cookie: cuttlebone={}\r\n", value(kept));
    assert_eq!(get(&server, "/devices", &cookie).await.status, 200);
    let who: Value = serde_json::from_str(&get(&server, "/api/v1/whoami", &cookie).await.text()).expect("JSON");
    let identity = format!("oidc:{}#4711", provider.issuer);
    assert_eq!(
        (&who["name"], &who["identity"], &who["roles"]),
        (&json!("alice"), &json!(identity), &json!(["client"]))
    );
    let end = who["expires_at"].as_u64().expect("a time");
    assert!((unix_seconds() + 3590..=unix_seconds() + 3600).contains(&end), "{end}");
    assert_eq!(server.metric("cuttlebone_logins_total{outcome=\"signed_in\"}").await, 1);
    let line = server.until_audited("sign_in", &[("outcome", "ok".into())]).await;
    assert_eq!(line["who"], json!({"kind": "oidc", "identity": identity, "name": "4711"}));
}

/// Or the page would not know its own lease.
#[tokio::test]
async fn lease_is_shown_under_the_name_that_its_holder_is_told() {
    let provider = Provider::start().await;
    let server = server_with(&provider, |settings| settings.access.anonymous = true);
    let _device = RawWs::device(&server, "d").await;
    let (cookie, addr) = (session(&sign_in(&server, &provider).await), server.addr);
    let head = format!("host: {addr}\r\norigin: http://{addr}\r\n{cookie}connection: close\r\n\r\n");
    let lease = request(addr, &format!("POST /api/v1/devices/d/lease HTTP/1.1\r\n{head}")).await;
    let lease: Value = serde_json::from_str(&lease.text()).expect("JSON");
    let who: Value = serde_json::from_str(&get(&server, "/api/v1/whoami", &cookie).await.text()).expect("JSON");
    assert_eq!((&lease["holder"], &lease["yours"]), (&who["name"], &json!(true)));
}

#[tokio::test]
async fn many_who_sign_in_at_once_ask_the_provider_once_what_it_is() {
    let provider = Provider::start().await;
    let server = server(&provider);
    let all = (0..20).map(|_| get(&server, "/api/v1/login", ""));
    for answer in futures_util::future::join_all(all).await {
        assert!(answer.header("location").starts_with(&provider.issuer), "{answer:?}");
    }
    assert_eq!(provider.plan.lock().discoveries, 1);
}

#[tokio::test]
async fn key_that_is_new_is_asked_for_but_not_again_and_again() {
    let provider = Provider::start().await;
    let server = server_with(&provider, |settings| settings.access.failures = 1000);
    session(&sign_in(&server, &provider).await);
    provider.change(|plan| plan.key = Key::new("two"));
    for _ in 0..3 {
        assert_outcome(&sign_in(&server, &provider).await, "failed", "what is known is young");
    }
    assert_eq!(provider.plan.lock().discoveries, 1);
    tokio::time::pause();
    tokio::time::advance(Duration::from_secs(31)).await;
    tokio::time::resume();
    session(&sign_in(&server, &provider).await);
    assert_eq!(provider.plan.lock().discoveries, 2);
}

#[tokio::test]
async fn account_without_a_role_is_told_who_it_is_and_nothing_else() {
    let provider = Provider::start().await;
    let server = server(&provider);
    provider.change(|plan| plan.claims = json!({"roles": ["something"]}));
    let cookie = session(&sign_in(&server, &provider).await);
    let who = get(&server, "/api/v1/whoami", &cookie).await;
    assert!(who.text().contains(r#""name":"alice""#) && who.text().contains(r#""roles":[]"#), "{}", who.text());
    for path in ["/devices", "/devices/a", "/infra_config", "/api/v1/devices/events"] {
        assert_eq!(get(&server, path, &cookie).await.status, 403, "{path}");
    }
    let upgrade = format!(
        "{cookie}origin: http://{}\r\nupgrade: websocket\r\nconnection: upgrade\r\nsec-websocket-version: 13\r\n\
         sec-websocket-key: dGhlIHNhbXBsZSBub25jZQ==\r\n",
        server.addr
    );
    for path in ["/connect_client", "/register_device"] {
        assert_eq!(get(&server, path, &upgrade).await.status, 403, "{path}");
    }
}

/// T20: the server asks the provider nothing more, so whoever is out must be named here.
#[tokio::test]
async fn t20_account_that_is_revoked_or_whose_claims_mean_something_else_is_out_at_once() {
    let provider = Provider::start().await;
    let server = server(&provider);
    let cookie = session(&sign_in(&server, &provider).await);
    let of = |rules, revoked: &str| {
        let revoked = Revoked::parse(revoked).expect("a good file");
        Arc::new(Access::new(Kinds { sessions: Sessions::new(rules).ok(), revoked, ..Kinds::default() }))
    };
    let who = format!("oidc:{}#4711", provider.issuer);
    let changed = IssuerSettings { roles_claim: "groups".to_owned(), ..rules(&provider.issuer) };
    for (access, status) in [
        (of(rules(&provider.issuer), &who), 401),
        (of(changed, ""), 401),
        (of(rules(&provider.issuer), "oidc:https://other.example#4711"), 200),
    ] {
        server.handle.set_access(access);
        assert_eq!(get(&server, "/devices", &cookie).await.status, status);
    }
    server.handle.set_access(of(rules(&provider.issuer), &who));
    assert_outcome(&sign_in(&server, &provider).await, "refused", "revoked");
}

/// By an administrator's call, which no file knows of.
#[tokio::test]
async fn t20_account_that_was_shut_out_signs_in_no_more() {
    let provider = Provider::start().await;
    let server = server(&provider);
    session(&sign_in(&server, &provider).await);
    let admin = known(1, "name=root role=admin");
    let tokens = StaticTokens::parse(&admin.line).ok();
    let sessions = Sessions::new(rules(&provider.issuer)).ok();
    server.handle.set_access(Arc::new(Access::new(Kinds { tokens, sessions, ..Kinds::default() })));
    let who = format!("oidc:{}%234711", provider.issuer);
    let (addr, token) = (server.addr, &admin.token);
    let text = format!("DELETE /api/v1/sessions?identity={who} HTTP/1.1\r\nhost: {addr}\r\nconnection: close\r\n");
    let answer = request(addr, &format!("{text}authorization: Bearer {token}\r\n\r\n")).await;
    assert_eq!(answer.status, 204, "{answer:?}");
    assert_outcome(&sign_in(&server, &provider).await, "refused", "shut out");
}

#[tokio::test]
async fn pages_that_come_by_tls_have_cookies_of_their_own_host_only() {
    let provider = Provider::start().await;
    let server = server_with(&provider, |settings| {
        settings.access.login.as_mut().expect("there is one").public_url = "https://devices.example".to_owned();
    });
    let begun = get(&server, "/api/v1/login", "").await;
    let attempt = cookies(&begun)["__Host-Http-cuttlebone-login"].clone();
    assert!(attempt.ends_with("; Path=/; HttpOnly; SameSite=Lax; Secure; Max-Age=600"), "{attempt}");
    let to = Url::parse(begun.header("location")).expect("a URL");
    let query: HashMap<_, _> = to.query_pairs().into_owned().collect();
    provider.change(|plan| plan.nonce = query["nonce"].clone());
    let path = format!("/api/v1/login/callback?code=c&state={}", query["state"]);
    let planted = get(&server, &path, &format!("cookie: cuttlebone-login={}\r\n", value(&attempt))).await;
    assert_eq!(planted.header("location"), "https://devices.example/#login=lost");
    let back = get(&server, &path, &format!("cookie: __Host-Http-cuttlebone-login={}\r\n", value(&attempt))).await;
    assert_eq!(back.header("location"), "https://devices.example/");
    let kept = &cookies(&back)["__Host-Http-cuttlebone"];
    assert!(kept.ends_with("; Path=/; HttpOnly; SameSite=Strict; Secure"), "{kept}");
    let cookie = format!("cookie: __Host-Http-cuttlebone={}\r\n", value(kept));
    assert_eq!(get(&server, "/devices", &cookie).await.status, 200);
}

#[tokio::test]
async fn browser_is_signed_out_at_the_provider_where_it_says_how() {
    let provider = Provider::start().await;
    let with = server(&provider);
    let answer = get(&with, "/api/v1/login/end", "").await;
    let to = Url::parse(answer.header("location")).expect("a URL");
    assert!(to.as_str().starts_with(&format!("{}/end?", provider.issuer)), "{to}");
    let query: HashMap<_, _> = to.query_pairs().into_owned().collect();
    assert_eq!((query["client_id"].as_str(), query["post_logout_redirect_uri"].as_str()), (CLIENT, ROOT));
    provider.change(|plan| plan.metadata = json!({"end_session_endpoint": null}));
    let without = server(&provider);
    assert_outcome(&get(&without, "/api/v1/login/end", "").await, "no_end", "it does not say how");
}

#[tokio::test]
async fn without_a_provider_there_is_nothing_to_begin() {
    let server = Running::start();
    for path in ["/api/v1/login", "/api/v1/login/callback", "/api/v1/login/provider", "/api/v1/login/end"] {
        assert_eq!(server.get(path).await.status, 404, "{path}");
    }
    let provider = Provider::start().await;
    let with = self::server(&provider);
    assert_eq!(with.get("/api/v1/login/provider").await.text(), r#"{"name":"Example"}"#);
}
