//! The task of one upgraded connection: the only place where a seat and a socket meet.
//!
//! It never waits for one thing alone: what is to be written, what comes out of the mailbox, what the peer sends and the
//! timers are looked at in one poll, in a fixed order (see [`Connection::poll_wake`]).
//!
//! Invariants: 1. while the seat waits for an answer, nothing is read; while it waits for room, what comes is read up to
//! the first thing that is not a ping or a pong, and that one waits for room too (see [`room`]); 2. the mailbox is emptied
//! only when the last batch has been written, so that what a slow peer has not read stays bounded in the mailbox; 3. every
//! wait has a deadline; 4. whatever way the task ends, dropping the seat takes the session out of the hub; 5. a panic is a
//! break.

mod away;
mod clocks;
mod credential;
mod directory;
mod greeting;
mod hang_up;
mod rates;
mod room;
mod stage;
#[cfg(test)]
mod tests;
mod violation;

use std::cell::Cell;
use std::future::Future;
use std::panic::AssertUnwindSafe;
use std::pin::{Pin, pin};
use std::sync::Arc;
use std::task::{Context, Poll};

use cuttlebone_hub::{Item, Next, Received, Seat, SeatOptions, Urgent};
use cuttlebone_proto::{CloseCode, Reject};
use cuttlebone_transport::{Conn, Incoming, Outgoing};
use futures_util::FutureExt as _;
use tokio::task::coop::has_budget_remaining;
use tokio::time::sleep_until;

use crate::audit::Trail;
use crate::clock;
use crate::context::{ConnectionContext, Role};
use crate::drain::News;
use crate::metrics::{Counted, Timeout};
use clocks::Clocks;
use directory::{Outcome, shown};
use greeting::Renewal;
use hang_up::HANG_UP;
use stage::{End, Missed, Stage, Turn};
use violation::reject;

/// Entries that leave the mailbox together, and with one write.
const BATCH: usize = 64;
/// How long a device may take to read what its clients have sent, when the server stops: they wait for it.
const LAST_WRITE: std::time::Duration = std::time::Duration::from_secs(2);

thread_local! {
    /// Lent to one connection for the time of one poll: an idle one keeps no room for entries.
    static ITEMS: Cell<Vec<Item>> = const { Cell::new(Vec::new()) };
}

/// Serves `connection` until it ends, then keeps its seat for as long as the session may still come back.
pub(crate) async fn run<C: Conn>(mut connection: Box<Connection<C>>) {
    // Sound: after a panic the socket is not touched again, and of the seat only its connection is taken.
    let served = AssertUnwindSafe(connection.serve()).catch_unwind().await;
    let end = served.unwrap_or_else(|_| connection.on_panic());
    let stays = connection.ended(&end);
    connection.hang_up(&end).await;
    connection.context.open = None;
    if let Some(until) = stays {
        // Boxed by itself: few are away, and what is not away need not be as large.
        Box::pin((*connection).into_away(until)).await;
    }
}

/// What the task polls. Boxed from the start: a future has room for everything that it moves.
pub(crate) struct Connection<C> {
    conn: C,
    seat: Seat,
    context: ConnectionContext,
    clocks: Clocks,
    /// Boxed twice, for every idle connection would have room for the wider pointer.
    answer: Option<Box<Pin<Box<dyn Future<Output = Outcome> + Send>>>>,
    paused: Option<Counted>,
    /// What came next while the seat waited for room. Nothing is read until the seat has had it.
    after_room: Option<Incoming>,
    stage: Stage,
    /// When the peer is told again of STUN and TURN servers.
    renewal: Renewal,
    /// What the audit log tells of it, if there is one.
    trail: Option<Box<Trail>>,
    /// The server stops, and the seat knows.
    told: bool,
    /// What it asked for and did not get.
    missed: Missed,
    turn: Turn,
}

/// Why the task is awake.
enum Wake {
    Told,
    News(News),
    Items,
    Urgent(Urgent),
    Outcome(Outcome),
    Room(Next),
    Incoming(Incoming),
    Timer,
    Flushed,
    WriteFailed,
}

