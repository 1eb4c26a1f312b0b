//! One connection while it lasts.

use std::future::poll_fn;
use std::task::Poll;
use std::time::Duration;

use tokio::sync::mpsc;
use tokio::time::{Instant, sleep_until};
use tokio_util::sync::CancellationToken;

use super::{Driver, Link, Role};
use crate::handle::Command;
use crate::message::ServerMessage;
use crate::raw::{RawConn, RawEvent};

/// Commands written with one flush.
const BATCH: usize = 32;

/// How a connection ended.
pub(super) enum End {
    /// We wanted it.
    Closed,
    /// We did not.
    Lost(String),
}

/// What the socket did.
enum Io {
    Flushed,
    Heard(RawEvent),
    Broken(String),
}

/// What one turn of the loop is about.
enum Turn {
    Delivered,
    Commands(usize),
    Io(Io),
    Silence,
}

pub(super) struct Session {
    conn: RawConn,
    since: Instant,
    answered: Option<Instant>,
    is_up: bool,
    heard: Instant,
    /// Whether a ping was sent since something was heard.
    asked: bool,
    patience: Duration,
    keep_alive: Duration,
}

impl Session {
    pub(super) fn new(conn: RawConn, link: &Link) -> Self {
        let now = Instant::now();
        Self {
            conn,
            since: now,
            answered: None,
            is_up: false,
            heard: now,
            asked: false,
            patience: link.patience,
            keep_alive: link.keep_alive,
        }
    }

    /// When the server answered the greeting with something else than an error.
    pub(super) fn answered(&self) -> Option<Instant> {
        self.answered
    }

    /// Whether commands may be written.
    pub(super) fn is_up(&self) -> bool {
        self.is_up
    }

    pub(super) fn into_conn(self) -> RawConn {
        self.conn
    }

    pub(super) async fn run<R: Role>(&mut self, driver: &mut Driver<R>, closing: &CancellationToken) -> End {
        let mut pending = None;
        let mut batch = Vec::new();
        let mut more_commands = true;
        loop {
            let reads = pending.is_none();
            let sends = more_commands && self.is_up && !self.conn.is_dirty();
            let deadline = self.deadline();
            // In this order: the end first; then what frees a queue; the socket after it, since a socket that is
            // always ready would starve the queues; time last, as anything heard moves the deadline.
            let turn = tokio::select! {
                biased;
                () = closing.cancelled() => return End::Closed,
                () = deliver(&driver.events, &mut pending), if !reads => Turn::Delivered,
                n = driver.commands.recv_many(&mut batch, BATCH), if sends => Turn::Commands(n),
                io = drive(&mut self.conn, reads) => Turn::Io(io),
                () = sleep_until(deadline), if reads => Turn::Silence,
            };
            let result = match turn {
                Turn::Delivered | Turn::Io(Io::Flushed) => Ok(()),
                Turn::Commands(n) => {
                    more_commands = n > 0;
                    batch.retain(|command| driver.is_current(command));
                    self.write(&mut batch)
                }
                Turn::Io(Io::Broken(reason)) => Err(reason),
                Turn::Io(Io::Heard(event)) => self.on_heard(event, driver).map(|e| pending = e),
                Turn::Silence => self.on_silence(),
            };
            if let Err(reason) = result {
                if let Some(event) = pending {
                    driver.tell(event, closing).await;
                }
                return End::Lost(reason);
            }
        }
    }

    fn write(&mut self, batch: &mut Vec<Command>) -> Result<(), String> {
        batch.drain(..).try_for_each(|command| self.conn.queue_text(command.text)).map_err(|error| error.to_string())
    }

    fn on_heard<R: Role>(&mut self, event: RawEvent, driver: &mut Driver<R>) -> Result<Option<R::Event>, String> {
        self.heard = Instant::now();
        self.asked = false;
        match event {
            RawEvent::Text(text) => self.on_text(&text, driver),
            RawEvent::Ping | RawEvent::Pong => Ok(None),
            RawEvent::Binary(_) => Err("the server sent a binary message".into()),
            RawEvent::Close(code, reason) => Err(closed_by_server(code, &reason)),
        }
    }

    fn on_text<R: Role>(&mut self, text: &str, driver: &mut Driver<R>) -> Result<Option<R::Event>, String> {
        let message = ServerMessage::parse(text).ok_or("the server sent what is not of the protocol")?;
        if self.answered.is_none() && !matches!(message, ServerMessage::Error { .. }) {
            self.answered = Some(Instant::now());
        }
        let was_up = self.is_up;
        if !was_up && R::comes_up_with(&message) {
            self.is_up = true;
            driver.on_up();
        }
        Ok(driver.role.event(message, was_up))
    }

    fn deadline(&self) -> Instant {
        let times = if self.asked { 3 } else { 1 };
        let silence = self.heard + self.keep_alive * times;
        match self.answered {
            Some(_) => silence,
            None => silence.min(self.since + self.patience),
        }
    }

    fn on_silence(&mut self) -> Result<(), String> {
        let now = Instant::now();
        if self.answered.is_none() && now >= self.since + self.patience {
            return Err("the server did not answer".into());
        }
        if self.asked {
            return Err("the server fell silent".into());
        }
        self.asked = true;
        self.conn.queue_ping().map_err(|error| error.to_string())
    }
}

/// Waits for room and gives the event to the reader; drops it if there is none. Cancel safe.
async fn deliver<E>(events: &mpsc::Sender<E>, pending: &mut Option<E>) {
    let room = events.reserve().await;
    if let (Some(event), Ok(room)) = (pending.take(), room) {
        room.send(event);
    }
}

/// Writes what is queued, and reads if `reads`. Cancel safe.
async fn drive(conn: &mut RawConn, reads: bool) -> Io {
    poll_fn(|cx| {
        if conn.is_dirty() {
            match conn.poll_flush(cx) {
                Poll::Ready(Ok(())) => return Poll::Ready(Io::Flushed),
                Poll::Ready(Err(error)) => return Poll::Ready(Io::Broken(error.to_string())),
                Poll::Pending => {}
            }
        }
        if !reads {
            return Poll::Pending;
        }
        conn.poll_next(cx).map(|event| match event {
            Some(event) => Io::Heard(event),
            None => Io::Broken(conn.failure().unwrap_or("the connection broke").to_owned()),
        })
    })
    .await
}

fn closed_by_server(code: Option<u16>, reason: &str) -> String {
    match (code, reason) {
        (None, _) => "the server closed the connection".into(),
        (Some(code), "") => format!("the server closed the connection ({code})"),
        (Some(code), reason) => format!("the server closed the connection ({code}: {reason})"),
    }
}
