//! Full queues (R3): a client waits for room and is woken, whatever the device does meanwhile.

use std::future::poll_fn;

use cuttlebone_hub::{Bound, Next, Settings};
use cuttlebone_proto::CloseCode;
use loom::future::block_on;

use crate::peer::{Peer, registry};
use crate::{GONE, check, drive, from_client, of_clients, read_until};

/// A queue that is full with one message.
fn narrow() -> Settings {
    Settings { device_queue: Bound { frames: 1, bytes: 10_000 }, ..Settings::default() }
}

/// Forwards as the task of a connection does: reads no more until there is room.
fn forward(client: &mut Peer, payload: &str) {
    if matches!(client.forward(payload), Next::Paused) {
        block_on(poll_fn(|cx| client.seat.poll_room(cx)));
    }
}

#[test]
fn r3_client_that_waits_for_room_is_woken_by_the_reader() {
    check(4, || {
        let hub = registry(narrow());
        let device = Peer::registered(&hub, "1");
        let client = drive(Peer::attached(&hub), |client| {
            forward(client, "1");
            forward(client, "2");
            client.seat.on_closed();
        });
        let device = drive(device, |device| {
            let read = read_until(device, GONE);
            assert_eq!(of_clients(&read), [&from_client(1), &from_client(2), GONE]);
        });
        client.join().expect("no panic");
        device.join().expect("no panic");
    });
}

#[test]
fn r3_two_clients_that_wait_for_one_place_both_have_it() {
    check(3, || {
        let hub = registry(narrow());
        let mut device = Peer::registered(&hub, "1");
        let mut full = Peer::attached(&hub);
        full.forward("0");
        let clients = [(), ()].map(|()| {
            drive(Peer::attached(&hub), |client| {
                forward(client, "1");
            })
        });
        let mut read = Vec::new();
        while of_clients(&read).len() < 3 {
            read.extend(read_until(&mut device, "{"));
        }
        let _clients = clients.map(|client| client.join().expect("no panic"));
        assert_eq!(device.received(), [""; 0]);
    });
}

/// A client waits for room while its device does this.
fn woken_when_the_device(goes: fn(&mut Peer)) {
    check(4, move || {
        let hub = registry(narrow());
        let device = Peer::registered(&hub, "1");
        let mut client = Peer::attached(&hub);
        client.forward("1");
        let client = drive(client, |client| forward(client, "2"));
        let device = drive(device, goes);
        client.join().expect("no panic");
        device.join().expect("no panic");
    });
}

#[test]
fn r3_client_that_waits_for_room_is_woken_when_the_device_closes() {
    woken_when_the_device(|device| device.seat.on_closed());
}

#[test]
fn r3_client_that_waits_for_room_is_woken_when_the_server_stops() {
    woken_when_the_device(|device| {
        device.seat.on_shutdown(CloseCode::Restart);
    });
}

#[test]
fn r3_client_that_waits_for_room_is_woken_when_the_device_is_taken_over() {
    woken_when_the_device(|device| {
        let mut new = Peer::registered(&device.registry, "1");
        new.received();
    });
}

#[test]
fn r3_client_that_does_not_read_is_closed_and_the_device_told() {
    check(4, || {
        let bound = Bound { frames: 1, bytes: 10_000 };
        let hub = registry(Settings { client_queue: bound, ..Settings::default() });
        let mut device = Peer::registered(&hub, "1");
        let mut client = Peer::attached(&hub);
        client.forward("7");
        let client = drive(client, |client| {
            let read = client.received();
            let cut = read.last().is_some_and(|text| text == "close 4008");
            if !cut {
                client.seat.on_closed();
            }
        });
        device.forward_to(1, "1");
        device.forward_to(1, "2");
        client.join().expect("no panic");
        let read = device.received();
        assert!(of_clients(&read).len() >= 2 && of_clients(&read)[1..].iter().all(|text| *text == GONE), "{read:?}");
    });
}
