//! Tokens, against a listener that reads the request and answers by hand. The real thing is tested in `server`.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use cuttlebone_client::raw::{self, ConnectError};
use cuttlebone_client::{
    Backoff, ClientEvent, ClientEvents, ClientOptions, Credential, DeviceEvent, DeviceOptions, Token, client, device,
};

use crate::fake::{CONFIG, DEVICE_INFO, FakeServer, quick, session};
use crate::line::{Line, resuming};

/// What must be seen in one header and nowhere else.
const CANARY: &str = "cbt_CANARY-._~";
const EXPIRED: &str = r#"{"error":"Credential expired or revoked","cuttlebone_code":"credential_expired"}"#;

fn canary() -> Token {
    Token::new(CANARY).unwrap()
}

/// Gives `t1`, `t2` and so on.
fn counting() -> Credential {
    let count = Arc::new(AtomicUsize::new(0));
    Credential::provider(move || {
        let count = Arc::clone(&count);
        async move { Ok(Token::new(&format!("t{}", 1 + count.fetch_add(1, Ordering::Relaxed)))?) }
    })
}

fn failing() -> Credential {
    Credential::provider(|| async { Err("the vault is closed".into()) })
}

fn device_with(server: &FakeServer, credential: impl Into<Credential>) -> DeviceOptions {
    DeviceOptions { endpoint: server.endpoint().with_credential(credential), ..server.device() }
}

fn client_with(server: &FakeServer, credential: impl Into<Credential>) -> ClientOptions {
    ClientOptions { endpoint: server.endpoint().with_credential(credential), ..server.client() }
}

/// The word of the server, then the reason of the loss and when it is tried again.
async fn refused(events: &mut ClientEvents) -> (String, String, Option<Duration>) {
    let code = match events.next().await {
        Some(ClientEvent::ServerError { code: Some(code), .. }) => code,
        other => panic!("expected an error of the server, not {other:?}"),
    };
    match events.next().await {
        Some(ClientEvent::Lost { reason, retry_in }) => (code, reason, retry_in),
        other => panic!("expected to be lost, not {other:?}"),
    }
}

async fn lost(events: &mut ClientEvents) -> (String, Option<Duration>) {
    match events.next().await {
        Some(ClientEvent::Lost { reason, retry_in }) => (reason, retry_in),
        other => panic!("expected to be lost, not {other:?}"),
    }
}

#[tokio::test]
async fn token_is_shown_by_both_roles_in_a_header_and_not_in_the_url() {
    let server = FakeServer::start().await;
    let device = device(device_with(&server, canary()));
    let head = server.deny(503).await;
    let (request, headers) = head.split_once("\r\n").unwrap();
    assert_eq!(request, "GET /pre/register_device HTTP/1.1");
    assert_eq!(headers.matches(CANARY).count(), 1, "{headers}");
    assert!(headers.contains(&format!("authorization: Bearer {CANARY}\r\n")), "{headers}");
    drop(device);

    let server = FakeServer::start().await;
    let _client = client(client_with(&server, canary()));
    let peer = server.accept().await;
    assert_eq!((peer.path.as_str(), peer.authorization), ("/pre/connect_client", Some(format!("Bearer {CANARY}"))));
}

#[tokio::test]
async fn without_a_token_nothing_is_shown() {
    let server = FakeServer::start().await;
    let _client = client(server.client());
    assert_eq!(server.accept().await.authorization, None);
}

#[tokio::test]
async fn token_that_is_refused_is_the_end_and_has_an_error_of_its_own() {
    for (status, expected) in [(401, "unauthenticated"), (403, "forbidden")] {
        let server = FakeServer::start().await;
        let (handle, mut events) = client(client_with(&server, canary()));
        server.deny(status).await;
        let (code, reason, retry_in) = refused(&mut events).await;
        assert_eq!((code.as_str(), retry_in), (expected, None));
        assert!(reason.contains(&status.to_string()), "{reason}");
        assert!(events.next().await.is_none());
        handle.close().await;

        let (_handle, mut events) = device(device_with(&server, canary()));
        server.deny(status).await;
        let event = events.next().await;
        assert!(matches!(&event, Some(DeviceEvent::ServerError { code, .. }) if code.as_deref() == Some(expected)));
        let event = events.next().await;
        assert!(matches!(event, Some(DeviceEvent::Lost { retry_in: None, .. })), "{event:?}");
        assert!(events.next().await.is_none());
    }
}

#[tokio::test]
async fn server_that_wants_a_token_is_the_end_of_those_who_have_none() {
    let server = FakeServer::start().await;
    let (_handle, mut events) = client(server.client());
    server.deny(401).await;
    let (code, _, retry_in) = refused(&mut events).await;
    assert_eq!((code.as_str(), retry_in), ("unauthenticated", None));
}

