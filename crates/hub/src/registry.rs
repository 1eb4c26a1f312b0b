//! Which device is where. Used to register, connect, close and list; no message ever passes through it.
//!
//! Sharded by id; a shard is a small lock around a map of its devices and of the clients that wait for one.

mod leasing;
mod registration;
mod resuming;
mod waiting;

use std::collections::{HashMap, VecDeque};
use std::hash::{BuildHasher, RandomState};
use std::sync::Arc;

use cuttlebone_proto::limits::SMALL_READER_BYTES;
use cuttlebone_proto::{ClientId, CloseCode, Reject, Resume, adb_port, encode};
use tokio::sync::broadcast;
use tokio::sync::oneshot::error::TryRecvError;

use crate::config::{ConfigFor, WriteConfig};
use crate::device::{Device, State};
use crate::event::{DeviceSummary, Event};
use crate::item::Notice;
use crate::lease::Leases;
use crate::mailbox::{Budgets, Charge, Inbox, Weights};
use crate::observer::Observer;
use crate::party::{Address, Claim};
use crate::request::{Answer, AttachRequest, RegisterRequest, Request};
use crate::resume_token::Tokens;
use crate::settings::Settings;
use crate::sync::{AtomicBool, AtomicU64, AtomicUsize, Mutex, MutexGuard, OnceLock, Ordering};

pub use registration::{Holder, Registration};
pub(crate) use waiting::Place;
use waiting::Waiter;
pub use waiting::Waiting;

/// A model has one id, and no use for shards that are never contended.
const SHARDS: usize = if cfg!(loom) { 1 } else { 64 };

/// Where client ids come from: uniform in their range, from a source that nobody can guess.
pub trait IdSource: Send + Sync {
    /// The next id.
    fn draw(&self) -> ClientId;
    /// A number that no other session has.
    fn draw_session(&self) -> u64;
}

/// The devices of this node and the clients that wait for one. Cheap to clone.
#[derive(Clone)]
pub struct Registry {
    shared: Arc<Shared>,
}

pub(crate) struct Shared {
    pub(crate) settings: Settings,
    pub(crate) ids: Box<dyn IdSource>,
    pub(crate) tokens: Tokens,
    pub(crate) budgets: Budgets,
    /// Of what devices say of themselves.
    device_infos: Budgets,
    pub(crate) observer: Arc<dyn Observer>,
    shards: Box<[Mutex<Shard>]>,
    leases: Mutex<Leases>,
    /// How many there are.
    leased: AtomicUsize,
    hasher: RandomState,
    events: broadcast::Sender<Event>,
    waiting: AtomicUsize,
    waiters: AtomicU64,
    version: AtomicU64,
    stopping: AtomicBool,
}

type Shard = HashMap<Address, Entry>;

#[derive(Default)]
struct Entry {
    device: Option<Arc<Device>>,
    waiters: Vec<Waiter>,
}

/// Takes an entry out, and gives back what a storm has left behind.
fn forget(shard: &mut Shard, address: &Address) {
    const SMALL: usize = 64;
    shard.remove(address);
    if shard.capacity() > SMALL && shard.len() < shard.capacity() / 4 {
        shard.shrink_to(2 * shard.len());
    }
}

/// How many there are now.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Counts {
    /// Devices that are registered.
    pub devices: usize,
    /// Clients that are attached to one.
    pub clients: usize,
    /// Clients that wait for one.
    pub waiting: usize,
    /// Devices that somebody has for itself.
    pub leases: usize,
    /// Bytes that all queues hold, to within 4 KiB for each.
    pub queued_bytes: usize,
    /// Bytes of every `device_info`, to within 4 KiB for each.
    pub device_info_bytes: usize,
}

/// What came of a request.
#[derive(Debug)]
pub enum Resolution {
    /// The answer.
    Answer(Answer),
    /// The id is held: wait for the holder's answer, then [`Registry::conclude`].
    Probe(Probe),
}

/// A registration that waits until the present holder of the id has answered, or has not.
#[derive(Debug)]
pub struct Probe {
    /// Ready with `Ok` when the holder answered, with `Err` when its connection is gone.
    pub answered: tokio::sync::oneshot::Receiver<()>,
    request: RegisterRequest,
    holder: Inbox,
}

impl Probe {
    /// Whether the holder has answered by now; `None` while that is open.
    pub fn answered_yet(&mut self) -> Option<bool> {
        match self.answered.try_recv() {
            Ok(()) => Some(true),
            Err(TryRecvError::Closed) => Some(false),
            Err(TryRecvError::Empty) => None,
        }
    }
}

