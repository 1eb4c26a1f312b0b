//! Sheds load before memory runs out.
//!
//! Once a second the memory of this process, with what the system holds for it, is compared with what it may have. Above one share of that no new connection is
//! taken; above another, the clients that came last of those that wait for a device are let go as well: they have the least
//! to lose. Nothing that is attached is touched. A little below the first share, and as long as it stays so, what is only
//! remembered is forgotten: nobody gets in above it, and so nothing would be looked through.

mod limit;

use std::sync::Arc;
use std::time::Duration;

use cuttlebone_hub::{Budget, Budgets, Owner};
use cuttlebone_transport::ws::Assembly;
use tokio::time::{Instant, MissedTickBehavior, interval};
use tokio_util::sync::CancellationToken;

use crate::admission::Admission;
use crate::app::App;
use crate::clock;
use crate::metrics::process::resident_bytes;
use crate::settings::MemorySettings;

use limit::Limit;

const SAMPLE_EVERY: Duration = Duration::from_secs(1);

/// From this part of the share on at which new connections are refused, memory is won back, and how often.
const WIN_BACK_TENTHS: u64 = 9;
const WIN_BACK_EVERY: Duration = Duration::from_secs(10);

/// The part of what all unfinished messages may come to that has to be free for one more.
const LEAST_PART: usize = 128;

/// How full memory is, from little to much.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Pressure {
    None,
    Refuse,
    LetGo,
}

impl Pressure {
    const fn word(self) -> &'static str {
        match self {
            Self::None => "none",
            Self::Refuse => "no new connections",
            Self::LetGo => "clients that wait are let go",
        }
    }
}

/// What watches, and what it may do about it.
pub(crate) struct Watch {
    limit: Limit,
    settings: MemorySettings,
    admission: Arc<Admission>,
    app: Arc<App>,
    pressure: Pressure,
    won_back: Option<Instant>,
}

impl Watch {
    /// Nothing if no limit is wanted or known.
    pub(crate) fn new(settings: MemorySettings, admission: &Arc<Admission>, app: &Arc<App>) -> Option<Self> {
        let limit = limit(settings)?;
        app.metrics.set_memory_limit(limit.bytes);
        let (admission, app) = (Arc::clone(admission), Arc::clone(app));
        Some(Self { limit, settings, admission, app, pressure: Pressure::None, won_back: None })
    }

    /// Watches until `stop`.
    pub(crate) async fn run(mut self, stop: CancellationToken) {
        tracing::info!(limit_bytes = self.limit.bytes, "watching memory");
        let mut tick = interval(SAMPLE_EVERY);
        tick.set_missed_tick_behavior(MissedTickBehavior::Delay);
        while stop.run_until_cancelled(tick.tick()).await.is_some() {
            if let Some(resident) = resident_bytes() {
                let of_system = self.limit.system_bytes();
                self.app.metrics.set_system_bytes(of_system);
                let held = resident + of_system;
                self.on_sample(held);
                if self.is_to_win_back(held) {
                    self.win_back();
                }
            }
        }
    }

    fn is_to_win_back(&mut self, held: u64) -> bool {
        let now = clock::now();
        let is_time = self.won_back.is_none_or(|before| now - before >= WIN_BACK_EVERY);
        let is_high = held >= self.share(self.settings.refuse_percent) / 10 * WIN_BACK_TENTHS;
        if is_high && is_time {
            self.won_back = Some(now);
        }
        is_high && is_time
    }

    fn win_back(&self) {
        let Self { app, .. } = self;
        app.gate.forget();
        app.registrations.forget();
        app.leasing.forget();
        app.metrics.won_back();
        tracing::info!("memory is short: what was only remembered is forgotten");
    }

    fn on_sample(&mut self, held: u64) {
        let pressure = self.pressure(held);
        if pressure != self.pressure {
            tracing::warn!(
                held_bytes = held,
                limit_bytes = self.limit.bytes,
                pressure = pressure.word(),
                "the share of memory changed"
            );
            self.pressure = pressure;
            self.admission.set_out_of_memory(pressure >= Pressure::Refuse);
        }
        if pressure == Pressure::LetGo {
            // Half of them each second, so that those who remain have a chance.
            let waiting = self.app.registry.counts().waiting;
            self.app.metrics.let_go(self.app.registry.let_waiting_go(waiting.div_ceil(2)));
        }
    }

    fn pressure(&self, held: u64) -> Pressure {
        if held >= self.share(self.settings.let_go_percent) {
            Pressure::LetGo
        } else if held >= self.share(self.settings.refuse_percent) {
            Pressure::Refuse
        } else {
            Pressure::None
        }
    }

    fn share(&self, percent: u8) -> u64 {
        self.limit.bytes / 100 * u64::from(percent)
    }
}

/// What this process may have, if a limit is wanted or known.
fn limit(settings: MemorySettings) -> Option<Limit> {
    let wanted = settings.limit.map(Limit::wanted);
    wanted.or_else(Limit::of_system).filter(|limit| limit.bytes > 0)
}

/// What all queues together may hold, in bytes.
pub(crate) fn queues(settings: MemorySettings) -> usize {
    share(settings, settings.queues_percent)
}

/// What every `device_info` together may have, in bytes.
pub(crate) fn device_infos(settings: MemorySettings) -> usize {
    share(settings, settings.device_info_percent)
}

