//! The timers of one connection, all behind one sleep.
//!
//! Invariant: what happens often (a frame came, a write ended) only stores; the times are compared when the sleep ends.

use std::sync::Arc;
use std::time::Duration;

use cuttlebone_hub::Seat;
use tokio::time::Instant;

use crate::clock;
use crate::settings::Settings;

/// How often to look whether a message may go on that others hold up.
const LOOK_AGAIN: Duration = Duration::from_millis(100);

/// How long a peer that was asked whether it lives is not asked again, or a tenth of the time it has to answer.
const ASK_AGAIN: Duration = Duration::from_millis(20);

/// What a timer is due for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Due {
    /// Ping the peer.
    Ping,
    /// Ping the peer: somebody wants to know whether it lives.
    Ask,
    /// The peer began a message and does not end it.
    Message,
    /// Nothing came from the peer for too long.
    Idle,
    /// The peer does not read; or has read the close and does not close too.
    Write,
}

/// What few connections ever wait for.
#[derive(Debug, Default)]
struct Rare {
    /// When to look whether a message may go on that others hold up.
    look_at: Option<Instant>,
    asked: Option<Asked>,
}

/// Whether the peer lives.
#[derive(Debug)]
struct Asked {
    /// Until when it is not asked again.
    until: Instant,
    /// Whether somebody wants to know since.
    again: bool,
}

#[derive(Debug)]
pub(super) struct Clocks {
    settings: Arc<Settings>,
    /// When something came last, or when the peer is read again: from then on it is silent.
    heard: Instant,
    /// Nothing is read from the peer, so that it can't be heard.
    deaf: bool,
    ping_at: Instant,
    message_until: Option<Instant>,
    /// When the peer is read again, if the transport holds it back.
    read_at: Option<Instant>,
    /// Boxed: most connections never have any of it.
    rare: Option<Box<Rare>>,
    write_until: Option<Instant>,
    unwritten: u32,
    closing: bool,
}

impl Clocks {
    pub(super) fn new(settings: Arc<Settings>, now: Instant) -> Self {
        let ping_at = now + jittered(settings.timeouts.ping);
        Self {
            settings,
            heard: now,
            deaf: false,
            ping_at,
            message_until: None,
            read_at: None,
            rare: None,
            write_until: None,
            unwritten: 0,
            closing: false,
        }
    }

    /// When the next timer is due.
    pub(super) fn due(&self, seat: &Seat) -> Instant {
        let mut due = self.ping_at;
        if !self.deaf {
            due = due.min(self.heard + self.settings.timeouts.idle);
        }
        if self.closing {
            due = far(self.heard);
        }
        let rare = self.rare.as_deref();
        let look_at = rare.and_then(|rare| rare.look_at);
        let asked = rare.and_then(|rare| rare.asked.as_ref()).filter(|asked| asked.again && !self.closing);
        let ask_at = asked.map(|asked| asked.until);
        let seat = if self.closing { None } else { seat.deadline().map(Instant::from_std) };
        [seat, self.message_until, self.read_at, look_at, ask_at, self.write_until]
            .into_iter()
            .flatten()
            .fold(due, Instant::min)
    }

    /// What is due at `now`, one at a time.
    pub(super) fn on_timer(&mut self, now: Instant) -> Option<Due> {
        if self.write_until.is_some_and(|until| until <= now) {
            return Some(Due::Write);
        }
        if self.read_at.is_some_and(|at| at <= now) {
            // Being awake is all that this one is for.
            self.read_at = None;
        }
        if let Some(rare) = &mut self.rare {
            rare.look_at = rare.look_at.filter(|at| *at > now);
        }
        if self.closing {
            return None;
        }
        if !self.deaf && self.heard + self.settings.timeouts.idle <= now {
            return Some(Due::Idle);
        }
        if self.message_until.is_some_and(|until| until <= now) {
            self.message_until = None;
            return Some(Due::Message);
        }
        let asked = self.rare.as_ref().and_then(|rare| rare.asked.as_ref());
        if asked.is_some_and(|asked| asked.again && asked.until <= now) {
            self.ask(now);
            return Some(Due::Ask);
        }
        if self.ping_at <= now {
            self.ping_at = now + jittered(self.settings.timeouts.ping);
            return Some(Due::Ping);
        }
        None
    }

    /// Something came, or the peer is read again.
    pub(super) fn heard(&mut self, now: Instant) {
        self.deaf = false;
        self.heard = self.heard.max(now);
    }

    /// Somebody wants to know whether the peer lives. Gives whether it is to be asked now; else it will be in a moment, for all
    /// who want to know by then.
    pub(super) fn ask(&mut self, now: Instant) -> bool {
        let asked = &mut self.rare.get_or_insert_default().asked;
        if let Some(asked) = asked.as_mut().filter(|asked| asked.until > now) {
            asked.again = true;
            return false;
        }
        let until = now + ASK_AGAIN.min(self.settings.hub.probe / 10);
        *asked = Some(Asked { until, again: false });
        true
    }

    /// The peer was asked for more: `assembling` if it is in the middle of a message, `is_message` if one was complete.
    /// A ping in the middle of a message gives it no more time.
    pub(super) fn reading(&mut self, assembling: bool, is_message: bool) {
        if !assembling || self.closing {
            self.message_until = None;
        } else if is_message || self.message_until.is_none() {
            self.message_until = Some(clock::now() + self.settings.timeouts.message);
        }
    }

    /// The peer is not read until [`Clocks::heard`]: neither its silence nor an unfinished message is its fault.
    pub(super) fn not_reading(&mut self) {
        self.deaf = true;
        self.message_until = None;
    }

