//! Who holds a device id.

use std::future::Future;
use std::future::poll_fn;
use std::pin::Pin;

use cuttlebone_hub::{Next, Registry, Resolution};
use loom::future::block_on;

use crate::peer::{Peer, config, registry, tiny};
use crate::{CONFIG, check, drive, from_client, of_clients, read_until};

const REGISTER: &str = r#"{"message_type":"register","device_id":"d","device_info":1}"#;

/// One of two that register with one id leaves; the other stays and, unless it was taken over, has the id.
fn late_close_keeps_the_other(info: &'static str) {
    check(4, move || {
        let hub = registry(tiny());
        let leaver = drive(Peer::device(&hub), |leaver| {
            leaver.register("1");
            leaver.seat.on_closed();
        });
        let mut stayer = Peer::device(&hub);
        stayer.register(info);
        leaver.join().expect("no panic");
        let taken_over = stayer.received().iter().any(|text| text == "close 4001");
        assert_eq!(hub.list().len(), usize::from(!taken_over));
        if !taken_over {
            Peer::attached(&hub).forward("7");
            assert_eq!(of_clients(&stayer.received())[0], from_client(7));
        }
    });
}

#[test]
fn r5_late_close_keeps_the_winner() {
    late_close_keeps_the_other("1");
}

#[test]
fn r5_late_close_keeps_a_winner_that_is_another_device() {
    late_close_keeps_the_other("2");
}

#[test]
fn r5_late_break_does_not_put_the_winner_away() {
    check(4, || {
        let hub = registry(tiny());
        let old = drive(Peer::registered(&hub, "1"), |old| {
            old.seat.on_broken(old.now);
        });
        let _new = Peer::registered(&hub, "1");
        let _old = old.join().expect("no panic");
        assert_eq!(hub.list().iter().map(|device| device.away).collect::<Vec<_>>(), [false]);
    });
}

#[test]
fn messages_of_a_client_are_read_once_when_its_device_is_taken_over() {
    check(4, || {
        let hub = registry(tiny());
        let mut old = Peer::registered(&hub, "1");
        let client = drive(Peer::attached(&hub), |client| {
            client.forward("1");
            client.seat.on_closed();
        });
        let new = drive(Peer::device(&hub), |new| new.register("1"));
        let mut read = old.received();
        client.join().expect("no panic");
        read.extend(new.join().expect("no panic").received());
        assert_eq!(
            of_clients(&read),
            [from_client(1).as_str(), r#"{"message_type":"client_disconnected","client_id":1}"#]
        );
    });
}

#[test]
fn messages_of_a_client_are_read_once_when_its_device_breaks_and_comes_back() {
    check(4, || {
        let hub = registry(tiny());
        let old = Peer::registered(&hub, "1");
        let client = drive(Peer::attached(&hub), |client| {
            client.forward("1");
            client.forward("2");
        });
        let mut read = Vec::new();
        let mut old = old;
        read.extend(old.received());
        old.seat.on_broken(old.now);
        let mut new = Peer::registered(&hub, "1");
        let mut client = client.join().expect("no panic");
        read.extend(new.received());
        assert_eq!(of_clients(&read), [from_client(1), from_client(2)]);
        assert_eq!(client.received().len(), 2, "it hears nothing");
    });
}

/// Registers as the task of a connection does: waits for the holder's answer.
fn register(device: &mut Peer, hub: &Registry) {
    let Next::Await(request) = device.seat.on_text(REGISTER, device.now) else { panic!("a request") };
    let mut resolution = hub.resolve(request, &config, 0);
    loop {
        match resolution {
            Resolution::Answer(answer) => {
                device.seat.on_answer(answer, device.now);
                return;
            }
            Resolution::Probe(mut probe) => {
                let answer = block_on(poll_fn(|cx| Pin::new(&mut probe.answered).poll(cx)));
                resolution = hub.conclude(probe, answer.is_ok(), &config, 0);
            }
        }
    }
}

#[test]
fn rival_of_a_holder_that_lives_or_leaves_is_answered() {
    check(4, || {
        let hub = registry(tiny());
        let holder = drive(Peer::registered(&hub, "1"), |holder| {
            holder.received();
            holder.seat.on_alive();
            holder.seat.on_closed();
        });
        let mut rival = Peer::device(&hub);
        register(&mut rival, &hub);
        holder.join().expect("no panic");
        let first = read_until(&mut rival, "");
        let registered = first == [CONFIG];
        assert!(registered || first[0].contains("device_id_taken"), "{first:?}");
        assert_eq!(hub.list().len(), usize::from(registered));
    });
}
