//! What is known of each address that connects.
//!
//! An address whose last connection is gone is remembered until its bucket is full again, so that its rate holds. That is a
//! few seconds, and never more than [`REMEMBERED`] addresses: beyond them one is forgotten early, which gives it its burst
//! anew.

use std::collections::HashMap;
use std::net::IpAddr;

use cuttlebone_transport::Bucket;

use super::AddressBounds;
use crate::metrics::Refusal;
use crate::tables;

/// Addresses without a connection that are remembered at most.
const REMEMBERED: usize = 16 * 1024;

/// How often those are looked through at most, in nanoseconds.
const SWEEP_EVERY: u64 = 1_000_000_000;

/// How long a request waits at most for the rate of its address, in nanoseconds.
const LONGEST_WAIT: u64 = 1_000_000_000;

#[derive(Debug, Default)]
pub(super) struct Addresses {
    known: HashMap<IpAddr, Address>,
    /// How many of them have no connection.
    remembered: usize,
    swept_at: u64,
}

#[derive(Debug, Clone, Copy, Default)]
struct Address {
    open: usize,
    pending: usize,
    came: Bucket,
    /// Requests that came through a proxy.
    asked: Bucket,
}

impl Address {
    /// Whether its rates need no memory of it.
    fn is_rested(&self, now: u64) -> bool {
        self.came.is_full(now) && self.asked.is_full(now)
    }
}

impl Addresses {
    /// Whether `address` may have one more at once.
    pub(super) fn check(&self, bounds: &AddressBounds, address: IpAddr) -> Result<(), Refusal> {
        let known = self.of(address);
        if bounds.max.is_some_and(|max| known.open >= max) {
            return Err(Refusal::AddressFull);
        }
        if bounds.pending.is_some_and(|pending| known.pending >= pending) {
            return Err(Refusal::AddressPendingFull);
        }
        Ok(())
    }

    /// Whether one more connection of `address` comes within its rate.
    pub(super) fn check_rate(&self, bounds: &AddressBounds, address: IpAddr, now: u64) -> Result<(), Refusal> {
        if self.of(address).came.ready_at(bounds.rate) > now { Err(Refusal::AddressRate) } else { Ok(()) }
    }

    /// Counts a place of `address`, if there is anything to count it for.
    pub(super) fn take(&mut self, bounds: &AddressBounds, address: IpAddr, now: u64) {
        if bounds.is_off() {
            return;
        }
        if self.remembered > 0 {
            self.sweep(now);
        }
        let known = self.known.entry(address).or_insert_with(|| {
            self.remembered += 1;
            Address::default()
        });
        self.remembered -= usize::from(known.open == 0);
        known.open += 1;
        known.pending += 1;
    }

    /// Counts a connection of an address that has a place against its rate.
    pub(super) fn came(&mut self, bounds: &AddressBounds, address: IpAddr, now: u64) {
        if let Some(known) = self.known.get_mut(&address) {
            known.came.spend(bounds.rate, 1, now);
        }
    }

    /// Counts a request of an address that has a place against its rate. Gives from when on it may be answered. One that would
    /// wait for long is not counted: what others of the address ask for and do not wait for is not theirs to pay.
    pub(super) fn asked(&mut self, bounds: &AddressBounds, address: IpAddr, now: u64) -> Result<u64, Refusal> {
        let Some(known) = self.known.get_mut(&address) else { return Ok(now) };
        let ready = known.asked.ready_at(bounds.requests);
        if ready > now.saturating_add(LONGEST_WAIT) {
            return Err(Refusal::AddressRate);
        }
        known.asked.spend(bounds.requests, 1, now);
        Ok(ready)
    }

    pub(super) fn settle(&mut self, address: IpAddr) {
        if let Some(known) = self.known.get_mut(&address) {
            known.pending -= 1;
        }
    }

