//! What an attacker with patience could do, and can't.

use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use cuttlebone_hub::{IdSource, Registry, Seat, SeatOptions, Settings, TokenKey, Tokens, Unobserved};
use cuttlebone_proto::{ClientId, CloseCode};

use crate::peer::{OPTIONS, Peer, registry, registry_of, start};

fn token(device_info: &str) -> String {
    device_info.split('"').skip_while(|word| *word != "cuttlebone_resume").nth(2).expect("a token").into()
}
fn connect(hub: &Registry, resume: &str) -> Peer {
    let mut client = Peer::client(hub);
    client.send(&format!(r#"{{"message_type":"connect","device_id":"d","cuttlebone_resume":{resume}}}"#));
    client
}
struct Scripted(Vec<u32>, AtomicU32);
impl IdSource for Scripted {
    fn draw_session(&self) -> u64 {
        u64::from(self.1.load(Ordering::Relaxed))
    }

    fn draw(&self) -> ClientId {
        let at = self.1.fetch_add(1, Ordering::Relaxed) as usize;
        ClientId::new(self.0[at]).expect("id")
    }
}
struct Sum;
impl TokenKey for Sum {
    fn sign(&self, message: &[u8]) -> [u8; 32] {
        let sum = message.iter().fold(7_u64, |sum, byte| sum.wrapping_mul(31).wrapping_add(u64::from(*byte)));
        std::array::from_fn(|at| sum.to_be_bytes()[at % 8])
    }
    fn verify(&self, message: &[u8], tag: &[u8]) -> bool {
        self.sign(message) == tag
    }
}

#[test]
fn a_token_of_a_session_that_is_over_does_not_open_a_strangers_with_the_same_id() {
    let ids = Box::new(Scripted(vec![5, 5], AtomicU32::new(0)));
    let hub = Registry::new(Settings::default(), &[], ids, Tokens::new(Box::new(Sum), 1, 0), Arc::new(Unobserved));
    let mut device = Peer::registered(&hub, "1");
    let mut attacker = connect(&hub, "true");
    let stolen = token(&attacker.received()[1]);
    attacker.seat.on_closed();
    drop(attacker);
    let mut victim = connect(&hub, "true");
    victim.received();
    victim.forward("1");
    device.received();
    device.forward_to(5, r#""secret""#);
    victim.received();
    let mut attacker = connect(&hub, &format!(r#""{stolen}","cuttlebone_received":0"#));
    let got = attacker.received();
    assert!(!got.iter().any(|text| text.contains("secret")), "{got:?}");
}

#[test]
fn a_session_older_than_its_token_survives_a_broken_connection() {
    let hub = registry(Settings::default());
    let mut device = Peer::registered(&hub, "1");
    let mut client = connect(&hub, "true");
    let token = token(&client.received()[1]);
    client.forward("1");
    device.received();
    client.seat.on_broken(client.now);
    let mut again = Peer::client(&hub);
    again.now_ms = 24 * 60 * 60 * 1000; // connected for a day, back after a second
    again.send(&format!(
        r#"{{"message_type":"connect","device_id":"d","cuttlebone_resume":"{token}","cuttlebone_received":0}}"#
    ));
    let got = again.received();
    assert!(got[1].contains("device_info"), "{got:?}");
}

fn small_device(hub: &Registry) -> Peer {
    let now = start();
    let options = SeatOptions { small_reader: true, ..OPTIONS };
    let mut device = Peer { seat: Seat::device(hub, &options, now), registry: hub.clone(), now, now_ms: 0 };
    device.register("1");
    device
}

#[test]
fn a_refused_message_does_not_hide_one_before_it_that_nobody_read() {
    let hub = registry(Settings::default());
    let mut device = small_device(&hub);
    let mut client = connect(&hub, "true");
    client.received();
    device.received();
    device.seat.on_broken(device.now);
    client.forward("1");
    client.forward(&format!("\"{}\"", "x".repeat(70_000)));
    client.forward("3");
    hub.stop();
    client.seat.on_shutdown(CloseCode::Restart);
    device.seat.on_shutdown_away(CloseCode::Restart);
    let got = client.received();
    // Message 1 was never read by anybody: the client has to send it again.
    assert!(got.iter().any(|t| t.contains(r#""cuttlebone_received":0"#)), "{got:?}");
}

#[test]
fn histories_keep_to_the_budget_of_all_queues() {
    let hub = registry(Settings { all_queues_bytes: 1 << 20, ..Settings::default() });
    let mut device = Peer::registered(&hub, "1");
    let mut hostile: Vec<Peer> = (0..30).map(|_| connect(&hub, "true")).collect();
    let text = format!("\"{}\"", "x".repeat(60_000));
    for (at, client) in hostile.iter_mut().enumerate() {
        client.received();
        for _ in 0..15 {
            device.forward_to(at as u32 + 1, &text);
            assert_eq!(client.received().len(), 1); // it reads everything, and answers no ping
        }
    }
    let used = hub.counts().queued_bytes;
    let mut honest = Peer::attached(&hub);
    honest.received();
    let id = 31;
    device.forward_to(id, &format!("\"{}\"", "y".repeat(9_000)));
    device.forward_to(id, &format!("\"{}\"", "y".repeat(9_000)));
    honest.received();
    assert!(used <= (1 << 20) + 31 * 20_000, "queues hold {used} of {}", 1 << 20);
}

#[test]
fn a_device_connection_that_was_taken_over_says_nothing_more() {
    let hub = registry(Settings::default());
    let mut old = Peer::registered(&hub, "1");
    let mut client = Peer::attached(&hub);
    client.forward("0");
    client.received();
    let mut new = Peer::registered(&hub, "1");
    new.received();
    new.forward_to(1, "2");
    old.forward_to(1, "1");
    assert_eq!(client.received(), [r#"{"message_type":"device_msg","payload":2}"#]);
}

#[test]
fn untold_ghosts_do_not_stop_a_device_from_being_understood_after_a_restart() {
    let before = registry_of(Settings::default(), 1, 0);
    let _d = Peer::registered(&before, "1");
    let settings = Settings { clients_per_device: 2, ..Settings::default() };
    let after = registry_of(settings, 2, 0);
    let mut device = Peer::registered(&after, "1");
    let mut ghosts: Vec<Peer> = Vec::new();
    for _ in 0..2 {
        let mut g = connect(&after, "true");
        g.received();
        g.seat.on_broken(g.now);
        ghosts.push(g);
    }
    device.received();
    device.forward_to(9, "7");
    let got = device.received();
    assert!(got.is_empty(), "{got:?}");
}

#[test]
fn the_ids_that_were_used_last_are_remembered_longest() {
    // 1,024 old ids, then one more client, then the device comes back changed: the last id must not be drawn first.
    let mut ids: Vec<u32> = (1..=1024).collect();
    ids.push(5000);
    ids.push(6000);
    ids.push(5000);
    ids.push(7000);
    let hub = Registry::new(
        Settings::default(),
        &[],
        Box::new(Scripted(ids, AtomicU32::new(0))),
        Tokens::new(Box::new(Sum), 1, 0),
        Arc::new(Unobserved),
    );
    let mut device = Peer::registered(&hub, "1");
    for _ in 0..1024 {
        let mut c = Peer::attached(&hub);
        c.forward("0");
        c.seat.on_closed();
        device.received();
    }
    let mut last = Peer::attached(&hub); // 5000
    last.forward("0");
    device.received();
    device.seat.on_broken(device.now);
    let mut changed = Peer::registered(&hub, "2");
    assert!(changed.received().iter().any(|t| t.contains("5000")));
    let mut c = Peer::attached(&hub); // 6000
    c.forward("0");
    c.seat.on_closed(); // remembered: pushes one out
    changed.received();
    let mut c = Peer::attached(&hub);
    c.forward("0");
    let got = changed.received();
    assert!(!got.iter().any(|t| t.contains(r#""client_id":5000"#)), "{got:?}");
}

#[test]
fn without_a_wait_a_resuming_client_that_is_back_before_its_device_keeps_its_session() {
    let before = registry_of(Settings::default(), 1, 0);
    let _d = Peer::registered(&before, "1");
    let mut viewer = connect(&before, "true");
    let t = token(&viewer.received()[1]);
    let after = registry_of(Settings { client_wait: Duration::ZERO, ..Settings::default() }, 2, 0);
    let mut viewer = connect(&after, &format!(r#""{t}","cuttlebone_received":0"#));
    let got = viewer.received();
    assert_eq!(got.len(), 1, "{got:?}");
}

#[test]
fn late_tokens_do_not_flood_a_device_that_is_away() {
    let before = registry_of(Settings { clients_per_device: 100_000, ..Settings::default() }, 1, 0);
    let _d = Peer::registered(&before, "1");
    let tokens: Vec<_> = (0..3000)
        .map(|_| {
            let mut c = connect(&before, "true");
            token(&c.received()[1])
        })
        .collect();
    let after = registry_of(Settings { resume_after_restart: Duration::from_millis(1), ..Settings::default() }, 2, 0);
    let mut device = Peer::registered(&after, "1");
    device.received();
    for t in &tokens {
        let mut c = Peer::client(&after);
        c.now_ms = 10;
        c.send(&format!(r#"{{"message_type":"connect","device_id":"d","cuttlebone_resume":"{t}"}}"#));
    }
    let got = device.received().len();
    assert!(got < 100, "{got} client_disconnected of clients that the device never heard of");
}
