//! Signing in at a provider, which may be hostile, and so may be the page that led here.

mod provider;

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;
use std::time::Duration;

use cuttlebone_access::{Access, IssuerSettings, Patterns, Revoked, SessionKey, Sessions, Settings as Kinds};
use cuttlebone_server::{ClientSecret, LoginSettings, Settings};
use serde_json::{Value, json};
use url::Url;

use crate::support::{Answer, Running, request};
use provider::{CLIENT, Key, Provider, Says, Signs, challenge, unix_seconds};

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
        settings.fetch.timeout = Duration::from_millis(500);
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
    let answer =
        get(&server, "/api/v1/login?return_to=viewer.html%3FdeviceId%3Da%252Fb", "sec-fetch-site: none\r\n").await;
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
}

#[tokio::test]
async fn session_is_a_cookie_and_nothing_else() {
    let provider = Provider::start().await;
    let server = server_with(&provider, |settings| settings.access.token_in_query = true);
    let answer = sign_in(&server, &provider).await;
    let token = value(&cookies(&answer)["cuttlebone"]).to_owned();
    assert_eq!(get(&server, "/devices", &session(&answer)).await.status, 200);
    assert_eq!(get(&server, "/devices", &format!("authorization: Bearer {token}\r\n")).await.status, 401);
    assert_eq!(get(&server, &format!("/devices?access_token={token}"), "").await.status, 401);
    let upgrade = format!(
        "upgrade: websocket\r\nconnection: upgrade\r\nsec-websocket-version: 13\r\n\
         sec-websocket-key: dGhlIHNhbXBsZSBub25jZQ==\r\nsec-websocket-protocol: bearer.{token}\r\n"
    );
    assert_eq!(get(&server, "/connect_client", &upgrade).await.status, 401);
}

#[tokio::test]
async fn id_token_that_is_not_good_signs_nobody_in() {
    let provider = Provider::start().await;
    let server = server_with(&provider, |settings| {
        settings.access.failures = 1000;
        let secret = Some(ClientSecret::new("the secret of the client".to_owned()));
        settings.access.login.as_mut().expect("there is one").client_secret = secret;
    });
    let now = unix_seconds();
    for claims in [
        json!({"nonce": "of another attempt"}),
        json!({"nonce": null}),
        json!({"aud": "somebody-else"}),
        json!({"aud": [CLIENT, "somebody-else"]}),
        json!({"aud": null}),
        json!({"azp": "somebody-else"}),
        json!({"iss": "https://other.example"}),
        json!({"iss": null}),
        json!({"exp": now - 1}),
        json!({"exp": null}),
        json!({"exp": now.to_string()}),
        json!({"sub": null}),
    ] {
        provider.change(|plan| plan.claims = claims.clone());
        assert_outcome(&sign_in(&server, &provider).await, "failed", &claims.to_string());
    }
    provider.change(|plan| plan.claims = json!({}));
    for signs in [Signs::Not, Signs::WithPublicKey, Signs::WithSecret, Signs::WithAnother] {
        provider.change(|plan| plan.signs = signs);
        assert_outcome(&sign_in(&server, &provider).await, "failed", &format!("{signs:?}"));
    }
    provider.change(|plan| plan.signs = Signs::Well);
    session(&sign_in(&server, &provider).await);
    let authorization = provider.plan.lock().exchanges[0].1.clone();
    assert!(authorization.starts_with("Basic "), "{authorization}");
}