#[tokio::test]
async fn another_status_is_a_failed_attempt_like_any_other() {
    let server = FakeServer::start().await;
    let (_handle, mut events) = client(client_with(&server, canary()));
    for status in [404, 429, 503] {
        server.deny(status).await;
        let (reason, retry_in) = lost(&mut events).await;
        assert!(retry_in.is_some() && reason.contains(&status.to_string()), "{reason}");
    }
}

#[tokio::test]
async fn provider_is_asked_before_each_connection_and_again_after_a_refusal_with_growing_pauses() {
    let server = FakeServer::start().await;
    let (_handle, mut events) = client(client_with(&server, counting()));
    for (n, whole) in [(1, 8), (2, 16), (3, 32), (4, 32)] {
        let head = server.deny(401).await;
        assert!(head.contains(&format!("authorization: Bearer t{n}\r\n")), "{head}");
        let (code, _, retry_in) = refused(&mut events).await;
        let (pause, whole) = (retry_in.unwrap(), Duration::from_millis(whole));
        assert_eq!(code, "unauthenticated");
        assert!(pause >= whole / 2 && pause <= whole, "{pause:?} of {whole:?}");
    }
    let peer = server.greet(&[CONFIG, DEVICE_INFO]).await;
    assert_eq!(peer.authorization.as_deref(), Some("Bearer t5"));
}

#[tokio::test]
async fn provider_whose_tokens_are_refused_is_asked_as_often_as_attempts_are_made() {
    let server = FakeServer::start().await;
    let mut options = client_with(&server, counting());
    options.backoff = Backoff { attempts: Some(1), ..quick() };
    let (_handle, mut events) = client(options);
    server.deny(403).await;
    assert!(refused(&mut events).await.2.is_some());
    server.deny(403).await;
    assert!(refused(&mut events).await.2.is_none());
    assert!(events.next().await.is_none());
}

#[tokio::test]
async fn provider_that_fails_is_a_failed_attempt_that_says_why() {
    let server = FakeServer::start().await;
    let mut options = client_with(&server, failing());
    options.backoff = Backoff { attempts: Some(1), ..quick() };
    let (_handle, mut events) = client(options);
    for is_last in [false, true] {
        let (reason, retry_in) = lost(&mut events).await;
        assert_eq!((reason.as_str(), retry_in.is_none()), ("no token: the vault is closed", is_last));
    }
}

#[tokio::test(start_paused = true)]
async fn provider_that_does_not_answer_is_left_after_the_patience() {
    let server = FakeServer::start().await;
    let start = tokio::time::Instant::now();
    let (_handle, mut events) = client(client_with(&server, Credential::provider(std::future::pending)));
    let (reason, retry_in) = lost(&mut events).await;
    assert_eq!((reason.as_str(), retry_in.is_some()), ("cannot connect: timed out", true));
    assert!(start.elapsed() < Duration::from_secs(11), "{:?}", start.elapsed());
}

#[tokio::test]
async fn session_outlives_a_token_that_expires_and_a_refusal_after_it() {
    let mut line =
        Line::open_with(|options| options.endpoint = options.endpoint.clone().with_credential(counting())).await;
    assert_eq!(line.peer().authorization.as_deref(), Some("Bearer t1"));
    line.forward(1..=1).await;
    line.reads(1..=1).await;
    line.peer().send(EXPIRED).await;
    line.peer().send_close(4003).await;
    assert_eq!(line.peer().close_code().await, Some(4003));
    let (code, reason, retry_in) = refused(&mut line.events).await;
    assert_eq!((code.as_str(), retry_in.is_some()), ("credential_expired", true));
    assert!(reason.contains("4003"), "{reason}");

    // What is sent meanwhile waits.
    line.forward(2..=2).await;
    let head = line.server.deny(401).await;
    assert!(head.contains("Bearer t2"), "{head}");
    assert!(refused(&mut line.events).await.2.is_some());

    assert_eq!(line.next().await, resuming("t1", 0));
    assert_eq!(line.peer().authorization.as_deref(), Some("Bearer t3"));
    line.answer(&session("t2", Some(1))).await;
    assert!(line.resumed().await);
    line.reads(2..=2).await;
}

#[tokio::test]
async fn device_registers_again_with_a_fresh_token_when_one_expires() {
    let server = FakeServer::start().await;
    let (_handle, mut events) = device(device_with(&server, counting()));
    let mut peer = server.greet(&[CONFIG, EXPIRED]).await;
    peer.send_close(4003).await;
    events.next().await;
    let event = events.next().await;
    assert!(matches!(&event, Some(DeviceEvent::ServerError { code: Some(code), .. }) if code == "credential_expired"));
    let event = events.next().await;
    assert!(matches!(event, Some(DeviceEvent::Lost { retry_in: Some(_), .. })), "{event:?}");
    assert_eq!(server.accept().await.authorization.as_deref(), Some("Bearer t2"));
}

