//! How often a principal may register its ids.
//!
//! The rate is of each id, for a host with hundreds of devices registers hundreds of ids at once, and again after each restart
//! of the server. An id is remembered until its rate is whole again, two minutes with the defaults, and of one principal so many
//! as it may have devices: so it can register no more different ids than that in this time.

use std::collections::HashMap;
use std::hash::{BuildHasher as _, RandomState};
use std::time::Duration;

use cuttlebone_proto::DeviceId;
use parking_lot::Mutex;
use tokio::time::Instant;

use crate::clock;
use crate::settings::QuotaSettings;

const MINUTE: Duration = Duration::from_secs(60);

/// All principals are looked through for what can be forgotten when so many ids are remembered, or twice as many as were left;
/// and not again at once.
const LOOKED_THROUGH: usize = 4 * 1024;
const NOT_WITHIN: Duration = Duration::from_secs(1);

/// So many ids are remembered of all principals: then one is forgotten early with each that comes, for whoever makes tokens can make as
/// many principals as it likes.
const MOST_OF_ALL: usize = 32 * 1024;

/// The registrations of each principal.
#[derive(Debug)]
pub(crate) struct Registrations {
    /// In this time there may be one more; zero: as many as come.
    step: Duration,
    /// So many at once.
    burst: u32,
    /// Ids that are remembered of one principal.
    most_ids: usize,
    /// Nobody else knows its key, and so nobody finds two that have the same.
    hash: RandomState,
    table: Mutex<Table>,
}

#[derive(Debug, Default)]
struct Table {
    /// When the rate of an id is whole again, by hashes of the account and of the id: both can be long.
    of: HashMap<u64, HashMap<u64, Instant>>,
    /// How many ids there are of all.
    ids: usize,
    /// How many were left when they were looked through last, and when that was.
    left: usize,
    looked: Option<Instant>,
}

impl Registrations {
    pub(crate) fn new(settings: &QuotaSettings) -> Self {
        Self {
            step: MINUTE.checked_div(settings.registrations).unwrap_or_default(),
            burst: settings.registrations_burst,
            most_ids: settings.devices,
            hash: RandomState::new(),
            table: Mutex::default(),
        }
    }

    #[cfg(test)]
    pub(crate) fn known(&self) -> usize {
        self.table.lock().of.len()
    }

    /// There is little memory: forgets what is over.
    pub(crate) fn forget(&self) {
        self.table.lock().look_through(clock::now());
    }

    /// Whether the principal may register the id once more now; if so, it has.
    pub(crate) fn try_take(&self, account: &str, device_id: &DeviceId) -> bool {
        if self.step.is_zero() {
            return true;
        }
        let (account, id) = (self.hash.hash_one(account), self.hash.hash_one(device_id));
        let now = clock::now();
        let mut table = self.table.lock();
        table.make_room(account, now);
        let Table { of, ids: of_all, .. } = &mut *table;
        let ids = of.entry(account).or_default();
        let whole = ids.get(&id).map_or(now, |whole| now.max(*whole)) + self.step;
        if whole > now + self.step * self.burst {
            return false;
        }
        if ids.len() >= self.most_ids && !ids.contains_key(&id) {
            *of_all -= ids.len();
            ids.retain(|_, whole| *whole > now);
            *of_all += ids.len();
            if ids.len() >= self.most_ids {
                return false;
            }
        }
        if ids.insert(id, whole).is_none() {
            *of_all += 1;
        }
        true
    }
}

impl Table {
    /// Forgets those whose rates are whole.
    fn look_through(&mut self, now: Instant) {
        self.looked = Some(now);
        self.of.retain(|_, ids| {
            ids.retain(|_, whole| *whole > now);
            !ids.is_empty()
        });
        self.of.shrink_to(2 * self.of.len());
        self.ids = self.of.values().map(HashMap::len).sum();
        self.left = self.ids;
    }

    /// For one id more.
    fn make_room(&mut self, account: u64, now: Instant) {
        let is_time = self.looked.is_none_or(|looked| now - looked >= NOT_WITHIN);
        if self.ids >= (2 * self.left).clamp(LOOKED_THROUGH, MOST_OF_ALL) && is_time {
            self.look_through(now);
        }
        if self.ids >= MOST_OF_ALL
            && let Some(one) = self.of.keys().copied().find(|one| *one != account)
        {
            self.ids -= self.of.remove(&one).map_or(0, |ids| ids.len());
        }
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
    }

    /// Who makes tokens makes principals.
    #[tokio::test(start_paused = true)]
    async fn number_of_principals_is_bounded_and_those_that_are_over_are_forgotten() {
        let registrations = Registrations::new(&QuotaSettings::default());
        let known = || registrations.table.lock().of.len();
        let mut come = 0;
        let mut more = |many: usize| {
            come += many;
            assert!((come - many..come).all(|who| registrations.try_take(&who.to_string(), &id(0))));
        };
        more(LOOKED_THROUGH);
        assert_eq!(known(), LOOKED_THROUGH);
        advance(Duration::from_secs(13)).await;
        more(1);
        assert_eq!(known(), 1);
        more(MOST_OF_ALL + LOOKED_THROUGH);
        assert_eq!(known(), MOST_OF_ALL);
        advance(Duration::from_secs(13)).await;
        more(LOOKED_THROUGH);
        assert!(known() <= LOOKED_THROUGH && registrations.table.lock().of.capacity() < 8 * LOOKED_THROUGH);
    }

    #[test]
    fn rate_of_0_is_none() {
        let registrations = Registrations::new(&QuotaSettings { registrations: 0, ..QuotaSettings::default() });
        assert!((0..1000).all(|_| registrations.try_take("a", &id(1))));
        assert!(registrations.table.lock().of.is_empty());
    }
}
