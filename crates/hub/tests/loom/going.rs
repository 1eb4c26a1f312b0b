//! Who goes: what was on its way is there or is not, and everybody hears of it who has to.

use crate::peer::{Peer, registry, registry_with_ids, tiny};
use crate::{CONFIG, DEVICE_GONE, DEVICE_INFO, GONE, check, drive, from_client, of_clients, of_device, read_until};

#[test]
fn client_of_a_device_that_closes_is_told_whatever_became_of_its_message() {
    check(4, || {
        let hub = registry(tiny());
        let device = Peer::registered(&hub, "1");
        let client = drive(Peer::attached(&hub), |client| {
            client.forward("7");
            assert_eq!(read_until(client, "close")[2..], DEVICE_GONE);
        });
        let device = drive(device, |device| {
            let read = device.received();
            assert!(read == [CONFIG] || read == [CONFIG.to_owned(), from_client(7)], "{read:?}");
            device.seat.on_closed();
        });
        let (mut client, _device) = (client.join().expect("no panic"), device.join().expect("no panic"));
        client.seat.on_closed();
        assert_eq!(hub.table_len(), 0);
    });
}

#[test]
fn nothing_of_a_client_comes_after_its_client_disconnected() {
    check(4, || {
        let hub = registry(tiny());
        let device = Peer::registered(&hub, "1");
        let client = drive(Peer::attached(&hub), |client| {
            client.forward("7");
            client.seat.on_closed();
        });
        let device = drive(device, |device| {
            assert_eq!(read_until(device, GONE), [CONFIG.to_owned(), from_client(7), GONE.to_owned()]);
        });
        client.join().expect("no panic");
        assert_eq!(device.join().expect("no panic").received(), [""; 0]);
        assert_eq!(hub.counts().clients, 0);
    });
}

#[test]
fn message_for_a_client_that_leaves_reaches_nobody_else() {
    check(4, || {
        // The successor draws the id of the one who leaves.
        let hub = registry_with_ids(&[1, 1, 2]);
        let mut device = Peer::registered(&hub, "1");
        let mut client = Peer::attached(&hub);
        client.forward("7");
        device.received();
        let client = drive(client, |client| client.seat.on_closed());
        let successor = drive(Peer::client(&hub), |successor| {
            successor.send(r#"{"message_type":"connect","device_id":"d"}"#);
        });
        device.forward_to(1, "0");
        let mut client = client.join().expect("no panic");
        let mut successor = successor.join().expect("no panic");
        assert_eq!(successor.received(), [CONFIG, DEVICE_INFO]);
        // Once for the client that left; and once more as the answer, if the message came too late for it.
        let missed = of_device(&client.received()).is_empty();
        assert_eq!(device.received(), vec![GONE; 1 + usize::from(missed)]);
    });
}

#[test]
fn device_that_comes_back_changed_hears_of_each_client_that_it_knew() {
    check(4, || {
        let hub = registry(tiny());
        let mut old = Peer::registered(&hub, "1");
        let client = drive(Peer::attached(&hub), |client| {
            client.forward("7");
        });
        let new = drive(Peer::device(&hub), |new| new.register("2"));
        let read = old.received();
        let (mut client, mut new) = (client.join().expect("no panic"), new.join().expect("no panic"));
        assert_eq!(client.received()[2..], DEVICE_GONE);
        let told = of_clients(&read) == [from_client(7)];
        let gone = new.received().iter().filter(|text| *text == GONE).count();
        assert!(gone <= 1 && (!told || gone == 1), "read {read:?}, then told {gone} times");
    });
}

#[test]
fn client_that_leaves_while_its_device_changes_is_reported_once() {
    check(4, || {
        let hub = registry(tiny());
        let mut old = Peer::registered(&hub, "1");
        let mut client = Peer::attached(&hub);
        client.forward("7");
        old.received();
        let client = drive(client, |client| client.seat.on_closed());
        let new = drive(Peer::device(&hub), |new| new.register("2"));
        let mut read = old.received();
        client.join().expect("no panic");
        read.extend(new.join().expect("no panic").received());
        assert_eq!(of_clients(&read), [GONE]);
    });
}
