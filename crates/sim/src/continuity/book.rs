//! What was sent, what arrived, and what of it may be lost.

use std::collections::{BTreeMap, BTreeSet};
use std::time::{Duration, Instant};

/// One session of a viewer, from a new `connect` until it is over.
pub(super) type SessionKey = u64;

/// Messages of one direction of one session, numbered from 0.
#[derive(Debug, Default)]
struct Direction {
    sent: u64,
    arrived: u64,
    /// Lost with the device's connection: nobody can know of these.
    lost: BTreeSet<u64>,
    /// Before this, anything may be lost: the viewer was told so, or will be.
    uncertain: u64,
}

#[derive(Debug, Default)]
struct Account {
    up: Direction,
    down: Direction,
    over: bool,
    /// Since when the viewer has not been attached.
    away_since: Option<Instant>,
    may_be_reported: bool,
    reported: u64,
}

/// The book of one run.
#[derive(Debug, Default)]
pub(super) struct Book {
    accounts: BTreeMap<SessionKey, Account>,
}

impl Direction {
    fn arrives(&mut self, number: u64) {
        while self.arrived < number && (self.lost.contains(&self.arrived) || self.arrived < self.uncertain) {
            self.arrived += 1;
        }
        assert_eq!(self.arrived, number, "a message was lost, doubled or overtaken");
        self.arrived += 1;
    }

    fn is_complete(&self) -> bool {
        (self.arrived..self.sent).all(|number| self.lost.contains(&number) || number < self.uncertain)
    }
}

impl Book {
    pub(super) fn begin(&mut self) -> SessionKey {
        let key = self.accounts.len() as u64 + 1;
        self.accounts.insert(key, Account::default());
        key
    }

    /// The number of the viewer's next message.
    pub(super) fn sends_up(&mut self, key: SessionKey) -> u64 {
        let up = &mut self.account(key).up;
        up.sent += 1;
        up.sent - 1
    }

    /// The number of the device's next message.
    pub(super) fn sends_down(&mut self, key: SessionKey) -> u64 {
        let down = &mut self.account(key).down;
        down.sent += 1;
        down.sent - 1
    }

    pub(super) fn device_reads(&mut self, key: SessionKey, number: u64) {
        let account = self.account(key);
        assert_eq!(account.reported, 0, "a message of a client after its client_disconnected");
        account.up.arrives(number);
    }

    pub(super) fn viewer_reads(&mut self, key: SessionKey, number: u64) {
        self.account(key).down.arrives(number);
    }

    pub(super) fn loses_up(&mut self, key: SessionKey, number: u64) {
        self.account(key).up.lost.insert(number);
    }

    pub(super) fn loses_down(&mut self, key: SessionKey, number: u64) {
        self.account(key).down.lost.insert(number);
    }

    /// Whatever the device has sent so far may be lost.
    pub(super) fn loses_all_down(&mut self, key: SessionKey) {
        let down = &mut self.account(key).down;
        down.uncertain = down.sent;
    }

    /// The device was gone for good: from here on the session may be reported gone.
    pub(super) fn may_be_reported(&mut self, key: SessionKey) {
        self.account(key).may_be_reported = true;
    }

    /// The viewer is told that what was under way may be lost.
    pub(super) fn is_told(&mut self, key: SessionKey, unsent: u64) {
        let account = self.account(key);
        account.up.uncertain = account.up.sent - unsent;
        account.down.uncertain = account.down.sent;
    }

    pub(super) fn is_over(&mut self, key: SessionKey) {
        self.account(key).over = true;
    }

    /// The viewer has lost its connection, or is attached again.
    pub(super) fn is_away(&mut self, key: SessionKey, since: Option<Instant>) {
        let account = self.account(key);
        account.away_since = since.map(|since| account.away_since.unwrap_or(since));
    }

    /// A later server let the client come back, with the id it had.
    pub(super) fn is_back(&mut self, key: SessionKey) {
        self.account(key).reported = 0;
    }

    /// `grace`: how long a viewer may be away.
    pub(super) fn device_reads_gone(&mut self, key: SessionKey, is_answer: bool, now: Instant, grace: Duration) {
        let account = self.account(key);
        let is_late = account.away_since.is_some_and(|since| now - since >= grace);
        assert!(account.over || account.may_be_reported || is_late, "client_disconnected for a session that goes on");
        account.reported += u64::from(!is_answer);
    }

    pub(super) fn check_complete(&self, key: SessionKey) {
        let account = &self.accounts[&key];
        assert!(account.up.is_complete(), "messages of {key} never arrived: {account:?}");
        assert!(account.down.is_complete(), "messages to {key} never arrived: {account:?}");
    }

    fn account(&mut self, key: SessionKey) -> &mut Account {
        self.accounts.get_mut(&key).expect("a session that was begun")
    }
}
