//! Who comes is found, and finds what is there.

use crate::peer::{Peer, registry, tiny};
use crate::{CONFIG, DEVICE_INFO, check, drive, from_client, read_until};

#[test]
fn client_that_comes_while_its_device_registers_has_it() {
    check(4, || {
        let hub = registry(tiny());
        let client = drive(Peer::client(&hub), |client| {
            client.send(r#"{"message_type":"connect","device_id":"d"}"#);
            assert_eq!(read_until(client, DEVICE_INFO), [CONFIG, DEVICE_INFO], "R2, and it is woken");
        });
        let mut device = Peer::registered(&hub, "1");
        let mut client = client.join().expect("no panic");
        client.forward("7");
        assert_eq!(device.received(), [CONFIG.to_owned(), from_client(7)]);
        let counts = hub.counts();
        assert_eq!((counts.clients, counts.waiting), (1, 0));
    });
}

#[test]
fn client_that_comes_while_its_device_comes_back_has_it() {
    check(4, || {
        let hub = registry(tiny());
        let mut lost = Peer::registered(&hub, "1");
        lost.seat.on_broken(lost.now);
        let client = drive(Peer::client(&hub), |client| {
            client.send(r#"{"message_type":"connect","device_id":"d"}"#);
            assert_eq!(read_until(client, DEVICE_INFO), [CONFIG, DEVICE_INFO]);
        });
        let _device = Peer::registered(&hub, "1");
        let _client = client.join().expect("no panic");
        assert_eq!((hub.counts().clients, hub.counts().waiting), (1, 0));
    });
}

#[test]
fn client_that_leaves_while_its_device_registers_leaves_no_trace() {
    check(4, || {
        let hub = registry(tiny());
        let client = drive(Peer::attached(&hub), |client| {
            client.received();
            client.seat.on_closed();
        });
        let mut device = Peer::registered(&hub, "1");
        client.join().expect("no panic");
        assert_eq!(device.received(), [CONFIG], "it was told of nobody, so nobody is gone");
        let counts = hub.counts();
        assert_eq!((counts.devices, counts.clients, counts.waiting), (1, 0, 0));
        device.seat.on_closed();
        assert_eq!(hub.table_len(), 0);
    });
}

#[test]
fn client_that_is_let_go_while_its_device_registers_has_it_or_is_told() {
    check(4, || {
        let hub = registry(tiny());
        let client = Peer::attached(&hub);
        let device = drive(Peer::device(&hub), |device| device.register("1"));
        assert_eq!(hub.let_waiting_go(1), 1);
        let client = drive(client, |client| {
            let texts = client.received();
            let closed = texts.last().is_some_and(|text| text.starts_with("close"));
            assert!(closed ^ texts.contains(&DEVICE_INFO.to_owned()), "{texts:?}");
        });
        let (_device, mut client) = (device.join().expect("no panic"), client.join().expect("no panic"));
        client.received();
        assert_eq!(hub.counts().waiting, 0);
    });
}
