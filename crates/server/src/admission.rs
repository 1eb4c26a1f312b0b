//! How many connections may be open and how fast they may come, in all and of one address.
//!
//! Invariants: 1. a place is taken before any work is done for a connection; 2. it is given back when the last clone of
//! its permit is dropped; 3. addresses are remembered as long as they have a connection or a rate to keep, and the latter
//! in a bounded number; 4. who is turned away costs nobody a token.

mod addresses;

use std::net::{IpAddr, Ipv6Addr};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, OnceLock};

use cuttlebone_transport::{Bucket, Rate};
use parking_lot::Mutex;
use tokio::time::Instant;

use crate::clock;
use crate::metrics::Refusal;
use crate::quotas::QuotaPlace;
use addresses::Addresses;

/// The bits of an IPv6 address that a provider hands out as one: the first 64.
const SUBNET: u128 = !0 << 64;

/// The bounds of one listener.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Bounds {
    /// Open connections.
    pub(crate) max: usize,
    /// Those of them that have had no response yet.
    pub(crate) pending: usize,
    /// How fast they may come.
    pub(crate) rate: Rate,
    /// The same for one address.
    pub(crate) address: AddressBounds,
}

/// What one address may have: an IPv4 address, or an IPv6 /64.
#[derive(Debug, Clone, Copy)]
pub(crate) struct AddressBounds {
    pub(crate) max: Option<usize>,
    pub(crate) pending: Option<usize>,
    pub(crate) rate: Rate,
}

impl Bounds {
    /// Open connections alone.
    pub(crate) const fn of(max: usize, per_address: Option<usize>) -> Self {
        let address = AddressBounds { max: per_address, pending: None, rate: Rate::OFF };
        Self { max, pending: usize::MAX, rate: Rate::OFF, address }
    }
}

/// The places of one listener.
#[derive(Debug)]
pub(crate) struct Admission {
    bounds: Bounds,
    epoch: Instant,
    is_out_of_memory: AtomicBool,
    taken: Mutex<Taken>,
}

#[derive(Debug, Default)]
struct Taken {
    all: usize,
    pending: usize,
    came: Bucket,
    addresses: Addresses,
}

/// A place among the open connections. Clones share it.
#[derive(Debug, Clone)]
pub(crate) struct ConnectionPermit {
    place: Arc<Place>,
}

#[derive(Debug)]
struct Place {
    admission: Arc<Admission>,
    address: IpAddr,
    is_pending: AtomicBool,
    /// Its place as one of a principal, if it counts there and not among those of its address.
    of_principal: OnceLock<Box<QuotaPlace>>,
}

impl Admission {
    pub(crate) fn new(bounds: Bounds) -> Arc<Self> {
        Arc::new(Self {
            bounds,
            epoch: clock::now(),
            is_out_of_memory: AtomicBool::new(false),
            taken: Mutex::default(),
        })
    }

    /// Takes a place for a connection from `address`, or says which bound is reached.
    pub(crate) fn try_admit(self: &Arc<Self>, address: IpAddr) -> Result<ConnectionPermit, Refusal> {
        if self.is_out_of_memory.load(Ordering::Relaxed) {
            return Err(Refusal::Memory);
        }
        let address = group(address);
        self.taken.lock().take(&self.bounds, address, self.now())?;
        let place = Place {
            admission: Arc::clone(self),
            address,
            is_pending: AtomicBool::new(true),
            of_principal: OnceLock::new(),
        };
        Ok(ConnectionPermit { place: Arc::new(place) })
    }

    /// As [`Admission::try_admit`], for one who has a `place` as a principal, and needs none of an address.
    pub(crate) fn try_admit_known(self: &Arc<Self>, place: QuotaPlace) -> Result<ConnectionPermit, Refusal> {
        let nowhere = IpAddr::V6(Ipv6Addr::UNSPECIFIED);
        self.taken.lock().take_one(&self.bounds, self.now())?;
        let place = Place {
            admission: Arc::clone(self),
            address: nowhere,
            is_pending: AtomicBool::new(false),
            of_principal: OnceLock::from(Box::new(place)),
        };
        Ok(ConnectionPermit { place: Arc::new(place) })
    }