/// What all unfinished messages that are not small may come to, in bytes.
pub(crate) fn assembling(settings: MemorySettings) -> usize {
    share(settings, settings.assembling_percent)
}

/// What all lists of devices that are not read yet may come to, in bytes.
pub(crate) fn lists(settings: MemorySettings) -> usize {
    share(settings, settings.lists_percent)
}

/// What all leases may come to, in bytes.
pub(crate) fn leases(settings: MemorySettings) -> usize {
    share(settings, settings.leases_percent)
}

/// What the messages of one owner hold while they come, among those of all.
#[derive(Debug)]
pub(crate) struct Assembling {
    budget: Arc<Budget>,
    /// There is room for a message if there is room for so many bytes: or none that is long would ever be read where there is
    /// little memory.
    least: usize,
}

impl Assembling {
    pub(crate) fn of(budgets: &Budgets, owner: &Owner) -> Self {
        Self { budget: budgets.of(Some(owner)), least: budgets.max() / LEAST_PART }
    }
}

impl Assembly for Assembling {
    fn has_room(&self, bytes: usize) -> bool {
        self.budget.has_room(bytes.min(self.least))
    }

    fn take(&self, bytes: usize) -> bool {
        let has_room = self.has_room(bytes);
        if has_room {
            self.budget.add(bytes);
        }
        has_room
    }

    fn give_back(&self, bytes: usize) {
        self.budget.subtract(bytes);
    }
}

fn share(settings: MemorySettings, percent: u8) -> usize {
    let share = |limit: u64| usize::try_from(limit / 100 * u64::from(percent)).unwrap_or(usize::MAX);
    limit(settings).map_or(usize::MAX, |limit| share(limit.bytes))
}

#[cfg(test)]
mod tests {
    use cuttlebone_hub::{Realm, Weights};
    use cuttlebone_proto::DeviceId;

    use super::*;
    use crate::admission::Bounds;
    use crate::metrics::Refusal;
    use crate::settings::Settings;
    use std::net::{IpAddr, Ipv4Addr};

    const MIB: u64 = 1 << 20;

    #[test]
    fn whoever_sends_many_long_messages_keeps_nobody_else_from_one() {
        let budgets = Budgets::new(25 << 20, Weights::STEEP_FOR_OWNERS);
        let of = |name: &str| Assembling::of(&budgets, &Owner { realm: Realm::Common, name: name.into() });
        let taken = |who: &Assembling| (0..500).filter(|_| who.take(256 * 1024)).count();
        let hogs: Vec<_> = (0..9).map(|number| of(&number.to_string())).collect();
        assert_eq!(taken(&hogs[0]), 3, "1/32");
        let hogs = 3 + hogs.iter().map(taken).sum::<usize>();
        assert!((9..25).contains(&hogs), "less than a quarter of all: {hogs}");
        assert_eq!(taken(&of("late")), 1);
        let tenant = Owner { realm: Realm::Tenant("t".into()), name: "x".into() };
        assert!(taken(&Assembling::of(&budgets, &tenant)) >= 2);
        // One that is longer than all there is for one.
        let little = Budgets::new(1 << 20, Weights::STEEP_FOR_OWNERS);
        let one = Assembling::of(&little, &tenant);
        assert!(one.take(256 * 1024) && !one.take(256 * 1024));
        one.give_back(256 * 1024);
        assert!(one.has_room(256 * 1024));
    }

    fn watch(app: &Arc<App>, admission: &Arc<Admission>) -> Watch {
        let settings = MemorySettings { limit: Some(100 * MIB), ..MemorySettings::default() };
        Watch::new(settings, admission, app).expect("a limit")
    }

    #[test]
    fn new_connections_are_refused_above_the_first_share_and_taken_again_below() {
        let app = App::for_test(Settings::default());
        let admission = Admission::new(Bounds::of(10, None));
        let mut watch = watch(&app, &admission);
        let admitted = || admission.try_admit(IpAddr::V4(Ipv4Addr::LOCALHOST)).map(drop);
        for (resident, outcome) in [(84, Ok(())), (85, Err(Refusal::Memory)), (99, Err(Refusal::Memory)), (84, Ok(()))]
        {
            watch.on_sample(resident * MIB);
            assert_eq!(admitted(), outcome, "{resident} %");
        }
    }

    #[tokio::test(start_paused = true)]
    async fn memory_is_won_back_below_the_first_share_and_not_all_the_time() {
        let app = App::for_test(Settings::default());
        let mut watch = watch(&app, &Admission::new(Bounds::of(10, None)));
        let device = DeviceId::new("d").expect("an id");
        assert!(app.registrations.try_take("somebody", &device));
        for (resident, seconds, wanted) in
            [(76, 0, false), (77, 0, true), (99, 9, false), (77, 1, true), (76, 60, false)]
        {
            tokio::time::advance(Duration::from_secs(seconds)).await;
            assert_eq!(watch.is_to_win_back(resident * MIB), wanted, "{resident} %");
        }
        assert_eq!(app.registrations.known(), 1);
        watch.win_back();
        assert_eq!(app.registrations.known(), 0, "its time was over");
    }

    #[test]
    fn a_limit_of_0_is_none() {
        let app = App::for_test(Settings::default());
        let settings = MemorySettings { limit: Some(0), ..MemorySettings::default() };
        assert!(Watch::new(settings, &Admission::new(Bounds::of(1, None)), &app).is_none());
    }
}
