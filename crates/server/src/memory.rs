//! Sheds load before memory runs out.
//!
//! Once a second the memory of this process is compared with what it may have. Above one share of that no new connection is
//! taken; above another, the clients that came last of those that wait for a device are let go as well: they have the least
//! to lose. Nothing that is attached is touched. A little below the first share, and as long as it stays so, memory is won back:
//! what is only remembered is forgotten, and what lies scattered is laid together.

use std::fs;
use std::path::Path;
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

const SAMPLE_EVERY: Duration = Duration::from_secs(1);

/// From this part of the share on at which new connections are refused, memory is won back, and how often.
const WIN_BACK_TENTHS: u64 = 9;
const WIN_BACK_EVERY: Duration = Duration::from_secs(10);

/// The part of what all unfinished messages may come to that has to be free for one more.
const LEAST_PART: usize = 128;

/// From here on a number is what version 1 of control groups says where there is no limit.
const NO_LIMIT: u64 = 1 << 62;

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
    limit: u64,
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
        app.metrics.set_memory_limit(limit);
        let (admission, app) = (Arc::clone(admission), Arc::clone(app));
        Some(Self { limit, settings, admission, app, pressure: Pressure::None, won_back: None })
    }

    /// Watches until `stop`.
    pub(crate) async fn run(mut self, stop: CancellationToken) {
        tracing::info!(limit_bytes = self.limit, "watching memory");
        let mut tick = interval(SAMPLE_EVERY);
        tick.set_missed_tick_behavior(MissedTickBehavior::Delay);
        while stop.run_until_cancelled(tick.tick()).await.is_some() {
            if let Some(resident) = resident_bytes() {
                self.on_sample(resident);
                if self.is_to_win_back(resident) {
                    self.win_back().await;
                }
            }
        }
    }

    fn is_to_win_back(&mut self, resident: u64) -> bool {
        let now = clock::now();
        let is_time = self.won_back.is_none_or(|before| now - before >= WIN_BACK_EVERY);
        let is_high = resident >= self.share(self.settings.refuse_percent) / 10 * WIN_BACK_TENTHS;
        if is_high && is_time {
            self.won_back = Some(now);
        }
        is_high && is_time
    }

    async fn win_back(&self) {
        let Self { app, .. } = self;
        app.gate.access().forget();
        app.registrations.forget();
        app.leasing.forget();
        let registry = Arc::clone(&app.registry);
        // Copies all that is queued: not beside the connections of this thread.
        let gathered = tokio::task::spawn_blocking(move || registry.gather()).await;
        app.metrics.won_back();
        tracing::info!(is_gathered = gathered.is_ok(), "memory was won back: what was only remembered is forgotten");
    }

    fn on_sample(&mut self, resident: u64) {
        let pressure = self.pressure(resident);
        if pressure != self.pressure {
            tracing::warn!(
                resident_bytes = resident,
                limit_bytes = self.limit,
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

    fn pressure(&self, resident: u64) -> Pressure {
        if resident >= self.share(self.settings.let_go_percent) {
            Pressure::LetGo
        } else if resident >= self.share(self.settings.refuse_percent) {
            Pressure::Refuse
        } else {
            Pressure::None
        }
    }

    fn share(&self, percent: u8) -> u64 {
        self.limit / 100 * u64::from(percent)
    }
}

/// What this process may have, if a limit is wanted or known.
fn limit(settings: MemorySettings) -> Option<u64> {
    let read = |path: &Path| fs::read_to_string(Path::new("/").join(path)).ok();
    settings.limit.or_else(|| system_limit(read, machine_memory())).filter(|limit| *limit > 0)
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
    limit(settings).map_or(usize::MAX, share)
}

/// What the system lets this process have: the least of its control groups (of either version) and the `machine`'s memory.
/// `read` is given paths below `/`.
fn system_limit(read: impl Fn(&Path) -> Option<String>, machine: u64) -> Option<u64> {
    let groups = read(Path::new("proc/self/cgroup")).unwrap_or_default();
    let groups = groups.lines().filter_map(group_file);
    let of_groups = groups.flat_map(|(base, path, file)| {
        let own = path.trim_start_matches('/');
        // A limit of any parent holds as well. In a container the path may be that of the host: then only the base is there.
        Path::new(own).ancestors().map(move |path| Path::new(base).join(path).join(file)).collect::<Vec<_>>()
    });
    let limits = of_groups.filter_map(|path| read(&path)?.trim().parse().ok());
    // A sandbox may not say what the machine has.
    let machine = (machine > 0).then_some(machine);
    limits.filter(|limit| *limit < NO_LIMIT).chain(machine).min()
}

/// Where a line of `/proc/self/cgroup` has its limit: the folder of the hierarchy, the group in it, and the file.
fn group_file(line: &str) -> Option<(&'static str, &str, &'static str)> {
    let mut parts = line.splitn(3, ':').skip(1);
    match (parts.next()?, parts.next()?) {
        ("", path) => Some(("sys/fs/cgroup", path, "memory.max")),
        (controllers, path) if controllers.split(',').any(|name| name == "memory") => {
            Some(("sys/fs/cgroup/memory", path, "memory.limit_in_bytes"))
        }
        _ => None,
    }
}

/// In bytes. Asked of the system, and not of `/proc/meminfo`, which a unit of systemd hides (`ProcSubset=pid`).
fn machine_memory() -> u64 {
    let system = rustix::system::sysinfo();
    system.totalram.saturating_mul(system.mem_unit.into())
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
    const MACHINE: u64 = 1024 * MIB;

    /// The limit that a system with these files and so much memory has.
    fn limit_of(files: &[(&str, &str)], machine: u64) -> Option<u64> {
        let read =
            |path: &Path| files.iter().find(|(known, _)| Path::new(known) == path).map(|(_, text)| (*text).to_owned());
        system_limit(read, machine)
    }

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

    #[test]
    fn without_a_group_the_machine_is_the_limit() {
        assert_eq!(limit_of(&[], MACHINE), Some(MACHINE));
        let unlimited = ("sys/fs/cgroup/memory/memory.limit_in_bytes", "9223372036854771712\n");
        let group = ("proc/self/cgroup", "11:cpu:/x\n5:memory:/\n");
        assert_eq!(limit_of(&[group, unlimited], MACHINE), Some(MACHINE));
        assert_eq!(limit_of(&[group, unlimited], 0), None, "the machine's is hidden");
        let unlimited = ("sys/fs/cgroup/a/memory.max", "max\n");
        assert_eq!(limit_of(&[("proc/self/cgroup", "0::/a\n"), unlimited], MACHINE), Some(MACHINE));
    }

    #[test]
    fn limit_of_the_own_group_or_of_one_around_it_holds() {
        let own = ("sys/fs/cgroup/a/b/memory.max", "268435456\n");
        assert_eq!(limit_of(&[("proc/self/cgroup", "0::/a/b\n"), own], MACHINE), Some(256 * MIB));
        let around = ("sys/fs/cgroup/a/memory.max", "134217728\n");
        assert_eq!(limit_of(&[("proc/self/cgroup", "0::/a/b\n"), own, around], MACHINE), Some(128 * MIB));
        assert_eq!(limit_of(&[("proc/self/cgroup", "0::/a/b\n"), own], 0), Some(256 * MIB), "the machine's is hidden");
        let v1 = ("sys/fs/cgroup/memory/memory.limit_in_bytes", "268435456\n");
        let of_the_host = ("proc/self/cgroup", "7:blkio,memory:/docker/123\n1:name=systemd:/\n");
        assert_eq!(limit_of(&[of_the_host, v1], MACHINE), Some(256 * MIB));
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
        watch.win_back().await;
        assert_eq!(app.registrations.known(), 0, "its time was over");
    }

    #[test]
    fn a_limit_of_0_is_none() {
        let app = App::for_test(Settings::default());
        let settings = MemorySettings { limit: Some(0), ..MemorySettings::default() };
        assert!(Watch::new(settings, &Admission::new(Bounds::of(1, None)), &app).is_none());
    }
}
