//! Grace periods, takeover, ids: protocol.md 2.4.

use std::task::{Context, Waker};
use std::time::Duration;

use cuttlebone_hub::{Event, Next, Resolution, Settings};

use crate::peer::{Peer, config, device_d, registry, tiny};

const GONE: &str = r#"{"error":"Device disconnected","cuttlebone_code":"device_disconnected"}"#;

#[test]
fn a_device_that_comes_back_with_the_same_info_finds_what_was_held() {
    let hub = registry(tiny());
    let mut device = Peer::registered(&hub, "{ \"x\":1}");
    let mut client = Peer::attached(&hub);
    client.forward("1");
    device.received();
    let until = device.seat.on_broken(device.now).expect("a grace period");
    assert_eq!(until - device.now, Settings::default().device_grace);
    client.forward("2");
    let mut again = Peer::registered(&hub, "{ \"x\":1}");
    assert_eq!(
        again.received(),
        [r#"{"message_type":"config","ice_servers":[]}"#, r#"{"message_type":"client_msg","client_id":1,"payload":2}"#]
    );
    drop(device);
    again.forward_to(1, "3");
    assert_eq!(client.received().last().map(String::as_str), Some(r#"{"message_type":"device_msg","payload":3}"#));
}

#[test]
fn a_device_that_comes_back_with_another_info_is_another_device() {
    let hub = registry(tiny());
    let mut device = Peer::registered(&hub, "{\"x\":1}");
    let mut client = Peer::attached(&hub);
    device.seat.on_broken(device.now);
    let mut again = Peer::registered(&hub, "{\"x\": 1}");
    assert_eq!(client.received()[2..], [GONE, "close 1001"]);
    assert_eq!(again.received().len(), 1, "config, and nothing of a client that the device never heard of");
}

#[test]
fn a_device_that_comes_back_with_another_info_is_told_that_its_clients_are_gone() {
    let hub = registry(tiny());
    let mut device = Peer::registered(&hub, "1");
    let mut clients = [Peer::attached(&hub), Peer::attached(&hub), Peer::attached(&hub)];
    clients[0].forward("1");
    clients[1].forward("1");
    device.received();
    device.seat.on_broken(device.now);
    clients[0].seat.on_closed();
    let mut again = Peer::registered(&hub, "2");
    assert_eq!(
        again.received()[1..],
        [
            r#"{"message_type":"client_disconnected","client_id":1}"#,
            r#"{"message_type":"client_disconnected","client_id":2}"#
        ]
    );
}

#[test]
fn clients_whose_connection_broke_do_not_lock_others_out() {
    let hub = registry(Settings { clients_per_device: 2, ..tiny() });
    let mut device = Peer::registered(&hub, "1");
    let mut ghosts = Vec::new();
    for _ in 0..5 {
        let mut ghost = Peer::attached(&hub);
        ghost.forward("1");
        device.received();
        assert!(ghost.seat.on_broken(ghost.now).is_some());
        ghosts.push(ghost);
    }
    assert_eq!(hub.list()[0].viewers, 0);
    assert_eq!(Peer::attached(&hub).received().len(), 2, "config and device_info");
    drop(ghosts);
    assert_eq!(device.received().len(), 5);
}

#[test]
fn a_device_that_stays_away_is_gone() {
    let hub = registry(tiny());
    let mut device = Peer::registered(&hub, "1");
    let mut client = Peer::attached(&hub);
    device.seat.on_broken(device.now);
    assert!(hub.find(&device_d()).expect("listed").away);
    assert!(!client.received().contains(&GONE.to_owned()));
    drop(device);
    assert_eq!(client.received(), [GONE, "close 1001"]);
    assert_eq!(hub.table_len(), 0);
}

#[test]
fn the_seat_of_a_broken_connection_is_kept_until_the_device_is_back_and_no_longer() {
    for info in ["1", "2"] {
        let hub = registry(tiny());
        let mut device = Peer::registered(&hub, "1");
        let mut client = Peer::attached(&hub);
        // Somebody asks for the id, and the connection breaks before the device has answered.
        let mut rival = Peer::device(&hub);
        let Next::Await(request) =
            rival.seat.on_text(r#"{"message_type":"register","device_id":"d","device_info":1}"#, rival.now)
        else {
            panic!("a registration asks");
        };
        let Resolution::Probe(mut probe) = hub.resolve(request, &config, 0) else { panic!("the id is held") };
        device.seat.on_broken(device.now);
        let mut cx = Context::from_waker(Waker::noop());
        assert!(device.seat.poll_superseded(&mut cx).is_pending());
        assert_eq!(probe.answered_yet(), Some(false), "who asked waits no longer");
        client.forward("1");
        assert!(device.seat.poll_superseded(&mut cx).is_pending());
        let _again = Peer::registered(&hub, info);
        assert!(device.seat.poll_superseded(&mut cx).is_ready());
        drop(device);
        assert!(!hub.find(&device_d()).expect("listed").away, "{info}");
    }
}

#[test]
fn a_client_that_comes_while_the_device_is_away_waits() {
    let hub = registry(tiny());
    let mut device = Peer::registered(&hub, "1");
    device.seat.on_broken(device.now);
    let mut client = Peer::attached(&hub);
    assert_eq!(client.received().len(), 1);
    let _again = Peer::registered(&hub, "1");
    assert_eq!(client.received(), [r#"{"message_type":"device_info","device_info":1}"#]);
}

#[test]
fn a_broken_client_is_reported_when_its_grace_is_over_and_only_once() {
    let hub = registry(tiny());
    let mut device = Peer::registered(&hub, "1");
    let mut client = Peer::attached(&hub);
    client.forward("1");
    device.received();
    assert!(client.seat.on_broken(client.now).is_some());
    device.forward_to(1, "0");
    assert!(device.received().is_empty());
    drop(client);
    assert_eq!(device.received(), [r#"{"message_type":"client_disconnected","client_id":1}"#]);
}

#[test]
fn a_client_that_the_device_never_heard_of_leaves_silently() {
    let hub = registry(tiny());
    let mut device = Peer::registered(&hub, "1");
    let mut client = Peer::attached(&hub);
    device.received();
    assert_eq!(client.seat.on_broken(client.now), None);
    drop(client);
    assert!(device.received().is_empty());
}

#[test]
fn a_device_in_error_keeps_its_clients_for_the_grace_period() {
    let hub = registry(tiny());
    let mut device = Peer::registered(&hub, "1");
    let mut client = Peer::attached(&hub);
    client.received();
    assert!(matches!(device.forward_to(0, "1"), Next::Closing));
    client.forward("5");
    assert!(client.received().is_empty());
    assert_eq!(device.received().len(), 2, "the error and the close");
    let mut again = Peer::registered(&hub, "1");
    assert_eq!(
        again.received(),
        [r#"{"message_type":"config","ice_servers":[]}"#, r#"{"message_type":"client_msg","client_id":1,"payload":5}"#]
    );
}

#[test]
fn a_holder_that_answers_keeps_its_id() {
    let hub = registry(tiny());
    let mut holder = Peer::registered(&hub, "1");
    let mut rival = Peer::device(&hub);
    let text = r#"{"message_type":"register","device_id":"d","device_info":1}"#;
    let Next::Await(request) = rival.seat.on_text(text, rival.now) else { panic!("asks for the id") };
    let Resolution::Probe(mut probe) = hub.resolve(request, &config, 0) else { panic!("the holder is asked first") };
    holder.received();
    assert!(probe.answered.try_recv().is_err(), "not before something came from it");
    holder.seat.on_alive();
    assert!(probe.answered.try_recv().is_ok());
    let Resolution::Answer(answer) = hub.conclude(probe, true, &config, 0) else { panic!("an answer") };
    assert!(matches!(rival.seat.on_answer(answer, rival.now), Next::Closing));
    assert_eq!(
        rival.received(),
        [r#"{"error":"Device id already taken: d","cuttlebone_code":"device_id_taken"}"#, "close 1008"]
    );
    drop(rival);
    assert_eq!(hub.list().len(), 1);
}

#[test]
fn a_holder_that_is_silent_is_taken_over_and_its_clients_stay() {
    let hub = registry(tiny());
    let mut old = Peer::registered(&hub, "1");
    let mut client = Peer::attached(&hub);
    let mut new = Peer::registered(&hub, "1");
    assert_eq!(
        old.received(),
        [r#"{"error":"Device id taken over by a new registration: d","cuttlebone_code":"taken_over"}"#, "close 4001"]
    );
    client.forward("1");
    assert!(new.received().last().is_some_and(|text| text.contains("client_msg")));
    assert_eq!(old.seat.on_broken(old.now), None);
}

#[test]
fn a_second_rival_does_not_take_over_from_the_first_unasked() {
    let hub = registry(tiny());
    let _holder = Peer::registered(&hub, "1");
    let text = r#"{"message_type":"register","device_id":"d","device_info":1}"#;
    let mut probes = Vec::new();
    let mut rivals = [Peer::device(&hub), Peer::device(&hub)];
    for rival in &mut rivals {
        let Next::Await(request) = rival.seat.on_text(text, rival.now) else { panic!("asks for the id") };
        let Resolution::Probe(probe) = hub.resolve(request, &config, 0) else { panic!("the holder is asked first") };
        probes.push(probe);
    }
    let second = probes.pop().expect("two");
    let first = probes.pop().expect("two");
    let Resolution::Answer(answer) = hub.conclude(first, false, &config, 0) else { panic!("the holder is silent") };
    assert!(matches!(rivals[0].seat.on_answer(answer, rivals[0].now), Next::Continue));
    assert!(
        matches!(hub.conclude(second, false, &config, 0), Resolution::Probe(_)),
        "the new holder is asked in its turn"
    );
}

#[test]
fn waiting_is_bounded_in_number_and_time() {
    let hub = registry(Settings { waiting_per_device: 2, ..tiny() });
    let mut waiting: Vec<Peer> = (0..3).map(|_| Peer::attached(&hub)).collect();
    let refused = waiting.pop().expect("three").received();
    assert_eq!(
        refused[1..],
        [
            r#"{"error":"Connection failed: Too many clients are waiting","cuttlebone_code":"too_many_waiting"}"#,
            "close 1013"
        ]
    );
    assert_eq!(hub.counts().waiting, 2);
    let until = waiting[0].seat.deadline().expect("the wait is bounded");
    assert_eq!(until - waiting[0].now, Duration::from_secs(60));
    assert!(matches!(waiting[0].seat.on_timer(until), Next::Closing));
    assert_eq!(
        waiting[0].received()[1..],
        [r#"{"error":"Connection failed: Device not found: 'd'","cuttlebone_code":"device_not_found"}"#, "close 1008"]
    );
    drop(waiting);
    assert_eq!((hub.counts().waiting, hub.table_len()), (0, 0));
}

#[test]
fn no_wait_is_an_answer_at_once() {
    let hub = registry(Settings { client_wait: Duration::ZERO, ..tiny() });
    assert_eq!(Peer::attached(&hub).received().len(), 3, "config, the error, the close");
}

#[test]
fn clients_of_a_device_are_bounded() {
    let hub = registry(Settings { clients_per_device: 1, ..tiny() });
    let _device = Peer::registered(&hub, "1");
    let _first = Peer::attached(&hub);
    let second = Peer::attached(&hub).received();
    assert_eq!(
        second[1..],
        [
            r#"{"error":"Connection failed: Device has too many clients","cuttlebone_code":"too_many_clients"}"#,
            "close 1013"
        ]
    );
}

#[test]
fn listeners_hear_of_devices_and_viewers() {
    let hub = registry(tiny());
    let mut events = hub.subscribe();
    let mut device = Peer::registered(&hub, "1");
    let client = Peer::attached(&hub);
    drop(client);
    device.seat.on_closed();
    let mut next = || events.try_recv().expect("an event");
    assert!(matches!(next(), Event::Registered(summary) if summary.viewers == 0));
    assert!(matches!(next(), Event::Viewers { viewers: 1, .. }));
    assert!(matches!(next(), Event::Viewers { viewers: 0, .. }));
    assert!(matches!(next(), Event::Gone(_)));
}

#[test]
fn of_those_that_wait_the_last_are_let_go_first() {
    let hub = registry(tiny());
    let mut waiting: Vec<Peer> = (0..4)
        .map(|index| {
            let mut client = Peer::client(&hub);
            client.send(&format!(r#"{{"message_type":"connect","device_id":"{index}"}}"#));
            client.received();
            client
        })
        .collect();
    let mut attached = {
        let _device = Peer::registered(&hub, "1");
        Peer::attached(&hub)
    };
    attached.received();
    assert_eq!(hub.let_waiting_go(2), 2);
    let overloaded = r#"{"error":"Connection failed: Server is overloaded","cuttlebone_code":"overloaded"}"#.to_owned();
    let told: Vec<Vec<String>> = waiting.iter_mut().map(Peer::received).collect();
    let gone = vec![overloaded, "close 1013".to_owned()];
    assert_eq!(told, [vec![], vec![], gone.clone(), gone]);
    assert_eq!((hub.counts().waiting, hub.let_waiting_go(10), attached.received().len()), (2, 2, 0));
}
