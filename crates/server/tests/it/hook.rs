//! A hook that is right, slow, wrong, gone, huge, or elsewhere: docs/HOOK.md.

use std::sync::Arc;
use std::time::Duration;

use cuttlebone_access::{Access, NewToken, Revoked, Settings as Kinds, StaticTokens};
use cuttlebone_server::{HookSettings, Settings};
use serde_json::{Value, json};
use tokio::time::{Instant, timeout};
use tokio_util::task::TaskTracker;

use crate::access::{expect_revoked, newcomer};
use crate::elsewhere::{Elsewhere, Reply};
use crate::support::{Answer, PATIENCE, Peer, Running, get, request};

fn ann() -> Value {
    json!({"name": "ann", "roles": ["client"], "devices": ["lab7/*"], "tenant": "lab"})
}

fn says(answer: &Value) -> Reply {
    Reply::Text(200, answer.to_string())
}

fn server(hook: &Elsewhere, change: impl FnOnce(&mut HookSettings)) -> Running {
    server_with(hook, change, |_| ())
}

fn server_with(hook: &Elsewhere, change: impl FnOnce(&mut HookSettings), more: impl FnOnce(&mut Settings)) -> Running {
    Running::with(|settings| {
        let mut asked = HookSettings::new(hook.url().parse().expect("a URL"));
        change(&mut asked);
        settings.fetch = hook.fetch();
        settings.access.hook = Some(asked);
        settings.access.anonymous = false;
        settings.access.failures = u32::MAX;
        more(settings);
    })
}

async fn ask(server: &Running, headers: &str) -> Answer {
    let addr = server.addr;
    let head = format!("GET /api/v1/whoami HTTP/1.1\r\nhost: {addr}\r\n{headers}connection: close\r\n\r\n");
    request(addr, &head).await
}

async fn whoami(server: &Running, token: &str) -> Answer {
    ask(server, &format!("authorization: Bearer {token}\r\n")).await
}

async fn status(server: &Running, token: &str) -> u16 {
    whoami(server, token).await.status
}

fn answers(outcome: &str) -> String {
    format!("cuttlebone_hook_answers_total{{outcome=\"{outcome}\"}}")
}

#[tokio::test]
async fn one_whom_the_hook_knows_is_what_it_says_and_the_token_is_in_the_body_only() {
    let mut answer = ann();
    answer["expires_in"] = json!(600);
    let hook = Elsewhere::start(says(&answer)).await;
    let server = server(&hook, |_| ());
    let who = whoami(&server, "opaque-CANARY").await;
    assert_eq!(who.status, 200, "{}", who.text());
    let who: Value = serde_json::from_str(&who.text()).expect("JSON");
    assert_eq!((&who["name"], &who["tenant"], &who["roles"]), (&json!("ann"), &json!("lab"), &json!(["client"])));
    assert!(who["expires_at"].as_u64().is_some_and(|end| end > 1_700_000_000));
    assert_eq!(status(&server, "opaque-CANARY").await, 200);
    let asked = hook.asked();
    assert_eq!(asked.len(), 1, "the second was answered from the first");
    let body: Value = serde_json::from_str(&asked[0].body).expect("JSON");
    assert_eq!(body, json!({"token": "opaque-CANARY", "address": "127.0.0.1"}));
    assert!(asked[0].head.starts_with("POST /answer HTTP/1.1") && !asked[0].head.contains("CANARY"));
    assert!(asked[0].head.to_ascii_lowercase().contains("content-type: application/json"));
    assert_eq!((server.metric(&answers("recognised")).await, server.metric(&answers("kept")).await), (1, 1));
    assert!(!get(server.metrics, "/metrics").await.text().contains("ann"));
    newcomer(&server, "opaque-CANARY").await;
}

#[tokio::test]
async fn one_whom_the_hook_does_not_know_is_401_and_asked_about_once_for_some_time() {
    for said in [401, 403] {
        let hook = Elsewhere::start(Reply::Text(said, ann().to_string())).await;
        let server = server(&hook, |hook| hook.denied_cache = Duration::from_millis(500));
        for _ in 0..3 {
            assert_eq!(status(&server, "nobody").await, 401);
        }
        assert_eq!(hook.asked().len(), 1);
        hook.reply(says(&ann()));
        let begun = Instant::now();
        while status(&server, "nobody").await == 401 {
            assert!(begun.elapsed() < PATIENCE, "kept for ever");
        }
        assert_eq!(hook.asked().len(), 2);
        assert!(server.metric("cuttlebone_rejects_total{reason=\"token_hook\"}").await >= 3);
    }
}

