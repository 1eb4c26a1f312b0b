//! Devices that one has for itself, and what becomes of the others.

use std::sync::Arc;
use std::task::{Context, Poll, Waker};
use std::time::Duration;

use cuttlebone_hub::{
    Address, Event, Item, Lease, LeaseRefusal, LeaseWish, Next, Party, Realm, Registry, SeatOptions, Settings, Urgent,
};
use cuttlebone_proto::Reject;

use crate::peer::{OPTIONS, Peer, device_d, registry, start, token};

const LEASED: &str = r#"{"error":"Connection failed: Device is leased to another","cuttlebone_code":"device_leased"}"#;
const MINUTE: Duration = Duration::from_secs(60);

fn party(identity: &str) -> Arc<Party> {
    Arc::new(Party { identity: identity.into(), realm: Realm::Common, prefix: None })
}

fn viewer(hub: &Registry, identity: &str) -> Peer {
    let mut client = Peer::client_with(hub, &SeatOptions { party: Some(party(identity)), ..OPTIONS });
    client.send(r#"{"message_type":"connect","device_id":"d","cuttlebone_resume":true}"#);
    client
}

fn take(hub: &Registry, identity: &str, force: bool) -> Result<Lease, LeaseRefusal> {
    take_of(hub, &device_d(), identity, force, 0)
}

/// Takes a device at so many seconds after the start of the test.
fn take_of(hub: &Registry, at: &Address, identity: &str, force: bool, seconds: u64) -> Result<Lease, LeaseRefusal> {
    let party = party(identity);
    let wish = LeaseWish { party: &party, name: identity, ttl: MINUTE, force };
    let now = *BEGUN.get_or_init(start) + Duration::from_secs(seconds);
    hub.lease(at, &wish, now, seconds * 1000).map(|leased| leased.lease)
}

static BEGUN: std::sync::OnceLock<std::time::Instant> = std::sync::OnceLock::new();

fn later(seconds: u64) -> std::time::Instant {
    *BEGUN.get_or_init(start) + Duration::from_secs(seconds)
}

fn is_attached(peer: &mut Peer) -> bool {
    peer.received().iter().any(|text| text.contains("\"device_info\""))
}

fn is_turned_away(peer: &mut Peer) -> bool {
    let received = peer.received();
    received.ends_with(&[LEASED.to_owned(), "close 1013".to_owned()])
}

#[test]
fn only_the_holder_is_attached_while_a_device_is_leased() {
    let hub = registry(Settings::default());
    let _device = Peer::registered(&hub, "1");
    let lease = take(&hub, "ann", false).expect("free");
    assert_eq!((&*lease.name, lease.until_ms), ("ann", 60_000));
    assert!(is_attached(&mut viewer(&hub, "ann")));
    assert!(is_turned_away(&mut viewer(&hub, "bob")));
    assert!(is_turned_away(&mut Peer::attached(&hub)), "nobody in particular is another");
    assert!(matches!(take(&hub, "bob", false), Err(LeaseRefusal::Held(held)) if &*held.name == "ann"));
    assert_eq!(hub.release(&device_d(), Some("bob")).map(drop), Err(Some(lease)));
    hub.release(&device_d(), Some("ann")).expect("its own");
    assert!(is_attached(&mut viewer(&hub, "bob")));
    assert_eq!(hub.release(&device_d(), None), Err(None));
}

#[test]
fn device_that_others_use_is_not_taken_unless_by_force_and_then_they_are_sent_away() {
    let hub = registry(Settings::default());
    let mut device = Peer::registered(&hub, "1");
    let mut ann = viewer(&hub, "ann");
    let mut bob = viewer(&hub, "bob");
    bob.forward("1");
    let mut away = viewer(&hub, "cid");
    away.forward("1");
    let resume = token(&away.received()[1]);
    away.seat.on_broken(away.now);
    device.received();
    assert_eq!(take(&hub, "ann", false), Err(LeaseRefusal::InUse));
    take(&hub, "ann", true).expect("by force");
    assert!(is_turned_away(&mut bob));
    assert!(away.seat.poll_superseded(&mut Context::from_waker(Waker::noop())).is_ready(), "its seat is not kept");
    drop(away);
    let told: Vec<String> = device.received();
    let gone = |id| format!(r#"{{"message_type":"client_disconnected","client_id":{id}}}"#);
    assert_eq!(told, [gone(2), gone(3)], "the device hears of both");
    ann.forward("2");
    assert_eq!(device.received().len(), 1, "who holds it goes on");
    let mut back = Peer::client_with(&hub, &SeatOptions { party: Some(party("cid")), ..OPTIONS });
    back.send(&format!(
        r#"{{"message_type":"connect","device_id":"d","cuttlebone_resume":"{resume}","cuttlebone_received":0}}"#
    ));
    assert!(is_turned_away(&mut back), "a session is no way in");
    // By force also from whoever holds it.
    let taken = take(&hub, "root", true).expect("by force");
    assert_eq!(&*taken.name, "root");
    assert!(is_turned_away(&mut ann));
}

/// Tells the peer what is urgent, as the task of a connection does while a write is stuck.
fn is_closed_unread(peer: &mut Peer) -> bool {
    match peer.seat.inbox().poll_urgent(&mut Context::from_waker(Waker::noop())) {
        Poll::Ready(Urgent::Notice(notice)) => matches!(peer.seat.on_notice(notice), Next::Closing),
        _ => false,
    }
}

#[test]
fn viewer_that_does_not_read_is_sent_away_and_then_reads_all_up_to_the_close() {
    let hub = registry(Settings::default());
    let mut device = Peer::registered(&hub, "1");
    let mut bob = viewer(&hub, "bob");
    bob.forward("1");
    bob.send(r#"{"message_type":"x"}"#);
    device.forward_to(1, "2");
    device.received();
    take(&hub, "ann", true).expect("by force");
    assert!(is_closed_unread(&mut bob));
    bob.forward("3");
    assert_eq!(device.received(), [r#"{"message_type":"client_disconnected","client_id":1}"#]);
    let read = bob.received();
    let [config, info, error, message, leased, close] = &read[..] else { panic!("{read:?}") };
    assert!(config.contains("\"config\"") && info.contains("\"device_info\""), "{read:?}");
    assert!(error.contains("\"error\"") && message.contains("\"payload\":2"), "{read:?}");
    assert_eq!((&**leased, &**close), (LEASED, "close 1013"));
}

#[test]
fn viewer_whose_connection_breaks_as_it_is_sent_away_is_not_kept() {
    let hub = registry(Settings::default());
    let mut device = Peer::registered(&hub, "1");
    let mut bob = viewer(&hub, "bob");
    bob.forward("1");
    device.forward_to(1, "2");
    device.received();
    take(&hub, "ann", true).expect("by force");
    assert!(bob.seat.on_broken(bob.now).is_some(), "it has not heard of it");
    assert!(bob.seat.poll_superseded(&mut Context::from_waker(Waker::noop())).is_ready());
    drop(bob);
    assert_eq!(device.received(), [r#"{"message_type":"client_disconnected","client_id":1}"#]);
}

#[test]
fn lease_is_renewed_by_its_holder_and_over_at_its_time() {
    let hub = registry(Settings::default());
    let _device = Peer::registered(&hub, "1");
    take(&hub, "ann", false).expect("free");
    let renewed = take_of(&hub, &device_d(), "ann", false, 30).expect("its own");
    assert_eq!(renewed.until_ms, 90_000);
    assert!(hub.end_leases(later(89)).is_empty());
    assert!(hub.lease_of(&device_d()).is_some());
    let bob = party("bob");
    let wish = LeaseWish { party: &bob, name: "bob", ttl: MINUTE, force: false };
    let taken = hub.lease(&device_d(), &wish, later(90), 90_000).expect("over, though nobody has looked");
    assert_eq!(taken.before, Some(renewed), "of which somebody has to be told");
    let over = hub.end_leases(later(150));
    assert!(matches!(&over[..], [(address, lease)] if *address == device_d() && &*lease.name == "bob"), "{over:?}");
    assert!(hub.lease_of(&device_d()).is_none() && hub.counts().leases == 0);
}

#[test]
fn lease_outlives_its_device_and_is_no_lease_of_one_that_was_never_there() {
    let hub = registry(Settings::default());
    assert_eq!(take(&hub, "ann", false), Err(LeaseRefusal::Absent));
    let device = Peer::registered(&hub, "1");
    take(&hub, "ann", false).expect("free");
    drop(device);
    assert_eq!(hub.table_len(), 0, "the lease is not in the table of ids");
    assert!(is_turned_away(&mut viewer(&hub, "bob")), "also while the device restarts");
    take_of(&hub, &device_d(), "ann", false, 10).expect("renewed meanwhile");
    let mut waiting = viewer(&hub, "ann");
    let _device = Peer::registered(&hub, "2");
    assert!(is_attached(&mut waiting));
    assert!(matches!(take(&hub, "bob", false), Err(LeaseRefusal::Held(_))));
}

#[test]
fn client_that_waits_for_a_device_is_turned_away_when_another_has_it_by_then() {
    let hub = registry(Settings::default());
    let device = Peer::registered(&hub, "1");
    take(&hub, "ann", false).expect("free");
    hub.release(&device_d(), None).expect("held");
    drop(device);
    let mut waiting = viewer(&hub, "bob");
    let _device = Peer::registered(&hub, "1");
    // It has not read that its device is there.
    take(&hub, "ann", false).expect("nobody is attached");
    assert!(is_turned_away(&mut waiting));
}

#[test]
fn leases_are_bounded_by_holder_and_in_all_and_are_those_of_a_realm() {
    let hub = registry(Settings { leases_per_holder: 1, leases: 2, ..Settings::default() });
    let _device = Peer::registered(&hub, "1");
    let tenant = |name: &str| {
        let realm = Realm::Tenant(name.into());
        let party = Party { identity: "host".into(), realm: realm.clone(), prefix: None };
        let mut device = Peer::device_with(&hub, &SeatOptions { party: Some(Arc::new(party)), ..OPTIONS });
        device.register("1");
        (device, Address { realm, ..device_d() })
    };
    let ((_one, at_one), (_two, at_two)) = (tenant("one"), tenant("two"));
    take(&hub, "ann", false).expect("free");
    take_of(&hub, &at_one, "bob", false, 0).expect("another realm, another device");
    assert_eq!(take_of(&hub, &at_two, "cid", false, 0), Err(LeaseRefusal::TooMany));
    take(&hub, "ann", false).expect("a renewal is no further lease");
    hub.release(&at_one, None).expect("held");
    take_of(&hub, &at_one, "ann", false, 0).expect("of each realm its own");
}

#[test]
fn list_and_events_say_who_has_a_device_and_until_when() {
    let hub = registry(Settings::default());
    let mut events = hub.subscribe();
    let _device = Peer::registered(&hub, "1");
    let version = hub.version();
    let lease = take(&hub, "ann", false).expect("free");
    assert!(hub.version() > version);
    assert_eq!(hub.list()[0].lease, Some(lease.clone()));
    assert_eq!(hub.find(&device_d()).and_then(|device| device.lease), Some(lease.clone()));
    hub.end_leases(later(60));
    assert!(hub.list()[0].lease.is_none());
    assert!(matches!(events.try_recv(), Ok(Event::Registered(device)) if device.lease.is_none()));
    assert_eq!(events.try_recv(), Ok(Event::Leased { address: device_d(), lease: Some(lease) }));
    assert_eq!(events.try_recv(), Ok(Event::Leased { address: device_d(), lease: None }));
}

#[test]
fn device_that_is_closed_is_gone_for_good_and_may_register_again() {
    let hub = registry(Settings::default());
    let closed = r#"{"error":"Connection closed by an administrator","cuttlebone_code":"closed_by_admin"}"#;
    assert!(!hub.close(&device_d(), Reject::ClosedByAdmin));
    let mut device = Peer::registered(&hub, "1");
    let mut ann = viewer(&hub, "ann");
    assert!(hub.close(&device_d(), Reject::ClosedByAdmin));
    assert_eq!(device.received().last_chunk(), Some(&[closed.to_owned(), "close 1008".to_owned()]));
    assert!(ann.received().iter().any(|text| text.contains("Device disconnected")));
    assert!(hub.list().is_empty());
    let mut again = Peer::registered(&hub, "1");
    again.seat.on_broken(again.now);
    assert!(hub.close(&device_d(), Reject::ClosedByAdmin), "also while it is away");
    assert!(again.seat.poll_superseded(&mut Context::from_waker(Waker::noop())).is_ready(), "its seat is not kept");
}

#[test]
fn device_that_is_closed_twice_before_it_knows_has_its_last_words() {
    let hub = registry(Settings::default());
    let mut device = Peer::registered(&hub, "1");
    assert!(hub.close(&device_d(), Reject::ClosedByAdmin) && hub.close(&device_d(), Reject::ClosedByAdmin));
    let mut items = Vec::new();
    assert!(device.seat.inbox().poll_receive(&mut Context::from_waker(Waker::noop()), 9, &mut items).is_ready());
    for item in items {
        if let Item::Notice(notice) = item {
            device.seat.on_notice(notice);
        }
    }
    assert_eq!(device.received().last().map(String::as_str), Some("close 1008"));
}

#[test]
fn device_that_does_not_read_is_closed_and_reaches_nobody() {
    let hub = registry(Settings::default());
    let mut device = Peer::registered(&hub, "1");
    let mut ann = viewer(&hub, "ann");
    ann.forward("1");
    ann.received();
    assert!(hub.close(&device_d(), Reject::ClosedByAdmin));
    assert!(is_closed_unread(&mut device));
    device.forward_to(1, "2");
    let read = ann.received();
    assert!(read[0].contains("Device disconnected") && !read.concat().contains("device_msg"), "{read:?}");
    // One that breaks before it is told does not come back to what it had.
    let mut again = Peer::registered(&hub, "1");
    assert!(hub.close(&device_d(), Reject::ClosedByAdmin));
    assert!(again.seat.on_broken(again.now).is_some(), "it has not heard of it");
    assert!(again.seat.poll_superseded(&mut Context::from_waker(Waker::noop())).is_ready());
}
