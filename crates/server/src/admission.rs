//! How many connections may be open and how fast they may come, in all and of one address.
//!
//! A connection of a listed proxy is of many addresses: it has a place among all, and what comes through it a further one
//! among those of the address that it is from.
//!
//! Invariants: 1. a place is taken before any work is done for a connection, and before a request of a proxy is looked at; 2. it
//! is given back when the last clone of its permit is dropped; 3. addresses are remembered as long as they have a place or a
//! rate to keep, and the latter in a bounded number; 4. who is turned away costs nobody a token.

mod addresses;

use std::net::{IpAddr, Ipv6Addr};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, OnceLock};
use std::time::Duration;

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
    /// Requests that come through proxies.
    pub(crate) requests: Rate,
}

impl AddressBounds {
    /// None at all.
    pub(crate) const OFF: Self = Self { max: None, pending: None, rate: Rate::OFF, requests: Rate::OFF };

    fn is_off(&self) -> bool {
        self.max.is_none() && self.pending.is_none() && self.rate.is_off() && self.requests.is_off()
    }
}

impl Bounds {
    /// Open connections alone.
    pub(crate) const fn of(max: usize, per_address: Option<usize>) -> Self {
        let address = AddressBounds { max: per_address, ..AddressBounds::OFF };
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
    what: What,
    /// The place of the proxy's connection, which this one keeps.
    through: Option<Arc<Place>>,
    is_pending: AtomicBool,
    /// Its place as one of a principal, if it counts there and not among those of its address.
    of_principal: OnceLock<Box<QuotaPlace>>,
}

/// What a place is counted as.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum What {
    /// A connection of an address.
    Connection(IpAddr),
    /// One that has none that counts.
    Unaddressed,
    /// What an address has through one.
    Behind(IpAddr),
}

impl What {
    fn address(self) -> Option<IpAddr> {
        match self {
            Self::Connection(address) | Self::Behind(address) => Some(address),
            Self::Unaddressed => None,
        }
    }

    /// The address behind the proxy.
    fn behind(self) -> Option<IpAddr> {
        match self {
            Self::Behind(address) => Some(address),
            Self::Connection(_) | Self::Unaddressed => None,
        }
    }

    /// Whether it is a socket of this process.
    fn is_socket(self) -> bool {
        !matches!(self, Self::Behind(_))
    }
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
        self.admit(What::Connection(group(address)))
    }

    /// Takes a place for a connection that has no address to count it for, and comes at any rate: of this machine by a unix
    /// socket, or of a listed proxy, where it is what comes through it that has one.
    pub(crate) fn try_admit_unaddressed(self: &Arc<Self>) -> Result<ConnectionPermit, Refusal> {
        self.admit(What::Unaddressed)
    }

    /// As [`Admission::try_admit`], for one who has a `place` as a principal, and needs none of an address.
    pub(crate) fn try_admit_known(self: &Arc<Self>, place: QuotaPlace) -> Result<ConnectionPermit, Refusal> {
        self.taken.lock().take_settled(&self.bounds)?;
        let place = Place {
            admission: Arc::clone(self),
            what: What::Unaddressed,
            through: None,
            is_pending: AtomicBool::new(false),
            of_principal: OnceLock::from(Box::new(place)),
        };
        Ok(ConnectionPermit { place: Arc::new(place) })
    }

    /// Takes nobody any more, or again.
    pub(crate) fn set_out_of_memory(&self, is_out: bool) {
        self.is_out_of_memory.store(is_out, Ordering::Relaxed);
    }

    fn admit(self: &Arc<Self>, what: What) -> Result<ConnectionPermit, Refusal> {
        if self.is_out_of_memory.load(Ordering::Relaxed) {
            return Err(Refusal::Memory);
        }
        self.place(what, None, true)
    }

    /// Takes a place; `comes` is whether it counts against the rates of connections.
    fn place(
        self: &Arc<Self>,
        what: What,
        through: Option<Arc<Place>>,
        comes: bool,
    ) -> Result<ConnectionPermit, Refusal> {
        self.taken.lock().take(&self.bounds, what, comes, self.now())?;
        let place = Place {
            admission: Arc::clone(self),
            what,
            through,
            is_pending: AtomicBool::new(true),
            of_principal: OnceLock::new(),
        };
        Ok(ConnectionPermit { place: Arc::new(place) })
    }

    /// Nanoseconds since this was made.
    fn now(&self) -> u64 {
        u64::try_from((clock::now() - self.epoch).as_nanos()).unwrap_or(u64::MAX)
    }

    fn moment(&self, nanoseconds: u64) -> Instant {
        self.epoch + Duration::from_nanos(nanoseconds)
    }
}

