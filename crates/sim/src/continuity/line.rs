//! One connection: the seat at the server's end, what is under way, and what the connection task would do.

use std::collections::VecDeque;
use std::task::{Context, Poll, Waker};
use std::time::{Duration, Instant};

use cuttlebone_hub::{Answer, Item, Next, Probe, Received, Registry, Request, Resolution, Seat, Urgent};
use cuttlebone_proto::CloseCode;

use super::Continuity;
use super::book::SessionKey;
use crate::world::config;

/// How long a device may take to read what its clients have sent, when the server stops, and then to close.
const DRAINING: Duration = Duration::from_secs(2);
const PARTING: Duration = Duration::from_secs(1);

/// Whose connection it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Owner {
    Viewer(usize),
    Device(usize),
}

/// What is under way to the server.
#[derive(Debug)]
pub(super) enum Up {
    Text(String),
    Close,
}

/// What is under way to the far end.
#[derive(Debug)]
pub(super) enum Down {
    Text(String),
    Close,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Stage {
    Open,
    /// The server stops; until then the far end may read what is queued for it.
    Draining(Instant),
    /// The close is written; until then the far end may close too.
    Parting(Instant),
    Closing,
    /// The connection is gone; the seat may stay until then.
    Ended(Option<Instant>),
}

#[derive(Debug)]
enum Waiting {
    Nothing,
    Answer(Request),
    Holder(Probe, Instant),
    Room,
}

#[derive(Debug)]
pub(super) struct Line {
    seat: Option<Seat>,
    registry: Registry,
    /// The number of its server.
    pub(super) process: u64,
    pub(super) owner: Owner,
    pub(super) up: VecDeque<Up>,
    pub(super) down: VecDeque<Down>,
    pub(super) stage: Stage,
    waiting: Waiting,
    /// The far end is gone, and the server does not know yet.
    pub(super) is_cut: bool,
    /// A viewer's session; none yet while it asks for a new one.
    session: Option<SessionKey>,
    /// Whether the session ends with this connection: the hub has let it have the session, and no other since.
    holds: bool,
    /// Its server stops.
    pub(super) is_stopped: bool,
}

impl Line {
    pub(super) fn new(seat: Seat, registry: Registry, process: u64, owner: Owner, session: Option<SessionKey>) -> Self {
        Self {
            seat: Some(seat),
            registry,
            process,
            owner,
            up: VecDeque::new(),
            down: VecDeque::new(),
            stage: Stage::Open,
            waiting: Waiting::Nothing,
            is_cut: false,
            session,
            holds: false,
            is_stopped: false,
        }
    }

    pub(super) fn is_on_stopped_server(&self) -> bool {
        self.is_stopped && self.is_live()
    }

    /// Whether anything can still happen on it.
    pub(super) fn is_live(&self) -> bool {
        self.seat.is_some() || !self.up.is_empty() || !self.down.is_empty()
    }
}

impl Continuity {
    pub(super) fn server_reads(&mut self, at: usize) {
        let line = &mut self.lines[at];
        let reads = matches!(line.stage, Stage::Open | Stage::Draining(_) | Stage::Parting(_));
        if !reads || !matches!(line.waiting, Waiting::Nothing) {
            return;
        }
        let (Some(seat), Some(up)) = (&mut line.seat, line.up.pop_front()) else { return };
        match up {
            Up::Text(text) => {
                let is_current = seat.inbox().is_current();
                seat.on_alive();
                let next = seat.on_text(&text, self.now);
                self.carry_out(at, next);
                match (self.lines[at].owner, numbers(&text)) {
                    (Owner::Device(_), Some((session, _))) if is_current => self.book.server_reads_down(session),
                    // What a device says on a connection that was taken over is passed on to nobody.
                    _ if !is_current => self.lose_up(at, &text),
                    _ => {}
                }
            }
            Up::Close => {
                seat.on_closed();
                self.session_ends(at);
                self.end(at, None);
            }
        }
    }

