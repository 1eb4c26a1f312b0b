//! The provider, the browser, or the page that led here may be hostile.

use std::time::Duration;

use cuttlebone_server::ClientSecret;
use serde_json::json;

use super::provider::{CLIENT, Provider, Says, Signs, unix_seconds};
use super::{Away, ROOT, assert_outcome, cookies, get, server, server_with, session, sign_in, value};
use crate::support::request;

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
        json!({"nbf": now + 300}),
        json!({"iat": now + 300}),
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
    let server = server_with(&provider, |settings| {
        settings.access.failures = 1000;
        settings.fetch.timeout = Duration::from_secs(3);
    });
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
        let server = server_with(&provider, |settings| settings.fetch.timeout = Duration::from_secs(3));
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
        ("the cookie of another kind of page", format!("cookie: __Host-Http-cuttlebone-login={}\r\n", attacker.cookie)),
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
    server.until_audited("refusal", &[("reason", "login_lost".into())]).await;
}

/// It would have the answers to whoever visits it delayed.
#[tokio::test]
async fn what_a_page_loads_is_nobodys_attempt() {
    let provider = Provider::start().await;
    let server = server_with(&provider, |settings| settings.access.failures = 2);
    for dest in ["image", "iframe", "empty"] {
        for _ in 0..5 {
            let headers = format!("sec-fetch-site: cross-site\r\nsec-fetch-dest: {dest}\r\n");
            let answer = get(&server, "/api/v1/login/callback?code=c&state=s", &headers).await;
            assert_eq!((answer.status, answer.header("location")), (303, ROOT), "{dest}");
        }
    }
    let before = "sec-fetch-site: none\r\nsec-fetch-dest: document\r\nsec-purpose: prefetch\r\n";
    for path in ["/api/v1/login", "/api/v1/login/callback?code=c&state=s", "/api/v1/login/end"] {
        let answer = get(&server, path, before).await;
        assert_eq!((answer.status, answer.header("location")), (303, ROOT), "{path} beforehand");
        assert!(cookies(&answer).is_empty(), "{path}");
    }
    let visit = "sec-fetch-site: cross-site\r\nsec-fetch-dest: document\r\n";
    for _ in 0..5 {
        let answer = get(&server, "/api/v1/login/callback?code=c&state=s", visit).await;
        assert_outcome(&answer, "lost", "a visit, to which another page may have led");
    }
    assert_eq!(server.metric("cuttlebone_slowed_failures_total").await, 0);
    let away = Away::begin(&server, &provider, "").await;
    let path = format!("/api/v1/login/callback?code=c&state={}", away.query["state"]);
    session(&get(&server, &path, &format!("{}{visit}", away.header())).await);
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
    let in_background = "none\r\nsec-fetch-dest: empty\r\nsec-fetch-mode: navigate\r\norigin: https://evil.example";
    // Who types an address of theirs is led on to us as if it were ours.
    let typed = "none\r\nsec-fetch-dest: document\r\nsec-fetch-user: ?1";
    let named = "same-origin\r\norigin: https://evil.example";
    for site in ["cross-site", "same-site", "x", in_background, typed, named] {
        let answer = get(&server, "/api/v1/login?return_to=viewer.html", &format!("sec-fetch-site: {site}\r\n")).await;
        assert_eq!((answer.status, answer.header("location")), (303, format!("{ROOT}viewer.html").as_str()), "{site}");
        assert!(cookies(&answer).is_empty(), "{site}");
    }
    assert_eq!(provider.plan.lock().discoveries, 0);
}

#[tokio::test]
async fn codes_that_are_exchanged_at_once_are_bounded() {
    let provider = Provider::start().await;
    let server = server_with(&provider, |settings| {
        settings.access.login.as_mut().expect("there is one").exchanges = 1;
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
    // A page of another site may lead anybody here, whether it signs in or not: it must not take longer for who does.
    let away = Away::begin(&server, &provider, "").await;
    for headers in ["", &away.header()] {
        assert_outcome(&get(&server, "/api/v1/login/callback?code=c&state=s", headers).await, "lost", headers);
    }
    assert_eq!(server.metric("cuttlebone_slowed_failures_total").await, 0);
    assert_outcome(&away.back(&server, "&code=c").await, "failed", "not signed");
    assert_eq!(server.metric("cuttlebone_slowed_failures_total").await, 1);
}
