//! What is asked, and what is asked again: without I/O.

use std::collections::{HashMap, VecDeque};
use std::net::IpAddr;
use std::sync::{Arc, Weak};
use std::time::Duration;

use cuttlebone_access::{HookAnswer, Principal, Recent, Standing, Token, TokenHash, Weighs};
use tokio::sync::watch;
use tokio::time::Instant;

use super::circuit::{Circuit, Turn};
use super::{HookSettings, Outcome};

/// How often it is said that an answer can't be used: anybody may cause one.
const TELL_EVERY: Duration = Duration::from_secs(60);

/// A token to ask about.
#[derive(Debug)]
pub(super) struct Ask {
    pub(super) hash: TokenHash,
    pub(super) token: Token,
    /// Who presented it; nobody, where it is asked about again.
    pub(super) address: Option<IpAddr>,
    /// It is asked about because of those who are here.
    is_again: bool,
}

/// Now, by both clocks.
#[derive(Debug, Clone, Copy)]
pub(super) struct Now {
    pub(super) instant: Instant,
    /// Seconds since 1970.
    pub(super) unix: u64,
}

/// What the hook has said, who waits for it, and who is here because of it.
#[derive(Debug)]
pub(super) struct Table {
    settings: HookSettings,
    answers: Recent<Answer>,
    /// Who waits, by the token that they wait for. Its ask is in the queue, or with the hook.
    flights: HashMap<TokenHash, watch::Sender<Option<Outcome>>>,
    queue: VecDeque<Ask>,
    live: HashMap<TokenHash, Live>,
    /// Those of them that are to be asked about again now.
    again: VecDeque<TokenHash>,
    running: Running,
    circuit: Circuit,
    /// Tokens that were taken back since the last look.
    withdrawn: usize,
    /// When an answer was last told of that can't be used.
    unusable_told: Option<Instant>,
}

/// How many the hook is being asked about.
#[derive(Debug, Clone, Copy, Default)]
struct Running {
    newcomers: usize,
    /// Because of those who are here.
    again: usize,
}

impl Running {
    fn count(&mut self, is_again: bool, difference: isize) {
        let count = if is_again { &mut self.again } else { &mut self.newcomers };
        *count = count.saturating_add_signed(difference);
    }
}

#[derive(Debug, Clone)]
struct Answer {
    outcome: Outcome,
    good_until: Instant,
}

impl Answer {
    /// Whether nobody but this holds the standing: nobody is here by it. Asked of the second one, which was looked up.
    fn is_all_of(&self, standing: &Weak<Standing>) -> bool {
        let Outcome::Recognised(principal) = &self.outcome else { return false };
        Arc::strong_count(principal) <= 2 && standing.strong_count() <= 1
    }
}

impl Weighs for Answer {
    fn bytes(&self) -> usize {
        if let Outcome::Recognised(principal) = &self.outcome { principal.bytes() } else { 0 }
    }
}

/// A token that somebody who may be here came with.
#[derive(Debug)]
struct Live {
    token: Token,
    answer: HookAnswer,
    /// Held by all who came with it, and while the answer is kept.
    standing: Weak<Standing>,
    /// When it is to be asked about again; nothing while it is about to be.
    due: Option<Instant>,
    /// Whether its time was over when it was looked at last.
    is_over: bool,
}

/// What becomes of somebody who asks for an outcome.
pub(super) enum Begun {
    /// It is there.
    Done(Outcome),
    /// It will be.
    Waits(watch::Receiver<Option<Outcome>>),
    /// Too many wait.
    Busy,
    /// The hook fails, and is left alone.
    Closed,
}

impl Table {
    pub(super) fn new(settings: &HookSettings) -> Self {
        Self {
            answers: Recent::new(settings.kept),
            settings: settings.clone(),
            flights: HashMap::new(),
            queue: VecDeque::new(),
            live: HashMap::new(),
            again: VecDeque::new(),
            running: Running::default(),
            circuit: Circuit::default(),
            withdrawn: 0,
            unusable_told: None,
        }
    }

    /// What the hook said of the token lately.
    pub(super) fn kept(&self, hash: &TokenHash, now: Now) -> Option<Outcome> {
        let answer = self.answers.find(hash).filter(|answer| now.instant < answer.good_until)?;
        let is_over = matches!(&answer.outcome, Outcome::Recognised(principal) if principal.is_over(now.unix));
        (!is_over).then_some(answer.outcome)
    }