#[tokio::test]
async fn hook_that_is_wrong_slow_gone_or_elsewhere_lets_nobody_in_and_that_is_no_guess() {
    for reply in [
        Reply::Redirect,
        Reply::Text(500, ann().to_string()),
        Reply::Text(204, String::new()),
        Reply::Text(404, ann().to_string()),
        Reply::Text(200, "yes".into()),
        Reply::Text(200, format!("[{}]", ann())),
        Reply::Text(200, json!({"name": "ann", "roles": ["root"]}).to_string()),
        Reply::Text(200, json!({"name": "ann", "roles": ["client"]}).to_string()),
        Reply::Endless,
        Reply::Slow,
        Reply::Silent,
        Reply::Gone,
    ] {
        let hook = Elsewhere::start(reply.clone()).await;
        let change = |hook: &mut HookSettings| hook.timeout = Duration::from_millis(500);
        let server = server_with(&hook, change, |settings| settings.access.failures = 0);
        let begun = Instant::now();
        for token in ["opaque-CANARY-1", "opaque-CANARY-2"] {
            let answer = whoami(&server, token).await;
            assert_eq!(answer.status, 503, "{reply:?}: {}", answer.text());
            assert!(!answer.header("retry-after").is_empty() && answer.text().contains("token_unchecked"), "{reply:?}");
            assert!(!answer.text().contains("CANARY"));
        }
        assert!(begun.elapsed() < PATIENCE / 2, "{reply:?}: {:?}", begun.elapsed());
        assert_eq!(server.metric(&answers("failed")).await, 2, "{reply:?}");
        assert_eq!(server.metric("cuttlebone_slowed_failures_total").await, 0);
    }
}

#[tokio::test]
async fn all_who_come_with_one_token_at_once_are_asked_about_once() {
    let hook = Elsewhere::start(says(&ann())).await;
    let server = Arc::new(server(&hook, |_| ()));
    let tasks = TaskTracker::new();
    for _ in 0..100 {
        let server = Arc::clone(&server);
        tasks.spawn(async move { assert_eq!(status(&server, "opaque").await, 200) });
    }
    tasks.close();
    tasks.wait().await;
    assert_eq!(hook.asked().len(), 1);
}

#[tokio::test]
async fn only_so_many_are_asked_about_at_once_and_only_so_many_wait() {
    let hook = Elsewhere::start(Reply::Silent).await;
    let server = server(&hook, |hook| (hook.asks, hook.waiting, hook.timeout) = (4, 3, PATIENCE));
    let server = Arc::new(server);
    let tasks = TaskTracker::new();
    for number in 0..7 {
        let server = Arc::clone(&server);
        tasks.spawn(async move { status(&server, &format!("token-{number}")).await });
    }
    hook.until_asked(4).await;
    let begun = Instant::now();
    // The queue may not be full yet: whoever is in it waits for long.
    while server.metric(&answers("busy")).await == 0 {
        let addr = server.addr;
        let mut peer = Peer::connect(addr).await;
        let token = format!("other-{}", begun.elapsed().as_nanos());
        let head = format!("GET /api/v1/whoami HTTP/1.1\r\nhost: {addr}\r\nauthorization: Bearer {token}\r\n\r\n");
        peer.send(&head).await;
        if let Ok(answer) = timeout(Duration::from_millis(200), peer.answer()).await {
            assert_eq!(answer.status, 503);
        }
    }
    assert!(begun.elapsed() < PATIENCE / 2, "told at once");
    assert_eq!((hook.asked().len(), hook.most_open()), (4, 4));
    drop(tasks);
}

#[tokio::test]
async fn hook_that_fails_is_left_alone_for_a_while() {
    let hook = Elsewhere::start(Reply::Gone).await;
    let server = server(&hook, |_| ());
    for number in 0..50 {
        assert_eq!(status(&server, &format!("token-{number}")).await, 503);
    }
    let asked = hook.asked().len();
    assert!((5..=10).contains(&asked), "{asked}");
    assert!(server.metric(&answers("left_alone")).await >= 40);
    hook.reply(says(&ann()));
    let begun = Instant::now();
    while status(&server, "good").await == 503 {
        assert!(begun.elapsed() < PATIENCE, "left alone for ever");
    }
}