impl<C: Conn> Connection<C> {
    /// A connection whose peer has said nothing yet.
    pub(crate) fn new(conn: C, context: ConnectionContext) -> Box<Self> {
        let now = clock::now();
        let app = &context.app;
        let (limits, timeouts) = (&app.settings.messages.limits, &app.settings.timeouts);
        let options = SeatOptions {
            depth: limits.depth,
            device_info_bytes: limits.device_info_bytes,
            first_message: timeouts.first_message,
            small_reader: context.small_reader,
            party: context.caller.party(),
            owner: Some(context.caller.owner(context.peer.ip())),
        };
        let seat = match context.role {
            Role::Client => Seat::client(&app.registry, &options, now.into_std()),
            Role::Device => Seat::device(&app.registry, &options, now.into_std()),
        };
        let trail = app.audit.trail(context.peer, context.role, &context.caller);
        let clocks = Clocks::new(Arc::clone(&app.settings), now);
        Box::new(Self {
            conn,
            seat,
            context,
            clocks,
            answer: None,
            paused: None,
            after_room: None,
            stage: Stage::Open,
            renewal: Renewal::default(),
            trail,
            told: false,
            missed: Missed::Nothing,
            turn: Turn::default(),
        })
    }

    async fn serve(&mut self) -> End {
        let mut timer = pin!(sleep_until(self.due()));
        loop {
            let wake = std::future::poll_fn(|cx| {
                let wake = self.poll_wake(cx, timer.as_mut());
                if wake.is_pending() {
                    // Without a budget nothing was looked at, be it due.
                    self.turn = if has_budget_remaining() { Turn::default() } else { Turn::next() };
                    self.give_way();
                }
                wake
            });
            let wake = wake.await;
            if let Some(end) = self.span().in_scope(|| self.on_wake(wake)) {
                return end;
            }
            if self.turn.is_over() {
                self.turn = Turn::next();
                self.give_way();
                tokio::task::yield_now().await;
            }
        }
    }

    /// Before others have their turn: what came out of the mailbox and is not written counts from here on.
    fn give_way(&mut self) {
        self.conn.settle();
        self.seat.on_unwritten(self.conn.unwritten_memory());
    }

    /// Says whose fault it was where a refusal is logged, by those who know nothing of connections. Made anew for what is done at
    /// once, and not kept: see decision 24.
    fn span(&self) -> tracing::Span {
        let ConnectionContext { peer, role, .. } = &self.context;
        tracing::debug_span!("connection", %peer, role = role.name())
    }

    /// A fault of ours is to its peer a connection that broke: without a close, which would end the session for good.
    fn on_panic(&mut self) -> End {
        self.context.app.metrics.panicked();
        End::Fault
    }

    /// Tells the seat how the connection ended, unless it knows. Gives how long the seat is to be kept, and its place meanwhile.
    fn ended(&mut self, end: &End) -> Option<away::Stay> {
        let ConnectionContext { peer, role, .. } = &self.context;
        let reason = end.reason();
        self.note_missed();
        tracing::info!(%peer, role = role.name(), device_id = shown(&self.seat), reason, "connection ended");
        let stays = if *end == End::Left { None } else { self.seat.on_broken(clock::now().into_std()) };
        let stays = stays.and_then(|until| away::stay(&self.context, until.into()));
        if let Some(trail) = &mut self.trail {
            trail.ended(end.word(), stays.as_ref().map(|(until, _)| *until));
        }
        stays
    }

    fn into_away(self, stay: away::Stay) -> impl Future<Output = ()> + Send {
        let Self { seat, context, trail, .. } = self;
        away::keep(seat, stay, context, trail)
    }

    /// The order, and why: the order to stop first, or a busy connection would never hear it. A turn begins with what is
    /// to be written, so that no input can hold it up: first what is queued, then the mailbox, once nothing is left.
    /// Once the turn has begun, what the peer has sent (or the answer or the room that the seat waits for) comes
    /// before, so that the replies to all of it leave with one write. Timers are looked at last, and, for those with whom
    /// something always happens, as a turn begins that follows another.
    fn poll_wake(&mut self, cx: &mut Context<'_>, mut timer: Pin<&mut tokio::time::Sleep>) -> Poll<Wake> {
        if !self.told && self.stage == Stage::Open && self.context.goodbye.poll_told(cx).is_ready() {
            return Poll::Ready(Wake::Told);
        }
        if self.stage == Stage::Open
            && let Some(news) = self.context.goodbye.take_news()
        {
            return Poll::Ready(Wake::News(news));
        }
        let has_begun = self.turn.has_begun();
        // What is due is due also where there is always something to read.
        if !has_begun && self.turn.is_next() && self.due() <= self.turn.now() {
            return Poll::Ready(Wake::Timer);
        }
        if has_begun && let Poll::Ready(wake) = self.poll_read(cx) {
            return Poll::Ready(wake);
        }
        if let Poll::Ready(wake) = self.poll_write(cx) {
            return Poll::Ready(wake);
        }
        if !has_begun && let Poll::Ready(wake) = self.poll_read(cx) {
            return Poll::Ready(wake);
        }
        if self.is_held_up() {
            self.seat.on_alive();
        }
        // Set only now: a message that has just begun, or a write that is stuck, has a deadline of its own.
        let due = self.due();
        if due < timer.deadline() || (timer.is_elapsed() && due != timer.deadline()) {
            timer.as_mut().reset(due);
        }
        timer.poll(cx).map(|()| Wake::Timer)
    }

