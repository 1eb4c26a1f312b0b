//! The world of broken connections: sessions that go on, devices that come back, servers that stop and crash.
//!
//! Unlike in [`World`](crate::World), there are wires here: what was sent and not yet read is lost when a connection is
//! cut, and a server may notice a cut late, or after the peer is back. The far ends behave as protocol.md 2.6 says, and
//! the book knows of each message whether it may be lost.

mod book;
mod far_device;
mod line;
mod viewer;

use std::collections::HashSet;
use std::sync::Arc;
use std::time::{Duration, Instant};

use cuttlebone_hub::{Bound, Observer, Registry, Seat, SeatOptions, Settings};
use cuttlebone_proto::ClientId;
use parking_lot::Mutex;

use crate::OPTIONS;
use crate::dice::Dice;
use crate::world::{SeededIds, config, start, tokens};
use book::Book;
use far_device::FarDevice;
use line::{Line, Owner};
use viewer::Viewer;

const VIEWERS: usize = 4;
const DEVICES: usize = 2;
/// The largest step of the clock.
const TICK: Duration = Duration::from_millis(500);
/// More than an old device can read, with what stands around it.
const LARGE: usize = 65_500;
/// Longer than any grace period.
const LONG: Duration = Duration::from_secs(30);

/// One run.
#[derive(Debug)]
pub struct Continuity {
    dice: Dice,
    now: Instant,
    now_ms: u64,
    registry: Registry,
    /// Clients that a server had no room to expect.
    not_expected: Arc<NotExpected>,
    /// How often the ICE servers have changed.
    configs: u64,
    /// How many servers there have been.
    process: u64,
    lines: Vec<Line>,
    devices: Vec<FarDevice>,
    viewers: Vec<Viewer>,
    book: Book,
}

impl Continuity {
    /// A world where nobody has connected yet.
    #[must_use]
    pub fn new(dice: Dice) -> Self {
        let not_expected = Arc::<NotExpected>::default();
        let registry = server(&dice, (1, 0), &not_expected);
        let mut book = Book::default();
        let viewers = (0..VIEWERS).map(|at| Viewer::new(at % DEVICES, book.begin(at % DEVICES))).collect();
        let devices = (0..DEVICES).map(FarDevice::new).collect();
        Self {
            dice,
            now: start(),
            now_ms: 0,
            registry,
            not_expected,
            configs: 0,
            process: 1,
            lines: Vec::new(),
            devices,
            viewers,
            book,
        }
    }

    /// Does `steps` things, then lets everything arrive and looks whether it has.
    ///
    /// # Panics
    /// Where a message is lost, doubled, overtaken or misdelivered that should not be.
    pub fn run(mut self, steps: usize) {
        for _ in 0..steps {
            self.step();
        }
        self.finish();
    }

    /// As [`Continuity::run`], for as long as a script has choices to make.
    ///
    /// # Panics
    /// As [`Continuity::run`].
    pub fn run_script(mut self) {
        while !self.dice.is_used_up() {
            self.step();
        }
        self.finish();
    }

    fn step(&mut self) {
        match self.dice.below(64) {
            0..=15 => self.some_line(Self::server_reads),
            16..=31 => self.some_line(Self::server_writes),
            32..=43 => self.some_viewer_acts(),
            44..=53 => self.some_device_acts(),
            54..=56 => self.some_line(Self::go_on),
            57 => self.some_line(Self::cut),
            58..=60 => self.some_line(Self::notice_cut),
            61 => self.pass_time(),
            62 if self.dice.once_in(8) => self.renew_configs(),
            62 => self.some_line(Self::pong),
            _ => self.change_server(),
        }
    }

    /// A few times the same to one connection of those that matter.
    fn some_line(&mut self, act: fn(&mut Self, usize)) {
        let live: Vec<usize> = (0..self.lines.len()).filter(|line| self.lines[*line].is_live()).collect();
        let Some(line) = live.get(self.dice.below(live.len())).copied() else { return };
        for _ in 0..=self.dice.below(4) {
            act(self, line);
        }
    }

    fn some_viewer_acts(&mut self) {
        let viewer = self.dice.below(VIEWERS);
        self.viewer_connects(viewer);
        match self.dice.below(8) {
            0..=2 => self.viewer_sends(viewer),
            _ if self.dice.once_in(60) => self.viewer_leaves(viewer),
            _ => (0..=self.dice.below(4)).for_each(|_| self.viewer_reads(viewer)),
        }
    }

    fn some_device_acts(&mut self) {
        let device = self.dice.below(DEVICES);
        self.device_connects(device);
        match self.dice.below(8) {
            0..=2 => self.device_sends(device),
            _ => (0..=self.dice.below(4)).for_each(|_| self.device_reads(device)),
        }
    }

    fn pass_time(&mut self) {
        let longest = [50, 50, 500, 500, 3_000, 12_000][self.dice.below(6)];
        let passed = self.dice.below(longest) as u64;
        self.advance(Duration::from_millis(passed));
    }