#[tokio::test]
async fn answer_that_is_slow_huge_or_somewhere_else_ends_the_attempt_in_time() {
    let provider = Provider::start().await;
    let server = server_with(&provider, |settings| settings.access.failures = 1000);
    for (says, outcome) in [
        (Says::Status(400, r#"{"error":"invalid_grant","error_description":"<script>"}"#), "failed"),
        (Says::Status(500, "<script>"), "failed"),
        (Says::Status(200, "{}"), "failed"),
        (Says::Status(200, r#"{"access_token":"a","token_type":"Bearer"}"#), "failed"),
        (Says::Status(200, r#"{"access_token":"a","token_type":"Bearer","id_token":"a.b.c"}"#), "failed"),
        (Says::Elsewhere, "failed"),
        (Says::Huge, "unreachable"),
        (Says::Nothing, "unreachable"),
    ] {
        provider.change(|plan| plan.token = says.clone());
        assert_outcome(&sign_in(&server, &provider).await, outcome, &format!("{says:?}"));
    }
    assert_eq!(provider.plan.lock().followed, 0, "a redirect was followed");
    provider.change(|plan| plan.token = Says::Well);
    session(&sign_in(&server, &provider).await);
}

#[tokio::test]
async fn provider_that_does_not_say_what_it_is_is_left_alone_for_a_while_and_nothing_else_suffers() {
    for (says, metadata) in [
        (Says::Nothing, json!({})),
        (Says::Huge, json!({})),
        (Says::Elsewhere, json!({})),
        (Says::Status(500, "{}"), json!({})),
        (Says::Well, json!({"issuer": "https://other.example"})),
        (Says::Well, json!({"authorization_endpoint": "javascript:alert(1)"})),
        (Says::Well, json!({"authorization_endpoint": "http://login.example/"})),
        (Says::Well, json!({"token_endpoint": null})),
        (Says::Well, json!({"jwks_uri": "http://login.example/keys"})),
    ] {
        let provider = Provider::start().await;
        provider.change(|plan| (plan.discovery, plan.metadata) = (says.clone(), metadata.clone()));
        let server = server(&provider);
        for _ in 0..3 {
            let answer = get(&server, "/api/v1/login?return_to=viewer.html", "").await;
            let location = format!("{ROOT}viewer.html#login=unreachable");
            assert_eq!((answer.status, answer.header("location")), (303, location.as_str()), "{says:?} {metadata}");
            assert!(cookies(&answer).is_empty());
        }
        assert_eq!(provider.plan.lock().discoveries, 1, "{says:?} {metadata}");
        assert_eq!(server.get("/livez").await.status, 200);
    }
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

/// Login CSRF, and a code that was injected: what somebody else's browser began is not finished by this one.
#[tokio::test]
async fn answer_to_an_attempt_of_another_browser_signs_nobody_in() {
    let provider = Provider::start().await;
    let server = server_with(&provider, |settings| settings.access.failures = 1000);
    let (victim, attacker) = (Away::begin(&server, &provider, "").await, Away::begin(&server, &provider, "").await);
    let path = format!("/api/v1/login/callback?code=c&state={}", attacker.query["state"]);
    for (why, headers) in [
        ("no attempt", String::new()),
        ("another attempt", victim.header()),
        ("an attempt that was made up", "cookie: cuttlebone-login=AAAA\r\n".to_owned()),
        ("the cookie of another kind of page", format!("cookie: __Host-cuttlebone-login={}\r\n", attacker.cookie)),
    ] {
        let answer = get(&server, &path, &headers).await;
        assert_outcome(&answer, "lost", why);
        assert!(cookies(&answer).is_empty(), "{why}: the attempt of the victim goes on");
    }
    for query in ["", "?code=c", "?code=c&state=", "?error=access_denied", "?state=a&state=b&code=c"] {
        let answer = get(&server, &format!("/api/v1/login/callback{query}"), &victim.header()).await;
        assert_outcome(&answer, "lost", query);
    }
    assert!(provider.plan.lock().exchanges.is_empty(), "a code was sent on");
}

#[tokio::test]
async fn attempt_is_over_after_its_time() {
    let provider = Provider::start().await;
    let server = server_with(&provider, |settings| {
        settings.access.login.as_mut().expect("there is one").attempt = Duration::from_secs(1);
    });
    let away = Away::begin(&server, &provider, "").await;
    let begun = unix_seconds();
    let mut tick = tokio::time::interval(Duration::from_millis(50));
    while unix_seconds() < begun + 2 {
        tick.tick().await;
    }
    assert_outcome(&away.back(&server, "&code=c").await, "lost", "late");
}

/// RFC 9207: an answer that another provider gave is not taken to this one.
#[tokio::test]
async fn answer_of_another_provider_is_not_taken() {
    let provider = Provider::start().await;
    let of = |issuer: &str| format!("&code=c&iss={issuer}");
    let lenient = server(&provider);
    for (more, good) in [
        ("&code=c".to_owned(), true),
        (of(&provider.issuer), true),
        (of("https%3A%2F%2Fother.example"), false),
        (of(""), false),
    ] {
        let answer = Away::begin(&lenient, &provider, "").await.back(&lenient, &more).await;
        assert_eq!(answer.header("location") == ROOT, good, "{more}");
    }
    provider.change(|plan| plan.metadata = json!({"authorization_response_iss_parameter_supported": true}));
    let strict = server(&provider);
    let before = provider.plan.lock().exchanges.len();
    assert_outcome(&sign_in(&strict, &provider).await, "failed", "it says that it names itself");
    assert_eq!(provider.plan.lock().exchanges.len(), before, "a code was sent on");
    let answer = Away::begin(&strict, &provider, "").await.back(&strict, &of(&provider.issuer)).await;
    session(&answer);
}

#[tokio::test]
async fn error_of_the_provider_is_a_word_of_ours() {
    let provider = Provider::start().await;
    let server = server_with(&provider, |settings| settings.access.failures = 1000);
    for (more, outcome) in [
        ("&error=access_denied&error_description=%3Cscript%3E", "denied"),
        ("&error=%3Cscript%3Ealert(1)%3C/script%3E", "failed"),
        ("&error=server_error&code=c", "failed"),
        ("", "failed"),
    ] {
        let answer = Away::begin(&server, &provider, "").await.back(&server, more).await;
        assert_outcome(&answer, outcome, more);
        let said = format!("{answer:?}");
        assert!(!said.contains("alert") && !said.contains("script>") && !said.contains("%3C"), "{said}");
    }
    assert!(provider.plan.lock().exchanges.is_empty());
}

/// Open redirect.
#[tokio::test]
async fn nobody_is_led_anywhere_but_to_a_page_of_ours() {
    let provider = Provider::start().await;
    let server = server(&provider);
    for page in
        ["https%3A%2F%2Fevil.example", "%2F%2Fevil.example", "%5Cevil.example", "javascript%3Aalert(1)", "..%2F"]
    {
        let answer = Away::begin(&server, &provider, page).await.back(&server, "&code=c").await;
        assert_eq!(answer.header("location"), ROOT, "{page}");
    }
    let evil = "host: evil.example\r\nx-forwarded-host: evil.example\r\n";
    let text = format!("GET /api/v1/login/end HTTP/1.1\r\n{evil}connection: close\r\n\r\n");
    let answer = request(server.addr, &text).await;
    assert!(!answer.header("location").contains("evil"), "{answer:?}");
}

/// Session fixation: whoever signs in gets a session of their own, whatever the browser had before.
#[tokio::test]
async fn session_that_was_there_before_is_not_the_one_of_who_signs_in() {
    let provider = Provider::start().await;
    let server = server(&provider);
    provider.change(|plan| plan.claims = json!({"sub": "mallory", "preferred_username": "mallory"}));
    let planted = session(&sign_in(&server, &provider).await);
    provider.change(|plan| plan.claims = json!({}));
    let away = Away::begin(&server, &provider, "").await;
    let headers = format!("{}; {}\r\n", away.header().trim_end(), planted.trim_end().trim_start_matches("cookie: "));
    let path = format!("/api/v1/login/callback?code=c&state={}", away.query["state"]);
    let own = session(&get(&server, &path, &headers).await);
    assert_ne!(own, planted);
    assert!(get(&server, "/api/v1/whoami", &own).await.text().contains("#4711"));
    assert!(get(&server, "/api/v1/whoami", &planted).await.text().contains("#mallory"));
}

#[tokio::test]
async fn page_of_another_site_begins_nothing() {
    let provider = Provider::start().await;
    let server = server(&provider);
    for site in ["cross-site", "same-site", "x"] {
        let answer = get(&server, "/api/v1/login?return_to=viewer.html", &format!("sec-fetch-site: {site}\r\n")).await;
        assert_eq!((answer.status, answer.header("location")), (303, format!("{ROOT}viewer.html").as_str()), "{site}");
        assert!(cookies(&answer).is_empty(), "{site}");
    }
    assert_eq!(provider.plan.lock().discoveries, 0);
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

#[tokio::test]
async fn codes_that_are_exchanged_at_once_are_bounded() {
    let provider = Provider::start().await;
    let server = server_with(&provider, |settings| {
        settings.access.login.as_mut().expect("there is one").exchanges = 1;
        settings.fetch.timeout = Duration::from_secs(20);
    });
    provider.change(|plan| plan.token = Says::Later);
    let second = Away::begin(&server, &provider, "").await;
    let first = Away::begin(&server, &provider, "").await;
    let held = first.back(&server, "&code=c");
    let other = async {
        let mut tick = tokio::time::interval(Duration::from_millis(10));
        while provider.plan.lock().exchanges.is_empty() {
            tick.tick().await;
        }
        assert_outcome(&second.back(&server, "&code=c").await, "busy", "the second");
        provider.go_on.notify_one();
    };
    let (answer, ()) = tokio::join!(held, other);
    session(&answer);
}

#[tokio::test]
async fn whoever_fails_too_often_waits() {
    let provider = Provider::start().await;
    let server = server_with(&provider, |settings| settings.access.failures = 2);
    provider.change(|plan| plan.signs = Signs::Not);
    for _ in 0..2 {
        assert_outcome(&sign_in(&server, &provider).await, "failed", "not signed");
    }
    assert_eq!(server.metric("cuttlebone_slowed_failures_total").await, 0);
    assert_outcome(&get(&server, "/api/v1/login/callback", "").await, "lost", "nothing");
    assert_eq!(server.metric("cuttlebone_slowed_failures_total").await, 1);
}

#[tokio::test]
async fn pages_that_come_by_tls_have_cookies_of_their_own_host_only() {
    let provider = Provider::start().await;
    let server = server_with(&provider, |settings| {
        settings.access.login.as_mut().expect("there is one").public_url = "https://devices.example".to_owned();
    });
    let begun = get(&server, "/api/v1/login", "").await;
    let attempt = cookies(&begun)["__Host-cuttlebone-login"].clone();
    assert!(attempt.ends_with("; Path=/; HttpOnly; SameSite=Lax; Secure; Max-Age=600"), "{attempt}");
    let to = Url::parse(begun.header("location")).expect("a URL");
    let query: HashMap<_, _> = to.query_pairs().into_owned().collect();
    provider.change(|plan| plan.nonce = query["nonce"].clone());
    let path = format!("/api/v1/login/callback?code=c&state={}", query["state"]);
    let planted = get(&server, &path, &format!("cookie: cuttlebone-login={}\r\n", value(&attempt))).await;
    assert_eq!(planted.header("location"), "https://devices.example/#login=lost");
    let back = get(&server, &path, &format!("cookie: __Host-cuttlebone-login={}\r\n", value(&attempt))).await;
    assert_eq!(back.header("location"), "https://devices.example/");
    let kept = &cookies(&back)["__Host-cuttlebone"];
    assert!(kept.ends_with("; Path=/; HttpOnly; SameSite=Strict; Secure"), "{kept}");
    let cookie = format!("cookie: __Host-cuttlebone={}\r\n", value(kept));
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