    pub(super) fn give_back(&mut self, address: IpAddr, now: u64) {
        let Some(known) = self.known.get_mut(&address) else { return };
        known.open -= 1;
        if known.open > 0 {
            return;
        }
        if known.is_rested(now) {
            tables::remove(&mut self.known, &address);
            return;
        }
        self.remembered += 1;
        if self.remembered > REMEMBERED {
            self.sweep(now);
        }
        if self.remembered > REMEMBERED {
            tables::remove(&mut self.known, &address);
            self.remembered -= 1;
        }
    }

    fn of(&self, address: IpAddr) -> Address {
        self.known.get(&address).copied().unwrap_or_default()
    }

    /// Forgets those that need not be remembered any more; seldom enough to cost little.
    fn sweep(&mut self, now: u64) {
        if now.saturating_sub(self.swept_at) < SWEEP_EVERY {
            return;
        }
        self.swept_at = now;
        self.known.retain(|_, known| known.open > 0 || !known.is_rested(now));
        self.remembered = self.known.values().filter(|known| known.open == 0).count();
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use cuttlebone_transport::Rate;

    const SECOND: u64 = 1_000_000_000;
    const COUNTED: AddressBounds = AddressBounds { max: Some(2), ..AddressBounds::OFF };
    const RATED: AddressBounds = AddressBounds { rate: Rate { per_second: 20, burst: 100 }, ..COUNTED };

    fn address(index: u32) -> IpAddr {
        IpAddr::from(index.to_be_bytes())
    }

    #[test]
    fn addresses_that_left_are_forgotten() {
        let mut addresses = Addresses::default();
        (0..5).for_each(|index| addresses.take(&COUNTED, address(index), 0));
        assert_eq!((addresses.known.len(), addresses.remembered), (5, 0));
        (0..5).for_each(|index| addresses.give_back(address(index), 0));
        assert_eq!((addresses.known.len(), addresses.remembered), (0, 0));
    }

    #[test]
    fn address_is_remembered_as_long_as_its_rate_needs_it() {
        let mut addresses = Addresses::default();
        (0..100).for_each(|_| {
            addresses.take(&RATED, address(1), 0);
            addresses.came(&RATED, address(1), 0);
        });
        (0..100).for_each(|_| addresses.give_back(address(1), 0));
        assert_eq!((addresses.known.len(), addresses.remembered), (1, 1));
        assert_eq!(addresses.check_rate(&RATED, address(1), 0), Err(Refusal::AddressRate));
        addresses.take(&RATED, address(2), 5 * SECOND);
        assert_eq!((addresses.known.len(), addresses.remembered), (1, 0), "five seconds later it is forgotten");
    }

    #[test]
    fn address_whose_requests_came_too_fast_is_remembered_too() {
        let bounds = AddressBounds { requests: Rate { per_second: 1, burst: 1 }, ..COUNTED };
        let mut addresses = Addresses::default();
        let mut ask = |now| {
            addresses.take(&bounds, address(1), now);
            let ready = addresses.asked(&bounds, address(1), now).expect("it is not long");
            addresses.give_back(address(1), now);
            ready
        };
        assert!(ask(0) <= SECOND && ask(0) > 0, "the second waits, though the first is gone");
        assert!(ask(10 * SECOND) <= 10 * SECOND, "and ten seconds later nobody waits");
    }

    #[test]
    fn however_many_addresses_come_and_go_a_bounded_number_is_remembered() {
        let mut addresses = Addresses::default();
        for index in 0..50_000 {
            addresses.take(&RATED, address(index), 0);
            addresses.came(&RATED, address(index), 0);
            addresses.give_back(address(index), 0);
        }
        assert_eq!((addresses.known.len(), addresses.remembered), (REMEMBERED, REMEMBERED));
        addresses.take(&RATED, address(0), 10 * SECOND);
        addresses.give_back(address(0), 20 * SECOND);
        assert_eq!((addresses.known.len(), addresses.remembered), (0, 0));
    }

    #[test]
    fn without_a_bound_nothing_is_kept() {
        let off = AddressBounds::OFF;
        let mut addresses = Addresses::default();
        addresses.take(&off, address(1), 0);
        assert!(addresses.known.is_empty());
        addresses.give_back(address(1), 0);
    }
}