    pub(super) fn server_writes(&mut self, at: usize) {
        let line = &mut self.lines[at];
        if matches!(line.stage, Stage::Parting(_) | Stage::Ended(_)) {
            return;
        }
        let Some(seat) = &mut line.seat else { return };
        let mut items = Vec::new();
        match seat.inbox().poll_receive(&mut Context::from_waker(Waker::noop()), 1, &mut items) {
            Poll::Pending => {}
            Poll::Ready(Received::Revoked) => {
                let next = seat.on_cut(self.now);
                self.carry_out(at, next);
            }
            Poll::Ready(Received::Items) => items.into_iter().for_each(|item| self.write(at, item)),
        }
    }

    fn write(&mut self, at: usize, item: Item) {
        let line = &mut self.lines[at];
        let Some(seat) = &mut line.seat else { return };
        match item {
            Item::Text(text) if line.is_cut => self.lose_down(at, &text),
            Item::Text(text) => line.down.push_back(Down::Text(text)),
            Item::Notice(notice) => {
                let next = seat.on_notice(notice);
                self.carry_out(at, next);
            }
            Item::Close(code) => {
                seat.on_closing();
                if code != CloseCode::Restart {
                    self.session_ends(at);
                }
                let line = &mut self.lines[at];
                line.down.push_back(Down::Close);
                if let Stage::Draining(_) = line.stage {
                    if let Owner::Device(device) = line.owner {
                        self.book.lose_notices(Some(device), false);
                    }
                    line.stage = Stage::Parting(self.now + PARTING);
                } else {
                    let stays = line.seat.as_mut().and_then(|seat| seat.on_broken(self.now));
                    self.end(at, stays);
                }
            }
        }
    }

    /// Whatever the seat waits for goes a step on.
    pub(super) fn go_on(&mut self, at: usize) {
        let line = &mut self.lines[at];
        let Some(seat) = &mut line.seat else { return };
        match std::mem::replace(&mut line.waiting, Waiting::Nothing) {
            Waiting::Nothing => {}
            Waiting::Room => match seat.poll_room(&mut Context::from_waker(Waker::noop())) {
                Poll::Ready(next) => self.carry_out(at, next),
                Poll::Pending => line.waiting = Waiting::Room,
            },
            Waiting::Answer(request) => {
                let resolution = line.registry.resolve(request, &|_| config(self.configs), self.now_ms);
                self.resolved(at, resolution);
            }
            Waiting::Holder(mut probe, until) => {
                let answered = probe.answered_yet();
                if answered.is_none() && self.now < until {
                    line.waiting = Waiting::Holder(probe, until);
                    return;
                }
                let resolution =
                    line.registry.conclude(probe, answered == Some(true), &|_| config(self.configs), self.now_ms);
                self.resolved(at, resolution);
            }
        }
    }

    /// The ICE servers change: every peer that was told of them is told again.
    pub(super) fn renew_configs(&mut self) {
        self.configs += 1;
        for line in self.lines.iter_mut().filter(|line| !matches!(line.stage, Stage::Closing | Stage::Ended(_))) {
            if let Some(seat) = &mut line.seat {
                seat.renew_config(&|_| config(self.configs));
            }
        }
    }

    fn resolved(&mut self, at: usize, resolution: Resolution) {
        let line = &mut self.lines[at];
        let Some(seat) = &mut line.seat else { return };
        match resolution {
            Resolution::Probe(probe) => {
                line.waiting = Waiting::Holder(probe, self.now + line.registry.settings().probe);
            }
            Resolution::Answer(answer) => {
                if let (Some(session), Answer::Refused(_)) = (line.session, &answer) {
                    self.book.is_over(session);
                }
                let is_registered = matches!(answer, Answer::Registered(_));
                let is_attached = matches!(answer, Answer::Attached(_));
                let next = seat.on_answer(answer, self.now);
                self.carry_out(at, next);
                if is_registered {
                    self.take_over(at);
                }
                if is_attached {
                    self.session_goes_on(at);
                }
            }
        }
    }

    /// A device has registered again: what is under way on its former connections will be passed on to nobody.
    fn take_over(&mut self, at: usize) {
        for other in 0..self.lines.len() {
            if other != at && self.lines[other].owner == self.lines[at].owner && !self.lines[other].is_stopped {
                self.lose_all_up(other);
            }
        }
    }

