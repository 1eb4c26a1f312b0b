//! A session goes from one connection to the next, and every message is counted once.

use cuttlebone_hub::{Registry, SeatOptions, Settings};

use crate::peer::{OPTIONS, Peer, registry, registry_of, tiny, token};
use crate::{GONE, check, drive, from_client, of_clients, of_device};

/// What `cuttlebone_received` says.
pub(crate) fn received(text: &str) -> Option<usize> {
    let (_, number) = text.split_once(r#""cuttlebone_received":"#)?;
    number.trim_end_matches('}').parse().ok()
}

/// A device, its client, and the token with which that comes back.
fn session(hub: &Registry) -> (Peer, Peer, String) {
    let device = Peer::registered(hub, "1");
    let mut client = Peer::resuming(hub, "true");
    let token = token(&client.received()[1]);
    (device, client, token)
}

#[test]
fn count_of_a_resumed_session_is_what_the_device_reads() {
    check(4, || {
        let hub = registry(tiny());
        let (mut device, old, token) = session(&hub);
        let old = drive(old, |old| {
            old.forward("1");
            old.forward("2");
        });
        let mut new = Peer::resuming(&hub, &format!(r#""{token}","cuttlebone_received":0"#));
        let _old = old.join().expect("no panic");
        let taken = new.received().iter().find_map(|text| received(text)).expect("a count");
        assert_eq!(of_clients(&device.received()), [from_client(1), from_client(2)][..taken]);
    });
}

/// It counts as taken, and is answered with an error: whichever connection the session has by then.
#[test]
fn message_that_its_device_can_not_read_is_told_of_when_the_session_goes_on_in_the_same_moment() {
    check(4, || {
        let hub = registry(tiny());
        let mut device = Peer::device_with(&hub, &SeatOptions { small_reader: true, ..OPTIONS });
        device.register("1");
        let mut old = Peer::resuming(&hub, "true");
        let token = token(&old.received()[1]);
        let old = drive(old, |old| {
            old.forward(&format!("\"{}\"", "x".repeat(70_000)));
        });
        let mut new = Peer::resuming(&hub, &format!(r#""{token}","cuttlebone_received":0"#));
        let _old = old.join().expect("no panic");
        let read = new.received();
        let taken = read.iter().find_map(|text| received(text)).expect("a count");
        assert_eq!(read.iter().filter(|text| text.contains("too_large_for_device")).count(), taken);
    });
}

#[test]
fn resumed_session_has_each_message_of_the_device_once() {
    check(4, || {
        let hub = registry(tiny());
        let (mut device, old, token) = session(&hub);
        let old = drive(old, |old| {
            old.received();
        });
        let new = drive(Peer::client(&hub), move |new| {
            new.send(&format!(
                r#"{{"message_type":"connect","device_id":"d","cuttlebone_resume":"{token}","cuttlebone_received":0}}"#
            ));
        });
        device.forward_to(1, "1");
        device.forward_to(1, "2");
        let _old = old.join().expect("no panic");
        let read = new.join().expect("no panic").received();
        let messages = ["1", "2"].map(|payload| format!(r#"{{"message_type":"device_msg","payload":{payload}}}"#));
        assert_eq!(of_device(&read), messages);
    });
}

#[test]
fn late_end_of_the_former_connection_keeps_the_session() {
    check(4, || {
        let hub = registry(tiny());
        let (mut device, mut old, token) = session(&hub);
        old.forward("1");
        let old = drive(old, |old| {
            old.seat.on_broken(old.now);
            old.seat.on_closed();
        });
        let mut new = Peer::resuming(&hub, &format!(r#""{token}","cuttlebone_received":0"#));
        old.join().expect("no panic");
        let goes_on = new.received().iter().any(|text| text.contains("device_info"));
        new.forward("2");
        let read = device.received();
        if goes_on {
            assert_eq!(of_clients(&read), [from_client(1), from_client(2)]);
        } else {
            assert_eq!(of_clients(&read)[1], r#"{"message_type":"client_disconnected","client_id":1}"#);
        }
        assert_eq!(hub.counts().clients, usize::from(goes_on));
    });
}

#[test]
fn message_for_a_client_of_an_earlier_process_is_its_when_it_comes_in_the_same_moment() {
    check(4, || {
        let token = token_of_an_earlier_process();
        let hub = registry_of(Settings::default(), 3, 0);
        let mut device = Peer::registered(&hub, "1");
        let client = drive(Peer::client(&hub), move |client| {
            client.send(&format!(
                r#"{{"message_type":"connect","device_id":"d","cuttlebone_resume":"{token}","cuttlebone_received":0}}"#
            ));
        });
        device.forward_to(1, "7");
        let mut client = client.join().expect("no panic");
        let read = client.received();
        assert_eq!(of_device(&read), [r#"{"message_type":"device_msg","payload":7}"#], "{read:?}");
        assert!(!device.received().contains(&GONE.to_owned()), "it is here");
    });
}

#[test]
fn client_that_a_former_connection_of_the_device_expects_is_given_up_by_the_next() {
    check(4, || {
        let token = token_of_an_earlier_process();
        let hub = registry_of(Settings::default(), 3, 0);
        let old = drive(Peer::registered(&hub, "1"), |old| {
            old.forward_to(1, "7");
        });
        let new = Peer::registered(&hub, "1");
        let _old = old.join().expect("no panic");
        let deadline = new.seat.deadline();
        let mut client = Peer::resuming(&hub, &format!(r#""{token}","cuttlebone_received":0"#));
        assert!(of_device(&client.received()).is_empty() || deadline.is_some(), "it was expected, and for ever");
    });
}

fn token_of_an_earlier_process() -> String {
    let earlier = registry_of(Settings::default(), 2, 0);
    let _device = Peer::registered(&earlier, "1");
    token(&Peer::resuming(&earlier, "true").received()[1])
}
