//! Issuers whose keys are at a URL, served over TLS: security.md T36 to T38.

use std::sync::Arc;
use std::time::Duration;

use cuttlebone_access::{Access, IssuerSettings, Jwt, KeySet, Settings as Kinds};
use cuttlebone_server::{JwksSettings, Rate, Settings};
use serde_json::json;
use tokio::net::TcpListener;
use tokio::time::{Instant, timeout};
use tokio_util::task::TaskTracker;

use crate::access::{expect_revoked, newcomer};
use crate::elsewhere::{Elsewhere, Reply};
use crate::idp::{ISSUER, Signer, jwks};
use crate::support::{Answer, PATIENCE, Peer, Running, get, request};

fn keys(signers: &[&Signer]) -> Reply {
    Reply::Text(200, jwks(signers))
}

fn access(url: &str) -> Arc<Access> {
    let rules = IssuerSettings { jwks_url: Some(url.to_owned()), ..IssuerSettings::new(ISSUER) };
    let jwt = Jwt::new(vec![(rules, KeySet::default())]).expect("good settings");
    Arc::new(Access::new(Kinds { jwt: Some(jwt), ..Kinds::default() }))
}

/// A server that has the keys of its one issuer from there.
fn server(idp: &Elsewhere, change: impl FnOnce(&mut Settings)) -> Running {
    Running::with(|settings| {
        settings.fetch = idp.fetch();
        settings.access.access = access(&idp.url());
        settings.access.anonymous = false;
        settings.access.failures = u32::MAX;
        change(settings);
    })
}

fn quick(settings: &mut Settings) {
    let millis = Duration::from_millis;
    settings.access.jwks = JwksSettings { refresh: millis(100), min_refetch: millis(50), stale: PATIENCE };
}

async fn whoami(server: &Running, token: &str) -> Answer {
    let addr = server.addr;
    let headers = format!("host: {addr}\r\nauthorization: Bearer {token}\r\nconnection: close\r\n");
    request(addr, &format!("GET /api/v1/whoami HTTP/1.1\r\n{headers}\r\n")).await
}

async fn status(server: &Running, token: &str) -> u16 {
    whoami(server, token).await.status
}

async fn until_status(server: &Running, token: &str, wanted: u16) {
    let begun = Instant::now();
    while status(server, token).await != wanted {
        assert!(begun.elapsed() < PATIENCE, "never {wanted}");
    }
}

#[tokio::test]
async fn keys_are_fetched_at_the_start_and_who_comes_meanwhile_waits_for_them() {
    let signer = Signer::new("1");
    let idp = Elsewhere::start(keys(&[&signer])).await;
    let server = server(&idp, |_| ());
    let who = whoami(&server, &signer.token()).await;
    assert_eq!((who.status, who.text().contains("\"alice\"")), (200, true), "{}", who.text());
    assert_eq!(status(&server, &signer.token()).await, 200);
    assert_eq!(idp.asked().len(), 1);
    assert!(idp.asked()[0].head.starts_with("GET /answer HTTP/1.1"));
    assert_eq!(get(server.metrics, "/readyz").await.status, 200);
    assert_eq!(server.metric("cuttlebone_issuer_keys_fetches_total{outcome=\"good\"}").await, 1);
    server.until_audited("reload", &[("what", "issuer_keys".into()), ("outcome", "ok".into())]).await;
    let page = get(server.metrics, "/metrics").await.text();
    assert!(page.contains("cuttlebone_verified_tokens 2\n"), "{page}");
    assert!(page.contains("cuttlebone_issuer_keys_age_seconds{issuer=\"0\"} "), "{page}");
    assert!(!page.contains("127.0.0.1") && !page.contains("idp.example"), "{page}");
}