    /// A viewer's session begins or goes on with this connection, and with no other that it had. If it begins with one that
    /// the viewer has given up, nobody will ever speak in it.
    fn session_goes_on(&mut self, at: usize) {
        let Owner::Viewer(viewer) = self.lines[at].owner else { return };
        let begun = Some(self.viewers[viewer].session).filter(|_| self.viewers[viewer].line == Some(at));
        let Some(session) = self.lines[at].session.or(begun) else { return };
        self.lines[at].session = Some(session);
        for (other, line) in self.lines.iter_mut().enumerate().filter(|(_, line)| line.session == Some(session)) {
            line.holds = other == at;
        }
        self.book.goes_on(session);
    }

    fn lose_all_up(&mut self, at: usize) {
        for up in std::mem::take(&mut self.lines[at].up) {
            if let Up::Text(text) = up {
                self.lose_up(at, &text);
            }
        }
    }

    fn carry_out(&mut self, at: usize, next: Next) {
        let line = &mut self.lines[at];
        match next {
            Next::Continue => {}
            Next::Paused => line.waiting = Waiting::Room,
            Next::Await(request) => line.waiting = Waiting::Answer(request),
            Next::Ping => line.seat.iter_mut().filter(|_| !line.is_cut).for_each(Seat::on_alive),
            Next::Draining => line.stage = Stage::Draining(self.now + DRAINING),
            Next::Closing => {
                if line.stage == Stage::Open {
                    line.stage = Stage::Closing;
                    line.waiting = Waiting::Nothing;
                }
                // A viewer that is attached is closed for something that ends its session.
                self.session_ends(at);
            }
        }
    }

    /// A ping of the server has come back: it carries what had been written when it was sent. The far end has read
    /// everything that is not under way any more.
    pub(super) fn pong(&mut self, at: usize) {
        let line = &self.lines[at];
        let Some(seat) = line.seat.as_ref().filter(|_| line.down.is_empty() && !line.is_cut) else { return };
        if let Some(mark) = seat.inbox().mark() {
            seat.inbox().confirm(mark);
        }
    }

    /// The connection breaks for the far end: what is under way to it is lost. What is under way from it may have
    /// arrived, and be read by a server that does not know yet.
    pub(super) fn cut(&mut self, at: usize) {
        let line = &mut self.lines[at];
        if std::mem::replace(&mut line.is_cut, true) {
            return;
        }
        let down = std::mem::take(&mut line.down);
        let up = if self.dice.once_in(2) { VecDeque::new() } else { std::mem::take(&mut line.up) };
        for text in up.iter().filter_map(|up| if let Up::Text(text) = up { Some(text) } else { None }) {
            self.lose_up(at, text);
        }
        for text in down.iter().filter_map(|down| if let Down::Text(text) = down { Some(text) } else { None }) {
            self.lose_down(at, text);
        }
        self.far_end_loses(at);
    }

    fn far_end_loses(&mut self, at: usize) {
        match self.lines[at].owner {
            Owner::Viewer(viewer) if self.viewers[viewer].line == Some(at) => self.viewer_loses(viewer),
            Owner::Device(device) if self.devices[device].line == Some(at) => self.devices[device].line = None,
            _ => {}
        }
    }

    /// What a device had written is lost with its connection. A viewer writes it again.
    fn lose_up(&mut self, at: usize, text: &str) {
        if let (Owner::Device(_), Some((key, number))) = (self.lines[at].owner, numbers(text)) {
            self.book.loses_down(key, number);
        }
    }

    /// What a device had not read is lost with its connection. A viewer asks for it again.
    fn lose_down(&mut self, at: usize, text: &str) {
        let Owner::Device(device) = self.lines[at].owner else { return };
        if let Some((key, number)) = numbers(text) {
            self.book.loses_up(key, number);
        } else if let Some(session) = reported(text).and_then(|id| self.devices[device].clients.get(&id)) {
            self.book.loses_notice(*session);
        }
    }

