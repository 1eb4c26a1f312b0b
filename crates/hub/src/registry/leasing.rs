//! Taking a device for oneself, and giving it back.
//!
//! A lease is taken in the critical section of the device's shard, as clients are attached: nobody is attached beside it.

use std::sync::Arc;
use std::time::Instant;

use cuttlebone_proto::Reject;

use super::{Registry, Shared};
use crate::device::Device;
use crate::event::{DeviceSummary, Event};
use crate::lease::{Lease, LeaseRefusal, LeaseWish, Leased, Most};
use crate::party::{Address, Party};
use crate::sync::Ordering;

impl Registry {
    /// Takes a device for one that wants it, or goes on with the lease that it has. Whoever else is connected keeps it from
    /// being taken; with `force` they are sent away, and whoever holds it loses it. `now_ms` is in milliseconds since 1970.
    ///
    /// # Errors
    /// Why there is no lease. Then nothing has changed.
    pub fn lease(
        &self,
        address: &Address,
        wish: &LeaseWish<'_>,
        now: Instant,
        now_ms: u64,
    ) -> Result<Leased, LeaseRefusal> {
        let shared = &self.shared;
        let shard = shared.shard(address);
        let device = shard.get(address).and_then(|entry| entry.device.as_ref());
        let mut leases = shared.leases.lock();
        if let Some(held) = leases.of_another(address, &wish.party.identity, now).filter(|_| !wish.force) {
            return Err(LeaseRefusal::Held(held.clone()));
        }
        let is_own = leases.get(address).is_some_and(|lease| lease.identity == wish.party.identity);
        match device {
            None if !is_own => return Err(LeaseRefusal::Absent),
            Some(device) if !wish.force && device.has_others(&wish.party.identity) => return Err(LeaseRefusal::InUse),
            _ => {}
        }
        let ttl_ms = u64::try_from(wish.ttl.as_millis()).unwrap_or(u64::MAX);
        let lease = Lease {
            identity: Arc::clone(&wish.party.identity),
            name: wish.name.into(),
            until: now + wish.ttl,
            until_ms: now_ms.saturating_add(ttl_ms),
        };
        let most = Most { of_holder: shared.settings.leases_per_holder, all: shared.settings.leases };
        let before = leases.put(address, lease.clone(), most)?;
        shared.leased.store(leases.len(), Ordering::Release);
        shared.announce_lease(address, Some(&lease));
        drop(leases);
        if let Some(device) = device {
            device.send_others_away(shared, &wish.party.identity);
        }
        Ok(Leased { lease, before })
    }

    /// Gives a device back: the holder's own lease, or that of anybody where no `holder` is named. Gives the lease that it was.
    ///
    /// # Errors
    /// The lease of another; `None` if there is none.
    pub fn release(&self, address: &Address, holder: Option<&str>) -> Result<Lease, Option<Lease>> {
        let _shard = self.shared.shard(address);
        let mut leases = self.shared.leases.lock();
        let held = leases.get(address).ok_or(None)?;
        if holder.is_some_and(|holder| *holder != *held.identity) {
            return Err(Some(held.clone()));
        }
        let lease = leases.remove(address).ok_or(None)?;
        self.shared.leased.store(leases.len(), Ordering::Release);
        self.shared.announce_lease(address, None);
        Ok(lease)
    }

    /// The lease of a device.
    #[must_use]
    pub fn lease_of(&self, address: &Address) -> Option<Lease> {
        self.shared.lease_of(address)
    }

    /// Ends the leases that are over, and says which. To be called now and then; costs nothing while there are none.
    pub fn end_leases(&self, now: Instant) -> Vec<(Address, Lease)> {
        if !self.shared.has_leases() {
            return Vec::new();
        }
        let over = self.shared.leases.lock().over(now);
        over.into_iter().filter_map(|address| self.end_lease(address, now)).collect()
    }

    /// Ends a lease that is over, unless it was renewed a moment ago. It is announced before anybody can take the device again.
    fn end_lease(&self, address: Address, now: Instant) -> Option<(Address, Lease)> {
        let _shard = self.shared.shard(&address);
        let mut leases = self.shared.leases.lock();
        leases.get(&address).filter(|lease| lease.until <= now)?;
        let lease = leases.remove(&address)?;
        self.shared.leased.store(leases.len(), Ordering::Release);
        self.shared.announce_lease(&address, None);
        Some((address, lease))
    }
}

impl Shared {
    /// What keeps a client from its device: that another has it for itself.
    pub(super) fn keeps_out(&self, address: &Address, party: Option<&Arc<Party>>) -> Option<Reject> {
        let lease = self.lease_of(address)?;
        let is_own = party.is_some_and(|party| party.identity == lease.identity);
        (!is_own).then_some(Reject::DeviceLeased)
    }

    pub(crate) fn summary(&self, device: &Device) -> DeviceSummary {
        DeviceSummary { lease: self.lease_of(&device.address), ..device.summary() }
    }

    fn lease_of(&self, address: &Address) -> Option<Lease> {
        if !self.has_leases() {
            return None;
        }
        self.leases.lock().get(address).cloned()
    }

    /// Without a lock: who takes the first has the shard of its device.
    fn has_leases(&self) -> bool {
        self.leased.load(Ordering::Acquire) > 0
    }

    fn announce_lease(&self, address: &Address, lease: Option<&Lease>) {
        self.announce(|| Event::Leased { address: address.clone(), lease: lease.cloned() });
    }
}