    /// What goes to the peer.
    fn poll_write(&mut self, cx: &mut Context<'_>) -> Poll<Wake> {
        if self.conn.queued_bytes() > 0 {
            match self.conn.poll_flush(cx) {
                Poll::Ready(Ok(())) => {}
                Poll::Ready(Err(_)) => return Poll::Ready(Wake::WriteFailed),
                Poll::Pending => {
                    self.clocks.writing(self.conn.queued_bytes());
                    if self.stage != Stage::Cut {
                        return if matches!(self.stage, Stage::Closed | Stage::Parting) {
                            Poll::Pending
                        } else {
                            self.seat.inbox().poll_urgent(cx).map(Wake::Urgent)
                        };
                    }
                }
            }
        }
        if self.conn.queued_bytes() == 0 {
            self.clocks.written();
            if self.stage == Stage::Closed {
                return Poll::Ready(Wake::Flushed);
            }
        }
        if self.stage == Stage::Parting {
            return Poll::Pending;
        }
        let mut items = ITEMS.take();
        let received = self.seat.inbox().poll_receive(cx, BATCH, &mut items).map(|received| match received {
            Received::Items => {
                self.on_items(&mut items);
                Wake::Items
            }
            Received::Revoked => Wake::Urgent(Urgent::Cut),
        });
        ITEMS.set(items);
        received
    }

    /// What the seat waits for: an answer, room, or its peer.
    fn poll_read(&mut self, cx: &mut Context<'_>) -> Poll<Wake> {
        if !self.stage.reads() {
            return Poll::Pending;
        }
        if let Some(answer) = &mut self.answer {
            return answer.poll_unpin(cx).map(Wake::Outcome);
        }
        if self.paused.is_some() {
            if let Poll::Ready(next) = self.seat.poll_room(cx) {
                return Poll::Ready(Wake::Room(next));
            }
            if self.after_room.is_some() {
                return Poll::Pending;
            }
        }
        if self.conn.queued_bytes() > 0 && self.seat.inbox().is_read_blocked() {
            return Poll::Pending;
        }
        let incoming = self.conn.poll_next(cx).map(Wake::Incoming);
        let is_message = matches!(incoming, Poll::Ready(Wake::Incoming(Incoming::Text | Incoming::Binary)));
        self.clocks.reading(self.conn.assembling(), is_message);
        self.note_pause();
        incoming
    }

    fn on_wake(&mut self, wake: Wake) -> Option<End> {
        let next = match wake {
            Wake::Flushed => return Some(End::Closed),
            Wake::WriteFailed => return Some(End::Broken),
            Wake::Incoming(incoming) => return self.on_incoming(incoming),
            Wake::Timer => return self.on_timer(),
            Wake::Items => return None,
            Wake::Told => {
                self.told = true;
                self.seat.on_shutdown(CloseCode::Restart)
            }
            Wake::News(news) => {
                self.on_news(news);
                return None;
            }
            Wake::Urgent(Urgent::Cut) => {
                self.stage = Stage::Cut;
                self.seat.on_cut(clock::now().into_std())
            }
            Wake::Urgent(Urgent::Notice(notice)) => self.seat.on_notice(notice),
            Wake::Outcome(outcome) => {
                self.on_outcome(outcome);
                return None;
            }
            Wake::Room(next) => return self.on_room(next),
        };
        self.go_on(next);
        None
    }

