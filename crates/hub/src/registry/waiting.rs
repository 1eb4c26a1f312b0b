//! Clients that came before their device.

use std::sync::Arc;
use std::time::Duration;

use cuttlebone_proto::Reject;

use super::{Registry, Shard, Shared};
use crate::item::Notice;
use crate::mailbox::Mailbox;
use crate::party::Address;
use crate::request::{Answer, AttachRequest};
use crate::sync::Ordering;

#[derive(Debug)]
pub(super) struct Waiter {
    key: u64,
    pub(super) mailbox: Arc<Mailbox>,
}

/// A client waits for its device.
#[derive(Debug)]
pub struct Waiting {
    /// Its place.
    pub(crate) place: Place,
    /// How long it waits.
    pub(crate) patience: Duration,
    /// The `config` that it was sent.
    pub(crate) config: Arc<str>,
}

/// A client's place among those who wait for a device. Dropping it gives the place up.
#[derive(Debug)]
pub(crate) struct Place {
    shared: Arc<Shared>,
    address: Address,
    key: u64,
}

/// Lets a client that was sent `config` wait for its device for so long, unless `most` wait for it already.
pub(super) fn wait(
    shared: &Arc<Shared>,
    shard: &mut Shard,
    request: &AttachRequest,
    config: &Arc<str>,
    (most, patience): (usize, Duration),
) -> Answer {
    let settings = &shared.settings;
    if patience.is_zero() {
        return Answer::Absent;
    }
    let here = shard.get(&request.address).map_or(0, |entry| entry.waiters.len());
    if here >= most || shared.waiting.load(Ordering::Relaxed) >= settings.waiting {
        return Answer::Refused(Reject::TooManyWaiting);
    }
    shared.waiting.fetch_add(1, Ordering::Relaxed);
    let key = shared.waiters.fetch_add(1, Ordering::Relaxed);
    let waiter = Waiter { key, mailbox: Arc::clone(&request.mailbox) };
    shard.entry(request.address.clone()).or_default().waiters.push(waiter);
    let place = Place { shared: Arc::clone(shared), address: request.address.clone(), key };
    Answer::Waiting(Waiting { place, patience, config: Arc::clone(config) })
}

impl Registry {
    /// Lets the `most` clients go that came last of those that wait. Gives how many there were.
    pub fn let_waiting_go(&self, most: usize) -> usize {
        let mut waiters = Vec::new();
        for shard in &self.shared.shards {
            let shard = shard.lock();
            let of_shard = shard.values().flat_map(|entry| &entry.waiters);
            waiters.extend(of_shard.map(|waiter| (waiter.key, Arc::clone(&waiter.mailbox))));
        }
        waiters.sort_unstable_by_key(|(key, _)| std::cmp::Reverse(*key));
        waiters.truncate(most);
        waiters.iter().for_each(|(_, mailbox)| mailbox.notify(Notice::LetGo));
        waiters.len()
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        let mut shard = self.shared.shard(&self.address);
        if let Some(entry) = shard.get_mut(&self.address) {
            entry.waiters.retain(|waiter| waiter.key != self.key);
            if entry.waiters.is_empty() && entry.device.is_none() {
                super::forget(&mut shard, &self.address);
            }
        }
        self.shared.waiting.fetch_sub(1, Ordering::Relaxed);
    }
}
