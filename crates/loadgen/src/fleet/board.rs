//! What the peers of a fleet write down.

use std::sync::atomic::{AtomicU64, Ordering};

use anyhow::Result;
use parking_lot::Mutex;
use serde::Serialize;
use tokio::time::Instant;

use super::Who;
use crate::fault::{self, Fault, Faults, total};
use crate::latency::{Latency, Recorder};
use crate::resume::Welcome;
use crate::sample::Label;
use crate::sequence::{Sequence, Taken};

/// What came of all messages and sessions of a fleet.
#[derive(Clone, Debug, Default, Serialize)]
pub struct Totals {
    /// Messages that clients sent. What was sent again counts once.
    pub sent: u64,
    /// Of these, devices never got so many.
    pub lost_to_device: u64,
    /// Of the answers to the others, clients never got so many.
    pub lost_to_client: u64,
    /// Of those lost either way, so many were of sessions that nobody had told that messages may be lost.
    pub lost_untold: u64,
    /// Messages that devices got a second time.
    pub doubled_to_device: u64,
    /// Answers that clients got more often than the device had sent them.
    pub doubled_to_client: u64,
    /// Messages that a later one overtook.
    pub overtaken: u64,
    /// Sessions that were resumed with counts: nothing may be lost.
    pub resumed: u64,
    /// Sessions that another server took over after a planned end: nothing may be lost.
    pub handed_over: u64,
    /// Sessions that went on with their id, and were told that messages may be lost.
    pub recounted: u64,
    /// Sessions that had to begin anew, with another id.
    pub begun_anew: u64,
    /// Times that a client had not kept what the server asked for.
    pub gaps: u64,
    /// Times that a device saw another id for a client whose session had gone on.
    pub ids_changed: u64,
    /// Round trips, from when the message was due: they hold the outages.
    pub round_trip: Latency,
    /// What peers heard when their connections ended, or did not come about.
    pub heard: Faults,
    /// What should not have been.
    pub faults: Faults,
}

impl Totals {
    /// What went wrong. A message may be lost where the session was told so, and where it ended.
    pub(crate) fn count_faults(&self) -> u64 {
        let doubled = self.doubled_to_device + self.doubled_to_client;
        total(&self.faults) + self.lost_untold + doubled + self.overtaken + self.ids_changed
    }
}

/// One client's messages, as both sides see them.
#[derive(Debug, Default)]
struct Sender {
    sent: u64,
    at_device: Sequence,
    at_client: Sequence,
    id: Option<u32>,
    /// The next message may come with another id.
    may_change: bool,
    /// It knows that messages may be lost.
    is_told: bool,
}

#[derive(Debug)]
pub(super) struct Board {
    epoch: Instant,
    devices: usize,
    /// Nanoseconds from the epoch to the mark.
    mark: AtomicU64,
    /// For each peer, nanoseconds from the epoch to when it came since the mark; 0: not yet. Devices come first.
    came: Vec<AtomicU64>,
    first_break: Mutex<Option<Instant>>,
    senders: Vec<Mutex<Sender>>,
    totals: Mutex<Totals>,
    round_trips: Recorder,
}

impl Board {
    pub(super) fn new(devices: usize, clients: usize) -> Result<Self> {
        Ok(Self {
            epoch: Instant::now(),
            devices,
            mark: AtomicU64::new(0),
            came: (0..devices + clients).map(|_| AtomicU64::new(0)).collect(),
            first_break: Mutex::default(),
            senders: (0..clients).map(|_| Mutex::default()).collect(),
            totals: Mutex::default(),
            round_trips: Recorder::new()?,
        })
    }

    pub(super) fn nanos(&self, at: Instant) -> u64 {
        u64::try_from((at - self.epoch).as_nanos()).unwrap_or(u64::MAX)
    }

    pub(super) fn mark(&self) -> Instant {
        let now = Instant::now();
        self.mark.store(self.nanos(now), Ordering::Relaxed);
        self.came.iter().for_each(|came| came.store(0, Ordering::Relaxed));
        *self.first_break.lock() = None;
        now
    }

