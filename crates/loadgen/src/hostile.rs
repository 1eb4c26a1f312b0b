//! Connections that mean harm, as many as wanted, each a random [`Attack`] after the other.
//!
//! They run in a process of their own (`hostile-worker`), so that they disturb the honest pairs only by way of the
//! server and the machine. They keep a pace: the aim is a server that must not fall for them, not a full network.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use cuttlebone_client::Endpoint;
use parking_lot::Mutex;
use serde::{Deserialize, Serialize};
use tokio::net::lookup_host;
use tokio::time::{Instant, sleep, timeout_at};
use tokio_util::task::TaskTracker;

use crate::descriptors;
use crate::rng::Rng;

mod attack;
mod wire;

pub use attack::Attack;
use attack::{Context as Tools, Outcome};

/// No attack lasts longer; then the next one begins.
const ATTACK: Duration = Duration::from_secs(20);
/// Before each attack there is a pause of at most so many times the pace.
const PAUSE: usize = 40;

/// What to do.
#[derive(Clone, Debug)]
pub struct Orders {
    /// Whom. Must be on loopback.
    pub endpoint: Endpoint,
    /// Attacks under way at once.
    pub connections: usize,
    /// For how long.
    pub duration: Duration,
    /// Between two bursts of one attack.
    pub pace: Duration,
    /// Repeats the choices.
    pub seed: u64,
}

/// What became of the attacks of one kind.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Count {
    /// How many began.
    pub begun: u64,
    /// The server hung up.
    pub ended_by_server: u64,
    /// The attack came to its end, or its time was over.
    pub ended_by_us: u64,
    /// There was no connection in the first place.
    pub not_connected: u64,
}

/// By the name of the attack.
pub type Counts = BTreeMap<String, Count>;

/// Refuses every target that is not this machine itself.
///
/// # Errors
/// When the host is not known or has an address that is not a loopback address.
pub async fn only_loopback(endpoint: &Endpoint) -> Result<()> {
    let host = (endpoint.host(), endpoint.port());
    let addresses = lookup_host(host).await.with_context(|| format!("no such host: {}", host.0))?;
    for address in addresses {
        ensure!(
            address.ip().is_loopback(),
            "{} is not a loopback address: hostile connections may only be made to this machine itself",
            address.ip()
        );
    }
    Ok(())
}

/// Attacks until the time is over.
///
/// # Errors
/// When the target is not on loopback, or there are too few file descriptors.
pub async fn attack(orders: &Orders) -> Result<Counts> {
    only_loopback(&orders.endpoint).await?;
    descriptors::make_room(2 * orders.connections)?;
    let end = Instant::now() + orders.duration;
    let counts = Arc::new(Mutex::new(Counts::new()));
    let tasks = TaskTracker::new();
    for n in 0..orders.connections {
        let tools = Tools {
            endpoint: orders.endpoint.clone(),
            pace: orders.pace,
            rng: Rng::new(orders.seed.wrapping_add(n as u64)),
        };
        tasks.spawn(one_after_the_other(tools, end, Arc::clone(&counts)));
    }
    tasks.close();
    tasks.wait().await;
    let counts = counts.lock().clone();
    Ok(counts)
}

async fn one_after_the_other(mut tools: Tools, end: Instant, counts: Arc<Mutex<Counts>>) {
    loop {
        let pause = tools.pace * u32::try_from(1 + tools.rng.below(PAUSE)).unwrap_or(1);
        if Instant::now() + pause >= end {
            return;
        }
        sleep(pause).await;
        let attack = Attack::ALL[tools.rng.below(Attack::ALL.len())];
        let last = end.min(Instant::now() + ATTACK);
        let outcome = timeout_at(last, attack.perform(&mut tools)).await;
        let mut counts = counts.lock();
        let count = counts.entry(attack.name().to_owned()).or_default();
        count.begun += 1;
        match outcome {
            Ok(Outcome::EndedByServer) => count.ended_by_server += 1,
            Ok(Outcome::Done) | Err(_) => count.ended_by_us += 1,
            Ok(Outcome::NotConnected) => count.not_connected += 1,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn only_this_machine_may_be_attacked() {
        for (url, good) in
            [("ws://127.0.0.1:1", true), ("ws://[::1]:1", true), ("ws://192.0.2.1:1", false), ("ws://0.0.0.0:1", false)]
        {
            let endpoint = Endpoint::parse(url).unwrap();
            assert_eq!(only_loopback(&endpoint).await.is_ok(), good, "{url}");
        }
    }
}
