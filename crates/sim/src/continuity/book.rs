//! What was sent, what arrived, and what of it may be lost.

use std::collections::{BTreeMap, BTreeSet};
use std::time::{Duration, Instant};

/// One session of a viewer, from a new `connect` until it is over.
pub(super) type SessionKey = u64;
/// How often a device was gone for good.
type Lives = u64;

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
    given_up: bool,
    reported: u64,
    /// Messages to it that may each have been answered with `client_disconnected`.
    answers_due: u64,
    /// Number of its device, and the life of that in which it read a message of the session.
    device: usize,
    told: Option<Lives>,
    /// The server knows that the session is over.
    has_left: bool,
    /// The device has to be told no more: the notice was lost with its connection or with the server.
    is_excused: bool,
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
    pub(super) fn begin(&mut self, device: usize) -> SessionKey {
        let key = self.accounts.len() as u64 + 1;
        self.accounts.insert(key, Account { device, ..Account::default() });
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

    pub(super) fn device_reads(&mut self, key: SessionKey, number: u64, lives: Lives) {
        let account = self.account(key);
        assert_eq!(account.reported, 0, "a message of a client after its client_disconnected");
        account.told = Some(lives);
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

    /// The viewer has ended the session, and begins another. A server that has not heard of it may let it go on for an attempt
    /// that is late, and reports it gone when that is nobody's.
    pub(super) fn is_given_up(&mut self, key: SessionKey) {
        self.is_over(key);
        self.account(key).given_up = true;
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
        let account = self.account(key);
        (account.reported, account.answers_due) = (0, 0);
    }

    /// A server lets the session go on; it may be a later one than one for which it was over.
    pub(super) fn goes_on(&mut self, key: SessionKey) {
        let account = self.account(key);
        (account.over, account.has_left, account.is_excused) = (false, false, false);
    }

    /// The server has read that the session is over, or has ended it.
    pub(super) fn has_left(&mut self, key: SessionKey) {
        self.account(key).has_left = true;
    }

    /// The notice that the session is over was lost.
    pub(super) fn loses_notice(&mut self, key: SessionKey) {
        self.account(key).is_excused = true;
    }

    /// What a device, or each, has not been told by now it will not be told; or only of who has not left by now.
    pub(super) fn lose_notices(&mut self, device: Option<usize>, even_of_left: bool) {
        let of_device = |account: &&mut Account| device.is_none_or(|device| device == account.device);
        for account in self.accounts.values_mut().filter(of_device) {
            account.is_excused |= even_of_left || !account.has_left;
        }
    }

    /// The server reads a message of the device to the session. It may be answered if the session does not go on.
    pub(super) fn server_reads_down(&mut self, key: SessionKey) {
        let account = self.account(key);
        let is_here = !account.over && !account.given_up && !account.may_be_reported && account.away_since.is_none();
        account.answers_due += u64::from(!is_here);
    }

    /// `grace`: how long a viewer may be away.
    pub(super) fn device_reads_gone(&mut self, key: SessionKey, is_answer: bool, now: Instant, grace: Duration) {
        let account = self.account(key);
        let is_late = account.away_since.is_some_and(|since| now - since >= grace);
        let may_be = account.over || account.given_up || account.may_be_reported || is_late;
        assert!(may_be, "client_disconnected for a session that goes on");
        if is_answer {
            assert_ne!(account.answers_due, 0, "client_disconnected more often than once");
            account.answers_due -= 1;
        } else {
            account.reported += 1;
        }
    }

    /// Everything has arrived: who is gone was reported to the device, if that knew it in its present life.
    pub(super) fn check_reported(&self, device: usize, lives: Lives) {
        for (key, account) in self.accounts.iter().filter(|(_, account)| account.device == device) {
            if account.over && account.told == Some(lives) && !account.is_excused {
                assert_eq!(account.reported, 1, "session {key} is over, and its device was not told: {account:?}");
            }
        }
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
