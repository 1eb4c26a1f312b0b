//! The task of one connection: connect, greet, carry messages both ways, lose it, wait, connect again.
//!
//! Called by both roles, which differ in what [`Role`] says. Invariants:
//!
//! 1. Commands are written only while a session is up, that is between the answer of the server and the end.
//! 2. A full event queue stops reading and nothing else.
//! 3. `Lost` is sent exactly once for each connection or attempt that ended without being asked to.
//! 4. A command that was not given to a connection stays, and is given to the next one of its session.

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
use crate::raw::{self, ConnectError, RawConn};

mod session;

use session::{End, Session};

/// Events that may wait to be read.
const EVENTS: usize = 256;
/// How long a clean close may take.
const CLOSE_PATIENCE: Duration = Duration::from_secs(2);
const NORMAL: u16 = 1000;
/// The close code of a protocol or policy violation.
pub(crate) const POLICY: u16 = 1008;
/// The close code of a credential that has expired, was revoked, or is good for something else now.
pub(crate) const EXPIRED: u16 = 4003;
/// The close code of a restart: connect again now.
pub(crate) const RESTART: u16 = 1012;

/// What tells a device from a client.
pub(crate) trait Role: Send + Sync + 'static {
    type Event: Send + 'static;
    /// The path of the role's endpoint.
    const PATH: &'static str;

    /// The first message of a connection, which is there to carry it.
    fn greeting(&mut self) -> String;
    /// A message of the server: what it does to the session, and what the application is told. `is_up`: the session had come
    /// up. An error, in words, ends the connection as a [`Loss::Violation`].
    fn on_message(&mut self, message: ServerMessage, is_up: bool) -> Result<(Step, Option<Self::Event>), String>;
    /// A command is given to the connection.
    fn on_forward(&mut self, text: &str);
    /// The connection is lost. Whether commands that wait may be sent over the next one.
    fn on_lost(&mut self, loss: &Loss, was_up: bool) -> bool;
    /// Whether there is a session to be resumed, which the server holds for a while only.
    fn is_resumable(&self) -> bool;
    /// The server says what it does not like.
    fn server_error(text: String, code: Option<String>) -> Self::Event;
    /// The connection or the attempt has ended; the next one begins after `retry_in`.
    fn lost(reason: String, retry_in: Option<Duration>) -> Self::Event;
}

/// What a message of the server does to the session.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Step {
    /// Nothing.
    Stay,
    /// A new one comes up: commands may be written, and those for an older one are dropped.
    Begin,
    /// The old one comes up again: after these texts commands may be written.
    GoOn(Vec<String>),
    /// The server takes no more and is about to restart.
    Drain,
    /// There will be none, for this reason: the server is about to close. The next attempt need not wait.
    Refuse(&'static str),
}

/// How a connection or an attempt ended without being asked to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Loss {
    /// It broke or fell silent, or there was none.
    Broken,
    /// The server did not even let us in: this is its word for it, as in the errors of the protocol.
    Denied(&'static str),
    /// The server closed it, with this code.
    Closed(Option<u16>),
    /// The server sent what is not of the protocol.
    Violation,
}

impl Loss {
    /// What an attempt came to.
    fn of(error: &ConnectError) -> Self {
        match error {
            ConnectError::Unauthenticated => Self::Denied("unauthenticated"),
            ConnectError::Forbidden => Self::Denied("forbidden"),
            _ => Self::Broken,
        }
    }
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
    /// How many sessions have begun.
    sessions: u64,
}

impl<R: Role> Driver<R> {
    async fn run(mut self) {
        let _done = self.shared.done.clone().drop_guard();
        let closing = self.shared.closing.clone();
        while let End::Lost(loss, reason) = self.connection(&closing).await {
            if let Loss::Denied(code) = loss {
                self.tell(R::server_error(reason.clone(), Some(code.to_owned())), &closing).await;
            }
            let retry_in = self.retry_in(&loss);
            self.tell(R::lost(reason, retry_in), &closing).await;
            let Some(pause) = retry_in else { break };
            if closing.run_until_cancelled(sleep(pause)).await.is_none() {
                break;
            }
        }
    }

    /// When to try again; `None`: never.
    fn retry_in(&mut self, loss: &Loss) -> Option<Duration> {
        // Not so a session that was closed for its credential: that may be good still, or again. The next attempt tells.
        if matches!(loss, Loss::Denied(_)) && !self.link.endpoint.is_renewable() {
            return None;
        }
        // A server that closes an attempt wants no haste.
        let is_urgent = *loss == Loss::Broken && self.role.is_resumable();
        self.delays.next(random(), is_urgent)
    }

    /// One connection from its beginning to its end.
    async fn connection(&mut self, closing: &CancellationToken) -> End {
        let attempt = timeout(self.link.patience, self.connect());
        let (loss, reason) = match closing.run_until_cancelled(attempt).await {
            None => return End::Closed,
            Some(Err(_late)) => (Loss::Broken, "cannot connect: timed out".into()),
            Some(Ok(Err(fault))) => fault,
            Some(Ok(Ok(conn))) => return self.session(conn, closing).await,
        };
        self.on_lost(&loss, false);
        End::Lost(loss, reason)
    }

    async fn session(&mut self, conn: RawConn, closing: &CancellationToken) -> End {
        let mut session = Session::new(conn, &self.link);
        let end = session.run(self, closing).await;
        if let Some(since) = session.answered() {
            self.delays.on_session_end(since.elapsed());
        }
        match &end {
            End::Closed => self.close(session).await,
            End::Lost(loss, _) => {
                if session.is_invitation(loss) {
                    self.delays.on_invited();
                }
                self.on_lost(loss, session.is_up());
                session.part(loss).await;
            }
        }
        end
    }

    async fn connect(&mut self) -> Result<RawConn, (Loss, String)> {
        let attempt = raw::connect(&self.link.endpoint, R::PATH, &[]).await;
        let mut conn = attempt.map_err(|error| (Loss::of(&error), error.to_string()))?;
        conn.send_text(self.role.greeting()).await.map_err(|error| (Loss::Broken, error.to_string()))?;
        Ok(conn)
    }

    /// A new session has come up.
    fn on_begin(&mut self) {
        self.sessions += 1;
        self.shared.session.store(self.sessions, Ordering::Release);
    }

    /// Forgets what must not wait for the next session.
    fn on_lost(&mut self, loss: &Loss, was_up: bool) {
        if !self.role.on_lost(loss, was_up) {
            self.shared.session.store(0, Ordering::Release);
            while self.commands.try_recv().is_ok() {}
        }
    }

    /// Whether a command is meant for the session that is up.
    fn is_current(&self, command: &Command) -> bool {
        command.message.session.is_none_or(|n| n == self.sessions)
    }

    /// Gives an event to the reader, if there is one and it takes it before the end.
    async fn tell(&self, event: R::Event, closing: &CancellationToken) {
        let send = self.events.send(event);
        // Nobody reading and nobody waiting are both fine: there is nothing else to do with an event.
        let _ = closing.run_until_cancelled(send).await;
    }

    /// Writes what still waits, then says goodbye.
    async fn close(&mut self, session: Session) {
        self.commands.close();
        let takes_commands = session.takes_commands();
        let mut conn = session.into_conn();
        while let Ok(command) = self.commands.try_recv() {
            if !takes_commands || !self.is_current(&command) {
                continue;
            }
            if conn.queue_text(command.message.text).is_err() {
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
