use std::time::Duration;

use cuttlebone_client::{Backoff, ClientId, DeviceEvent, DeviceEvents, SendError, device};

use crate::fake::{CONFIG, FakeServer, Peer, quick};

async fn lost(events: &mut DeviceEvents) -> (String, Option<Duration>) {
    match events.next().await {
        Some(DeviceEvent::Lost { reason, retry_in }) => (reason, retry_in),
        other => panic!("expected to be lost, not {other:?}"),
    }
}

async fn registered(events: &mut DeviceEvents) {
    let event = events.next().await;
    assert!(matches!(event, Some(DeviceEvent::Registered { .. })), "{event:?}");
}

#[tokio::test]
async fn registers_again_with_the_same_words_and_sends_what_waited() {
    let server = FakeServer::start().await;
    let (handle, mut events) = device(server.device());
    let mut peer = server.accept().await;
    let first = peer.text().await;
    peer.send(CONFIG).await;
    registered(&mut events).await;
    drop(peer);
    lost(&mut events).await;

    let client = ClientId::new(9).unwrap();
    handle.forward(client, &"held").await.unwrap();
    let mut peer = server.accept().await;
    assert_eq!(peer.text().await, first);
    peer.send(CONFIG).await;
    registered(&mut events).await;
    assert!(peer.text().await.contains("held"));
}

#[tokio::test]
async fn pauses_double_with_jitter_up_to_the_cap_and_start_anew_after_success() {
    let server = FakeServer::start().await;
    let (_handle, mut events) = device(server.device());
    for whole in [8, 16, 32, 32] {
        server.refuse().await;
        let pause = lost(&mut events).await.1.unwrap();
        let whole = Duration::from_millis(whole);
        assert!(pause >= whole / 2 && pause <= whole, "{pause:?} of {whole:?}");
    }
    let peer = server.greet(&[CONFIG]).await;
    registered(&mut events).await;
    drop(peer);
    let pause = lost(&mut events).await.1.unwrap();
    assert!(pause <= Duration::from_millis(8), "{pause:?}");
}

#[tokio::test]
async fn a_session_that_does_not_last_is_no_success() {
    let server = FakeServer::start().await;
    let mut options = server.device();
    options.backoff.stable = Duration::from_secs(3600);
    let (_handle, mut events) = device(options);
    for whole in [8, 16] {
        drop(server.greet(&[CONFIG]).await);
        registered(&mut events).await;
        let pause = lost(&mut events).await.1.unwrap();
        assert!(pause >= Duration::from_millis(whole / 2), "{pause:?}");
    }
}

#[tokio::test]
async fn a_refused_registration_is_told_and_tried_again() {
    let server = FakeServer::start().await;
    let (_handle, mut events) = device(server.device());
    for _ in 0..2 {
        let taken = r#"{"error":"Device id already taken: dev"}"#;
        let mut peer = server.greet(&[taken]).await;
        peer.send_close(1008).await;
        let event = events.next().await;
        assert!(
            matches!(&event, Some(DeviceEvent::ServerError { text, code: None })
                if text == "Device id already taken: dev"),
            "{event:?}"
        );
        let (reason, retry_in) = lost(&mut events).await;
        assert!(reason.contains("1008"), "{reason}");
        assert!(retry_in.is_some());
    }
}