#[tokio::test]
async fn whom_the_hook_knows_no_more_is_closed_and_so_is_who_may_something_else_now() {
    let mut other = ann();
    other["devices"] = json!(["lab8/*"]);
    for reply in [Reply::Text(401, String::new()), says(&other)] {
        let hook = Elsewhere::start(says(&ann())).await;
        let server = server(&hook, |hook| {
            (hook.recheck, hook.cache) = (Duration::from_millis(200), Duration::from_millis(100));
        });
        let mut client = newcomer(&server, "opaque").await;
        hook.until_asked(3).await;
        assert_eq!(server.metric("cuttlebone_connections{role=\"client\"}").await, 1, "it stays while it is known");
        assert_eq!(server.metric("cuttlebone_hook_tokens").await, 1);
        hook.reply(reply);
        expect_revoked(&mut client).await;
        assert_eq!(server.metric("cuttlebone_hook_withdrawn_total").await, 1);
        server.until_audited("credential", &[("outcome", "revoked".into())]).await;
    }
}

#[tokio::test]
async fn nobody_is_asked_about_again_who_has_left() {
    for (recheck, cache) in [(100, 50), (100, 2_500)] {
        let hook = Elsewhere::start(says(&ann())).await;
        let server = server(&hook, |hook| {
            (hook.recheck, hook.cache) = (Duration::from_millis(recheck), Duration::from_millis(cache));
        });
        drop(newcomer(&server, "opaque").await);
        server.until_metric("cuttlebone_connections{role=\"client\"}", |open| open == 0).await;
        server.until_metric("cuttlebone_hook_tokens", |tokens| tokens == 0).await;
    }
}

#[tokio::test]
async fn who_is_here_stays_while_the_hook_is_down_but_not_for_ever() {
    let hook = Elsewhere::start(says(&ann())).await;
    let change = |hook: &mut HookSettings| {
        hook.recheck = Duration::from_millis(100);
        hook.cache = Duration::from_millis(50);
        hook.stale = Duration::from_secs(3);
    };
    let server = server_with(&hook, change, |settings| settings.timeouts.ping = Duration::from_millis(200));
    let mut client = newcomer(&server, "opaque").await;
    let begun = Instant::now();
    hook.reply(Reply::Gone);
    let asked = hook.asked().len();
    hook.until_asked(asked + 2).await;
    assert_eq!(server.metric("cuttlebone_connections{role=\"client\"}").await, 1);
    assert_eq!(status(&server, "opaque").await, 503, "it is not known whether a new one may come");
    expect_revoked(&mut client).await;
    assert!(begun.elapsed() > Duration::from_secs(2), "{:?}", begun.elapsed());
    server.until_audited("credential", &[("outcome", "expired".into())]).await;
}

#[tokio::test]
async fn session_ends_when_the_answer_says_so() {
    let mut answer = ann();
    answer["expires_in"] = json!(1);
    let hook = Elsewhere::start(says(&answer)).await;
    let server = server_with(&hook, |_| (), |settings| settings.timeouts.ping = Duration::from_millis(200));
    let mut client = newcomer(&server, "opaque").await;
    expect_revoked(&mut client).await;
    assert_eq!(hook.asked().len(), 1);
    assert_eq!(status(&server, "opaque").await, 200, "it is asked anew");
    assert_eq!(hook.asked().len(), 2);
}

#[tokio::test]
async fn static_tokens_and_what_has_another_prefix_are_never_shown_to_the_hook() {
    let hook = Elsewhere::start(says(&ann())).await;
    let server = server(&hook, |hook| hook.prefix = "ours_".into());
    let unknown = NewToken::from_random(&[7; 32]);
    for token in [unknown.secret(), "other_x", "a.b.c", "OURS_x"] {
        assert_eq!(status(&server, token).await, 401, "{token}");
    }
    assert_eq!(hook.connections(), 0);
    assert_eq!(status(&server, "ours_a.b.c").await, 200);
    let any = self::server(&hook, |_| ());
    assert_eq!(status(&any, unknown.secret()).await, 401, "it stood in a file, and does not any more");
    assert_eq!(hook.asked().len(), 1);
}

#[tokio::test]
async fn one_whom_the_hook_knows_can_be_revoked_here() {
    let hook = Elsewhere::start(says(&ann())).await;
    let server = server(&hook, |_| ());
    let mut client = newcomer(&server, "opaque").await;
    let revoked = Revoked::parse("hook:ann").expect("a good file");
    server.handle.set_access(Arc::new(Access::new(Kinds { revoked, ..Kinds::default() })));
    expect_revoked(&mut client).await;
    assert_eq!(status(&server, "opaque").await, 401);
    assert_eq!(status(&server, "another").await, 401, "ann by another token");
}

