//! A client's session that goes on over a new connection, or does not.

use std::time::Duration;

use cuttlebone_client::{ClientEvent, ClientEvents, ClientHandle, ClientOptions, Resume, SendError, client};

use crate::fake::{CONFIG, DEVICE_INFO, FakeServer, Peer, device_msg, draining, session};

const NEW: &str = r#"{"message_type":"connect","device_id":"dev","cuttlebone_resume":true}"#;

fn resuming(token: &str, received: u64) -> String {
    format!(
        r#"{{"message_type":"connect","device_id":"dev","cuttlebone_resume":"{token}","cuttlebone_received":{received}}}"#
    )
}

fn forward(n: usize) -> String {
    format!(r#"{{"message_type":"forward","payload":{n}}}"#)
}

/// A client in a session, with the token `t1`.
struct Line {
    server: FakeServer,
    handle: ClientHandle,
    events: ClientEvents,
    peer: Option<Peer>,
}

impl Line {
    async fn open() -> Self {
        Self::open_with(|_| {}).await
    }

    async fn open_with(change: impl FnOnce(&mut ClientOptions)) -> Self {
        let server = FakeServer::start().await;
        let mut options = server.client();
        change(&mut options);
        let (handle, events) = client(options);
        let peer = server.greet(&[CONFIG, &session("t1", None)]).await;
        let mut line = Self { server, handle, events, peer: Some(peer) };
        line.begun().await;
        line
    }

    /// Breaks the connection, and takes the next one; what it begins with.
    async fn cut(&mut self) -> String {
        self.peer = None;
        self.next().await
    }

    /// Closes the connection, and takes the next one; what it begins with.
    async fn close(&mut self, code: u16) -> String {
        self.peer().send_close(code).await;
        assert_eq!(self.peer().close_code().await, Some(code));
        self.next().await
    }

    /// Takes the next connection; what it begins with.
    async fn next(&mut self) -> String {
        let mut peer = self.server.accept().await;
        let greeting = peer.text().await;
        self.peer = Some(peer);
        greeting
    }

    fn peer(&mut self) -> &mut Peer {
        self.peer.as_mut().expect("a connection")
    }

    async fn answer(&mut self, device_info: &str) {
        self.peer().send(CONFIG).await;
        self.peer().send(device_info).await;
    }

    async fn forward(&mut self, numbers: std::ops::RangeInclusive<usize>) {
        for n in numbers {
            self.handle.forward(&n).await.unwrap();
        }
    }

    async fn reads(&mut self, numbers: std::ops::RangeInclusive<usize>) {
        for n in numbers {
            assert_eq!(self.peer().text().await, forward(n));
        }
    }

    /// The next event that is not `Config`.
    async fn event(&mut self) -> ClientEvent {
        loop {
            match self.events.next().await.expect("an event") {
                ClientEvent::Config { .. } => {}
                event => return event,
            }
        }
    }

    async fn begun(&mut self) {
        let event = self.event().await;
        assert!(matches!(event, ClientEvent::DeviceInfo(_)), "{event:?}");
    }

    async fn message(&mut self, n: usize) {
        let event = self.event().await;
        assert!(matches!(&event, ClientEvent::Message(payload) if payload.get() == n.to_string()), "{n}: {event:?}");
    }

    async fn lost(&mut self) -> (String, Duration) {
        match self.event().await {
            ClientEvent::Lost { reason, retry_in: Some(pause) } => (reason, pause),
            other => panic!("expected to be lost, not {other:?}"),
        }
    }

    /// Whether nothing was lost.
    async fn resumed(&mut self) -> bool {
        match self.event().await {
            ClientEvent::Resumed { complete, .. } => complete,
            other => panic!("expected to be resumed, not {other:?}"),
        }
    }
}

#[tokio::test]
async fn broken_connection_is_resumed_with_the_newest_token_and_the_number_of_messages_had() {
    let server = FakeServer::start().await;
    let (_handle, _events) = client(server.client());
    let mut peer = server.accept().await;
    assert_eq!(peer.text().await, NEW);
    for text in [CONFIG, &session("t1", None), &device_msg(1), &device_msg(2)] {
        peer.send(text).await;
    }
    drop(peer);
    let mut peer = server.accept().await;
    assert_eq!(peer.text().await, resuming("t1", 2));
    for text in [CONFIG, &session("t2", Some(0)), &device_msg(3)] {
        peer.send(text).await;
    }
    drop(peer);
    assert_eq!(server.accept().await.text().await, resuming("t2", 3));
}

#[tokio::test]
async fn application_is_told_of_the_loss_and_that_the_session_goes_on() {
    let mut line = Line::open().await;
    line.cut().await;
    let info = r#"{"message_type":"device_info","device_info":{ "b":1e999 },"cuttlebone_resume":"t2","cuttlebone_received":0}"#;
    line.answer(info).await;
    let (_, pause) = line.lost().await;
    assert!(pause <= Duration::from_millis(8), "{pause:?}");
    match line.event().await {
        ClientEvent::Resumed { complete: true, device_info } => assert_eq!(device_info.get(), r#"{ "b":1e999 }"#),
        other => panic!("not resumed: {other:?}"),
    }
    line.forward(1..=1).await;
    line.reads(1..=1).await;
}

#[tokio::test]
async fn what_was_not_taken_is_written_again_and_then_what_waited() {
    let mut line = Line::open().await;
    line.forward(1..=4).await;
    line.reads(1..=3).await;
    line.cut().await;
    line.lost().await;
    line.forward(5..=6).await;
    line.answer(&session("t2", Some(1))).await;
    line.reads(2..=6).await;
    assert!(line.resumed().await);
    // Written again is not taken: it may be asked for once more.
    line.cut().await;
    line.answer(&session("t3", Some(3))).await;
    line.reads(4..=6).await;
}

#[tokio::test]
async fn what_is_forwarded_while_the_connection_is_away_waits_in_a_bounded_queue() {
    let mut line = Line::open().await;
    line.cut().await;
    line.lost().await;
    let mut count = 0;
    let full = loop {
        match line.handle.try_forward(&(count + 1)) {
            Ok(()) => count += 1,
            Err(error) => break error,
        }
    };
    assert!(matches!(full, SendError::Full), "{full:?}");
    assert_eq!(count, 256);
    line.answer(&session("t2", Some(0))).await;
    line.reads(1..=count).await;
    assert!(line.resumed().await);
}

#[tokio::test]
async fn messages_that_were_read_and_not_yet_taken_by_the_application_count_and_are_delivered() {
    let mut line = Line::open().await;
    for n in 1..=100 {
        line.peer().send(&device_msg(n)).await;
    }
    assert_eq!(line.cut().await, resuming("t1", 100));
    line.answer(&session("t2", Some(0))).await;
    line.peer().send(&device_msg(101)).await;
    for n in 1..=100 {
        line.message(n).await;
    }
    line.lost().await;
    assert!(line.resumed().await);
    line.message(101).await;
}

#[tokio::test]
async fn messages_that_do_not_fit_into_the_queue_of_events_are_read_before_the_loss_is_told() {
    let mut line = Line::open().await;
    line.peer().send_all((1..=600).map(device_msg)).await;
    line.peer = None;
    for n in 1..=600 {
        line.message(n).await;
    }
    line.lost().await;
    assert_eq!(line.next().await, resuming("t1", 600));
}

#[tokio::test]
async fn without_counts_something_may_be_lost_but_nothing_is_written_twice() {
    let mut line = Line::open().await;
    line.forward(1..=2).await;
    line.reads(1..=2).await;
    line.peer().send(&device_msg(1)).await;
    assert_eq!(line.cut().await, resuming("t1", 1));
    line.message(1).await;
    line.lost().await;
    line.forward(3..=3).await;
    line.answer(&session("t2", None)).await;
    line.reads(3..=3).await;
    assert!(!line.resumed().await);
    // Both count anew.
    line.peer().send(&device_msg(2)).await;
    assert_eq!(line.cut().await, resuming("t2", 1));
    line.answer(&session("t3", Some(0))).await;
    line.reads(3..=3).await;
}

#[tokio::test]
async fn what_is_over_the_bounds_is_not_kept_and_the_application_is_told() {
    for bounds in [Resume { messages: 2, ..Resume::default() }, Resume { bytes: 90, ..Resume::default() }] {
        let mut line = Line::open_with(|options| options.resume = Some(bounds)).await;
        line.forward(1..=4).await;
        line.reads(1..=4).await;
        line.cut().await;
        line.lost().await;
        line.answer(&session("t2", Some(1))).await;
        line.reads(3..=4).await;
        assert!(!line.resumed().await);
        line.cut().await;
        line.lost().await;
        // 1 was taken, 2 is lost: what the server calls the second is 3.
        line.answer(&session("t3", Some(2))).await;
        line.reads(4..=4).await;
        assert!(line.resumed().await);
    }
}

#[tokio::test]
async fn planned_restart_loses_nothing() {
    let mut line = Line::open_with(slow).await;
    line.forward(1..=3).await;
    line.reads(1..=3).await;
    line.peer().send(&device_msg(1)).await;
    line.peer().send(&draining(2)).await;
    assert_eq!(line.close(1012).await, resuming("t1", 1));
    line.message(1).await;
    let (reason, pause) = line.lost().await;
    assert_eq!(reason, "the server closed the connection (1012: why)");
    assert!(pause <= Duration::from_millis(500), "{pause:?}");
    line.forward(4..=4).await;
    line.answer(&session("t2", None)).await;
    line.reads(3..=4).await;
    assert!(line.resumed().await);
    line.peer().send(&device_msg(2)).await;
    assert_eq!(line.close(1012).await, resuming("t2", 1));
    line.answer(&session("t3", Some(1))).await;
    line.reads(4..=4).await;
}

#[tokio::test]
async fn nothing_is_written_to_a_server_that_is_about_to_restart() {
    let mut line = Line::open().await;
    line.peer().send(&draining(0)).await;
    // What comes after the draining tells that it was read.
    line.peer().send(&device_msg(1)).await;
    line.message(1).await;
    line.forward(1..=2).await;
    assert_eq!(line.close(1012).await, resuming("t1", 1));
    line.answer(&session("t2", None)).await;
    line.reads(1..=2).await;
}

#[tokio::test]
async fn planned_restart_that_breaks_off_and_is_resumed_late_still_loses_nothing() {
    let mut line = Line::open().await;
    line.forward(1..=2).await;
    line.reads(1..=2).await;
    line.peer().send(&draining(1)).await;
    assert_eq!(line.cut().await, resuming("t1", 0));
    line.lost().await;
    // Nobody there, then nobody who answers, then an answer that does not reach its end.
    line.peer = None;
    line.lost().await;
    line.server.refuse().await;
    line.lost().await;
    assert_eq!(line.next().await, resuming("t1", 0));
    line.peer().send(CONFIG).await;
    assert_eq!(line.cut().await, resuming("t1", 0));
    line.lost().await;
    line.answer(&session("t2", None)).await;
    line.reads(2..=2).await;
    assert!(line.resumed().await);
}

#[tokio::test]
async fn close_for_a_restart_is_resumed_soon_even_if_nothing_was_said_before() {
    let mut line = Line::open_with(slow).await;
    line.forward(1..=1).await;
    line.reads(1..=1).await;
    assert_eq!(line.close(1012).await, resuming("t1", 0));
    let (_, pause) = line.lost().await;
    assert!(pause <= Duration::from_millis(500), "{pause:?}");
    line.answer(&session("t2", Some(0))).await;
    line.reads(1..=1).await;
    assert!(line.resumed().await);
}

#[tokio::test]
async fn session_that_cannot_be_resumed_begins_anew_and_the_old_queue_is_dropped() {
    let mut line = Line::open_with(slow).await;
    line.forward(1..=1).await;
    line.reads(1..=1).await;
    line.close(1012).await;
    line.lost().await;
    line.forward(2..=2).await;
    let error = r#"{"error":"Session cannot be resumed","cuttlebone_code":"cannot_resume"}"#;
    line.answer(error).await;
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
async fn nothing_is_said_about_resuming_when_it_is_off() {
    let server = FakeServer::start().await;
    let (_handle, mut events) = client(ClientOptions { resume: None, ..server.client() });
    for _ in 0..2 {
        let mut peer = server.accept().await;
        assert_eq!(peer.text().await, r#"{"message_type":"connect","device_id":"dev"}"#);
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

/// Pauses that no test would survive.
fn slow(options: &mut ClientOptions) {
    let hour = Duration::from_secs(3600);
    (options.backoff.first, options.backoff.cap, options.backoff.stable) = (hour, hour, hour);
}
