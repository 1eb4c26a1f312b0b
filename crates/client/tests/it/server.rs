//! Both roles against the real server, through proxies that cut what is between them.

use std::num::NonZeroUsize;
use std::path::PathBuf;

use cuttlebone_client::{ClientEvent, ClientEvents, ClientId, DeviceEvent, DeviceEvents};
use cuttlebone_server::{Settings, TlsSettings};
use cuttlebone_testkit::fault_proxy::{Direction, FaultProxy};
use cuttlebone_testkit::{TestServer, local_settings};

use crate::talk::{Network, Talk, settings};

/// Restarts with a cut.
const SEEDS: u64 = 40;

/// Numbers that look random and are the same each time.
struct Dice(u64);

impl Dice {
    fn roll(&mut self, below: u64) -> u64 {
        self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (self.0 >> 33) % below
    }

    fn direction(&mut self) -> Direction {
        if self.roll(2) == 0 { Direction::Up } else { Direction::Down }
    }
}

/// Cuts the client's connection after a random number of bytes, again and again; now and then the bytes come in slices.
async fn cut_again_and_again(proxy: &FaultProxy, mut dice: Dice) {
    for cuts in 1.. {
        proxy.clear();
        if dice.roll(3) == 0 {
            proxy.slice(NonZeroUsize::MIN.saturating_add(dice.roll(60) as usize));
        }
        proxy.cut_after(dice.direction(), dice.roll(4_000));
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
        assert_eq!((talk.up.missing(), talk.down.missing(), *talk.gaps.borrow()), (0, 0, 0), "seed {seed}");
        let resumed = *talk.resumed.borrow();
        assert!(resumed > 20, "only {resumed} with seed {seed}");
    }
}

/// A folder that is removed when dropped.
struct Folder(PathBuf);

impl Drop for Folder {
    fn drop(&mut self) {
        // There may be nothing in it yet.
        let _ = std::fs::remove_dir_all(&self.0);
    }
}

/// Cuts fall into the middle of records and into handshakes too.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn random_cuts_over_tls_lose_and_double_nothing_either() {
    let folder = Folder(std::env::temp_dir().join(format!("cuttlebone-client-{}", std::process::id())));
    let tls = Some(TlsSettings::SelfSigned { state_dir: folder.0.clone(), names: Vec::new() });
    let (server, network) = Network::start(Settings { tls, ..settings() }).await;
    assert_eq!(server.url().scheme(), "wss");
    let talk = Talk::new(1_000);
    tokio::select! {
        () = talk.run(&network) => {}
        () = cut_again_and_again(&network.to_client, Dice(0)) => {}
    }
    assert_eq!((talk.up.missing(), talk.down.missing(), *talk.gaps.borrow()), (0, 0, 0));
    let resumed = *talk.resumed.borrow();
    assert!(resumed > 5, "only {resumed}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn planned_restarts_lose_and_double_nothing_in_either_direction() {
    const RESTARTS: usize = 5;
    let (mut server, network) = Network::start(settings()).await;
    let talk = Talk::new(4_000);
    let restarting = async {
        for n in 1..=RESTARTS {
            talk.up.until(n * 600).await;
            server = network.restart(server).await;
        }
        server
    };
    tokio::join!(talk.run(&network), restarting);
    assert_eq!(*talk.resumed.borrow(), RESTARTS);
    assert_eq!((talk.up.missing(), talk.down.missing(), *talk.gaps.borrow()), (0, 0, 0));
}

/// Where the cut takes the word of the restart with it, the application is told.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn cuts_around_a_planned_restart_lose_nothing_without_saying_so_and_double_nothing() {
    let mut whole = 0;
    for seed in 0..SEEDS {
        let (server, network) = Network::start(settings()).await;
        let talk = Talk::new(1_000);
        let mut dice = Dice(seed);
        let trouble = async {
            talk.up.until(300).await;
            network.to_client.cut_after(dice.direction(), dice.roll(6_000));
            let server = network.restart(server).await;
            network.to_client.until(|counts| counts.reset > 0).await;
            network.to_client.cut_after(dice.direction(), dice.roll(1_000));
            server
        };
        tokio::join!(talk.run(&network), trouble);
        let lost = (talk.up.missing(), talk.down.missing());
        assert!(lost == (0, 0) || *talk.gaps.borrow() > 0, "{lost:?} with seed {seed}");
        whole += u64::from(*talk.gaps.borrow() == 0);
    }
    assert!(whole * 5 > SEEDS, "only {whole} of {SEEDS} lost nothing");
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