#[tokio::test]
async fn all_that_the_server_said_is_told_before_the_loss_though_writing_fails_first() {
    let server = FakeServer::start().await;
    let (handle, mut events) = device(server.device());
    let mut peer = server.greet(&[CONFIG]).await;
    registered(&mut events).await;
    // More than the queue of events holds, and little enough to be under way at once: what the kernel still has to send is
    // lost with the connection.
    let message = |n| format!(r#"{{"message_type":"client_msg","client_id":1,"payload":{n}}}"#);
    peer.send_all((0..300).map(message)).await;
    drop(peer);
    // The queue of events is full, so that the loss shows itself only to the writer. It is over when nothing more is
    // taken.
    let client = ClientId::new(1).unwrap();
    while handle.try_forward(client, &0).is_ok() {
        tokio::task::yield_now().await;
    }
    for n in 0..300 {
        let Some(DeviceEvent::ClientMessage { payload, .. }) = events.next().await else {
            panic!("message {n} is missing");
        };
        assert_eq!(payload.get(), n.to_string());
    }
    lost(&mut events).await;
}

#[tokio::test]
async fn the_close_of_the_server_is_answered() {
    let server = FakeServer::start().await;
    let (_handle, mut events) = device(server.device());
    let mut peer = server.greet(&[CONFIG]).await;
    registered(&mut events).await;
    peer.send_close(1012).await;
    assert_eq!(peer.close_code().await, Some(1012));
    lost(&mut events).await;
}

#[tokio::test]
async fn gives_up_when_told_so() {
    let server = FakeServer::start().await;
    let mut options = server.device();
    options.backoff = Backoff { attempts: Some(1), ..quick() };
    let (handle, mut events) = device(options);
    server.refuse().await;
    assert!(lost(&mut events).await.1.is_some());
    server.refuse().await;
    assert!(lost(&mut events).await.1.is_none());
    assert!(events.next().await.is_none());
    handle.close().await;
    let refused = handle.forward(ClientId::new(1).unwrap(), &0).await;
    assert!(matches!(refused, Err(SendError::Closed)), "{refused:?}");
}

/// From here on time jumps to the next timer whenever nothing else is left to do, so no peer may be expected to act.
async fn lost_in_paused_time(events: &mut DeviceEvents) -> (String, Duration) {
    tokio::time::pause();
    let start = tokio::time::Instant::now();
    let (reason, _) = lost(events).await;
    (reason, start.elapsed())
}

async fn unanswered(server: &FakeServer) -> Peer {
    let mut peer = server.accept().await;
    peer.text().await;
    peer
}

#[tokio::test]
async fn a_server_that_does_not_answer_is_left_after_the_patience() {
    let server = FakeServer::start().await;
    let (_handle, mut events) = device(server.device());
    let _peer = unanswered(&server).await;
    let (reason, after) = lost_in_paused_time(&mut events).await;
    assert_eq!(reason, "the server did not answer");
    assert!(after < Duration::from_secs(11), "{after:?}");
}

#[tokio::test]
async fn a_server_that_falls_silent_is_asked_and_then_left() {
    let server = FakeServer::start().await;
    let (_handle, mut events) = device(server.device());
    let mut peer = server.greet(&[CONFIG]).await;
    registered(&mut events).await;
    let (reason, after) = lost_in_paused_time(&mut events).await;
    assert_eq!(reason, "the server fell silent");
    // In time for the server, which gives a silent peer 45 s and then 10 s of grace.
    assert!(after > Duration::from_secs(25) && after < Duration::from_secs(35), "{after:?}");
    assert!(peer.saw_ping().await);
}

#[tokio::test]
async fn a_slow_reader_is_no_silence_of_the_server() {
    let server = FakeServer::start().await;
    let (_handle, mut events) = device(server.device());
    let mut peer = server.greet(&[CONFIG]).await;
    // With the registration one more than the queue of events holds, so that reading pauses, and nothing is left to read.
    let message = |n| format!(r#"{{"message_type":"client_msg","client_id":1,"payload":{n}}}"#);
    peer.send_all((0..256).map(message)).await;
    tokio::time::pause();
    // Not before all that can be done has been done.
    tokio::time::sleep(Duration::from_secs(60)).await;
    tokio::time::resume();
    registered(&mut events).await;
    for _ in 0..256 {
        let event = events.next().await;
        assert!(matches!(event, Some(DeviceEvent::ClientMessage { .. })), "{event:?}");
    }
    peer.send(CONFIG).await;
    let event = events.next().await;
    assert!(matches!(event, Some(DeviceEvent::Config { .. })), "{event:?}");
}

#[tokio::test]
async fn a_server_that_answers_pings_is_kept() {
    let server = FakeServer::start().await;
    let mut options = server.device();
    options.keep_alive = Duration::from_secs(2);
    let (_handle, mut events) = device(options);
    let mut peer = server.greet(&[CONFIG]).await;
    registered(&mut events).await;
    // Without an answer it is given up after half as much silence again, which is before the second ping.
    for _ in 0..2 {
        assert!(peer.saw_ping().await);
    }
    peer.send(CONFIG).await;
    let event = events.next().await;
    assert!(matches!(event, Some(DeviceEvent::Config { .. })), "{event:?}");
}