    /// Takes nobody any more, or again.
    pub(crate) fn set_out_of_memory(&self, is_out: bool) {
        self.is_out_of_memory.store(is_out, Ordering::Relaxed);
    }

    /// Nanoseconds since this was made.
    fn now(&self) -> u64 {
        u64::try_from((clock::now() - self.epoch).as_nanos()).unwrap_or(u64::MAX)
    }
}

impl ConnectionPermit {
    /// The connection has had its first response: it may be one of many that idle.
    pub(crate) fn settle(&self) {
        if self.place.is_pending.swap(false, Ordering::Relaxed) {
            self.place.admission.taken.lock().settle(self.place.address);
        }
    }

    /// Who connects is known, and has a `place` as who it is: it does not count among those of its address any more. To be
    /// called once.
    pub(crate) fn count_as(&self, place: QuotaPlace) {
        self.settle();
        if self.place.of_principal.set(Box::new(place)).is_ok() {
            let admission = &self.place.admission;
            admission.taken.lock().addresses.give_back(self.place.address, admission.now());
        }
    }
}

impl Taken {
    fn take(&mut self, bounds: &Bounds, address: IpAddr, now: u64) -> Result<(), Refusal> {
        if self.all >= bounds.max {
            return Err(Refusal::Full);
        }
        if self.pending >= bounds.pending {
            return Err(Refusal::PendingFull);
        }
        self.addresses.check(&bounds.address, address, now)?;
        self.take_one(bounds, now)?;
        self.addresses.take(&bounds.address, address, now);
        self.pending += 1;
        Ok(())
    }

    fn take_one(&mut self, bounds: &Bounds, now: u64) -> Result<(), Refusal> {
        if self.all >= bounds.max {
            return Err(Refusal::Full);
        }
        if !self.came.take(bounds.rate, now) {
            return Err(Refusal::AcceptRate);
        }
        self.all += 1;
        Ok(())
    }

    fn settle(&mut self, address: IpAddr) {
        self.pending -= 1;
        self.addresses.settle(address);
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        let now = self.admission.now();
        let mut taken = self.admission.taken.lock();
        if *self.is_pending.get_mut() {
            taken.settle(self.address);
        }
        taken.all -= 1;
        if self.of_principal.get().is_none() {
            taken.addresses.give_back(self.address, now);
        }
    }
}

