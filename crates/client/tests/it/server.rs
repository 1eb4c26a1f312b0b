//! Both roles against the real server, through proxies that cut what is between them.

use std::num::NonZeroUsize;

use cuttlebone_client::{
    ClientEvent, ClientEvents, ClientHandle, ClientId, ClientOptions, DeviceEvent, DeviceEvents, DeviceHandle,
    DeviceOptions, Endpoint, client, device,
};
use cuttlebone_server::{LimitSettings, ResumeKey, Settings};
use cuttlebone_testkit::fault_proxy::{Direction, FaultProxy};
use cuttlebone_testkit::{TestServer, local_settings};
use serde_json::value::RawValue;
use tokio::sync::watch;

use crate::fake::quick;

/// What may be under way in one direction: less than what either side keeps.
const WINDOW: usize = 60;
const KEY: &[u8] = b"a key that both processes know, of 32 bytes and more";

/// A proxy for each role, in front of a server.
struct Network {
    to_device: FaultProxy,
    to_client: FaultProxy,
}

impl Network {
    async fn start(settings: Settings) -> (TestServer, Self) {
        let server = TestServer::start(settings).unwrap();
        let to_device = FaultProxy::start(&server.address()).await.unwrap();
        let to_client = FaultProxy::start(&server.address()).await.unwrap();
        (server, Self { to_device, to_client })
    }

    fn device(&self) -> (DeviceHandle, DeviceEvents) {
        let info = RawValue::from_string("{}".into()).unwrap();
        device(DeviceOptions { backoff: quick(), ..DeviceOptions::new(endpoint(&self.to_device), "dev", info) })
    }

    fn client(&self) -> (ClientHandle, ClientEvents) {
        client(ClientOptions { backoff: quick(), ..ClientOptions::new(endpoint(&self.to_client), "dev") })
    }

    /// Another process takes over as soon as the old one is told to stop.
    async fn restart(&self, old: TestServer) -> TestServer {
        let next = TestServer::start(settings()).unwrap();
        self.lead_to(&next);
        assert_eq!(old.stop().await.unwrap().aborted, 0);
        next
    }

    fn lead_to(&self, server: &TestServer) {
        self.to_device.to(&server.address());
        self.to_client.to(&server.address());
    }
}

/// Without limits: the numbers come as fast as they can.
fn settings() -> Settings {
    Settings { resume_key: ResumeKey::new(KEY), limits: LimitSettings::OFF, ..local_settings() }
}

fn endpoint(proxy: &FaultProxy) -> Endpoint {
    Endpoint::parse(&format!("ws://{}", proxy.address())).unwrap()
}

/// The numbers that have arrived, which must come from 1 on and one by one.
struct Arrived(watch::Sender<usize>);

impl Arrived {
    fn new() -> Self {
        Self(watch::Sender::new(0))
    }

    fn take(&self, payload: &RawValue) {
        let number: usize = payload.get().parse().unwrap();
        assert_eq!(number, *self.0.borrow() + 1);
        self.0.send_replace(number);
    }

    /// When no more than so many are missing after `number` was sent.
    async fn until_within(&self, window: usize, number: usize) {
        self.0.subscribe().wait_for(|arrived| number <= arrived + window).await.unwrap();
    }
}

/// Numbers from 1 to `count` in both directions at the same time.
struct Talk {
    count: usize,
    up: Arrived,
    down: Arrived,
    /// How often the client's session was resumed.
    resumed: watch::Sender<usize>,
}

impl Talk {
    fn new(count: usize) -> Self {
        Self { count, up: Arrived::new(), down: Arrived::new(), resumed: watch::Sender::new(0) }
    }

    /// Until all numbers have arrived.
    async fn run(&self, network: &Network) {
        let (device, device_events) = network.device();
        let (client, client_events) = network.client();
        let (begun, peer) = (watch::Sender::new(false), watch::Sender::new(None));
        let sending = async {
            tokio::join!(self.client_sends(&client, &begun), self.device_sends(&device, &peer));
            tokio::join!(self.up.until_within(0, self.count), self.down.until_within(0, self.count));
        };
        tokio::select! {
            () = sending => {}
            () = self.device_hears(device_events, &peer) => panic!("the device gave up"),
            () = self.client_hears(client_events, &begun) => panic!("the client gave up"),
        }
    }

    async fn client_sends(&self, handle: &ClientHandle, begun: &watch::Sender<bool>) {
        begun.subscribe().wait_for(|begun| *begun).await.unwrap();
        for number in 1..=self.count {
            self.up.until_within(WINDOW, number).await;
            handle.forward(&number).await.unwrap();
        }
    }

    async fn device_sends(&self, handle: &DeviceHandle, peer: &watch::Sender<Option<ClientId>>) {
        let id = peer.subscribe().wait_for(Option::is_some).await.unwrap().unwrap();
        for number in 1..=self.count {
            self.down.until_within(WINDOW, number).await;
            handle.forward(id, &number).await.unwrap();
        }
    }

