//! A client's session that ends, and what follows it.

use std::time::Duration;

use cuttlebone_client::{ClientEvent, ClientOptions, SendError, client};

use crate::fake::{DEVICE_INFO, FakeServer, device_msg, draining, session};
use crate::line::{CANNOT_RESUME, Line, NEW, resuming, slow};

#[tokio::test]
async fn session_that_cannot_be_resumed_begins_anew_and_the_old_queue_is_dropped() {
    let mut line = Line::open_with(slow).await;
    line.forward(1..=1).await;
    line.reads(1..=1).await;
    line.close(1012).await;
    line.lost().await;
    line.forward(2..=2).await;
    line.answer(CANNOT_RESUME).await;
    assert_eq!(line.close(1008).await, NEW);
    let (reason, pause) = line.lost().await;
    assert_eq!(reason, "the session cannot be resumed");
    assert!(pause <= Duration::from_millis(500), "{pause:?}");
    let early = line.handle.try_forward(&0);
    assert!(matches!(early, Err(SendError::NotConnected)), "{early:?}");
    line.answer(&session("u1", None)).await;
    line.begun().await;
    line.forward(3..=3).await;
    line.reads(3..=3).await;
    line.peer().send(&device_msg(1)).await;
    assert_eq!(line.close(1012).await, resuming("u1", 1));
}

#[tokio::test]
async fn refusal_to_resume_counts_though_the_connection_breaks_before_the_close() {
    let mut line = Line::open().await;
    line.cut().await;
    line.answer(CANNOT_RESUME).await;
    assert_eq!(line.cut().await, NEW);
}

#[tokio::test]
async fn refusal_to_resume_is_an_error_for_a_client_that_never_had_a_session() {
    let server = FakeServer::start().await;
    let mut options = server.client();
    options.backoff.stable = Duration::from_secs(3600);
    let (_handle, mut events) = client(options);
    for whole in [8, 16] {
        let mut peer = server.greet(&[CANNOT_RESUME]).await;
        peer.send_close(1008).await;
        let event = events.next().await;
        assert!(
            matches!(&event, Some(ClientEvent::ServerError { code: Some(code), .. }) if code == "cannot_resume"),
            "{event:?}"
        );
        let Some(ClientEvent::Lost { retry_in: Some(pause), .. }) = events.next().await else {
            panic!("not lost");
        };
        assert!(pause >= Duration::from_millis(whole / 2), "{pause:?}");
    }
}

#[tokio::test]
async fn forward_that_waits_for_room_returns_when_the_session_is_over() {
    let mut line = Line::open().await;
    line.cut().await;
    line.lost().await;
    while line.handle.try_forward(&0).is_ok() {}
    let handle = line.handle.clone();
    let ending = async {
        line.answer(CANNOT_RESUME).await;
        line.peer = None;
    };
    let (waiting, ()) = tokio::join!(handle.forward(&0), ending);
    waiting.unwrap();
}

#[tokio::test]
async fn clean_close_of_the_server_ends_the_session() {
    for code in [1000, 1001, 1008, 1011, 1013, 4008, 4029] {
        let mut line = Line::open().await;
        assert_eq!(line.close(code).await, NEW, "{code}");
        line.lost().await;
        let refused = line.handle.try_forward(&0);
        assert!(matches!(refused, Err(SendError::NotConnected)), "{refused:?}");
        line.answer(&session("u1", None)).await;
        line.begun().await;
    }
}

