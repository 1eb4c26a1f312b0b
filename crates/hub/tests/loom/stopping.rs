//! The server stops: nobody is forgotten, and what clients are told was taken has been read.

use cuttlebone_proto::CloseCode;

use crate::peer::{Peer, registry, tiny};
use crate::resuming::received;
use crate::{CONFIG, GONE, check, drive, from_client, of_clients, read_until};

#[test]
fn client_that_comes_while_the_server_stops_is_told() {
    check(4, || {
        let hub = registry(tiny());
        let mut device = Peer::registered(&hub, "1");
        let client = drive(Peer::client(&hub), |client| {
            client.send(r#"{"message_type":"connect","device_id":"d"}"#);
            assert_eq!(read_until(client, "close").last().expect("the close"), "close 1012");
        });
        hub.stop();
        device.seat.on_shutdown(CloseCode::Restart);
        assert_eq!(device.received(), [CONFIG, "close 1012"]);
        device.seat.on_closed();
        client.join().expect("no panic");
    });
}

/// A resumable client sends two messages while its device is told to go, and reads `entries` of its mailbox before it does.
fn count_is_what_was_read(entries: usize) {
    check(4, move || {
        let hub = registry(tiny());
        let mut device = Peer::registered(&hub, "1");
        let client = drive(Peer::resuming(&hub, "true"), |client| {
            client.forward("1");
            client.forward("2");
        });
        device.seat.on_shutdown(CloseCode::Restart);
        let mut read = Vec::new();
        let mut cx = std::task::Context::from_waker(std::task::Waker::noop());
        while read.len() < entries
            && let std::task::Poll::Ready(text) = device.poll_entry(&mut cx)
        {
            read.extend(text);
        }
        device.seat.on_broken(device.now);
        let last = read_until(&mut client.join().expect("no panic"), "close");
        let taken = last.iter().rev().find_map(|text| received(text)).expect("a count");
        assert_eq!(of_clients(&read), [from_client(1), from_client(2)][..taken], "{last:?}");
    });
}

#[test]
fn count_at_a_stop_is_what_the_device_read() {
    count_is_what_was_read(usize::MAX);
}

#[test]
fn count_at_a_stop_is_what_the_device_read_though_its_connection_broke() {
    count_is_what_was_read(2);
}

#[test]
fn r6_client_that_leaves_while_the_server_stops_is_reported_before_the_close() {
    check(4, || {
        let hub = registry(tiny());
        let mut device = Peer::registered(&hub, "1");
        let mut client = Peer::attached(&hub);
        client.forward("1");
        let client = drive(client, |client| client.seat.on_closed());
        device.seat.on_shutdown(CloseCode::Restart);
        client.join().expect("no panic");
        assert_eq!(device.received(), [CONFIG, &from_client(1), GONE, "close 1012"]);
    });
}