    /// The session of this connection is over, for the server too.
    fn session_ends(&mut self, at: usize) {
        if let Some(session) = self.lines[at].session.filter(|_| self.lines[at].holds) {
            self.book.is_over(session);
            self.book.has_left(session);
        }
    }

    /// The server sees that the connection is gone.
    pub(super) fn notice_cut(&mut self, at: usize) {
        let line = &mut self.lines[at];
        if line.is_cut && !matches!(line.stage, Stage::Ended(_)) {
            let stays = line.seat.as_mut().and_then(|seat| seat.on_broken(self.now));
            self.end(at, stays);
        }
    }

    fn end(&mut self, at: usize, stays: Option<Instant>) {
        let line = &mut self.lines[at];
        if let (Owner::Device(device), Stage::Draining(_)) = (line.owner, line.stage) {
            self.book.lose_notices(Some(device), true);
        }
        line.stage = Stage::Ended(stays);
        line.waiting = Waiting::Nothing;
        if stays.is_none() {
            self.drop_seat(at);
        } else if line.is_stopped {
            self.forget(at);
        }
        // What was written before may still be read; what the far end sends is read by nobody.
        self.lose_all_up(at);
    }

    fn drop_seat(&mut self, at: usize) {
        if !self.lines[at].is_stopped {
            self.session_ends(at);
        }
        let line = &mut self.lines[at];
        let Owner::Device(device) = line.owner else { return line.seat = None };
        let is_listed = |registry: &Registry| registry.find(&crate::address(device)).is_some();
        let before = is_listed(&line.registry);
        line.seat = None;
        if before && !is_listed(&line.registry) && !line.is_stopped {
            self.device_is_gone(device);
        }
    }

    /// The server stops while the connection is away.
    fn forget(&mut self, at: usize) {
        let line = &mut self.lines[at];
        if let Some(seat) = &mut line.seat {
            seat.on_shutdown_away(CloseCode::Restart);
        }
        if let Owner::Device(device) = line.owner {
            line.seat = None;
            self.book.lose_notices(Some(device), true);
        }
    }

    /// What is due by now happens.
    pub(super) fn fire(&mut self, at: usize) {
        let line = &mut self.lines[at];
        let Some(seat) = &mut line.seat else { return };
        match line.stage {
            Stage::Ended(until) => {
                let superseded = seat.poll_superseded(&mut Context::from_waker(Waker::noop())).is_ready();
                if superseded || until.is_none_or(|until| until <= self.now) {
                    self.drop_seat(at);
                }
            }
            Stage::Draining(until) | Stage::Parting(until) if until <= self.now => {
                let stays = seat.on_broken(self.now);
                self.end(at, stays);
                self.cut(at);
            }
            Stage::Open if seat.deadline().is_some_and(|deadline| deadline <= self.now) => {
                let next = seat.on_timer(self.now);
                self.carry_out(at, next);
            }
            _ => {
                if let Poll::Ready(Urgent::Notice(notice)) =
                    seat.inbox().poll_urgent(&mut Context::from_waker(Waker::noop()))
                {
                    let next = seat.on_notice(notice);
                    self.carry_out(at, next);
                }
            }
        }
    }

    pub(super) fn tell_to_stop(&mut self, at: usize) {
        let line = &mut self.lines[at];
        line.is_stopped = true;
        let Some(seat) = &mut line.seat else { return };
        match line.stage {
            Stage::Open => {
                let next = seat.on_shutdown(CloseCode::Restart);
                self.carry_out(at, next);
            }
            Stage::Ended(_) => self.forget(at),
            Stage::Draining(_) | Stage::Parting(_) | Stage::Closing => {}
        }
    }
}

/// The session and the number in a message, wherever its payload stands.
pub(super) fn numbers(text: &str) -> Option<(u64, u64)> {
    let message: serde_json::Value = serde_json::from_str(text).ok()?;
    Some((message["payload"]["s"].as_u64()?, message["payload"]["n"].as_u64()?))
}

/// The client that a notice to a device is about.
fn reported(text: &str) -> Option<u64> {
    let message: serde_json::Value = serde_json::from_str(text).ok()?;
    (message["message_type"] == "client_disconnected").then(|| message["client_id"].as_u64())?
}