#[tokio::test]
async fn cookie_is_asked_about_also_where_anybody_is_served() {
    let hook = Elsewhere::start(says(&ann())).await;
    let server = server_with(&hook, |_| (), |settings| settings.access.anonymous = true);
    assert_eq!(server.get("/api/v1/whoami").await.text(), r#"{"roles":[]}"#);
    let who = ask(&server, "cookie: cuttlebone=opaque\r\n").await;
    assert!(who.text().contains("\"ann\""), "{}", who.text());
    hook.reply(Reply::Gone);
    assert_eq!(ask(&server, "cookie: cuttlebone=other\r\n").await.text(), r#"{"roles":[]}"#);
    assert_eq!(hook.asked().len(), 2);
}

#[tokio::test]
async fn who_guesses_by_cookie_is_slowed_where_anybody_is_served() {
    let hook = Elsewhere::start(Reply::Text(401, String::new())).await;
    let server =
        server_with(&hook, |_| (), |settings| (settings.access.anonymous, settings.access.failures) = (true, 2));
    for (guess, slowed) in [(1, 0), (1, 0), (1, 0), (2, 0), (3, 1), (3, 1), (4, 2)] {
        let answer = ask(&server, &format!("cookie: cuttlebone={guess}\r\n")).await;
        assert_eq!(answer.status, 200, "{}", answer.text());
        assert_eq!(server.metric("cuttlebone_slowed_failures_total").await, slowed, "{guess}");
    }
    assert_eq!(ask(&server, "").await.status, 200);
    assert_eq!(server.metric("cuttlebone_slowed_failures_total").await, 2, "who guesses nothing");
}

#[tokio::test]
async fn tokens_that_are_known_here_are_not_asked_about() {
    let hook = Elsewhere::start(Reply::Text(401, String::new())).await;
    let new = NewToken::from_random(&[1; 32]);
    let line = format!("{} name=w role=observer\n", new.hash());
    let server = server_with(
        &hook,
        |_| (),
        |settings| {
            let tokens = StaticTokens::parse(&line).expect("a good file");
            settings.access.access = Arc::new(Access::new(Kinds { tokens: Some(tokens), ..Kinds::default() }));
        },
    );
    assert_eq!(status(&server, new.secret()).await, 200);
    assert_eq!(hook.connections(), 0);
}

#[tokio::test]
async fn server_that_stops_waits_for_no_hook() {
    let hook = Elsewhere::start(Reply::Silent).await;
    let server = server(&hook, |hook| hook.timeout = PATIENCE);
    let mut peer = Peer::connect(server.addr).await;
    peer.send(&format!("GET /devices HTTP/1.1\r\nhost: {}\r\nauthorization: Bearer x\r\n\r\n", server.addr)).await;
    hook.until_asked(1).await;
    let begun = Instant::now();
    server.stop();
    assert_eq!(peer.answer().await.status, 503);
    server.ended().await;
    assert!(begun.elapsed() < PATIENCE / 2, "{:?}", begun.elapsed());
}

#[tokio::test]
async fn peer_that_waits_for_the_hook_is_not_late_with_its_handshake() {
    let hook = Elsewhere::start(Reply::Silent).await;
    let change = |hook: &mut HookSettings| hook.timeout = Duration::from_millis(800);
    let server = server_with(&hook, change, |settings| settings.timeouts.handshake = Duration::from_millis(300));
    assert_eq!(status(&server, "opaque").await, 503, "an answer, and not a closed socket");
}

/// What one has to say of a token of somebody's making is nobody else's fault.
#[tokio::test]
async fn answers_that_can_not_be_used_keep_nobody_else_from_the_hook() {
    let mut nothing = ann();
    nothing["roles"] = json!([]);
    let hook = Elsewhere::start(says(&nothing)).await;
    let server = server(&hook, |_| ());
    for reply in [says(&nothing), Reply::Text(404, String::new()), Reply::Text(400, String::new())] {
        hook.reply(reply);
        for number in 0..7 {
            assert_eq!(status(&server, &format!("eve-{number}-{}", hook.asked().len())).await, 503);
        }
    }
    let asked = hook.asked().len();
    assert_eq!(asked, 21, "it is asked about each");
    let last = "eve-6-20";
    assert_eq!((status(&server, last).await, hook.asked().len()), (503, asked), "and not again");
    hook.reply(says(&ann()));
    assert_eq!(status(&server, "opaque").await, 200);
}
