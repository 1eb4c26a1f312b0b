//! Connections over a socket that does what a test says.

use std::io;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use cuttlebone_proto::CloseCode;
use cuttlebone_transport::{Conn, Incoming, Outgoing, Pause};
use parking_lot::Mutex;
use tokio::sync::mpsc;
use tokio::task::JoinSet;

use super::{Connection, run};
use crate::app::App;
use crate::caller::Caller;
use crate::context::{ConnectionContext, Role};
use crate::settings::Settings;

/// What the peer does next.
enum Act {
    Say(&'static str),
    /// Something that the server has a fault for.
    Upset,
}

/// What the server has queued.
type Log = Arc<Mutex<Vec<Outgoing>>>;

struct Scripted {
    acts: mpsc::Receiver<Act>,
    text: &'static str,
    log: Log,
}

impl Conn for Scripted {
    fn poll_next(&mut self, cx: &mut Context<'_>) -> Poll<Incoming> {
        match std::task::ready!(self.acts.poll_recv(cx)) {
            Some(Act::Say(text)) => {
                self.text = text;
                Poll::Ready(Incoming::Text)
            }
            Some(Act::Upset) => panic!("a fault made by a test"),
            None => Poll::Ready(Incoming::Broken),
        }
    }

    fn pause(&self) -> Option<Pause> {
        None
    }

    fn waits_for_others(&self) -> bool {
        false
    }

    fn discard(&mut self) {}

    fn forget_message(&mut self) {}

    fn text(&self) -> &str {
        self.text
    }

    fn queue(&mut self, out: Outgoing) {
        self.log.lock().push(out);
    }

    fn unwritten_memory(&self) -> usize {
        0
    }

    fn queued_bytes(&self) -> usize {
        0
    }

