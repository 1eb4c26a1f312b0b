//! A client in a session, and the server's end of its connection.

use std::time::Duration;

use cuttlebone_client::{ClientEvent, ClientEvents, ClientHandle, ClientOptions, client};

use crate::fake::{CONFIG, FakeServer, Peer, session};

pub(crate) const NEW: &str =
    r#"{"message_type":"connect","device_id":"dev","cuttlebone_ice":true,"cuttlebone_resume":true}"#;

pub(crate) const CANNOT_RESUME: &str = r#"{"error":"Session cannot be resumed","cuttlebone_code":"cannot_resume"}"#;

pub(crate) fn resuming(token: &str, received: u64) -> String {
    format!(
        r#"{{"message_type":"connect","device_id":"dev","cuttlebone_ice":true,"cuttlebone_resume":"{token}","cuttlebone_received":{received}}}"#
    )
}

pub(crate) fn forward(n: usize) -> String {
    format!(r#"{{"message_type":"forward","payload":{n}}}"#)
}

/// A client in a session, with the token `t1`.
pub(crate) struct Line {
    pub(crate) server: FakeServer,
    pub(crate) handle: ClientHandle,
    pub(crate) events: ClientEvents,
    pub(crate) peer: Option<Peer>,
}

impl Line {
    pub(crate) async fn open() -> Self {
        Self::open_with(|_| {}).await
    }

    pub(crate) async fn open_with(change: impl FnOnce(&mut ClientOptions)) -> Self {
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
    pub(crate) async fn cut(&mut self) -> String {
        self.peer = None;
        self.next().await
    }

    /// Closes the connection, and takes the next one; what it begins with.
    pub(crate) async fn close(&mut self, code: u16) -> String {
        self.peer().send_close(code).await;
        assert_eq!(self.peer().close_code().await, Some(code));
        self.next().await
    }

    /// Takes the next connection; what it begins with.
    pub(crate) async fn next(&mut self) -> String {
        let mut peer = self.server.accept().await;
        let greeting = peer.text().await;
        self.peer = Some(peer);
        greeting
    }

    pub(crate) fn peer(&mut self) -> &mut Peer {
        self.peer.as_mut().expect("a connection")
    }

    pub(crate) async fn answer(&mut self, device_info: &str) {
        self.peer().send(CONFIG).await;
        self.peer().send(device_info).await;
    }

    pub(crate) async fn forward(&mut self, numbers: std::ops::RangeInclusive<usize>) {
        for n in numbers {
            self.handle.forward(&n).await.unwrap();
        }
    }

    pub(crate) async fn reads(&mut self, numbers: std::ops::RangeInclusive<usize>) {
        for n in numbers {
            assert_eq!(self.peer().text().await, forward(n));
        }
    }

    /// The next event that is not `Config`.
    pub(crate) async fn event(&mut self) -> ClientEvent {
        loop {
            match self.events.next().await.expect("an event") {
                ClientEvent::Config { .. } => {}
                event => return event,
            }
        }
    }

    pub(crate) async fn begun(&mut self) {
        let event = self.event().await;
        assert!(matches!(event, ClientEvent::DeviceInfo(_)), "{event:?}");
    }

    pub(crate) async fn message(&mut self, n: usize) {
        let event = self.event().await;
        assert!(matches!(&event, ClientEvent::Message(payload) if payload.get() == n.to_string()), "{n}: {event:?}");
    }

    pub(crate) async fn lost(&mut self) -> (String, Duration) {
        match self.event().await {
            ClientEvent::Lost { reason, retry_in: Some(pause) } => (reason, pause),
            other => panic!("expected to be lost, not {other:?}"),
        }
    }

    /// Whether nothing was lost.
    pub(crate) async fn resumed(&mut self) -> bool {
        match self.event().await {
            ClientEvent::Resumed { complete, .. } => complete,
            other => panic!("expected to be resumed, not {other:?}"),
        }
    }
}

/// Pauses that no test would survive.
pub(crate) fn slow(options: &mut ClientOptions) {
    let hour = Duration::from_secs(3600);
    (options.backoff.first, options.backoff.cap, options.backoff.stable) = (hour, hour, hour);
}
