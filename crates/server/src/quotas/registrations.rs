//! How often a principal may register its ids.
//!
//! The rate is of each id, for a host with hundreds of devices registers hundreds of ids at once, and again after each restart
//! of the server. An id is remembered until its rate is whole again, two minutes with the defaults, and of one principal so many
//! as it may have devices: so it can register no more different ids than that in this time.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use cuttlebone_proto::DeviceId;
use parking_lot::Mutex;
use tokio::time::Instant;

use crate::clock;
use crate::settings::QuotaSettings;

const MINUTE: Duration = Duration::from_secs(60);

/// How often all principals are looked through for what can be forgotten.
const SWEEP_EVERY: Duration = MINUTE;

/// The registrations of each principal.
#[derive(Debug)]
pub(crate) struct Registrations {
    /// In this time there may be one more; zero: as many as come.
    step: Duration,
    /// So many at once.
    burst: u32,
    /// Ids that are remembered of one principal.
    most_ids: usize,
    table: Mutex<Table>,
}

#[derive(Debug, Default)]
struct Table {
    /// When the rate of an id is whole again.
    of: HashMap<Arc<str>, HashMap<DeviceId, Instant>>,
    swept: Option<Instant>,
}

impl Registrations {
    pub(crate) fn new(settings: &QuotaSettings) -> Self {
        Self {
            step: MINUTE.checked_div(settings.registrations).unwrap_or_default(),
            burst: settings.registrations_burst,
            most_ids: settings.devices,
            table: Mutex::default(),
        }
    }

    /// Whether the principal may register the id once more now; if so, it has.
    pub(crate) fn try_take(&self, account: &str, device_id: &DeviceId) -> bool {
        if self.step.is_zero() {
            return true;
        }
        let now = clock::now();
        let mut table = self.table.lock();
        table.sweep(now);
        let ids = match table.of.get_mut(account) {
            Some(ids) => ids,
            None => table.of.entry(account.into()).or_default(),
        };
        let whole = ids.get(device_id).map_or(now, |whole| now.max(*whole)) + self.step;
        if whole > now + self.step * self.burst {
            return false;
        }
        if ids.len() >= self.most_ids && !ids.contains_key(device_id) {
            ids.retain(|_, whole| *whole > now);
            if ids.len() >= self.most_ids {
                return false;
            }
        }
        ids.insert(device_id.clone(), whole);
        true
    }
}

impl Table {
    fn sweep(&mut self, now: Instant) {
        if self.swept.is_some_and(|swept| now - swept < SWEEP_EVERY) {
            return;
        }
        self.swept = Some(now);
        self.of.retain(|_, ids| {
            ids.retain(|_, whole| *whole > now);
            !ids.is_empty()
        });
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use tokio::time::advance;

    fn id(number: usize) -> DeviceId {
        DeviceId::new(&format!("cvd-{number}")).expect("an id")
    }

    /// T33, by principal.
    #[tokio::test(start_paused = true)]
    async fn t33_an_id_may_be_registered_20_times_at_once_and_10_times_a_minute() {
        let registrations = Registrations::new(&QuotaSettings::default());
        let taken = |who, number| (0..100).filter(|_| registrations.try_take(who, &id(number))).count();
        assert_eq!(taken("a", 1), 20);
        assert_eq!((taken("a", 2), taken("b", 1)), (20, 20), "another id, another principal");
        advance(Duration::from_secs(30)).await;
        assert_eq!(taken("a", 1), 5);
        advance(Duration::from_secs(120)).await;
        assert_eq!(taken("a", 1), 20);
    }

    #[tokio::test(start_paused = true)]
    async fn number_of_ids_is_bounded_and_what_is_over_is_forgotten() {
        let registrations = Registrations::new(&QuotaSettings { devices: 300, ..QuotaSettings::default() });
        let taken =
            |numbers: std::ops::Range<usize>| numbers.filter(|at| registrations.try_take("a", &id(*at))).count();
        assert_eq!((taken(0..300), taken(0..300)), (300, 300), "a host with all its devices, twice");
        assert_eq!(taken(300..400), 0);
        advance(Duration::from_secs(13)).await;
        assert_eq!(taken(300..700), 300);
        advance(Duration::from_secs(120)).await;
        assert!(registrations.try_take("b", &id(0)));
        assert_eq!(registrations.table.lock().of.len(), 1);
    }

    #[test]
    fn rate_of_0_is_none() {
        let registrations = Registrations::new(&QuotaSettings { registrations: 0, ..QuotaSettings::default() });
        assert!((0..1000).all(|_| registrations.try_take("a", &id(1))));
        assert!(registrations.table.lock().of.is_empty());
    }
}