    /// The device notices nothing but connections of its own.
    async fn device_hears(&self, mut events: DeviceEvents, peer: &watch::Sender<Option<ClientId>>) {
        while let Some(event) = events.next().await {
            match event {
                DeviceEvent::ClientMessage { client_id, payload } => {
                    let known = peer.send_replace(Some(client_id));
                    assert!(known.is_none_or(|known| known == client_id), "another client");
                    self.up.take(&payload);
                }
                DeviceEvent::Registered { .. } | DeviceEvent::Config { .. } | DeviceEvent::Lost { .. } => {}
                other => panic!("the device was told {other:?}"),
            }
        }
    }

    async fn client_hears(&self, mut events: ClientEvents, begun: &watch::Sender<bool>) {
        while let Some(event) = events.next().await {
            match event {
                ClientEvent::DeviceInfo(_) => assert!(!begun.send_replace(true), "a second session"),
                ClientEvent::Resumed { complete, .. } => {
                    assert!(complete, "something may be lost");
                    self.resumed.send_modify(|resumed| *resumed += 1);
                }
                ClientEvent::Message(payload) => self.down.take(&payload),
                ClientEvent::Config { .. } | ClientEvent::Lost { .. } => {}
                other => panic!("the client was told {other:?}"),
            }
        }
    }
}

/// Numbers that look random and are the same each time.
struct Dice(u64);

impl Dice {
    fn roll(&mut self, below: u64) -> u64 {
        self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (self.0 >> 33) % below
    }
}

/// Cuts the client's connection after a random number of bytes, again and again; now and then the bytes come in slices.
async fn cut_again_and_again(proxy: &FaultProxy, mut dice: Dice) {
    for cuts in 1.. {
        proxy.clear();
        if dice.roll(3) == 0 {
            proxy.slice(NonZeroUsize::MIN.saturating_add(dice.roll(60) as usize));
        }
        let direction = if dice.roll(2) == 0 { Direction::Up } else { Direction::Down };
        proxy.cut_after(direction, dice.roll(4_000));
        proxy.until(|counts| counts.reset == cuts).await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn random_cuts_lose_and_double_nothing_and_the_device_notices_nothing() {
    for seed in 0..4 {
        let (_server, network) = Network::start(settings()).await;
        let talk = Talk::new(2_000);
        tokio::select! {
            () = talk.run(&network) => {}
            () = cut_again_and_again(&network.to_client, Dice(seed)) => {}
        }
        let resumed = *talk.resumed.borrow();
        assert!(resumed > 20, "only {resumed} with seed {seed}");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn planned_restarts_lose_and_double_nothing_in_either_direction() {
    const RESTARTS: usize = 5;
    let (mut server, network) = Network::start(settings()).await;
    let talk = Talk::new(4_000);
    let restarting = async {
        for n in 1..=RESTARTS {
            talk.up.until_within(0, n * 600).await;
            server = network.restart(server).await;
        }
        server
    };
    tokio::join!(talk.run(&network), restarting);
    assert_eq!(*talk.resumed.borrow(), RESTARTS);
}

/// The first message that a device hears, and from whom.
async fn heard(events: &mut DeviceEvents) -> (ClientId, String) {
    loop {
        if let DeviceEvent::ClientMessage { client_id, payload } = events.next().await.unwrap() {
            return (client_id, payload.get().to_owned());
        }
    }
}

/// What begins the next time that a client can send.
async fn begun(events: &mut ClientEvents) -> ClientEvent {
    loop {
        let event = events.next().await.unwrap();
        if matches!(event, ClientEvent::DeviceInfo(_) | ClientEvent::Resumed { .. }) {
            return event;
        }
    }
}

/// Kills a server that a client and a device talk over; the next one has `settings`. What the client is told, and whether
/// the device still knows it.
async fn kill(first: Settings, next: Settings) -> (ClientEvent, bool) {
    let (server, network) = Network::start(first).await;
    let (_device, mut device_events) = network.device();
    let (client, mut client_events) = network.client();
    begun(&mut client_events).await;
    client.forward(&1).await.unwrap();
    let (id, _) = heard(&mut device_events).await;
    drop(server);
    let next = TestServer::start(next).unwrap();
    network.lead_to(&next);
    let event = begun(&mut client_events).await;
    client.forward(&2).await.unwrap();
    let (later_id, payload) = heard(&mut device_events).await;
    assert_eq!(payload, "2");
    (event, later_id == id)
}

#[tokio::test]
async fn killed_server_costs_what_was_under_way_but_not_the_session() {
    let (event, is_known) = kill(settings(), settings()).await;
    assert!(matches!(event, ClientEvent::Resumed { complete: false, .. }), "{event:?}");
    assert!(is_known);
}

#[tokio::test]
async fn without_a_common_key_a_killed_server_costs_the_session() {
    let (event, is_known) = kill(local_settings(), local_settings()).await;
    assert!(matches!(event, ClientEvent::DeviceInfo(_)), "{event:?}");
    assert!(!is_known);
}
