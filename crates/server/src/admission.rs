//! How many connections may be open, in all and of one address.
//!
//! Invariants: 1. a place is taken before any work is done for a connection; 2. it is given back when the last clone of
//! its permit is dropped; 3. addresses without a connection are not remembered.

use std::collections::HashMap;
use std::net::{IpAddr, Ipv6Addr};
use std::sync::Arc;

use parking_lot::Mutex;

use crate::metrics::Refusal;

/// The bits of an IPv6 address that a provider hands out as one: the first 64.
const SUBNET: u128 = !0 << 64;

/// The places of one listener.
#[derive(Debug)]
pub(crate) struct Admission {
    max: usize,
    per_address: Option<usize>,
    taken: Mutex<Taken>,
}

#[derive(Debug, Default)]
struct Taken {
    all: usize,
    by_address: HashMap<IpAddr, usize>,
}

/// A place among the open connections. Clones share it.
#[derive(Debug, Clone)]
pub(crate) struct ConnectionPermit {
    _place: Arc<Place>,
}

#[derive(Debug)]
struct Place {
    admission: Arc<Admission>,
    address: IpAddr,
}

impl Admission {
    pub(crate) fn new(max: usize, per_address: Option<usize>) -> Arc<Self> {
        Arc::new(Self { max, per_address, taken: Mutex::default() })
    }

    /// Takes a place for a connection from `address`, or says which bound is reached.
    pub(crate) fn try_admit(self: &Arc<Self>, address: IpAddr) -> Result<ConnectionPermit, Refusal> {
        let address = group(address);
        self.taken.lock().take(address, self.max, self.per_address)?;
        Ok(ConnectionPermit { _place: Arc::new(Place { admission: Arc::clone(self), address }) })
    }
}

impl Taken {
    fn take(&mut self, address: IpAddr, max: usize, per_address: Option<usize>) -> Result<(), Refusal> {
        if self.all >= max {
            return Err(Refusal::Full);
        }
        if let Some(per_address) = per_address {
            if self.by_address.get(&address).is_some_and(|count| *count >= per_address) {
                return Err(Refusal::AddressFull);
            }
            *self.by_address.entry(address).or_default() += 1;
        }
        self.all += 1;
        Ok(())
    }

    fn give_back(&mut self, address: IpAddr) {
        self.all -= 1;
        if let Some(count) = self.by_address.get_mut(&address) {
            *count -= 1;
            if *count == 0 {
                self.by_address.remove(&address);
            }
        }
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        self.admission.taken.lock().give_back(self.address);
    }
}

/// The address that counts: IPv4 as it is, however it is written; IPv6 by its /64.
fn group(address: IpAddr) -> IpAddr {
    match address.to_canonical() {
        IpAddr::V6(address) => IpAddr::V6(Ipv6Addr::from_bits(address.to_bits() & SUBNET)),
        address @ IpAddr::V4(_) => address,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ip(text: &str) -> IpAddr {
        text.parse().expect("an address")
    }

    #[test]
    fn place_is_free_again_when_the_last_clone_is_dropped() {
        let admission = Admission::new(1, None);
        let permit = admission.try_admit(ip("192.0.2.1")).expect("free");
        let clone = permit.clone();
        drop(permit);
        assert_eq!(admission.try_admit(ip("192.0.2.2")).unwrap_err(), Refusal::Full);
        drop(clone);
        assert!(admission.try_admit(ip("192.0.2.2")).is_ok());
    }

    #[test]
    fn one_address_can_not_take_all_places() {
        let admission = Admission::new(10, Some(2));
        let _held = [admission.try_admit(ip("192.0.2.1")), admission.try_admit(ip("::ffff:192.0.2.1"))];
        assert_eq!(admission.try_admit(ip("192.0.2.1")).unwrap_err(), Refusal::AddressFull);
        assert!(admission.try_admit(ip("192.0.2.2")).is_ok());
    }

    #[test]
    fn addresses_of_one_ipv6_subnet_count_as_one() {
        let admission = Admission::new(10, Some(1));
        let _held = admission.try_admit(ip("2001:db8:0:1::1"));
        assert_eq!(admission.try_admit(ip("2001:db8:0:1:ffff::2")).unwrap_err(), Refusal::AddressFull);
        assert!(admission.try_admit(ip("2001:db8:0:2::1")).is_ok());
    }

    #[test]
    fn addresses_that_left_are_forgotten() {
        let admission = Admission::new(10, Some(2));
        let permits: Vec<_> = (0..5u8).map(|last| admission.try_admit(IpAddr::from([192, 0, 2, last]))).collect();
        assert_eq!(admission.taken.lock().by_address.len(), 5);
        drop(permits);
        let taken = admission.taken.lock();
        assert_eq!((taken.all, taken.by_address.len()), (0, 0));
    }
}
