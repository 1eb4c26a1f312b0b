//! The task of one connection: connect, greet, carry messages both ways, lose it, wait, connect again.
//!
//! Called by both roles, which differ in what [`Role`] says. Invariants:
//!
//! 1. Commands are written only while a session is up, that is between the answer of the server and the end.
//! 2. A full event queue stops reading and nothing else.
//! 3. `Lost` is sent exactly once for each connection or attempt that ended without being asked to.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use tokio::sync::mpsc;
use tokio::time::{sleep, timeout};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use crate::backoff::{Backoff, Delays};
use crate::endpoint::Endpoint;
use crate::handle::{COMMANDS, Command, Sender, Shared};
use crate::message::ServerMessage;
use crate::raw::{self, RawConn};

mod session;

use session::{End, Session};

/// Events that may wait to be read.
const EVENTS: usize = 256;
/// How long a clean close may take.
const CLOSE_PATIENCE: Duration = Duration::from_secs(2);
const NORMAL: u16 = 1000;

/// What tells a device from a client.
pub(crate) trait Role: Send + Sync + 'static {
    type Event: Send + 'static;
    /// The path of the role's endpoint.
    const PATH: &'static str;
    /// Whether messages that wait while there is no session are sent in the next one.
    const KEEPS_QUEUE: bool;

    /// The first message of a connection.
    fn greeting(&self) -> String;
    /// A message of the server, as an event; `None` if it means nothing to the role. `up`: the session had come up.
    fn event(&self, message: ServerMessage, up: bool) -> Option<Self::Event>;
    /// Whether the session comes up with this message: from here on commands may be written.
    fn comes_up_with(message: &ServerMessage) -> bool;
    /// The connection or the attempt has ended; the next one begins after `retry_in`.
    fn lost(reason: String, retry_in: Option<Duration>) -> Self::Event;
}

/// What both roles are told about connecting.
#[derive(Clone, Debug)]
pub(crate) struct Link {
    pub(crate) endpoint: Endpoint,
    pub(crate) backoff: Backoff,
    pub(crate) patience: Duration,
    pub(crate) keep_alive: Duration,
}

/// Starts the task on `tasks`.
pub(crate) fn start<R: Role>(role: R, link: Link, tasks: &TaskTracker) -> (Sender, mpsc::Receiver<R::Event>) {
    let shared = Arc::new(Shared::default());
    let (commands, command_queue) = mpsc::channel(COMMANDS);
    let (events, event_queue) = mpsc::channel(EVENTS);
    let driver = Driver {
        role,
        delays: Delays::new(link.backoff.clone()),
        link,
        commands: command_queue,
        events,
        shared: Arc::clone(&shared),
        sessions: 0,
    };
    tasks.spawn(driver.run());
    let sender = Sender { commands, alive: Arc::new(shared.closing.clone().drop_guard()), shared };
    (sender, event_queue)
}

struct Driver<R: Role> {
    role: R,
    link: Link,
    delays: Delays,
    commands: mpsc::Receiver<Command>,
    events: mpsc::Sender<R::Event>,
    shared: Arc<Shared>,
    /// How many sessions have come up.
    sessions: u64,
}

impl<R: Role> Driver<R> {
    async fn run(mut self) {
        let _done = self.shared.done.clone().drop_guard();
        let closing = self.shared.closing.clone();
        while let End::Lost(reason) = self.session(&closing).await {
            let retry_in = self.delays.next(random());
            self.tell(R::lost(reason, retry_in), &closing).await;
            let Some(pause) = retry_in else { break };
            if closing.run_until_cancelled(sleep(pause)).await.is_none() {
                break;
            }
        }
    }

    /// One connection from its beginning to its end.
    async fn session(&mut self, closing: &CancellationToken) -> End {
        let attempt = timeout(self.link.patience, self.connect());
        let conn = match closing.run_until_cancelled(attempt).await {
            None => return End::Closed,
            Some(Err(_late)) => return End::Lost("cannot connect: timed out".into()),
            Some(Ok(Err(reason))) => return End::Lost(reason),
            Some(Ok(Ok(conn))) => conn,
        };
        let mut session = Session::new(conn, &self.link);
        let end = session.run(self, closing).await;
        self.shared.session.store(0, Ordering::Release);
        let is_up = session.is_up();
        if let Some(since) = session.answered() {
            self.delays.on_session_end(since.elapsed());
        }
        let conn = session.into_conn();
        match end {
            End::Closed => self.close(conn, is_up).await,
            End::Lost(_) => self.give_up(conn).await,
        }
        end
    }

    async fn connect(&self) -> Result<RawConn, String> {
        let mut conn = raw::connect(&self.link.endpoint, R::PATH, &[]).await.map_err(|error| error.to_string())?;
        conn.send_text(self.role.greeting()).await.map_err(|error| error.to_string())?;
        Ok(conn)
    }

    /// The session has come up: commands may be written from now on.
    fn on_up(&mut self) {
        self.sessions += 1;
        self.shared.session.store(self.sessions, Ordering::Release);
    }

    /// Whether a command is meant for the session that is up.
    fn is_current(&self, command: &Command) -> bool {
        command.session.is_none_or(|n| n == self.sessions)
    }

    /// Gives an event to the reader, if there is one and it takes it before the end.
    async fn tell(&self, event: R::Event, closing: &CancellationToken) {
        let send = self.events.send(event);
        // Nobody reading and nobody waiting are both fine: there is nothing else to do with an event.
        let _ = closing.run_until_cancelled(send).await;
    }

    /// Answers the server's close frame, if that is how it ended, and forgets what must not wait for the next session.
    async fn give_up(&mut self, mut conn: RawConn) {
        // Nothing can be done for a connection that does not even take this.
        let _ = timeout(CLOSE_PATIENCE, conn.flush()).await;
        if !R::KEEPS_QUEUE {
            while self.commands.try_recv().is_ok() {}
        }
    }

    /// Writes what still waits, then says goodbye.
    async fn close(&mut self, mut conn: RawConn, is_up: bool) {
        self.commands.close();
        while let Ok(command) = self.commands.try_recv() {
            if !is_up || !self.is_current(&command) {
                continue;
            }
            if conn.queue_text(command.text).is_err() {
                return;
            }
        }
        // The peer may be gone already: then there is nobody to say goodbye to.
        let _ = conn.close(NORMAL, "", CLOSE_PATIENCE).await;
    }
}

/// Jitter only: without randomness the pauses are their shortest.
fn random() -> u32 {
    getrandom::u32().unwrap_or(0)
}