    /// What was heard until all were there for the first time is of no interest.
    pub(super) fn forget(&self) {
        self.totals.lock().heard.clear();
    }

    pub(super) fn first_break(&self) -> Option<Instant> {
        *self.first_break.lock()
    }

    pub(super) fn heard(&self) -> Faults {
        self.totals.lock().heard.clone()
    }

    /// How many there should be, and the seconds since the mark at which they came.
    pub(super) fn came(&self, who: Who) -> (usize, Vec<f64>) {
        let of = if who == Who::All { &self.came[..] } else { &self.came[self.devices..] };
        let mark = self.mark.load(Ordering::Relaxed);
        let times = of.iter().map(|came| came.load(Ordering::Relaxed)).filter(|came| *came > 0);
        (of.len(), times.map(|came| came.saturating_sub(mark) as f64 / 1e9).collect())
    }

    pub(super) fn device_came(&self, number: usize) {
        self.has_come(number);
    }

    pub(super) fn client_came(&self, number: usize, welcome: Welcome, is_first: bool) {
        self.has_come(self.devices + number);
        let has_gap = matches!(welcome, Welcome::Resumed { gap } | Welcome::HandedOver { gap } if gap > 0);
        let has_begun_anew = welcome == Welcome::New && !is_first;
        {
            let mut sender = self.senders[number].lock();
            sender.may_change |= has_begun_anew;
            sender.is_told |= has_gap || has_begun_anew || welcome == Welcome::Recounted;
        }
        let mut totals = self.totals.lock();
        totals.gaps += u64::from(has_gap);
        match welcome {
            Welcome::New => totals.begun_anew += u64::from(has_begun_anew),
            Welcome::Resumed { .. } => totals.resumed += 1,
            Welcome::HandedOver { .. } => totals.handed_over += 1,
            Welcome::Recounted => totals.recounted += 1,
        }
    }

    /// A device's connection ended.
    pub(super) fn device_broke(&self, number: usize, fault: &Fault) {
        self.has_broken(number);
        self.heard_of(fault);
    }

    /// A client's connection ended, with a fault or because it was cut by ourselves.
    pub(super) fn client_broke(&self, number: usize, fault: Option<&Fault>) {
        self.has_broken(self.devices + number);
        if let Some(fault) = fault {
            self.heard_of(fault);
        }
    }

    /// An attempt came to nothing, or how a connection ended.
    pub(super) fn heard_of(&self, fault: &Fault) {
        fault::count(&mut self.totals.lock().heard, fault);
    }

    pub(super) fn fault(&self, fault: &Fault) {
        fault::count(&mut self.totals.lock().faults, fault);
    }

    pub(super) fn sent(&self, number: usize) {
        self.senders[number].lock().sent += 1;
    }

    /// A device got a message from the client with this id.
    pub(super) fn at_device(&self, label: Label, id: u32) {
        let Some(sender) = self.senders.get(label.sender as usize) else {
            self.fault(&Fault::Misdelivered(label.sender));
            return;
        };
        let mut sender = sender.lock();
        let taken = sender.at_device.take(label.number);
        let has_changed = sender.id.replace(id).is_some_and(|old| old != id);
        let is_wrong = has_changed && !std::mem::take(&mut sender.may_change);
        drop(sender);
        let mut totals = self.totals.lock();
        totals.ids_changed += u64::from(is_wrong);
        totals.doubled_to_device += u64::from(taken == Taken::Doubled);
        totals.overtaken += u64::from(taken == Taken::Overtaken);
    }

    /// A client got an answer.
    pub(super) fn at_client(&self, label: Label) {
        self.round_trips.record_nanos(std::iter::once(self.nanos(Instant::now()).saturating_sub(label.time)));
        let taken = self.senders[label.sender as usize].lock().at_client.take(label.number);
        let mut totals = self.totals.lock();
        totals.doubled_to_client += u64::from(taken == Taken::Doubled);
        totals.overtaken += u64::from(taken == Taken::Overtaken);
    }

    /// Whether a client has had all its answers.
    pub(super) fn is_answered(&self, number: usize) -> bool {
        let sender = self.senders[number].lock();
        sender.at_client.count() == sender.sent
    }