    /// Asks about a token, together with all who ask about the same.
    pub(super) fn begin(&mut self, token: &Token, address: Option<IpAddr>, now: Now) -> Begun {
        let hash = token.hash();
        if let Some(outcome) = self.kept(&hash, now) {
            return Begun::Done(outcome);
        }
        if let Some(flight) = self.flights.get(&hash) {
            return Begun::Waits(flight.subscribe());
        }
        if self.circuit.is_closed(now.instant) {
            return Begun::Closed;
        }
        if self.flights.len() >= self.settings.asks + self.settings.waiting {
            return Begun::Busy;
        }
        let (flight, outcome) = watch::channel(None);
        self.flights.insert(hash, flight);
        self.queue.push_back(Ask { hash, token: token.clone(), address, is_again: false });
        Begun::Waits(outcome)
    }

    /// The next to ask the hook about, until [`Self::on_recognised`] or another of them has its answer. Those who came first, and
    /// then those who are here. Neither keeps the other out: newcomers leave a quarter of the places to those who are here, where
    /// some are due, and these never take more than half.
    pub(super) fn next(&mut self, now: Instant) -> Option<Ask> {
        let Running { newcomers, again } = self.running;
        if newcomers + again >= self.settings.asks {
            return None;
        }
        let kept_free = if self.again.is_empty() { 0 } else { (self.settings.asks / 4).max(1) };
        let mut next = None;
        if newcomers + kept_free < self.settings.asks {
            next = self.next_newcomer(now);
        }
        if next.is_none() && again < self.settings.asks / 2 {
            next = self.next_again(now);
        }
        self.running.count(next.as_ref()?.is_again, 1);
        next
    }

    fn next_newcomer(&mut self, now: Instant) -> Option<Ask> {
        while let Some(ask) = self.queue.pop_front() {
            if self.flights.get(&ask.hash).is_none_or(|flight| flight.is_closed()) {
                self.flights.remove(&ask.hash);
            } else if self.circuit.take(now) {
                return Some(ask);
            } else {
                self.tell(&ask.hash, Outcome::Failed);
            }
        }
        None
    }

    fn next_again(&mut self, now: Instant) -> Option<Ask> {
        while let Some(hash) = self.again.pop_front() {
            let Some(live) = self.live.get(&hash) else { continue };
            let queued = self.queue.iter().position(|ask| ask.hash == hash);
            if queued.is_none() && self.flights.contains_key(&hash) {
                // The hook is being asked because of somebody else: the answer says when it is due next.
                continue;
            }
            let ask = Ask { hash, token: live.token.clone(), address: None, is_again: true };
            if !self.circuit.take(now) {
                self.again.push_front(hash);
                return None;
            }
            if let Some(at) = queued {
                // Who waits may hang up, and would not be asked about then.
                self.queue.remove(at);
            }
            // Whoever comes with it meanwhile waits for this, as who has come.
            self.flights.entry(hash).or_insert_with(|| watch::channel(None).0);
            return Some(ask);
        }
        None
    }

    /// The hook recognises the token.
    pub(super) fn on_recognised(&mut self, ask: Ask, answer: HookAnswer, now: Now) -> Turn {
        self.running.count(ask.is_again, -1);
        let ends = answer.expires_at(now.unix);
        // A second more, for the one that has begun.
        let stale = now.unix.saturating_add(self.settings.stale.as_secs()).saturating_add(1);
        let standing = self.standing(&ask, &answer, stale.min(ends.unwrap_or(u64::MAX)));
        let outcome = Outcome::Recognised(Arc::new(Principal::of_hook(&answer, Arc::clone(&standing), now.unix)));
        let longest = ends.map_or(Duration::MAX, |ends| Duration::from_secs(ends - now.unix));
        let kept_until = now.instant + self.settings.cache.min(longest);
        match self.answers.find(&ask.hash) {
            // To ask again makes no answer last longer: who has left would be asked about for ever.
            Some(old) if ask.is_again => self.keep(ask.hash, outcome, old.good_until.min(kept_until)),
            None if ask.is_again => self.tell(&ask.hash, outcome),
            _ => self.keep(ask.hash, outcome, kept_until),
        }
        let due = Some(now.instant + self.settings.recheck);
        self.live.insert(
            ask.hash,
            Live { token: ask.token, answer, standing: Arc::downgrade(&standing), due, is_over: false },
        );
        self.circuit.on_answer()
    }