#[tokio::test]
async fn token_is_503_and_no_guess_while_the_first_keys_can_not_be_had() {
    let signer = Signer::new("1");
    let idp = Elsewhere::start(Reply::Gone).await;
    let server = server(&idp, |settings| settings.access.failures = 0);
    for _ in 0..20 {
        let answer = whoami(&server, &signer.token()).await;
        assert_eq!(answer.status, 503, "{}", answer.text());
        assert!(!answer.header("retry-after").is_empty() && answer.text().contains("token_unchecked"));
    }
    let ready = get(server.metrics, "/readyz").await;
    assert_eq!((ready.status, ready.text().contains("keys_missing")), (503, true), "{}", ready.text());
    assert_eq!(server.metric("cuttlebone_slowed_failures_total").await, 0);
    assert!(server.metric("cuttlebone_rejects_total{reason=\"token_keys_awaited\"}").await >= 20);
    idp.reply(keys(&[&signer]));
    until_status(&server, &signer.token(), 200).await;
    assert_eq!(get(server.metrics, "/readyz").await.status, 200);
}

#[tokio::test]
async fn t38_new_key_is_fetched_when_it_is_met_and_a_withdrawn_one_closes_its_sessions() {
    let (old, new) = (Signer::new("old"), Signer::new("new"));
    let idp = Elsewhere::start(keys(&[&old])).await;
    let server = server(&idp, |settings| settings.access.jwks.min_refetch = Duration::from_millis(1));
    let mut of_old = newcomer(&server, &old.token()).await;
    idp.reply(keys(&[&old, &new]));
    let _of_new = newcomer(&server, &new.token()).await;
    assert_eq!(idp.asked().len(), 2);
    assert_eq!(status(&server, &old.token()).await, 200, "both are good while they overlap");
    idp.reply(keys(&[&new]));
    let third = Signer::new("third");
    assert_eq!(status(&server, &third.token()).await, 401, "a key that is nowhere");
    assert_eq!(idp.asked().len(), 3);
    expect_revoked(&mut of_old).await;
    assert_eq!(status(&server, &old.token()).await, 401);
    assert_eq!(status(&server, &new.token()).await, 200);
    server.until_metric("cuttlebone_connections{role=\"client\"}", |open| open == 1).await;
}

#[tokio::test]
async fn t38_withdrawn_key_is_noticed_with_the_next_refresh() {
    let (old, new) = (Signer::new("old"), Signer::new("new"));
    let idp = Elsewhere::start(keys(&[&old])).await;
    let server = server(&idp, quick);
    let mut of_old = newcomer(&server, &old.token()).await;
    idp.reply(keys(&[&new]));
    expect_revoked(&mut of_old).await;
    assert_eq!(status(&server, &old.token()).await, 401);
}