impl std::fmt::Debug for Shared {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Shared")
    }
}

impl std::fmt::Debug for Registry {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Registry").field("counts", &self.counts()).finish()
    }
}

impl Registry {
    /// An empty registry.
    #[must_use]
    pub fn new(settings: Settings, ids: Box<dyn IdSource>, tokens: Tokens, observer: Arc<dyn Observer>) -> Self {
        let events = broadcast::Sender::new(settings.event_buffer);
        let shards = (0..SHARDS).map(|_| Mutex::default()).collect();
        let budgets = Budgets::new(settings.all_queues_bytes, Weights::STEEP);
        let device_infos = Budgets::new(settings.all_device_infos_bytes, Weights::EVEN);
        let shared = Shared {
            settings,
            ids,
            tokens,
            budgets,
            device_infos,
            observer,
            shards,
            leases: Mutex::default(),
            leased: AtomicUsize::new(0),
            hasher: RandomState::new(),
            events,
            waiting: AtomicUsize::new(0),
            waiters: AtomicU64::new(0),
            version: AtomicU64::new(0),
            stopping: AtomicBool::new(false),
        };
        Self { shared: Arc::new(shared) }
    }

    /// The settings.
    #[must_use]
    pub fn settings(&self) -> &Settings {
        &self.shared.settings
    }

    /// The server stops: nobody registers or attaches any more.
    pub fn stop(&self) {
        self.shared.stopping.store(true, Ordering::Release);
        // Whoever had a shard before is done when each has been had since.
        self.shared.shards.iter().for_each(|shard| drop(shard.lock()));
    }

    pub(crate) fn shared(&self) -> &Shared {
        &self.shared
    }

    /// Answers what a seat asked for. `config` writes what its peer is greeted with; `now_ms` is in milliseconds since 1970.
    #[must_use]
    pub fn resolve(&self, request: Request, config: &WriteConfig<'_>, now_ms: u64) -> Resolution {
        match request {
            Request::Attach(request) => Resolution::Answer(self.attach(&request, config, now_ms)),
            Request::Register(request) => self.register(request, config, now_ms, None),
        }
    }

    /// Goes on with a registration whose id was held: refused if the holder `answered`, else the id is taken over.
    #[must_use]
    pub fn conclude(&self, probe: Probe, answered: bool, config: &WriteConfig<'_>, now_ms: u64) -> Resolution {
        if answered {
            return taken(probe.request);
        }
        self.register(probe.request, config, now_ms, Some(&probe.holder))
    }

    /// The devices, in the order of their ids (R7).
    #[must_use]
    pub fn list(&self) -> Vec<DeviceSummary> {
        let mut devices = self.devices();
        devices.sort_unstable_by(|a, b| a.address.cmp(&b.address));
        devices.iter().map(|device| self.shared.summary(device)).collect()
    }

    /// One device.
    #[must_use]
    pub fn find(&self, address: &Address) -> Option<DeviceSummary> {
        let device = self.shared.shard(address).get(address)?.device.clone()?;
        Some(self.shared.summary(&device))
    }

    /// Has the connection of a device closed with `reject`. The device is gone for good; it may register again. Gives
    /// `false` if it is not there.
    pub fn close(&self, address: &Address, reject: Reject) -> bool {
        let shard = self.shared.shard(address);
        let Some(device) = shard.get(address).and_then(|entry| entry.device.as_ref()) else { return false };
        if device.away.load(Ordering::Relaxed) {
            device.mailbox.evict(encode::error(&reject), reject.close().unwrap_or(CloseCode::Policy));
        } else {
            device.mailbox.urge(Notice::Refused(reject));
        }
        true
    }

    /// What happens to devices from now on.
    #[must_use]
    pub fn subscribe(&self) -> broadcast::Receiver<Event> {
        self.shared.events.subscribe()
    }

    /// Grows with everything that changes [`Registry::list`]: after the change, and before the lock that guards it is
    /// released.
    #[must_use]
    pub fn version(&self) -> u64 {
        self.shared.version.load(Ordering::Acquire)
    }

    /// How many there are now.
    #[must_use]
    pub fn counts(&self) -> Counts {
        let devices = self.devices();
        let clients = devices.iter().map(|device| device.summary().viewers).sum();
        let waiting = self.shared.waiting.load(Ordering::Relaxed);
        let leases = self.shared.leased.load(Ordering::Relaxed);
        let [queued_bytes, device_info_bytes] = [&self.shared.budgets, &self.shared.device_infos].map(Budgets::held);
        Counts { devices: devices.len(), clients, waiting, leases, queued_bytes, device_info_bytes }
    }