    fn poll_flush(&mut self, _cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    fn poll_shutdown(&mut self, _cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    fn settle(&mut self) {}

    fn assembling(&self) -> bool {
        false
    }
}

/// A peer whose connection runs among `tasks`.
struct Peer {
    acts: mpsc::Sender<Act>,
    log: Log,
}

impl Peer {
    fn new(app: &Arc<App>, role: Role, tasks: &mut JoinSet<()>) -> Self {
        let (acts, receiver) = mpsc::channel(4);
        let log = Log::default();
        let conn = Scripted { acts: receiver, text: "", log: Arc::clone(&log) };
        let context = ConnectionContext {
            app: Arc::clone(app),
            peer: ([127, 0, 0, 1], 1).into(),
            role,
            caller: Caller::ANYBODY,
            small_reader: false,
            goodbye: app.waves.join(),
            open: None,
        };
        tasks.spawn(run(Connection::new(conn, context)));
        Self { acts, log }
    }

    fn act(&self, act: Act) {
        assert!(self.acts.try_send(act).is_ok(), "the connection has ended, or does not read");
    }

    /// Waits until the server has said as much.
    async fn until_told(&self, count: usize) {
        while self.log.lock().len() < count {
            tokio::task::yield_now().await;
        }
    }
}

const REGISTER: &str = r#"{"message_type":"register","device_id":"d","device_info":1}"#;
const CONNECT: &str = r#"{"message_type":"connect","device_id":"d"}"#;

/// A device and its client.
async fn attached(app: &Arc<App>, tasks: &mut JoinSet<()>) -> (Peer, Peer) {
    let device = Peer::new(app, Role::Device, tasks);
    device.act(Act::Say(REGISTER));
    device.until_told(1).await;
    let client = Peer::new(app, Role::Client, tasks);
    client.act(Act::Say(CONNECT));
    client.until_told(2).await;
    (device, client)
}

fn has_metric(app: &App, line: &str) -> bool {
    app.metrics.render(app.registry.counts()).lines().any(|have| have == line)
}

fn panics(app: &App) -> bool {
    has_metric(app, "cuttlebone_panics_total 1")
}

#[tokio::test]
async fn panic_costs_a_device_its_connection_and_its_clients_nothing() {
    let (app, mut tasks) = (App::for_test(Settings::default()), JoinSet::new());
    let (device, client) = attached(&app, &mut tasks).await;
    device.act(Act::Upset);
    // The receiver goes with the connection.
    device.acts.closed().await;
    assert!(panics(&app));
    let back = Peer::new(&app, Role::Device, &mut tasks);
    back.act(Act::Say(REGISTER));
    back.until_told(1).await;
    let counts = app.registry.counts();
    assert_eq!((counts.devices, counts.clients), (1, 1));
    assert_eq!(client.log.lock().len(), 2, "the client was told nothing");
}

#[tokio::test]
async fn panic_leaves_a_client_its_place_for_the_grace_period_and_sends_no_close() {
    let (app, mut tasks) = (App::for_test(Settings::default()), JoinSet::new());
    let (device, client) = attached(&app, &mut tasks).await;
    client.act(Act::Say(r#"{"message_type":"forward","payload":1}"#));
    device.until_told(2).await;
    client.act(Act::Upset);
    client.acts.closed().await;
    assert!(panics(&app));
    assert!(tasks.try_join_next().is_none(), "its session is over");
    tokio::task::yield_now().await;
    assert_eq!(device.log.lock().len(), 2, "the device was told");
    assert_eq!(client.log.lock().len(), 2, "a close would be the end of its session");
}

#[tokio::test(start_paused = true)]
async fn device_that_leaves_the_close_unanswered_is_not_one_that_does_not_read() {
    let (app, mut tasks) = (App::for_test(Settings::default()), JoinSet::new());
    let (device, client) = attached(&app, &mut tasks).await;
    drop(client);
    app.registry.stop();
    app.waves.fire(2, Duration::ZERO).await;
    while tasks.join_next().await.is_some() {}
    let log = device.log.lock();
    assert!(matches!(log.last(), Some(Outgoing::Close { code: CloseCode::Restart, .. })), "{log:?}");
    assert!(has_metric(&app, r#"cuttlebone_timeouts_total{which="write"} 0"#));
}

#[tokio::test(start_paused = true)]
async fn peer_is_told_again_when_about_three_quarters_of_the_time_to_live_are_over_and_so_on() {
    let mut settings = Settings::default();
    settings.timeouts.idle = Duration::from_secs(86_400);
    let secrets = vec![cuttlebone_ice::TurnSecret::new(&"s".repeat(32)).expect("long enough")];
    let server = cuttlebone_proto::IceServer { urls: vec!["turn:t".into()], username: None, credential: None };
    settings.ice.servers = vec![cuttlebone_ice::ServerSettings { secrets, ..server.into() }];
    let (app, mut tasks) = (App::for_test(settings), JoinSet::new());
    let (device, client) = attached(&app, &mut tasks).await;
    let configs = |peer: &Peer| {
        let is_config = |out: &&Outgoing| matches!(out, Outgoing::Text(text) if text.contains("\"config\""));
        peer.log.lock().iter().filter(is_config).count()
    };
    let begun = tokio::time::Instant::now();
    for round in 1..=3 {
        for peer in [&device, &client] {
            while configs(peer) <= round {
                assert!(begun.elapsed() < Duration::from_secs(12_000), "it was not told");
                tokio::time::sleep(Duration::from_secs(1)).await;
            }
        }
        let rounds = f64::from(u32::try_from(round).expect("few"));
        let took = begun.elapsed().as_secs_f64();
        assert!((0.7 * 3600.0 * rounds..=0.8 * 3600.0 * rounds + 5.0).contains(&took), "{round}: {took}");
    }
    assert!(has_metric(&app, r#"cuttlebone_config_renewals_total{reason="expiring"} 6"#));
}

/// Every idle connection has one of each; above these the allocator takes the next larger size.
#[test]
fn what_an_idle_connection_needs_stays_small() {
    type Plain = cuttlebone_transport::ws::WsConn<hyper_util::rt::TokioIo<hyper::upgrade::Upgraded>>;
    assert!(size_of::<super::Connection<Plain>>() <= 768, "{}", size_of::<super::Connection<Plain>>());
    assert!(size_of::<cuttlebone_hub::ClientSeat>() <= 224, "{}", size_of::<cuttlebone_hub::ClientSeat>());
    assert!(size_of::<cuttlebone_hub::DeviceSeat>() <= 224, "{}", size_of::<cuttlebone_hub::DeviceSeat>());
}
