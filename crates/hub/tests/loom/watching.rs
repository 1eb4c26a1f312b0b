//! Who shows the list of devices asks for its version, and takes the list again only when that has grown.

use crate::check;
use crate::peer::{Peer, registry, tiny};

/// A list that was taken while a device or its client did this, after the version was, is the list that belongs to it.
fn list_is_that_of_its_version(task: fn(&mut Peer, &mut Peer)) {
    check(4, move || {
        let hub = registry(tiny());
        let (mut device, mut client) = (Peer::registered(&hub, "1"), Peer::attached(&hub));
        let change = loom::thread::spawn(move || {
            task(&mut device, &mut client);
            (device, client)
        });
        let (version, list) = (hub.version(), hub.list());
        let _peers = change.join().expect("no panic");
        assert!(version != hub.version() || list == hub.list(), "{list:?}");
    });
}

#[test]
fn list_of_a_version_knows_that_a_device_broke() {
    list_is_that_of_its_version(|device, _| {
        device.seat.on_broken(device.now);
    });
}

#[test]
fn list_of_a_version_knows_that_a_client_left() {
    list_is_that_of_its_version(|_, client| client.seat.on_closed());
}