#[tokio::test]
async fn session_outlives_a_close_for_a_fixed_token_that_is_still_good() {
    let mut line =
        Line::open_with(|options| options.endpoint = options.endpoint.clone().with_credential(canary())).await;
    line.forward(1..=1).await;
    line.reads(1..=1).await;
    line.peer().send(EXPIRED).await;
    line.peer().send_close(4003).await;
    let (code, reason, retry_in) = refused(&mut line.events).await;
    assert_eq!((code.as_str(), retry_in.is_some()), ("credential_expired", true));
    assert!(reason.contains("4003"), "{reason}");

    // What is sent meanwhile waits.
    line.forward(2..=2).await;
    assert_eq!(line.next().await, resuming("t1", 0));
    assert_eq!(line.peer().authorization, Some(format!("Bearer {CANARY}")));
    line.answer(&session("t2", Some(1))).await;
    assert!(line.resumed().await);
    line.reads(2..=2).await;
}

#[tokio::test]
async fn fixed_token_that_has_expired_is_the_end_once_it_is_not_let_in() {
    for credential in [None, Some(Credential::from(canary()))] {
        let mut line = Line::open_with(|options| {
            if let Some(credential) = credential {
                options.endpoint = options.endpoint.clone().with_credential(credential);
            }
        })
        .await;
        line.peer().send(EXPIRED).await;
        line.peer().send_close(4003).await;
        assert!(refused(&mut line.events).await.2.is_some());
        line.server.deny(401).await;
        let (code, _, retry_in) = refused(&mut line.events).await;
        assert_eq!((code.as_str(), retry_in), ("unauthenticated", None));
        assert!(line.events.next().await.is_none());
    }
}

#[tokio::test]
async fn fixed_token_that_is_closed_each_time_is_shown_again_with_growing_pauses() {
    let server = FakeServer::start().await;
    let (_handle, mut events) = client(client_with(&server, canary()));
    for whole in [8, 16, 32] {
        let mut peer = server.greet(&[EXPIRED]).await;
        peer.send_close(4003).await;
        let (code, _, retry_in) = refused(&mut events).await;
        let (pause, whole) = (retry_in.unwrap(), Duration::from_millis(whole));
        assert_eq!(code, "credential_expired");
        assert!(pause >= whole / 2 && pause <= whole, "{pause:?} of {whole:?}");
    }
}

#[tokio::test]
async fn device_registers_again_with_its_fixed_token_until_that_is_not_let_in() {
    let server = FakeServer::start().await;
    let (_handle, mut events) = device(device_with(&server, canary()));
    for _ in 0..2 {
        let mut peer = server.greet(&[CONFIG, EXPIRED]).await;
        assert_eq!(peer.authorization, Some(format!("Bearer {CANARY}")));
        peer.send_close(4003).await;
        let told = [events.next().await, events.next().await, events.next().await];
        assert!(
            matches!(
                &told,
                [
                    Some(DeviceEvent::Registered { .. }),
                    Some(DeviceEvent::ServerError { code: Some(code), .. }),
                    Some(DeviceEvent::Lost { retry_in: Some(_), .. }),
                ] if code == "credential_expired"
            ),
            "{told:?}"
        );
    }
    server.deny(401).await;
    events.next().await;
    let event = events.next().await;
    assert!(matches!(event, Some(DeviceEvent::Lost { retry_in: None, .. })), "{event:?}");
    assert!(events.next().await.is_none());
}

#[tokio::test]
async fn token_is_in_no_event_no_error_and_nothing_that_is_printed() {
    let server = FakeServer::start().await;
    let endpoint = server.endpoint().with_credential(canary());
    let mut shown = format!("{endpoint} {endpoint:?} {:?} {:?}", canary(), Credential::from(canary()));
    shown += &format!("{:?} {:?}", device_with(&server, canary()), client_with(&server, canary()));
    for status in [401, 403, 503] {
        let (attempt, _) = tokio::join!(raw::connect(&endpoint, "/x", &[]), server.deny(status));
        let error = attempt.unwrap_err();
        assert_eq!(matches!(error, ConnectError::Unauthenticated), status == 401, "{error}");
        assert_eq!(matches!(error, ConnectError::Forbidden), status == 403, "{error}");
        shown += &format!("{error} {error:?}");
    }
    let (attempt, ()) = tokio::join!(raw::connect(&endpoint, "/x", &[]), server.refuse());
    shown += &format!("{:?} {:?}", attempt, raw::connect(&endpoint, "/a b", &[]).await);
    shown += &format!("{:?}", raw::authorization(&endpoint).await);
    let (attempt, _peer) = tokio::join!(raw::connect(&endpoint, "/x", &[]), server.accept());
    shown += &format!("{:?}", attempt.unwrap());

    let (handle, mut events) = client(client_with(&server, canary()));
    shown += &format!("{handle:?} {events:?}");
    server.deny(401).await;
    for _ in 0..2 {
        shown += &format!("{:?}", events.next().await);
    }
    assert!(shown.contains("***") && !shown.contains("CANARY"), "{shown}");
}