#[tokio::test]
async fn t37_ten_thousand_random_key_names_are_one_fetch() {
    let signer = Signer::new("1");
    let idp = Elsewhere::start(keys(&[&signer])).await;
    let server = server(&idp, |settings| {
        settings.limits.requests = Rate { per_second: 0, burst: 1 };
        settings.access.jwks.min_refetch = Duration::from_secs(30);
    });
    assert_eq!(status(&server, &signer.token()).await, 200);
    let begun = Instant::now();
    let tasks = TaskTracker::new();
    let (addr, token) = (server.addr, signer.token());
    let (_, rest) = token.split_once('.').expect("a token");
    for part in 0..20 {
        let rest = rest.to_owned();
        tasks.spawn(async move {
            let mut peer = Peer::connect(addr).await;
            for number in 0..500 {
                let header = format!(r#"{{"alg":"ES256","kid":"{part}-{number}"}}"#);
                let header = base64::Engine::encode(&base64::engine::general_purpose::URL_SAFE_NO_PAD, header);
                let bearer = format!("authorization: Bearer {header}.{rest}\r\n");
                peer.send(&format!("GET /api/v1/whoami HTTP/1.1\r\nhost: {addr}\r\n{bearer}\r\n")).await;
                assert_eq!(peer.answer().await.status, 401);
            }
        });
    }
    tasks.close();
    tasks.wait().await;
    let most = 1 + begun.elapsed().as_secs() as usize / 30;
    assert!(idp.asked().len() <= 1 + most, "{} fetches in {:?}", idp.asked().len(), begun.elapsed());
    assert_eq!(server.metric("cuttlebone_failed_addresses").await, 1);
    let refused = server.metric("cuttlebone_issuer_keys_not_fetched_total").await;
    assert!(refused >= 9_000, "{refused}");
    assert_eq!(status(&server, &signer.token()).await, 200);
}

#[tokio::test]
async fn t37_all_who_meet_a_new_key_at_once_wait_for_one_fetch() {
    let (old, new) = (Signer::new("old"), Signer::new("new"));
    let idp = Elsewhere::start(keys(&[&old])).await;
    let server = Arc::new(server(&idp, |settings| settings.access.jwks.min_refetch = Duration::from_millis(1)));
    assert_eq!(status(&server, &old.token()).await, 200);
    idp.reply(keys(&[&old, &new]));
    let (tasks, token) = (TaskTracker::new(), new.token());
    for _ in 0..50 {
        let (server, token) = (Arc::clone(&server), token.clone());
        tasks.spawn(async move { assert_eq!(status(&server, &token).await, 200) });
    }
    tasks.close();
    tasks.wait().await;
    assert_eq!(idp.asked().len(), 2);
}

#[tokio::test]
async fn t36_answer_that_brings_no_keys_leaves_the_old_ones_alone() {
    let signer = Signer::new("1");
    let idp = Elsewhere::start(keys(&[&signer])).await;
    let server = server(&idp, |settings| {
        quick(settings);
        settings.fetch.timeout = Duration::from_millis(500);
    });
    assert_eq!(status(&server, &signer.token()).await, 200);
    let many: Vec<Signer> = (0..65).map(|number| Signer::new(&number.to_string())).collect();
    let secret = r#"{"keys":[{"kty":"oct","k":"AyM1SysPpbyDfgZld3umj1qzKObwVMkoqQ-EstJQLr_T"}]}"#;
    for (reply, outcome) in [
        (Reply::Redirect, "status"),
        (Reply::Text(500, jwks(&[])), "status"),
        (Reply::Text(204, String::new()), "status"),
        (Reply::Endless, "failed"),
        (Reply::Slow, "failed"),
        (Reply::Silent, "failed"),
        (Reply::Gone, "failed"),
        (Reply::Text(200, "{\"keys\":[".into()), "unusable"),
        (Reply::Text(200, jwks(&[])), "unusable"),
        (Reply::Text(200, secret.into()), "unusable"),
        (Reply::Text(200, jwks(&many.iter().collect::<Vec<_>>())), "unusable"),
    ] {
        let series = format!("cuttlebone_issuer_keys_fetches_total{{outcome=\"{outcome}\"}}");
        let before = server.metric(&series).await;
        idp.reply(reply.clone());
        server.until_metric(&series, |count| count > before + 1).await;
        assert_eq!(status(&server, &signer.token()).await, 200, "{reply:?}");
        assert_eq!(get(server.metrics, "/readyz").await.status, 200, "{reply:?}");
    }
}

#[tokio::test]
async fn t38_keys_that_are_too_old_are_good_for_nothing_until_others_come() {
    let signer = Signer::new("1");
    let idp = Elsewhere::start(keys(&[&signer])).await;
    let server = server(&idp, |settings| {
        quick(settings);
        settings.access.jwks.stale = Duration::from_secs(1);
    });
    let mut connected = newcomer(&server, &signer.token()).await;
    idp.reply(Reply::Gone);
    let asked = idp.asked().len();
    idp.until_asked(asked + 3).await;
    assert_eq!(status(&server, &signer.token()).await, 200, "they are old, and not too old");
    until_status(&server, &signer.token(), 401).await;
    let ready = get(server.metrics, "/readyz").await;
    assert!(ready.status == 503 && ready.text().contains("too old"), "{}", ready.text());
    expect_revoked(&mut connected).await;
    server.until_audited("reload", &[("what", "issuer_keys".into()), ("outcome", "refused".into())]).await;
    idp.reply(keys(&[&signer]));
    until_status(&server, &signer.token(), 200).await;
    assert_eq!(get(server.metrics, "/readyz").await.status, 200);
}

#[tokio::test]
async fn t36_nothing_that_a_token_points_to_is_asked() {
    let signer = Signer::new("1");
    let idp = Elsewhere::start(keys(&[&signer])).await;
    let server = server(&idp, |settings| settings.access.jwks.min_refetch = Duration::from_millis(1));
    assert_eq!(status(&server, &signer.token()).await, 200);
    let trap = TcpListener::bind("127.0.0.1:0").await.expect("listens");
    let url = format!("http://{}/", trap.local_addr().expect("bound"));
    let stranger = Signer::new("1");
    for member in ["jku", "x5u"] {
        let header = json!({member: url, "jwk": stranger.jwk()});
        assert_eq!(status(&server, &stranger.token_with(header)).await, 401, "{member}");
        let header = json!({member: url, "kid": "unknown"});
        assert_eq!(status(&server, &stranger.token_with(header)).await, 401, "{member}");
    }
    for kid in ["../../dev/null", "' OR 1", &"x".repeat(129)] {
        assert_eq!(status(&server, &stranger.token_with(json!({"kid": kid}))).await, 401, "{kid}");
    }
    assert!(timeout(Duration::from_millis(50), trap.accept()).await.is_err(), "nobody came");
    assert!(idp.asked().iter().all(|asked| asked.head.starts_with("GET /answer ")), "{:?}", idp.asked());
}

#[tokio::test]
async fn t36_private_address_is_not_asked_unless_that_is_allowed() {
    let signer = Signer::new("1");
    let idp = Elsewhere::start(keys(&[&signer])).await;
    let server = server(&idp, |settings| settings.fetch.allow_private = false);
    server.until_metric("cuttlebone_issuer_keys_fetches_total{outcome=\"failed\"}", |count| count > 0).await;
    assert_eq!(status(&server, &signer.token()).await, 503);
    assert_eq!(idp.connections(), 0);
}

#[tokio::test]
async fn reload_keeps_the_keys_of_a_url_and_fetches_those_of_another() {
    let (one, two) = (Signer::new("1"), Signer::new("2"));
    let (first, second) = (Elsewhere::start(keys(&[&one])).await, Elsewhere::start(keys(&[&two])).await);
    let server = server(&first, |_| ());
    assert_eq!(status(&server, &one.token()).await, 200);
    server.handle.set_access(access(&first.url()));
    assert_eq!(status(&server, &one.token()).await, 200);
    assert_eq!(first.asked().len(), 1, "they were there");
    // Nobody vouches for it here, so that its keys do not come.
    server.handle.set_access(access(&second.url()));
    server.until_metric("cuttlebone_issuer_keys_fetches_total{outcome=\"failed\"}", |count| count > 0).await;
    assert_eq!(status(&server, &one.token()).await, 503, "those of another are none of this one");
}

#[tokio::test]
async fn server_that_stops_waits_for_no_keys() {
    let signer = Signer::new("1");
    let idp = Elsewhere::start(Reply::Silent).await;
    let server = server(&idp, |settings| settings.fetch.timeout = PATIENCE);
    let mut peer = Peer::connect(server.addr).await;
    let bearer = format!("authorization: Bearer {}\r\n", signer.token());
    peer.send(&format!("GET /api/v1/whoami HTTP/1.1\r\nhost: {}\r\n{bearer}\r\n", server.addr)).await;
    idp.until_asked(1).await;
    let begun = Instant::now();
    server.stop();
    assert_eq!(peer.answer().await.status, 503);
    server.ended().await;
    assert!(begun.elapsed() < PATIENCE / 2, "{:?}", begun.elapsed());
}