    fn on_incoming(&mut self, incoming: Incoming) -> Option<End> {
        let now = self.turn.now();
        self.clocks.heard(now);
        self.turn.count(if incoming == Incoming::Text { self.conn.text().len() } else { 0 });
        self.seat.on_alive();
        if self.has_to_wait(incoming) {
            return None;
        }
        let next = match incoming {
            Incoming::Text => self.seat.on_text(self.conn.text(), now.into_std()),
            Incoming::Pong { mark: Some(mark) } => {
                self.seat.inbox().confirm(mark.into());
                Next::Continue
            }
            Incoming::Ping | Incoming::Pong { mark: None } => Next::Continue,
            Incoming::Binary => self.seat.on_violation(Reject::BinaryMessage, now.into_std()),
            Incoming::Violation(violation) => match reject(violation) {
                Some(reject) => self.seat.on_violation(reject, now.into_std()),
                None => return self.on_broken_framing(),
            },
            Incoming::Closed(_) => {
                self.seat.on_closed();
                return Some(End::Left);
            }
            Incoming::Broken => return Some(End::Broken),
        };
        self.go_on(next);
        None
    }

    /// There is no message of the protocol for this: only the close code.
    fn on_broken_framing(&mut self) -> Option<End> {
        self.context.app.metrics.refused_with("framing");
        self.seat.on_closing();
        self.close(CloseCode::Protocol);
        None
    }

    fn on_items(&mut self, items: &mut Vec<Item>) {
        for item in items.drain(..) {
            match item {
                Item::Text(text) => {
                    self.turn.count(text.len());
                    self.conn.queue(Outgoing::Text(text));
                }
                Item::Notice(notice) => {
                    let next = self.seat.on_notice(notice);
                    self.go_on(next);
                }
                Item::Close(code) => {
                    self.seat.on_closing();
                    self.close(code);
                }
            }
        }
    }

    fn on_timer(&mut self) -> Option<End> {
        let now = clock::now();
        if self.seat.deadline().is_some_and(|deadline| deadline <= now.into_std()) && self.stage == Stage::Open {
            let next = self.seat.on_timer(now.into_std());
            self.go_on(next);
        }
        self.look_at_renewal(now);
        match self.clocks.on_timer(now) {
            Some(clocks::Due::Ping) => {
                self.ping();
                self.look_at_credential();
                None
            }
            Some(clocks::Due::Ask) => {
                self.ping();
                None
            }
            // While the seat waits for room, an error would go before what it waits with: the time begins again.
            Some(clocks::Due::Message) if self.stage == Stage::Open && self.paused.is_none() => {
                self.context.app.metrics.timed_out(Timeout::Message);
                let next = self.seat.on_violation(Reject::UnfinishedMessage, now.into_std());
                self.go_on(next);
                None
            }
            None | Some(clocks::Due::Message) => None,
            Some(clocks::Due::Idle) => {
                self.context.app.metrics.timed_out(Timeout::Idle);
                Some(End::Silent)
            }
            Some(clocks::Due::Write) if self.stage == Stage::Parting && self.conn.queued_bytes() == 0 => {
                Some(End::Unanswered)
            }
            Some(clocks::Due::Write) => {
                self.context.app.metrics.timed_out(Timeout::Write);
                Some(End::Stuck)
            }
        }
    }

    /// Carries out what the seat asks for.
    fn go_on(&mut self, next: Next) {
        match next {
            Next::Continue => {}
            Next::Paused => {
                self.paused.get_or_insert_with(|| self.context.app.metrics.paused_client());
            }
            Next::Await(request) => {
                // The answer may take a while.
                self.conn.forget_message();
                self.ask(request);
            }
            // However many ask for its device.
            Next::Ping => {
                if self.clocks.ask(self.turn.now()) {
                    self.ping();
                }
            }
            Next::Draining => {
                self.stage = Stage::Draining;
                self.clocks.parting(clock::now() + LAST_WRITE);
            }
            Next::Closing => {
                if self.stage == Stage::Open {
                    self.stage = Stage::Closing;
                }
                self.stop_reading();
            }
        }
    }

    fn close(&mut self, code: CloseCode) {
        self.context.app.metrics.closed(code);
        if let Some(trail) = &mut self.trail {
            trail.closed(code);
        }
        self.conn.queue(Outgoing::Close { code, reason: "" });
        if self.stage == Stage::Draining {
            self.stage = Stage::Parting;
            self.clocks.parting(clock::now() + HANG_UP);
        } else {
            self.stage = Stage::Closed;
            self.stop_reading();
        }
    }

    /// From here on only the close matters; what a device in a drain has sent is read all the same.
    fn stop_reading(&mut self) {
        if !self.stage.reads() {
            self.conn.discard();
        }
        self.clocks.closing(clock::now());
    }

    fn ping(&mut self) {
        self.conn.queue(Outgoing::Ping { mark: self.seat.inbox().mark().map(u64::from) });
    }
}
