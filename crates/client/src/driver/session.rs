//! One connection while it lasts.

use std::future::poll_fn;
use std::task::Poll;
use std::time::Duration;

use tokio::sync::mpsc;
use tokio::time::{Instant, sleep_until, timeout};
use tokio_util::sync::CancellationToken;

use super::{CLOSE_PATIENCE, Driver, Link, Loss, RESTART, Role, Step};
use crate::handle::Command;
use crate::message::ServerMessage;
use crate::raw::{RawConn, RawEvent};

/// Commands written with one flush.
const BATCH: usize = 32;

/// How a connection ended.
pub(super) enum End {
    /// We wanted it.
    Closed,
    /// We did not; with the reason in words.
    Lost(Loss, String),
}

type Fault = (Loss, String);

/// What the socket did.
enum Io {
    Flushed,
    Heard(RawEvent),
    Ended,
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
    /// The server is about to restart.
    is_draining: bool,
    /// Why there will be no session.
    refusal: Option<&'static str>,
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
            is_draining: false,
            refusal: None,
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

    /// Whether the session had come up.
    pub(super) fn is_up(&self) -> bool {
        self.is_up
    }

    /// Whether commands may be written.
    pub(super) fn takes_commands(&self) -> bool {
        self.is_up && !self.is_draining && !self.conn.is_unwritable()
    }

    /// Whether the server ended this so that we come again.
    pub(super) fn is_invitation(&self, loss: &Loss) -> bool {
        self.refusal.is_some() || self.is_draining || (self.is_up && *loss == Loss::Closed(Some(RESTART)))
    }

    pub(super) fn into_conn(self) -> RawConn {
        self.conn
    }

    /// Ends a connection that is lost. What was written before, and the answer to a close frame, get a moment to leave.
    pub(super) async fn part(mut self, loss: &Loss) {
        if *loss != Loss::Broken {
            // Nothing can be done for a connection that does not even take this.
            let _ = timeout(CLOSE_PATIENCE, self.conn.flush()).await;
        }
    }

    pub(super) async fn run<R: Role>(&mut self, driver: &mut Driver<R>, closing: &CancellationToken) -> End {
        let mut pending = None;
        let mut batch = Vec::new();
        let mut more_commands = true;
        loop {
            let reads = pending.is_none();
            let sends = more_commands && self.takes_commands() && !self.conn.is_dirty();
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
                Turn::Delivered => {
                    // Nothing was read meanwhile: that silence was ours.
                    self.heard = Instant::now();
                    Ok(())
                }
                Turn::Io(Io::Flushed) => Ok(()),
                Turn::Commands(n) => {
                    more_commands = n > 0;
                    self.write(&mut batch, driver);
                    Ok(())
                }
                Turn::Io(Io::Heard(event)) => self.on_heard(event, driver).map(|e| pending = e),
                Turn::Io(Io::Ended) => Err(self.ended()),
                Turn::Silence => self.on_silence(),
            };
            // Every event has been delivered by now: nothing is read, and so nothing ends, while one is pending.
            if let Err((loss, reason)) = result {
                return End::Lost(loss, self.refusal.map_or(reason, str::to_owned));
            }
        }
    }

    fn write<R: Role>(&mut self, batch: &mut Vec<Command>, driver: &mut Driver<R>) {
        for command in batch.drain(..) {
            if driver.is_current(&command) {
                driver.role.on_forward(&command.message.text);
                self.queue(command.message.text);
            }
        }
    }

    fn queue(&mut self, text: String) {
        // Fails only where writing has failed before; that is found out by reading.
        let _ = self.conn.queue_text(text);
    }

    fn on_heard<R: Role>(&mut self, event: RawEvent, driver: &mut Driver<R>) -> Result<Option<R::Event>, Fault> {
        self.heard = Instant::now();
        self.asked = false;
        match event {
            RawEvent::Text(text) => self.on_text(&text, driver),
            RawEvent::Ping | RawEvent::Pong => Ok(None),
            RawEvent::Binary(_) => Err(violation("the server sent a binary message")),
            RawEvent::Close(code, reason) => Err((Loss::Closed(code), closed_by_server(code, &reason))),
        }
    }

    fn on_text<R: Role>(&mut self, text: &str, driver: &mut Driver<R>) -> Result<Option<R::Event>, Fault> {
        let message =
            ServerMessage::parse(text).ok_or_else(|| violation("the server sent what is not of the protocol"))?;
        if self.answered.is_none() && !matches!(message, ServerMessage::Error { .. }) {
            self.answered = Some(Instant::now());
        }
        let (step, event) = driver.role.on_message(message, self.is_up).map_err(|reason| violation(&reason))?;
        match step {
            Step::Stay => {}
            Step::Begin => {
                self.is_up = true;
                driver.delays.on_up();
                driver.on_begin();
            }
            Step::GoOn(again) => {
                self.is_up = true;
                driver.delays.on_up();
                again.into_iter().for_each(|text| self.queue(text));
            }
            Step::Drain => self.is_draining = true,
            Step::Refuse(reason) => self.refusal = Some(reason),
        }
        Ok(event)
    }

    fn deadline(&self) -> Instant {
        let patience = if self.asked { self.keep_alive + self.keep_alive / 2 } else { self.keep_alive };
        let silence = self.heard + patience;
        match self.answered {
            Some(_) => silence,
            None => silence.min(self.since + self.patience),
        }
    }

    fn on_silence(&mut self) -> Result<(), Fault> {
        let now = Instant::now();
        if self.answered.is_none() && now >= self.since + self.patience {
            return Err((Loss::Broken, "the server did not answer".into()));
        }
        if self.asked {
            return Err((Loss::Broken, "the server fell silent".into()));
        }
        self.asked = true;
        self.conn.queue_ping().map_err(|error| (Loss::Broken, error.to_string()))
    }

    /// Nothing more is to be read.
    fn ended(&self) -> Fault {
        let loss = if self.conn.is_violation() { Loss::Violation } else { Loss::Broken };
        (loss, self.conn.failure().unwrap_or("the connection broke").to_owned())
    }
}

fn violation(reason: &str) -> Fault {
    (Loss::Violation, reason.to_owned())
}

/// Waits for room and gives the event to the reader; drops it if there is none. Cancel safe.
async fn deliver<E>(events: &mpsc::Sender<E>, pending: &mut Option<E>) {
    let room = events.reserve().await;
    if let (Some(event), Ok(room)) = (pending.take(), room) {
        room.send(event);
    }
}

/// Writes what is queued, and reads if `reads`. Both each time, so that neither starves the other. Cancel safe.
async fn drive(conn: &mut RawConn, reads: bool) -> Io {
    poll_fn(|cx| {
        // Whether it was written or not: a connection that broke is found out by reading, after all that the server said.
        let flushed = conn.is_dirty() && conn.poll_flush(cx).is_ready();
        let event = if reads { conn.poll_next(cx) } else { Poll::Pending };
        match event {
            Poll::Ready(event) => Poll::Ready(event.map_or(Io::Ended, Io::Heard)),
            Poll::Pending if flushed => Poll::Ready(Io::Flushed),
            Poll::Pending => Poll::Pending,
        }
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