#[tokio::test]
async fn attempt_that_is_turned_away_for_now_leaves_the_session() {
    let mut line = Line::open().await;
    line.cut().await;
    line.lost().await;
    line.peer().send(r#"{"error":"Too many connections"}"#).await;
    assert_eq!(line.close(1013).await, resuming("t1", 0));
    let event = line.event().await;
    assert!(matches!(event, ClientEvent::ServerError { .. }), "{event:?}");
    line.lost().await;
    line.forward(1..=1).await;
    line.answer(&session("t2", Some(0))).await;
    line.reads(1..=1).await;
    assert!(line.resumed().await);
}

#[tokio::test]
async fn attempt_that_is_refused_for_good_ends_the_session() {
    let mut line = Line::open().await;
    line.cut().await;
    assert_eq!(line.close(1008).await, NEW);
}

#[tokio::test]
async fn server_that_breaks_the_protocol_is_not_asked_for_the_same_again() {
    let too_long = format!(r#"{{"message_type":"device_msg","payload":"{}"}}"#, "x".repeat(2000));
    for nonsense in ["hello", &too_long, &draining(1)] {
        let mut line =
            Line::open_with(|options| options.endpoint = options.endpoint.clone().with_max_message(1000)).await;
        line.peer().send(nonsense).await;
        assert_eq!(line.next().await, NEW, "{nonsense}");
    }
    let mut line = Line::open().await;
    line.cut().await;
    line.answer(&session("t2", Some(1))).await;
    assert_eq!(line.next().await, NEW);
    line.lost().await;
    assert_eq!(line.lost().await.0, "the server's counts are impossible");
}

#[tokio::test]
async fn server_that_no_longer_resumes_begins_a_new_session() {
    let mut line = Line::open().await;
    line.forward(1..=1).await;
    line.reads(1..=1).await;
    line.cut().await;
    line.lost().await;
    line.forward(2..=2).await;
    line.answer(DEVICE_INFO).await;
    line.begun().await;
    line.forward(3..=3).await;
    line.reads(3..=3).await;
    assert_eq!(line.cut().await, NEW);
}

#[tokio::test]
async fn message_belongs_to_the_session_whose_device_info_was_read() {
    let mut line = Line::open().await;
    line.close(1000).await;
    line.answer(&session("u1", None)).await;
    line.peer().send(&device_msg(1)).await;
    // The new session is up, and its messages are read; the application does not know yet.
    assert_eq!(line.cut().await, resuming("u1", 1));
    let refused = line.handle.try_forward(&"for the old session");
    assert!(matches!(refused, Err(SendError::NotConnected)), "{refused:?}");
    line.lost().await;
    line.begun().await;
    line.forward(1..=1).await;
    line.answer(&session("u2", Some(0))).await;
    line.reads(1..=1).await;
}

#[tokio::test]
async fn device_info_of_a_session_that_is_over_lets_nothing_into_the_next() {
    let server = FakeServer::start().await;
    let (handle, mut events) = client(server.client());
    let mut peer = server.greet(&[&session("t1", None)]).await;
    peer.send_close(1000).await;
    // The message says that the second session is up; the application has not read of the first.
    let mut peer = server.greet(&[&session("u1", None), &device_msg(1)]).await;
    drop(peer);
    peer = server.accept().await;
    assert_eq!(peer.text().await, resuming("u1", 1));
    for (event, can_send) in [("DeviceInfo", false), ("Lost", false), ("DeviceInfo", true)] {
        let told = format!("{:?}", events.next().await.unwrap());
        assert!(told.starts_with(event), "{told}");
        assert_eq!(handle.try_forward(&0).is_ok(), can_send);
    }
}

#[tokio::test]
async fn nothing_is_said_about_resuming_when_it_is_off() {
    let server = FakeServer::start().await;
    let (_handle, mut events) = client(ClientOptions { resume: None, ..server.client() });
    for _ in 0..2 {
        let mut peer = server.accept().await;
        assert_eq!(peer.text().await, r#"{"message_type":"connect","device_id":"dev","cuttlebone_ice":true}"#);
        peer.send(&session("unasked", None)).await;
        let event = events.next().await;
        assert!(matches!(event, Some(ClientEvent::DeviceInfo(_))), "{event:?}");
        drop(peer);
        let event = events.next().await;
        assert!(matches!(event, Some(ClientEvent::Lost { .. })), "{event:?}");
    }
}

#[tokio::test]
async fn close_of_the_application_ends_the_session() {
    let mut line = Line::open().await;
    line.forward(1..=1).await;
    let handle = line.handle.clone();
    let closing = async {
        line.reads(1..=1).await;
        assert_eq!(line.peer().close_code().await, Some(1000));
    };
    tokio::join!(handle.close(), closing);
    assert!(line.events.next().await.is_none());
    let refused = line.handle.try_forward(&0);
    assert!(matches!(refused, Err(SendError::Closed)), "{refused:?}");
}