impl ConnectionPermit {
    /// A place for what the proxy whose connection this is passes on from `address`, or which bound is reached.
    pub(crate) fn connection_behind(&self, address: IpAddr) -> Result<Self, Refusal> {
        self.behind(address, true)
    }

    /// The same for a request, which does not count as a connection that comes.
    pub(crate) fn request_behind(&self, address: IpAddr) -> Result<Self, Refusal> {
        self.behind(address, false)
    }

    fn behind(&self, address: IpAddr, comes: bool) -> Result<Self, Refusal> {
        let through = Some(Arc::clone(&self.place));
        self.place.admission.place(What::Behind(group(address)), through, comes)
    }

    /// Counts a request that came through a proxy. Gives until when it has to wait, if more came of its address than may; or that
    /// it would have to for too long.
    pub(crate) fn begin_request(&self) -> Result<Option<Instant>, Refusal> {
        let (admission, now) = (&self.place.admission, self.place.admission.now());
        let Some(address) = self.place.what.behind() else { return Ok(None) };
        let ready = admission.taken.lock().addresses.asked(&admission.bounds.address, address, now)?;
        Ok((ready > now).then(|| admission.moment(ready)))
    }

    /// A request that came through a proxy becomes a connection: says which rate is reached.
    pub(crate) fn begin_connection(&self) -> Result<(), Refusal> {
        let Some(address) = self.place.what.behind() else { return Ok(()) };
        let Admission { bounds, taken, .. } = &*self.place.admission;
        let now = self.place.admission.now();
        let mut taken = taken.lock();
        taken.check_rates(bounds, address, now)?;
        taken.addresses.came(&bounds.address, address, now);
        Ok(())
    }

    /// The connection has had its first response: it may be one of many that idle.
    pub(crate) fn settle(&self) {
        self.place.settle();
    }

    /// Who connects is known, and has a `place` as who it is: it does not count among those of its address any more. To be
    /// called once.
    pub(crate) fn count_as(&self, place: QuotaPlace) {
        self.settle();
        let Place { admission, what, of_principal, .. } = &*self.place;
        if of_principal.set(Box::new(place)).is_ok()
            && let Some(address) = what.address()
        {
            admission.taken.lock().addresses.give_back(address, admission.now());
        }
    }
}

impl Place {
    fn settle(&self) {
        if self.is_pending.swap(false, Ordering::Relaxed) {
            self.admission.taken.lock().settle(self.what);
        }
        if let Some(through) = &self.through {
            through.settle();
        }
    }
}

impl Taken {
    fn take(&mut self, bounds: &Bounds, what: What, comes: bool, now: u64) -> Result<(), Refusal> {
        if what.is_socket() {
            self.check(bounds)?;
        }
        let Some(address) = what.address() else {
            self.count(what);
            return Ok(());
        };
        self.addresses.check(&bounds.address, address)?;
        if comes {
            self.check_rates(bounds, address, now)?;
        }
        self.addresses.take(&bounds.address, address, now);
        if comes {
            self.addresses.came(&bounds.address, address, now);
        }
        self.count(what);
        Ok(())
    }

    /// Whether there is room for one more socket.
    fn check(&self, bounds: &Bounds) -> Result<(), Refusal> {
        if self.all >= bounds.max {
            return Err(Refusal::Full);
        }
        if self.pending >= bounds.pending {
            return Err(Refusal::PendingFull);
        }
        Ok(())
    }

    /// A place for what has no response to wait for.
    fn take_settled(&mut self, bounds: &Bounds) -> Result<(), Refusal> {
        if self.all >= bounds.max {
            return Err(Refusal::Full);
        }
        self.all += 1;
        Ok(())
    }

    /// Whether one more comes within its address's rate and that of all. If so, it is counted against the latter.
    fn check_rates(&mut self, bounds: &Bounds, address: IpAddr, now: u64) -> Result<(), Refusal> {
        self.addresses.check_rate(&bounds.address, address, now)?;
        if self.came.take(bounds.rate, now) { Ok(()) } else { Err(Refusal::AcceptRate) }
    }

    fn count(&mut self, what: What) {
        if what.is_socket() {
            self.all += 1;
            self.pending += 1;
        }
    }

    fn settle(&mut self, what: What) {
        if let Some(address) = what.address() {
            self.addresses.settle(address);
        }
        if what.is_socket() {
            self.pending -= 1;
        }
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        let now = self.admission.now();
        let mut taken = self.admission.taken.lock();
        if *self.is_pending.get_mut() {
            taken.settle(self.what);
        }
        if self.what.is_socket() {
            taken.all -= 1;
        }
        if let Some(address) = self.what.address().filter(|_| self.of_principal.get().is_none()) {
            taken.addresses.give_back(address, now);
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
mod tests;