    /// In small steps, so that what is due first happens first.
    fn advance(&mut self, time: Duration) {
        let end = self.now + time;
        while self.now < end {
            let step = (end - self.now).min(TICK);
            self.now += step;
            self.now_ms += u64::try_from(step.as_millis()).unwrap_or_default();
            (0..self.lines.len()).for_each(|line| self.fire(line));
        }
    }

    /// A restart that was planned, or a crash. The next server is there at once.
    ///
    /// Not before everybody is back from the last planned one: what a device sends to a viewer that is still on its way is
    /// lost with the second server, and nobody can tell the viewer (docs/RELIABILITY.md).
    fn change_server(&mut self) {
        let are_back = self.viewers.iter().all(Viewer::is_back) && !self.lines.iter().any(Line::is_on_stopped_server);
        if !are_back {
            return;
        }
        match self.dice.below(8) {
            0 => self.stop_server(),
            1 => self.crash(),
            _ => {}
        }
    }

    fn stop_server(&mut self) {
        self.registry.stop();
        for line in 0..self.lines.len() {
            self.tell_to_stop(line);
        }
        // From here on a viewer has its grace period to come to the next server.
        self.viewers.iter().for_each(|viewer| self.book.is_away(viewer.session, Some(self.now)));
        self.next_server();
    }

    fn crash(&mut self) {
        for line in 0..self.lines.len() {
            self.cut(line);
        }
        self.lines.clear();
        self.book.lose_notices(None, true);
        self.next_server();
    }

    /// How much longer than need be a message is: mostly not at all, sometimes so long that an old device can't read it.
    fn some_length(&mut self) -> usize {
        if self.dice.once_in(16) { [5_000, 20_000, LARGE][self.dice.below(3)] } else { 0 }
    }

    fn next_server(&mut self) {
        self.process += 1;
        self.registry = server(&self.dice, (self.process, self.now_ms), &self.not_expected);
    }

    fn open(&mut self, owner: Owner) -> usize {
        // The first device is replaced by an older one at times, and the other way round.
        let small_reader = owner == Owner::Device(0) && self.dice.once_in(2);
        let options = SeatOptions { small_reader, ..OPTIONS };
        let seat = match owner {
            Owner::Viewer(_) => Seat::client(&self.registry, &options, self.now),
            Owner::Device(_) => Seat::device(&self.registry, &options, self.now),
        };
        let session = if let Owner::Viewer(viewer) = owner { self.viewers[viewer].resumes() } else { None };
        self.lines.push(Line::new(seat, self.registry.clone(), self.process, owner, session));
        self.lines.len() - 1
    }

    /// Everybody connects and reads until nothing moves; then everything has arrived.
    fn finish(mut self) {
        for line in 0..self.lines.len() {
            self.notice_cut(line);
        }
        self.advance(LONG);
        for _ in 0..200 {
            for device in 0..DEVICES {
                self.device_connects(device);
                (0..64).for_each(|_| self.device_reads(device));
            }
            for viewer in 0..VIEWERS {
                self.viewer_connects(viewer);
                (0..64).for_each(|_| self.viewer_reads(viewer));
            }
            for line in 0..self.lines.len() {
                self.notice_cut(line);
                self.go_on(line);
                (0..8).for_each(|_| self.server_reads(line));
                (0..8).for_each(|_| self.server_writes(line));
            }
            self.advance(Duration::from_millis(100));
        }
        for viewer in &self.viewers {
            assert!(viewer.is_attached(), "a viewer that never came to its device");
            self.book.check_complete(viewer.session);
            assert_eq!(viewer.config, config(self.configs), "a viewer has an old config");
        }
        for (at, device) in self.devices.iter().enumerate() {
            self.book.check_reported(at, device.lives);
            assert_eq!(device.config, config(self.configs), "a device has an old config");
        }
        self.lines.clear();
        assert_eq!(self.registry.table_len(), 0, "entries of the table are left");
    }
}

/// Hears of them.
#[derive(Debug, Default)]
struct NotExpected(Mutex<HashSet<u64>>);

impl Observer for NotExpected {
    fn not_expected(&self, client_id: ClientId) {
        self.0.lock().insert(client_id.value().into());
    }
}

fn server(dice: &Dice, (process, started_ms): (u64, u64), observer: &Arc<NotExpected>) -> Registry {
    let ids = SeededIds::new(dice, process);
    let tokens = tokens(process, started_ms).shared();
    Registry::new(settings(), Box::new(ids), tokens, Arc::clone(observer) as Arc<dyn Observer>)
}

/// Wide queues, and few messages kept, so that this bound is passed at times. Together they may hold a little only, so that
/// there is room for one large message in each.
fn settings() -> Settings {
    let kept = Bound { frames: 6, bytes: 10_000 };
    Settings { resume_kept: kept, all_queues_bytes: 64 * 1024, ..Settings::default() }
}
