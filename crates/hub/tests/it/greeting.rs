//! When `config` is sent, and to whom one with credentials: protocol.md 2.3, 2.4 and 2.7, security.md T45.

use cuttlebone_hub::{Bound, ConfigFor, Settings};

use crate::peer::{Peer, registry, token};

const DEVICE_INFO: &str = r#"{"message_type":"device_info","device_info":1}"#;
const CONNECT: &str = r#"{"message_type":"connect","device_id":"d"}"#;

/// A `config` that is what it is for.
fn told(wanted: ConfigFor) -> String {
    format!("config {} {}", wanted.is_let_in, wanted.asks_ice_policy)
}

fn told_anew(wanted: ConfigFor) -> String {
    told(wanted).replace("config", "new")
}

fn peer(mut peer: Peer) -> Peer {
    peer.config = told;
    peer
}

#[test]
fn t45_client_has_credentials_when_its_device_is_there_and_not_before() {
    let hub = registry(Settings::default());
    let mut early = peer(Peer::client(&hub));
    early.send(CONNECT);
    assert_eq!(early.received(), ["config false false"]);
    let mut device = peer(Peer::device(&hub));
    device.register("1");
    assert_eq!(device.received(), ["config true false"]);
    assert_eq!(early.received(), ["config true false", DEVICE_INFO]);
    let mut late = peer(Peer::client(&hub));
    late.send(CONNECT);
    assert_eq!(late.received(), ["config true false", DEVICE_INFO]);
}

#[test]
fn same_config_is_not_sent_twice() {
    let hub = registry(Settings::default());
    let mut client = Peer::attached(&hub);
    assert_eq!(client.received().len(), 1);
    let _device = Peer::registered(&hub, "1");
    assert_eq!(client.received(), [DEVICE_INFO]);
}

#[test]
fn t45_client_whose_device_is_away_or_that_is_turned_away_has_none() {
    let hub = registry(Settings { waiting_per_device: 0, ..Settings::default() });
    let mut device = peer(Peer::device(&hub));
    device.register("1");
    device.seat.on_broken(device.now);
    let mut client = peer(Peer::client(&hub));
    client.send(CONNECT);
    assert_eq!(client.received()[0], "config false false");
    let hub = registry(Settings { client_wait: std::time::Duration::ZERO, ..Settings::default() });
    let mut client = peer(Peer::client(&hub));
    client.send(CONNECT);
    assert_eq!(client.received()[0], "config false false");
    hub.stop();
    let mut client = peer(Peer::client(&hub));
    client.send(CONNECT);
    assert_eq!(client.received()[0], "config false false");
}

#[test]
fn client_that_goes_on_with_its_session_has_credentials_again() {
    let hub = registry(Settings { resume_kept: Bound { frames: 9, bytes: 9999 }, ..Settings::default() });
    let _device = Peer::registered(&hub, "1");
    let mut client = Peer::resuming(&hub, "true");
    let token = token(&client.received()[1]);
    client.seat.on_broken(client.now);
    let mut again = peer(Peer::client(&hub));
    again.send(&format!(
        r#"{{"message_type":"connect","device_id":"d","cuttlebone_resume":"{token}","cuttlebone_received":0}}"#
    ));
    let received = again.received();
    assert_eq!(received[0], "config true false");
    assert!(received[1].starts_with(r#"{"message_type":"device_info""#), "{received:?}");
}

#[test]
fn renewed_config_is_for_those_who_were_greeted() {
    let hub = registry(Settings::default());
    let mut silent = peer(Peer::client(&hub));
    assert!(!silent.seat.renew_config(&told));
    let mut waiting = peer(Peer::client(&hub));
    waiting.send(r#"{"message_type":"connect","device_id":"d","cuttlebone_ice":true}"#);
    assert_eq!(waiting.received(), ["config false true"]);
    assert!(waiting.seat.renew_config(&told_anew));
    assert_eq!(waiting.received(), ["new false true"]);
    let mut device = peer(Peer::device(&hub));
    assert!(!device.seat.renew_config(&told));
    device.register("1");
    device.received();
    assert_eq!(waiting.received(), ["config true true", DEVICE_INFO]);
    for peer in [&mut device, &mut waiting] {
        assert!(peer.seat.renew_config(&told_anew));
    }
    assert_eq!((device.received(), waiting.received()), (vec!["new true false".into()], vec!["new true true".into()]));
    assert!(silent.received().is_empty());
}

#[test]
fn connection_that_was_taken_over_has_no_more_config_to_give() {
    let hub = registry(Settings::default());
    let mut device = peer(Peer::device(&hub));
    device.register("1");
    let mut again = peer(Peer::device(&hub));
    again.register("1");
    again.received();
    assert!(!device.seat.renew_config(&told_anew));
    assert!(again.received().is_empty());
}