    pub(super) fn totals(&self) -> Totals {
        let mut totals = self.totals.lock().clone();
        for sender in &self.senders {
            let sender = sender.lock();
            totals.sent += sender.sent;
            let (at_device, at_client) = (sender.at_device.count(), sender.at_client.count());
            let (to_device, to_client) = (sender.sent.saturating_sub(at_device), at_device.saturating_sub(at_client));
            totals.lost_to_device += to_device;
            totals.lost_to_client += to_client;
            totals.lost_untold += if sender.is_told { 0 } else { to_device + to_client };
        }
        // What a device got twice it has answered twice.
        totals.doubled_to_client = totals.doubled_to_client.saturating_sub(totals.doubled_to_device);
        totals.round_trip = self.round_trips.latency();
        totals
    }

    /// Whoever came since the mark and has broken again has to come again.
    fn has_broken(&self, peer: usize) {
        self.came[peer].store(0, Ordering::Relaxed);
        self.first_break.lock().get_or_insert_with(Instant::now);
    }

    fn has_come(&self, peer: usize) {
        self.came[peer].store(self.nanos(Instant::now()).max(1), Ordering::Relaxed);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn label(number: u64) -> Label {
        Label { sender: 0, number, time: 0 }
    }

    #[test]
    fn what_is_lost_and_doubled_is_told_by_direction() {
        let board = Board::new(1, 1).unwrap();
        (0..5).for_each(|_| board.sent(0));
        [0, 1, 1, 3, 4].iter().for_each(|n| board.at_device(label(*n), 7));
        [0, 1, 1, 4, 4].iter().for_each(|n| board.at_client(label(*n)));
        let totals = board.totals();
        assert_eq!((totals.sent, totals.lost_to_device, totals.lost_to_client), (5, 1, 1));
        assert_eq!((totals.doubled_to_device, totals.doubled_to_client), (1, 1));
        assert_eq!(totals.count_faults(), 4);
        assert!(!board.is_answered(0));
    }

    #[test]
    fn an_id_may_change_only_when_a_session_began_anew() {
        let board = Board::new(1, 1).unwrap();
        board.client_came(0, Welcome::New, true);
        board.at_device(label(0), 7);
        board.client_came(0, Welcome::Resumed { gap: 0 }, false);
        board.at_device(label(1), 8);
        assert_eq!(board.totals().ids_changed, 1);
        board.client_came(0, Welcome::New, false);
        board.at_device(label(2), 9);
        let totals = board.totals();
        assert_eq!((totals.ids_changed, totals.begun_anew, totals.resumed), (1, 1, 1));
    }

    #[test]
    fn what_was_told_to_be_lost_is_no_fault() {
        let board = Board::new(1, 1).unwrap();
        board.sent(0);
        assert_eq!(board.totals().count_faults(), 1);
        board.client_came(0, Welcome::Recounted, false);
        assert_eq!((board.totals().count_faults(), board.totals().lost_to_device), (0, 1));
    }

    #[test]
    fn one_that_was_told_excuses_no_other() {
        let board = Board::new(1, 2).unwrap();
        board.sent(0);
        board.sent(1);
        board.client_came(0, Welcome::Recounted, false);
        let totals = board.totals();
        assert_eq!((totals.lost_to_device, totals.lost_untold, totals.count_faults()), (2, 1, 1));
    }

    #[test]
    fn who_came_before_the_mark_has_to_come_again() {
        let board = Board::new(1, 2).unwrap();
        board.device_came(0);
        board.client_came(1, Welcome::New, true);
        assert_eq!((board.came(Who::All).1.len(), board.came(Who::Clients).1.len()), (2, 1));
        board.mark();
        assert_eq!(board.came(Who::All), (3, Vec::new()));
        assert_eq!(board.first_break(), None);
        board.heard_of(&Fault::Cut("x".into()));
        assert_eq!(board.first_break(), None);
        board.client_came(0, Welcome::Recounted, false);
        assert_eq!(board.came(Who::Clients).1.len(), 1);
        board.client_broke(0, None);
        assert!(board.first_break().is_some() && board.came(Who::All).1.is_empty(), "it has to come again");
    }
}