/// The address that counts: IPv4 as it is, however it is written; IPv6 by its /64.
pub(crate) fn group(address: IpAddr) -> IpAddr {
    match address.to_canonical() {
        IpAddr::V6(address) => IpAddr::V6(Ipv6Addr::from_bits(address.to_bits() & SUBNET)),
        address @ IpAddr::V4(_) => address,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::time::Duration;
    use tokio::time::advance;

    const TEN: Bounds = Bounds::of(10, Some(2));

    fn ip(text: &str) -> IpAddr {
        text.parse().expect("an address")
    }

    fn refusal(admission: &Arc<Admission>, address: &str) -> Refusal {
        admission.try_admit(ip(address)).expect_err("refused")
    }

    #[test]
    fn place_is_free_again_when_the_last_clone_is_dropped() {
        let admission = Admission::new(Bounds::of(1, None));
        let permit = admission.try_admit(ip("192.0.2.1")).expect("free");
        let clone = permit.clone();
        drop(permit);
        assert_eq!(refusal(&admission, "192.0.2.2"), Refusal::Full);
        drop(clone);
        assert!(admission.try_admit(ip("192.0.2.2")).is_ok());
    }

    #[test]
    fn one_address_can_not_take_all_places() {
        let admission = Admission::new(TEN);
        let _held = [admission.try_admit(ip("192.0.2.1")), admission.try_admit(ip("::ffff:192.0.2.1"))];
        assert_eq!(refusal(&admission, "192.0.2.1"), Refusal::AddressFull);
        assert!(admission.try_admit(ip("192.0.2.2")).is_ok());
    }

    #[test]
    fn t55_addresses_of_one_ipv6_subnet_count_as_one() {
        let admission = Admission::new(Bounds { max: 10_000, ..TEN });
        let all = (0..1000).map(|host| ip(&format!("2001:db8:0:1::{host:x}")));
        let admitted: Vec<_> = all.filter_map(|address| admission.try_admit(address).ok()).collect();
        assert_eq!(admitted.len(), 2);
        assert_eq!(refusal(&admission, "2001:db8:0:1:ffff::2"), Refusal::AddressFull);
        assert!(admission.try_admit(ip("2001:db8:0:2::1")).is_ok());
    }

    #[test]
    fn connections_without_a_response_are_bounded_until_they_have_one() {
        let address = AddressBounds { max: None, pending: Some(2), rate: Rate::OFF };
        let admission = Admission::new(Bounds { max: 10, pending: 3, rate: Rate::OFF, address });
        let first = admission.try_admit(ip("192.0.2.1")).expect("free");
        let second = admission.try_admit(ip("192.0.2.1")).expect("free");
        assert_eq!(refusal(&admission, "192.0.2.1"), Refusal::AddressPendingFull);
        let _held = admission.try_admit(ip("192.0.2.2")).expect("free");
        assert_eq!(refusal(&admission, "192.0.2.3"), Refusal::PendingFull);
        first.settle();
        first.settle();
        let fourth = admission.try_admit(ip("192.0.2.1")).expect("one had its response");
        assert_eq!(refusal(&admission, "192.0.2.3"), Refusal::PendingFull);
        drop((second, fourth, first));
        let taken = admission.taken.lock();
        assert_eq!((taken.all, taken.pending), (1, 1));
    }

    #[test]
    fn who_is_known_is_counted_with_all_and_not_with_its_address() {
        let admission = Admission::new(Bounds::of(4, Some(2)));
        let known: Vec<_> = (0..3)
            .map(|_| {
                let permit = admission.try_admit(ip("192.0.2.1")).expect("free");
                permit.count_as(QuotaPlace::for_test());
                permit
            })
            .collect();
        let unknown = admission.try_admit(ip("192.0.2.1")).expect("free");
        assert_eq!(refusal(&admission, "192.0.2.1"), Refusal::Full);
        assert_eq!(admission.try_admit_known(QuotaPlace::for_test()).map(drop), Err(Refusal::Full));
        drop(known);
        let elsewhere = admission.try_admit_known(QuotaPlace::for_test()).expect("free");
        drop((unknown, elsewhere));
        let taken = admission.taken.lock();
        assert_eq!((taken.all, taken.pending), (0, 0));
        assert!(taken.addresses.check(&admission.bounds.address, ip("192.0.2.1"), 0).is_ok());
    }

    #[tokio::test(start_paused = true)]
    async fn t33_connections_of_one_address_come_at_a_rate() {
        let rate = Rate { per_second: 20, burst: 100 };
        let address = AddressBounds { max: None, pending: None, rate };
        let admission = Admission::new(Bounds { address, ..TEN });
        // Ten thousand in ten seconds, each gone at once.
        let mut admitted = 0;
        for _ in 0..10_000 {
            advance(Duration::from_millis(1)).await;
            admitted += usize::from(admission.try_admit(ip("192.0.2.1")).is_ok());
        }
        assert!((299..=301).contains(&admitted), "{admitted}");
        assert_eq!(refusal(&admission, "192.0.2.1"), Refusal::AddressRate);
        assert!(admission.try_admit(ip("192.0.2.2")).is_ok(), "another address has its own");
    }

    #[tokio::test(start_paused = true)]
    async fn connections_come_at_a_rate_in_all_and_who_is_refused_costs_nothing() {
        let address = AddressBounds { max: None, pending: None, rate: Rate { per_second: 1, burst: 1 } };
        let admission = Admission::new(Bounds { rate: Rate { per_second: 1, burst: 3 }, address, ..TEN });
        assert!(admission.try_admit(ip("192.0.2.1")).is_ok());
        for _ in 0..10 {
            assert_eq!(refusal(&admission, "192.0.2.1"), Refusal::AddressRate);
        }
        assert!(admission.try_admit(ip("192.0.2.2")).is_ok() && admission.try_admit(ip("192.0.2.3")).is_ok());
        assert_eq!(refusal(&admission, "192.0.2.4"), Refusal::AcceptRate);
        advance(Duration::from_secs(1)).await;
        assert!(admission.try_admit(ip("192.0.2.4")).is_ok(), "its own token was not taken");
    }
}