    /// Entries of the table of ids: one for each device and for each id that somebody waits for.
    #[must_use]
    pub fn table_len(&self) -> usize {
        self.shared.shards.iter().map(|shard| shard.lock().len()).sum()
    }

    fn devices(&self) -> Vec<Arc<Device>> {
        let mut devices = Vec::new();
        for shard in &self.shared.shards {
            devices.extend(shard.lock().values().filter_map(|entry| entry.device.clone()));
        }
        devices
    }

    /// Greets the client, with credentials if its device is there, and gives it its place.
    fn attach(&self, request: &AttachRequest, config: &WriteConfig<'_>, now_ms: u64) -> Answer {
        let mut shard = self.shared.shard(&request.address);
        let is_stopping = self.shared.is_stopping();
        let present = shard.get(&request.address).and_then(|entry| entry.device.clone()).filter(|_| !is_stopping);
        let is_resuming = matches!(request.resume, Resume::Session { .. });
        let kept_out = self.shared.keeps_out(&request.address, request.party.as_ref());
        let is_there = |device: &Arc<Device>| is_resuming || !device.away.load(Ordering::Relaxed);
        let is_let_in = kept_out.is_none() && present.as_ref().is_some_and(is_there);
        let config: Arc<str> = config(ConfigFor { is_let_in, asks_ice_policy: request.asks_ice_policy }).into();
        if request.config.as_ref() != Some(&config) {
            request.mailbox.reply(config.to_string());
        }
        if is_stopping {
            return Answer::Stopping;
        }
        if let Some(reject) = kept_out {
            return Answer::Refused(reject);
        }
        if let Resume::Session { token, received } = &request.resume {
            let (request, token) = ((request, &config), (&**token, *received));
            return self.shared.resume(&mut shard, present.as_ref(), request, token, now_ms);
        }
        let resumable = (request.resume == Resume::New).then(|| self.shared.token_time(now_ms));
        match present.filter(|_| is_let_in) {
            Some(device) => device.attach(&self.shared, request, resumable).into(),
            None => {
                let Settings { waiting_per_device, client_wait, .. } = self.shared.settings;
                waiting::wait(&self.shared, &mut shard, request, &config, (waiting_per_device, client_wait))
            }
        }
    }

    fn register(
        &self,
        mut request: RegisterRequest,
        config: &WriteConfig<'_>,
        now_ms: u64,
        silent: Option<&Inbox>,
    ) -> Resolution {
        let mut shard = self.shared.shard(&request.address);
        if self.shared.is_stopping() {
            return Resolution::Answer(Answer::Stopping);
        }
        let held = shard.get(&request.address).and_then(|entry| entry.device.clone());
        let Some(device) = held else {
            let Some(charge) = self.shared.info_charge(&mut request) else { return overloaded() };
            let former = (VecDeque::new(), Holder::Nobody);
            return Resolution::Answer(self.publish(&mut shard, (&request, charge, config), former, now_ms));
        };
        let away = device.away.load(Ordering::Relaxed);
        let claim = Claim::on(device.party.as_ref(), request.party.as_ref());
        if claim == Claim::Foreign {
            return taken(request);
        }
        let is_same = device.info == request.device_info && device.party == request.party;
        // It may take a while until it has the id, or not.
        if is_same {
            request.device_info = Arc::clone(&device.info);
        } else {
            request.charge = self.shared.info_charge(&mut request);
            if request.charge.is_none() {
                return overloaded();
            }
        }
        if claim == Claim::Open && !away && !silent.is_some_and(|silent| silent.is_reader_of(&device.mailbox)) {
            let (probe, answered) = tokio::sync::oneshot::channel();
            device.mailbox.urge(Notice::Probe(probe));
            return Resolution::Probe(Probe { answered, request, holder: device.mailbox.reader() });
        }
        if is_same && !self.shared.hand_on(&device, &request) {
            return overloaded();
        }
        let before = if away { Holder::Away } else { Holder::Here };
        if !away {
            self.shared.observer.taken_over();
        }
        let Some(charge) = request.charge.take().filter(|_| !is_same) else {
            if away {
                self.shared.observer.returned();
            }
            return Resolution::Answer(self.resume(&mut shard, &device, (request, config), before, now_ms));
        };
        // Another device_info, or another owner: for the clients this is another device. It may have kept its table of
        // them (protocol.md 3.2), so it is told that they are gone.
        device.mailbox.revoke();
        let (reports, gone) = device.end();
        let former = device.take_former().into_iter().chain(gone.iter().copied()).collect();
        let answer = self.publish(&mut shard, (&request, charge, config), (former, before), now_ms);
        let gone = gone.into_iter().map(encode::client_disconnected);
        reports.into_iter().chain(gone).for_each(|report| request.mailbox.report(report));
        Resolution::Answer(answer)
    }

