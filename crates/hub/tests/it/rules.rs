//! R2 to R5 and R7; R1 and R6 are rules of the mailbox and stand beside it, and here once more from end to end.

use std::task::{Context, Waker};

use cuttlebone_hub::Next;

use crate::peer::{Peer, registry, tiny};

const CONFIG: &str = r#"{"message_type":"config","ice_servers":[]}"#;

#[test]
fn r1_own_replies_come_after_what_was_queued_before() {
    let hub = registry(tiny());
    let mut device = Peer::registered(&hub, "1");
    let mut client = Peer::attached(&hub);
    client.forward("7");
    device.forward_to(99, "0");
    assert_eq!(
        device.received(),
        [
            CONFIG,
            r#"{"message_type":"client_msg","client_id":1,"payload":7}"#,
            r#"{"message_type":"client_disconnected","client_id":99}"#
        ]
    );
}

#[test]
fn r2_config_is_queued_before_a_waiting_client_can_speak() {
    let hub = registry(tiny());
    let mut client = Peer::attached(&hub);
    assert_eq!(client.received(), [CONFIG]);
    let mut device = Peer::registered(&hub, "1");
    assert_eq!(client.received(), [r#"{"message_type":"device_info","device_info":1}"#]);
    client.forward("7");
    assert_eq!(device.received()[0], CONFIG);
}

#[test]
fn r2_device_info_is_queued_before_a_device_can_guess_the_id() {
    let hub = registry(tiny());
    let mut device = Peer::registered(&hub, "1");
    let mut client = Peer::attached(&hub);
    device.forward_to(1, "0");
    assert_eq!(
        client.received(),
        [CONFIG, r#"{"message_type":"device_info","device_info":1}"#, r#"{"message_type":"device_msg","payload":0}"#]
    );
}

#[test]
fn r3_a_client_of_a_full_device_is_paused_and_goes_on_when_there_is_room() {
    let hub = registry(tiny());
    let mut device = Peer::registered(&hub, "1");
    let mut client = Peer::attached(&hub);
    client.forward("1");
    client.forward("2");
    assert!(matches!(client.forward("3"), Next::Paused));
    assert!(client.seat.poll_room(&mut Context::from_waker(Waker::noop())).is_pending());
    assert_eq!(device.received().len(), 3);
    assert!(client.seat.poll_room(&mut Context::from_waker(Waker::noop())).is_ready());
    assert_eq!(device.received(), [r#"{"message_type":"client_msg","client_id":1,"payload":3}"#]);
}

#[test]
fn r3_a_client_that_was_paused_too_long_is_closed_and_the_device_told() {
    let hub = registry(tiny());
    let mut device = Peer::registered(&hub, "1");
    let mut client = Peer::attached(&hub);
    client.received();
    for payload in ["1", "2", "3"] {
        client.forward(payload);
    }
    let until = client.seat.deadline().expect("the wait is bounded");
    assert!(matches!(client.seat.on_timer(until), Next::Closing));
    assert_eq!(
        client.received(),
        [r#"{"error":"Forward failed: Device is too slow","cuttlebone_code":"device_too_slow"}"#, "close 1013"]
    );
    assert_eq!(
        device.received().last().map(String::as_str),
        Some(r#"{"message_type":"client_disconnected","client_id":1}"#)
    );
}

#[test]
fn r3_a_client_that_does_not_read_is_closed_and_holds_nobody_up() {
    let hub = registry(tiny());
    let mut device = Peer::registered(&hub, "1");
    let mut slow = Peer::attached(&hub);
    let mut quick = Peer::attached(&hub);
    slow.forward("0");
    slow.received();
    for _ in 0..3 {
        assert!(matches!(device.forward_to(1, "0"), Next::Continue));
    }
    assert!(matches!(device.forward_to(2, "0"), Next::Continue));
    assert_eq!(quick.received().len(), 3);
    assert_eq!(slow.received(), [r#"{"error":"Connection is too slow","cuttlebone_code":"too_slow"}"#, "close 4008"]);
    assert_eq!(
        device.received().last().map(String::as_str),
        Some(r#"{"message_type":"client_disconnected","client_id":1}"#)
    );
}

#[test]
fn r4_client_disconnected_finds_room_in_a_full_queue() {
    let hub = registry(tiny());
    let mut device = Peer::registered(&hub, "1");
    let mut client = Peer::attached(&hub);
    client.forward("1");
    client.forward("2");
    client.seat.on_closed();
    assert_eq!(
        device.received().last().map(String::as_str),
        Some(r#"{"message_type":"client_disconnected","client_id":1}"#)
    );
}

#[test]
fn r5_late_close_keeps_newer_registration() {
    for info in ["1", "2"] {
        let hub = registry(tiny());
        let mut old = Peer::registered(&hub, "1");
        let mut new = Peer::registered(&hub, info);
        old.seat.on_closed();
        drop(old);
        assert_eq!(hub.list().len(), 1);
        let mut client = Peer::attached(&hub);
        client.forward("7");
        assert!(new.received().iter().any(|text| text.contains("client_msg")));
    }
}

#[test]
fn r6_the_error_and_the_close_come_after_all_that_was_queued() {
    let hub = registry(tiny());
    let mut device = Peer::registered(&hub, "1");
    let mut client = Peer::attached(&hub);
    client.forward("0");
    device.forward_to(1, "1");
    device.seat.on_closed();
    assert_eq!(
        client.received()[2..],
        [
            r#"{"message_type":"device_msg","payload":1}"#,
            r#"{"error":"Device disconnected","cuttlebone_code":"device_disconnected"}"#,
            "close 1001"
        ]
    );
}

#[test]
fn r7_listings_are_sorted() {
    let hub = registry(tiny());
    let mut devices = Vec::new();
    for id in ["c", "a", "\u{1f980}", "b", "A"] {
        let mut device = Peer::device(&hub);
        device.send(&format!(r#"{{"message_type":"register","device_id":"{id}"}}"#));
        devices.push(device);
    }
    let ids: Vec<String> = hub.list().iter().map(|device| device.address.device_id.to_string()).collect();
    assert_eq!(ids, ["A", "a", "b", "c", "\u{1f980}"]);
}
