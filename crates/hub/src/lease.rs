//! Who has a device for itself.
//!
//! A lease is of an id in its realm: it outlives the device's connection, and the device itself, until it is released or over.
//!
//! Invariants: 1. an id has one lease at most; 2. leases are bounded, in all and of one holder in a realm; 3. a lease that is over
//! keeps nobody from taking the next; clients stay out until [`Registry::end_leases`](crate::Registry::end_leases) takes it out,
//! for what is announced and what is enforced are the same.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::{Duration, Instant};

use crate::party::{Address, Party, Realm};

/// A device that somebody has for itself.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Lease {
    /// The identity that holds it.
    pub identity: Arc<str>,
    /// The holder as others are told of it.
    pub name: Arc<str>,
    /// When it is over.
    pub until: Instant,
    /// The same in milliseconds since 1970, as others are told.
    pub until_ms: u64,
}

/// What somebody wants who takes a lease, or goes on with its own.
#[derive(Debug, Clone, Copy)]
pub struct LeaseWish<'a> {
    /// Who it is.
    pub party: &'a Party,
    /// Its name as others are told of it.
    pub name: &'a str,
    /// How long from now.
    pub ttl: Duration,
    /// Whether another's lease is taken over, and others are sent away.
    pub force: bool,
}

/// A lease that was taken, and what was there before.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Leased {
    /// The lease.
    pub lease: Lease,
    /// The one that it took the place of: its holder's own, another's, or one whose time was over, which nobody was told of yet.
    pub before: Option<Lease>,
}

/// Why there is no lease.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum LeaseRefusal {
    /// There is no such device.
    Absent,
    /// Another has it.
    Held(Lease),
    /// Clients of others are connected.
    InUse,
    /// The holder has as many as one may have.
    TooManyOfHolder,
    /// There are as many as there may be.
    TooMany,
}

/// All leases.
#[derive(Debug, Default)]
pub(crate) struct Leases {
    of: HashMap<Address, Lease>,
    held: HashMap<(Realm, Arc<str>), usize>,
}

/// How many there may be.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Most {
    pub(crate) of_holder: usize,
    pub(crate) all: usize,
}

impl Leases {
    pub(crate) fn len(&self) -> usize {
        self.of.len()
    }

    pub(crate) fn get(&self, address: &Address) -> Option<&Lease> {
        self.of.get(address)
    }

    /// The lease of another that is not over.
    pub(crate) fn of_another(&self, address: &Address, identity: &str, now: Instant) -> Option<&Lease> {
        self.of.get(address).filter(|lease| *lease.identity != *identity && now < lease.until)
    }

    /// Puts a lease in the place of whatever there is, and gives that.
    pub(crate) fn put(&mut self, address: &Address, lease: Lease, most: Most) -> Result<Option<Lease>, LeaseRefusal> {
        let before = self.of.get(address).map(|before| &before.identity);
        let is_renewal = before == Some(&lease.identity);
        if before.is_none() && self.of.len() >= most.all {
            return Err(LeaseRefusal::TooMany);
        }
        let holder = (address.realm.clone(), Arc::clone(&lease.identity));
        if !is_renewal && self.held.get(&holder).copied().unwrap_or_default() >= most.of_holder {
            return Err(LeaseRefusal::TooManyOfHolder);
        }
        let before = self.remove(address);
        *self.held.entry(holder).or_default() += 1;
        self.of.insert(address.clone(), lease);
        Ok(before)
    }

    pub(crate) fn remove(&mut self, address: &Address) -> Option<Lease> {
        let lease = self.of.remove(address)?;
        let holder = (address.realm.clone(), Arc::clone(&lease.identity));
        if let Some(held) = self.held.get_mut(&holder) {
            *held -= 1;
            if *held == 0 {
                self.held.remove(&holder);
            }
        }
        Some(lease)
    }

    /// The devices whose lease is over, in the order of their addresses (R7).
    pub(crate) fn over(&self, now: Instant) -> Vec<Address> {
        let over = self.of.iter().filter(|(_, lease)| lease.until <= now);
        let mut over: Vec<Address> = over.map(|(address, _)| address.clone()).collect();
        over.sort_unstable();
        over
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use cuttlebone_proto::DeviceId;
    use proptest::prelude::*;

    const MOST: Most = Most { of_holder: 2, all: 3 };

    fn address(number: usize) -> Address {
        Address::common(DeviceId::new(&format!("d{number}")).expect("an id"))
    }

    #[derive(Debug, Clone)]
    enum Step {
        Put { device: usize, holder: usize, seconds: u64 },
        Remove(usize),
        Pass(u64),
    }

    fn step() -> impl Strategy<Value = Step> {
        prop_oneof![
            (0..5_usize, 0..3_usize, 0..4_u64).prop_map(|(device, holder, seconds)| Step::Put {
                device,
                holder,
                seconds
            }),
            (0..5_usize).prop_map(Step::Remove),
            (0..3_u64).prop_map(Step::Pass),
        ]
    }

    #[expect(clippy::disallowed_methods, reason = "a test needs some moment to begin with")]
    fn start() -> Instant {
        Instant::now()
    }

    proptest! {
        /// Against a list in which everything is looked for.
        #[test]
        fn table_is_what_a_list_of_leases_is(steps in prop::collection::vec(step(), 0..60)) {
            let (mut leases, mut model, mut now) = (Leases::default(), Vec::<(usize, usize, Instant)>::new(), start());
            for step in steps {
                match step {
                    Step::Put { device, holder, seconds } => {
                        let until = now + Duration::from_secs(seconds);
                        let name: Arc<str> = holder.to_string().into();
                        let lease = Lease { identity: Arc::clone(&name), name, until, until_ms: 0 };
                        let before = model.iter().find(|(of, ..)| *of == device).map(|(_, holder, _)| *holder);
                        let held = model.iter().filter(|(_, by, _)| *by == holder).count();
                        let expected = if before.is_none() && model.len() >= MOST.all {
                            Err(LeaseRefusal::TooMany)
                        } else if before != Some(holder) && held >= MOST.of_holder {
                            Err(LeaseRefusal::TooManyOfHolder)
                        } else {
                            model.retain(|(of, ..)| *of != device);
                            model.push((device, holder, until));
                            Ok(())
                        };
                        prop_assert_eq!(leases.put(&address(device), lease, MOST).map(drop), expected);
                    }
                    Step::Remove(device) => {
                        let there = model.iter().any(|(of, ..)| *of == device);
                        model.retain(|(of, ..)| *of != device);
                        prop_assert_eq!(leases.remove(&address(device)).is_some(), there);
                    }
                    Step::Pass(seconds) => {
                        now += Duration::from_secs(seconds);
                        let mut over: Vec<_> = model.iter().filter(|(.., until)| *until <= now).map(|(of, ..)| address(*of)).collect();
                        over.sort();
                        model.retain(|(.., until)| *until > now);
                        let ended = leases.over(now);
                        ended.iter().for_each(|address| drop(leases.remove(address)));
                        prop_assert_eq!(ended, over);
                    }
                }
                prop_assert_eq!(leases.len(), model.len());
                prop_assert_eq!(leases.held.values().sum::<usize>(), model.len(), "nobody is counted who holds none");
                for (device, holder, _) in &model {
                    prop_assert_eq!(leases.get(&address(*device)).map(|lease| lease.name.to_string()), Some(holder.to_string()));
                }
            }
        }
    }
}