    /// Makes a device known. `config` is queued for it before anybody can reach it (R2).
    fn publish(
        &self,
        shard: &mut Shard,
        (request, charge, config): (&RegisterRequest, Charge, &WriteConfig<'_>),
        (former, before): (VecDeque<ClientId>, Holder),
        now_ms: u64,
    ) -> Answer {
        let mailbox = Arc::clone(&request.mailbox);
        mailbox.set_longest(longest(request));
        mailbox.reply(config(ConfigFor::DEVICE));
        let device = Arc::new(Device {
            address: request.address.clone(),
            party: request.party.clone(),
            info: Arc::clone(&request.device_info),
            info_charge: Mutex::new(charge),
            registered_at_ms: now_ms,
            adb_port: adb_port(&request.device_info),
            mailbox,
            away: AtomicBool::new(false),
            digest: OnceLock::new(),
            state: Mutex::new(State::with_former(former)),
        });
        let entry = shard.entry(request.address.clone()).or_default();
        entry.device = Some(Arc::clone(&device));
        self.greet(entry, &device);
        let inbox = device.mailbox.reader();
        Answer::Registered(Registration::new(Arc::clone(&self.shared), device, inbox, before, now_ms))
    }

    /// Gives a device that came back its queue, with what was held, and its clients.
    fn resume(
        &self,
        shard: &mut Shard,
        device: &Arc<Device>,
        (request, config): (RegisterRequest, &WriteConfig<'_>),
        before: Holder,
        now_ms: u64,
    ) -> Answer {
        let config = config(ConfigFor::DEVICE);
        let bound = self.shared.settings.device_queue;
        let (inbox, too_large) = device.mailbox.adopt(&request.mailbox, config, bound, longest(&request));
        device.too_large(&self.shared, &too_large);
        device.away.store(false, Ordering::Relaxed);
        let entry = shard.entry(request.address).or_default();
        self.greet(entry, device);
        Answer::Registered(Registration::new(Arc::clone(&self.shared), Arc::clone(device), inbox, before, now_ms))
    }

    /// Announces a device that can be reached now, to listeners and to the clients that wait for it.
    fn greet(&self, entry: &mut Entry, device: &Arc<Device>) {
        self.shared.announce(|| Event::Registered(self.shared.summary(device)));
        for waiter in &entry.waiters {
            waiter.mailbox.notify(Notice::DeviceReady);
        }
    }
}

fn taken(request: RegisterRequest) -> Resolution {
    Resolution::Answer(Answer::Refused(Reject::DeviceIdTaken(request.address.device_id)))
}

fn overloaded() -> Resolution {
    Resolution::Answer(Answer::Refused(Reject::Overloaded))
}

/// Bytes of the longest message that the device can read.
fn longest(request: &RegisterRequest) -> usize {
    if request.small_reader { SMALL_READER_BYTES } else { usize::MAX }
}

impl Shared {
    fn shard(&self, address: &Address) -> MutexGuard<'_, Shard> {
        let at = usize::try_from(self.hasher.hash_one(address) % SHARDS as u64).unwrap_or_default();
        self.shards[at].lock()
    }

    /// What a device says of itself is kept as long as it is there, if there is room for it.
    fn info_charge(&self, request: &mut RegisterRequest) -> Option<Charge> {
        let infos = || self.device_infos.of(request.mailbox.budget().owner());
        request.charge.take().or_else(|| Charge::of(infos(), request.device_info.len()))
    }

    /// What is held for a device, and what it says of itself, counts for whoever takes it over from now on, if there is room for it.
    fn hand_on(&self, device: &Device, request: &RegisterRequest) -> bool {
        let budget = request.mailbox.budget();
        let infos = self.device_infos.of(budget.owner());
        let mut info = device.info_charge.lock();
        let has_room = device.mailbox.may_be_read_by(&budget, 0) && info.may_be_read_by(&infos);
        if has_room {
            info.read_by(&infos);
        }
        has_room
    }

    pub(crate) fn is_stopping(&self) -> bool {
        self.stopping.load(Ordering::Acquire)
    }

    /// Tells the listeners, if there are any.
    pub(crate) fn announce(&self, event: impl FnOnce() -> Event) {
        self.version.fetch_add(1, Ordering::AcqRel);
        if self.events.receiver_count() > 0 {
            let _ = self.events.send(event());
        }
    }
}