    /// Until when the transport does not read the peer, if it does not. Gives whether that is news. Meanwhile the peer can
    /// neither be heard nor end its message, so both get as much more time.
    pub(super) fn held_back(&mut self, until: Option<Instant>) -> bool {
        let is_news = until.is_some() && until != self.read_at;
        if let Some(until) = until.filter(|_| is_news) {
            let now = clock::now();
            let more = until.saturating_duration_since(self.read_at.unwrap_or(now).max(now));
            self.message_until = self.message_until.map(|at| at + more);
            self.heard = self.heard.max(until);
        }
        self.read_at = until;
        is_news
    }

    /// Whether the message that the peer has begun waits for those of others. It has no more time for that: all hold
    /// memory, and time is what ends them.
    pub(super) fn waits_for_others(&mut self, waits: bool) {
        if waits {
            self.rare.get_or_insert_default().look_at.get_or_insert_with(|| clock::now() + LOOK_AGAIN);
        } else if let Some(rare) = &mut self.rare {
            rare.look_at = None;
        }
    }

    /// A write did not end; `unwritten` bytes are left.
    pub(super) fn writing(&mut self, unwritten: usize) {
        let unwritten = u32::try_from(unwritten).unwrap_or(u32::MAX);
        let is_progress = self.write_until.is_some() && unwritten < self.unwritten;
        if self.write_until.is_none() || (is_progress && !self.closing) {
            self.write_until = Some(clock::now() + self.settings.timeouts.write);
        }
        self.unwritten = unwritten;
    }

    /// Everything is written.
    pub(super) fn written(&mut self) {
        if !self.closing {
            self.write_until = None;
        }
    }

    /// The server stops, and the peer has until then to read what is queued for it, or to close too.
    pub(super) fn parting(&mut self, until: Instant) {
        self.closing = true;
        self.write_until = Some(until);
        self.message_until = None;
    }

    /// From now on the whole rest has the time of one write.
    pub(super) fn closing(&mut self, now: Instant) {
        if !std::mem::replace(&mut self.closing, true) {
            self.write_until = Some(now + self.settings.timeouts.write);
            self.message_until = None;
            self.read_at = None;
            self.rare = None;
        }
    }
}

/// The same moment for timers that have none: further away than any deadline.
fn far(now: Instant) -> Instant {
    now + Duration::from_secs(86_400)
}

/// A tenth more or less, so that connections made together do not ping together.
fn jittered(interval: Duration) -> Duration {
    let mut random = [0_u8; 1];
    let _ = getrandom::fill(&mut random);
    interval.mul_f64(0.9 + f64::from(random[0]) / 1275.0)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::app::App;
    use crate::settings::Settings;
    use cuttlebone_hub::SeatOptions;

    const SECOND: Duration = Duration::from_secs(1);

    #[tokio::test(start_paused = true)]
    async fn peer_is_asked_now_and_then_however_many_want_to_know() {
        let app = App::for_test(Settings::default());
        let mut clocks = Clocks::new(Arc::clone(&app.settings), clock::now());
        let (mut asked, mut waits) = (0, 0);
        for _ in 0..1000 {
            asked += usize::from(clocks.ask(clock::now()));
            waits += usize::from(!clocks.ask(clock::now()));
            tokio::time::advance(Duration::from_millis(1)).await;
            asked += usize::from(clocks.on_timer(clock::now()) == Some(Due::Ask));
        }
        assert_eq!((asked, waits), (51, 1000), "at once, and fifty times a second");
        assert!(!clocks.ask(clock::now()));
        tokio::time::advance(ASK_AGAIN).await;
        assert_eq!(clocks.on_timer(clock::now()), Some(Due::Ask), "whoever waits");
        assert_eq!(clocks.on_timer(clock::now()), None);
        tokio::time::advance(ASK_AGAIN).await;
        assert!(clocks.ask(clock::now()), "at once again");
        // Whoever has little time to answer is asked well within it.
        let mut settings = Settings::default();
        settings.hub.probe = Duration::from_millis(50);
        let mut clocks = Clocks::new(Arc::clone(&App::for_test(settings).settings), clock::now());
        assert!(clocks.ask(clock::now()) && !clocks.ask(clock::now()));
        tokio::time::advance(Duration::from_millis(5)).await;
        assert_eq!(clocks.on_timer(clock::now()), Some(Due::Ask));
    }

    #[tokio::test(start_paused = true)]
    async fn peer_that_is_held_back_wakes_the_task_once() {
        let app = App::for_test(Settings::default());
        let options = SeatOptions {
            depth: 1,
            device_info_bytes: 1,
            first_message: SECOND * 60,
            small_reader: false,
            party: None,
            owner: None,
        };
        let seat = Seat::client(&app.registry, &options, clock::now().into_std());
        let mut clocks = Clocks::new(Arc::clone(&app.settings), clock::now());
        let until = clock::now() + SECOND;
        assert!(clocks.held_back(Some(until)) && !clocks.held_back(Some(until)), "news once");
        assert_eq!(clocks.due(&seat), until);
        tokio::time::advance(SECOND).await;
        // The seat may wait for something else meanwhile: nobody asks the transport.
        assert_eq!(clocks.on_timer(clock::now()), None);
        assert!(clocks.due(&seat) > clock::now(), "not due again and again");
        // A device is read on while the server stops.
        clocks.parting(clock::now() + SECOND * 9);
        clocks.held_back(Some(clock::now() + SECOND));
        tokio::time::advance(SECOND).await;
        assert_eq!(clocks.on_timer(clock::now()), None);
        assert_eq!(clocks.due(&seat), clock::now() + SECOND * 8);
    }
}