    /// The hook does not recognise it.
    pub(super) fn on_denied(&mut self, ask: &Ask, now: Now) -> Turn {
        self.running.count(ask.is_again, -1);
        let hash = ask.hash;
        self.end(&hash);
        self.keep(hash, Outcome::Denied, now.instant + self.settings.denied_cache);
        self.circuit.on_answer()
    }

    /// The hook says nothing, or nothing that can be read. Whoever is here stays for now.
    pub(super) fn on_failed(&mut self, ask: &Ask, now: Now) -> Turn {
        self.running.count(ask.is_again, -1);
        let hash = ask.hash;
        if let Some(live) = self.live.get_mut(&hash) {
            live.due = Some(now.instant + self.settings.recheck);
        }
        self.tell(&hash, Outcome::Failed);
        self.circuit.on_failure(now.instant)
    }

    /// The hook answers, and nothing that can be used: that is about this token, and not about the hook. It is not asked about it
    /// again for a while. Gives whether that is news.
    pub(super) fn on_unusable(&mut self, ask: &Ask, now: Now) -> bool {
        self.running.count(ask.is_again, -1);
        let hash = ask.hash;
        if let Some(live) = self.live.get_mut(&hash) {
            live.due = Some(now.instant + self.settings.recheck);
        }
        self.keep(hash, Outcome::Failed, now.instant + self.settings.denied_cache);
        self.circuit.on_answer();
        let is_news = self.unusable_told.is_none_or(|told| now.instant - told >= TELL_EVERY);
        if is_news {
            self.unusable_told = Some(now.instant);
        }
        is_news
    }

    /// Looks after those who are here. How many tokens with which somebody was are not good any more: because they were withdrawn, and
    /// because their time is over, which each connection sees by itself.
    pub(super) fn look(&mut self, now: Now) -> (usize, usize) {
        let (answers, again) = (&self.answers, &mut self.again);
        let withdrawn = std::mem::take(&mut self.withdrawn);
        let mut over = 0;
        self.live.retain(|hash, live| {
            if live.due.is_some_and(|due| due <= now.instant) {
                let kept = answers.peek(hash);
                // It is asked about as soon as somebody is here.
                if !kept.as_ref().is_some_and(|answer| answer.is_all_of(&live.standing)) {
                    live.due = None;
                    again.push_back(*hash);
                }
                // An answer that is kept no longer holds nobody here.
                if kept.is_some_and(|answer| answer.good_until <= now.instant) {
                    answers.forget(hash);
                }
            }
            let Some(standing) = live.standing.upgrade() else { return false };
            // Somebody may still hold something by it, such as a lease: it is asked about as long as that is so.
            let is_over = standing.until() <= now.unix;
            over += usize::from(is_over && !live.is_over);
            live.is_over = is_over;
            true
        });
        (withdrawn, over)
    }

    /// Forgets what was said lately. Who is here is asked about as before.
    pub(super) fn forget(&mut self) {
        self.answers.clear();
    }

    /// Tokens of which somebody may be here.
    pub(super) fn live(&self) -> usize {
        self.live.len()
    }

    /// How long the given one has stood, or a new one: it ends for those who were told something else.
    fn standing(&mut self, ask: &Ask, answer: &HookAnswer, until: u64) -> Arc<Standing> {
        let old = self.live.get(&ask.hash).filter(|live| live.answer.is_same(answer));
        let standing = old.and_then(|live| live.standing.upgrade());
        // One that ended stays so.
        if let Some(standing) = standing.filter(|standing| standing.extend(until)) {
            return standing;
        }
        self.end(&ask.hash);
        // What its `Live` takes.
        Arc::new(Standing::new(until, size_of::<Live>() + ask.token.as_str().len() + answer.bytes()))
    }

    /// Whoever is here with the token may not be any more.
    fn end(&mut self, hash: &TokenHash) {
        if let Some(standing) = self.live.remove(hash).and_then(|live| live.standing.upgrade()) {
            standing.end();
            self.withdrawn += 1;
        }
    }

    fn keep(&mut self, hash: TokenHash, outcome: Outcome, good_until: Instant) {
        self.answers.keep(hash, Answer { outcome: outcome.clone(), good_until });
        self.tell(&hash, outcome);
    }

    fn tell(&mut self, hash: &TokenHash, outcome: Outcome) {
        if let Some(flight) = self.flights.remove(hash) {
            flight.send_replace(Some(outcome));
        }
    }
}

#[cfg(test)]
mod tests;
