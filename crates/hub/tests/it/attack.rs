//! What an attacker with patience could do, and can't.

use std::sync::Arc;
use std::task::{Context, Waker};
use std::time::Duration;

use cuttlebone_hub::{Bound, Next, Owner, Party, Realm, Registry, SeatOptions, Settings};
use cuttlebone_proto::CloseCode;

use crate::peer::{OPTIONS, Peer, registry, registry_of, registry_with_ids, token};

#[test]
fn a_token_of_a_session_that_is_over_does_not_open_a_strangers_with_the_same_id() {
    let hub = registry_with_ids(&[5, 5]);
    let mut device = Peer::registered(&hub, "1");
    let mut attacker = Peer::resuming(&hub, "true");
    let stolen = token(&attacker.received()[1]);
    attacker.seat.on_closed();
    drop(attacker);
    let mut victim = Peer::resuming(&hub, "true");
    victim.received();
    victim.forward("1");
    device.received();
    device.forward_to(5, r#""secret""#);
    victim.received();
    let mut attacker = Peer::resuming(&hub, &format!(r#""{stolen}","cuttlebone_received":0"#));
    let got = attacker.received();
    assert!(!got.iter().any(|text| text.contains("secret")), "{got:?}");
}

#[test]
fn a_session_older_than_its_token_survives_a_broken_connection() {
    let hub = registry(Settings::default());
    let mut device = Peer::registered(&hub, "1");
    let mut client = Peer::resuming(&hub, "true");
    let token = token(&client.received()[1]);
    client.forward("1");
    device.received();
    client.seat.on_broken(client.now);
    let mut again = Peer::client(&hub);
    again.now_ms = 24 * 60 * 60 * 1000; // connected for a day, back after a second
    again.send(&format!(
        r#"{{"message_type":"connect","device_id":"d","cuttlebone_resume":"{token}","cuttlebone_received":0}}"#
    ));
    let got = again.received();
    assert!(got[1].contains("device_info"), "{got:?}");
}

#[test]
fn a_refused_message_does_not_hide_one_before_it_that_nobody_read() {
    let hub = registry(Settings::default());
    let mut device = Peer::device_with(&hub, &SeatOptions { small_reader: true, ..OPTIONS });
    device.register("1");
    let mut client = Peer::resuming(&hub, "true");
    client.received();
    device.received();
    device.seat.on_broken(device.now);
    client.forward("1");
    client.forward(&format!("\"{}\"", "x".repeat(70_000)));
    client.forward("3");
    hub.stop();
    client.seat.on_shutdown(CloseCode::Restart);
    device.seat.on_shutdown_away(CloseCode::Restart);
    let got = client.received();
    // Message 1 was never read by anybody: the client has to send it again.
    assert!(got.iter().any(|text| text.contains(r#""cuttlebone_received":0"#)), "{got:?}");
}

#[test]
fn a_message_refused_after_the_stop_does_not_hide_one_before_it_that_was_not_taken() {
    let hub = registry(Settings::default());
    let mut device = Peer::device_with(&hub, &SeatOptions { small_reader: true, ..OPTIONS });
    device.register("1");
    let mut client = Peer::resuming(&hub, "true");
    client.received();
    hub.stop();
    device.seat.on_shutdown(CloseCode::Restart);
    client.forward("1");
    client.forward(&format!("\"{}\"", "x".repeat(70_000)));
    device.received();
    device.seat.on_closed();
    let got = client.received();
    // Both are sent again, to the next server, which says what it thinks of the second.
    assert_eq!(got, [r#"{"message_type":"cuttlebone_draining","cuttlebone_received":0}"#, "close 1012"]);
}

#[test]
fn a_message_that_waited_for_room_is_refused_when_the_device_is_back_and_can_not_read_it() {
    let device_queue = Bound { frames: 99, bytes: 80_000 };
    let client_share = Bound { frames: 1, bytes: 1 };
    let hub = registry(Settings { device_queue, client_share, ..Settings::default() });
    let mut device = Peer::registered(&hub, "1");
    let [mut client, mut other] = [(); 2].map(|()| Peer::attached(&hub));
    client.received();
    client.forward("1");
    assert!(matches!(client.forward(&format!("\"{}\"", "x".repeat(70_000))), Next::Paused));
    assert!(client.seat.poll_room(&mut Context::from_waker(Waker::noop())).is_pending());
    device.seat.on_broken(device.now);
    let mut old = Peer::device_with(&hub, &SeatOptions { small_reader: true, ..OPTIONS });
    old.register("1");
    assert_eq!(old.received().len(), 2, "config and the first message");
    assert!(client.seat.poll_room(&mut Context::from_waker(Waker::noop())).is_ready());
    assert!(old.received().is_empty());
    assert_eq!(client.received().len(), 1, "the error");
    // It does not wait any longer, and others do not wait for it.
    assert_eq!(hub.counts().queued_bytes, 0);
    assert!(matches!(other.forward("1"), Next::Continue));
    let text = format!("\"{}\"", "x".repeat(20_000));
    assert!(matches!(Peer::attached(&hub).forward(&text), Next::Continue));
}

/// It counts as taken, so nobody else tells it.
#[test]
fn a_client_that_comes_back_hears_of_a_message_that_its_device_can_not_read() {
    for is_away in [false, true] {
        let hub = registry(Settings::default());
        let small = SeatOptions { small_reader: true, ..OPTIONS };
        let mut device = Peer::device_with(&hub, if is_away { &OPTIONS } else { &small });
        device.register("1");
        let mut client = Peer::resuming(&hub, "true");
        let token = token(&client.received()[1]);
        client.forward(&format!("\"{}\"", "x".repeat(70_000)));
        client.seat.on_broken(client.now);
        let mut next = Peer::device_with(&hub, &small);
        if is_away {
            device.seat.on_broken(device.now);
            next.register("1");
        }
        let resume = || Peer::resuming(&hub, &format!(r#""{token}","cuttlebone_received":0"#));
        // The first that comes back breaks before it has read it; the second answers a ping.
        let [first, second] = [false, true].map(|reads| {
            let mut back = resume();
            let got = back.received();
            assert!(got.iter().any(|text| text.contains(r#""cuttlebone_received":1"#)), "{is_away}: {got:?}");
            assert!(got[2].contains("too_large_for_device") && got.len() == 3, "{is_away}: {got:?}");
            if reads {
                let inbox = back.seat.inbox();
                inbox.confirm(inbox.mark().expect("counted"));
            }
            back.seat.on_broken(back.now);
            back
        });
        assert_eq!(resume().received().len(), 2, "it has had it");
        drop((first, second));
    }
}

#[test]
fn histories_keep_to_the_budget_of_all_queues() {
    let hub = registry(Settings { all_queues_bytes: 1 << 20, ..Settings::default() });
    let mut device = Peer::registered(&hub, "1");
    let mut hostile: Vec<Peer> = (0..30).map(|_| Peer::resuming(&hub, "true")).collect();
    let text = format!("\"{}\"", "x".repeat(60_000));
    for (client, id) in hostile.iter_mut().zip(1..) {
        client.received();
        for _ in 0..15 {
            device.forward_to(id, &text);
            assert_eq!(client.received().len(), 1); // it reads everything, and answers no ping
        }
    }
    let used = hub.counts().queued_bytes;
    assert!(used <= (1 << 20) + 31 * 20_000, "queues hold {used} of {}", 1 << 20);
}

#[test]
fn a_large_message_does_not_wait_for_room_when_all_hold_too_much() {
    let hub = registry(Settings { all_queues_bytes: 1_000_000, ..Settings::default() });
    let _device = Peer::registered(&hub, "1"); // it does not read
    let [mut first, mut large, mut small] = [(); 3].map(|()| Peer::attached(&hub));
    [&mut first, &mut large, &mut small].iter_mut().for_each(|client| drop(client.received()));
    let text = |bytes| format!("\"{}\"", "x".repeat(bytes));
    assert!(matches!(first.forward(&text(990_000)), Next::Continue));
    assert!(matches!(large.forward(&text(60_000)), Next::Closing));
    let got = large.received();
    assert!(got[0].contains("device_too_slow") && got[1] == "close 1013", "{got:?}");
    assert!(matches!(small.forward(&text(10_000)), Next::Continue), "a little is always taken");
}

fn owned_by(name: &str, realm: Realm) -> SeatOptions {
    let party = Party { identity: name.into(), realm: realm.clone(), prefix: None };
    SeatOptions { party: Some(Arc::new(party)), owner: Some(Owner { realm, name: name.into() }), ..OPTIONS }
}

/// A device that reads nothing.
fn unread(hub: &Registry, options: &SeatOptions, id: &str) -> Peer {
    let mut device = Peer::device_with(hub, options);
    device.send(&format!(r#"{{"message_type":"register","device_id":"{id}","device_info":1}}"#));
    device
}

/// Whether a message of so many bytes of `who` finds room at a device of that realm.
fn finds_room(hub: &Registry, who: &SeatOptions, id: &str, bytes: usize) -> bool {
    let mut client = Peer::client_with(hub, who);
    client.send(&format!(r#"{{"message_type":"connect","device_id":"{id}"}}"#));
    matches!(client.forward(&format!("\"{}\"", "x".repeat(bytes))), Next::Continue)
}

/// T31: whoever has much leaves room: who reads, who writes to it, and their realm.
#[test]
fn t31_what_one_leaves_unread_takes_no_room_from_others() {
    let hub = registry(Settings { all_queues_bytes: 8_000_000, ..Settings::default() });
    let [viewer, another] = ["viewer", "another"].map(|name| owned_by(name, Realm::Common));
    let _hogged = unread(&hub, &owned_by("hog", Realm::Common), "a");
    assert!(finds_room(&hub, &viewer, "a", 200_000) && !finds_room(&hub, &viewer, "a", 100_000), "1/32");
    assert!(finds_room(&hub, &viewer, "a", 15_000), "a little is always taken");
    assert!(finds_room(&hub, &another, "a", 100_000), "it has written nothing yet");
    let _calm = unread(&hub, &owned_by("calm", Realm::Common), "b");
    assert!(finds_room(&hub, &viewer, "b", 100_000), "it has nothing yet");
    let tenant = Realm::Tenant("t".into());
    let _of_tenant = unread(&hub, &owned_by("x", tenant.clone()), "a");
    assert!(finds_room(&hub, &owned_by("viewer", tenant), "a", 150_000));
}

/// T31: however many of one realm do so.
#[test]
fn t31_many_that_leave_everything_unread_leave_room_too() {
    let hub = registry(Settings { all_queues_bytes: 32_000_000, ..Settings::default() });
    let hogs: Vec<_> = (0..4).map(|number| owned_by(&format!("hog{number}"), Realm::Common)).collect();
    let ids: Vec<_> = (0..40).map(|number| number.to_string()).collect();
    let _hogged: Vec<_> = ids.iter().zip(hogs.iter().cycle()).map(|(id, hog)| unread(&hub, hog, id)).collect();
    // Each is empty, and takes no message that there is no room for.
    let sent = || ids.iter().zip(hogs.iter().cycle()).filter(|(id, hog)| finds_room(&hub, hog, id, 150_000)).count();
    assert!((8..28).contains(&(sent() + sent())));
    let queued = hub.counts().queued_bytes;
    assert!(queued < 4_000_000 + 40 * 16 * 1024, "an eighth of it, and what is free: {queued}");
    let _calm = unread(&hub, &owned_by("calm", Realm::Common), "calm");
    assert!(finds_room(&hub, &owned_by("viewer", Realm::Common), "calm", 300_000));
    let tenant = Realm::Tenant("t".into());
    let _of_tenant = unread(&hub, &owned_by("x", tenant.clone()), "a");
    assert!(finds_room(&hub, &owned_by("y", tenant), "a", 300_000));
}

/// T31: whoever takes a device over has what is held for it.
#[test]
fn t31_what_is_held_for_a_device_is_held_for_whoever_has_it() {
    let hub = registry(Settings { all_queues_bytes: 8_000_000, ..Settings::default() });
    let viewer = owned_by("viewer", Realm::Common);
    // Nobody is known here: they come from two addresses.
    let [former, next] = ["former", "next"].map(|name| SeatOptions { party: None, ..owned_by(name, Realm::Common) });
    let mut held = unread(&hub, &former, "a");
    assert!(finds_room(&hub, &viewer, "a", 200_000));
    held.seat.on_broken(held.now);
    let (_next, _of_next, _of_former) =
        (unread(&hub, &next, "a"), unread(&hub, &next, "b"), unread(&hub, &former, "c"));
    assert!(!finds_room(&hub, &viewer, "b", 100_000) && finds_room(&hub, &viewer, "c", 100_000));
}

/// T31: who goes from one address to another has no more than its share at each.
#[test]
fn t31_what_there_is_no_room_for_is_not_taken_over() {
    let hub = registry(Settings { all_queues_bytes: 8_000_000, ..Settings::default() });
    let viewer = owned_by("viewer", Realm::Common);
    let [former, next] = ["former", "next"].map(|name| SeatOptions { party: None, ..owned_by(name, Realm::Common) });
    let mut there = Vec::new();
    for (id, is_taken_over) in [("a", true), ("b", true), ("c", true), ("d", false)] {
        let mut device = unread(&hub, &former, id);
        assert!(finds_room(&hub, &viewer, id, 150_000), "{id}");
        device.seat.on_broken(device.now);
        let mut another = Peer::device_with(&hub, &next);
        let register = format!(r#"{{"message_type":"register","device_id":"{id}","device_info":1}}"#);
        assert_eq!(matches!(another.send(&register), Next::Continue), is_taken_over, "{id}");
        there.push((device, another));
    }
    let (_, refused) = there.last_mut().expect("four");
    let got = refused.received();
    assert!(got[0].contains(r#""cuttlebone_code":"overloaded""#) && got[1] == "close 1013", "{got:?}");
    // It can still come back to where it was.
    let mut back = unread(&hub, &former, "d");
    assert!(back.received().iter().any(|text| text.contains("client_msg")));
}

/// T31: who goes on with a session from elsewhere has to have room for what it is told there.
#[test]
fn t31_what_a_device_says_of_itself_counts_for_who_resumes() {
    let hub = registry(Settings { all_queues_bytes: 4_000_000, ..Settings::default() });
    let mut device = Peer::device_with(&hub, &SeatOptions { party: None, ..owned_by("host", Realm::Common) });
    device.register(&format!("\"{}\"", "x".repeat(60_000)));
    let at = |name: &str, resume: &str| {
        let mut client = Peer::client_with(&hub, &SeatOptions { party: None, ..owned_by(name, Realm::Common) });
        client.send(&format!(r#"{{"message_type":"connect","device_id":"d","cuttlebone_resume":{resume}}}"#));
        client
    };
    let mut broken = Vec::new();
    let mut tokens = Vec::new();
    for _ in 0..20 {
        let mut client = at("former", "true");
        tokens.push(token(&client.received()[1]));
        client.seat.on_broken(client.now);
        broken.push(client);
    }
    let mut next: Vec<_> =
        tokens.iter().map(|token| at("next", &format!(r#""{token}","cuttlebone_received":0"#))).collect();
    let queued = hub.counts().queued_bytes;
    assert!(queued < 4_000_000 / 16 + 20 * 16 * 1024, "{queued}");
    let refused =
        next.iter_mut().filter_map(|client| client.received().into_iter().find(|text| text.contains("overloaded")));
    let refused = refused.count();
    assert!((5..20).contains(&refused), "{refused}");
}

/// T31: what is being written counts as long as it is, also to a connection from which all was taken over.
#[test]
fn t31_what_is_not_written_yet_counts() {
    let hub = registry(Settings { all_queues_bytes: 8_000_000, ..Settings::default() });
    let hog = owned_by("hog", Realm::Common);
    let mut stuck = Vec::new();
    let mut let_in = 0;
    for _ in 0..20 {
        let mut device = unread(&hub, &hog, "a");
        let_in += usize::from(finds_room(&hub, &hog, "a", 100_000));
        let written: usize = device.received().iter().map(String::len).sum();
        device.seat.on_unwritten(written);
        stuck.push(device);
    }
    assert!((4..=8).contains(&let_in), "1/16 of it, and what is free: {let_in}");
    assert!(hub.counts().queued_bytes > 350_000);
    for device in &mut stuck {
        device.seat.on_broken(device.now);
    }
    assert_eq!(hub.counts().queued_bytes, 0);
    let _back = unread(&hub, &hog, "a");
    assert!(finds_room(&hub, &hog, "a", 100_000));
}

/// T31: what did not count while it was queued takes no room from others when it is being written and nobody reads it.
#[test]
fn t31_what_is_free_takes_no_room_from_others_once_it_is_written() {
    const TLS: usize = 16 * 1024;
    let hub = registry(Settings { all_queues_bytes: 8_000_000, ..Settings::default() });
    let of = |name: &str| owned_by(name, Realm::Common);
    let (reader, writer) = (of("reader"), of("writer"));
    let mut stuck = Vec::new();
    for number in 0..400 {
        let id = number.to_string();
        let mut device = unread(&hub, &reader, &id);
        let mut client = Peer::client_with(&hub, &writer);
        client.send(&format!(r#"{{"message_type":"connect","device_id":"{id}"}}"#));
        // A little for each device, again and again, for as long as it is taken.
        for _ in 0..8 {
            client.forward(&format!("\"{}\"", "x".repeat(2000)));
        }
        let written: usize = device.next_batch().iter().map(String::len).sum();
        device.seat.on_unwritten(written + TLS);
        stuck.push((device, client));
    }
    let _calm = unread(&hub, &of("calm"), "calm");
    assert!(finds_room(&hub, &of("viewer"), "calm", 100_000), "{}", hub.counts().queued_bytes);
}

/// T31: what is kept for clients of an earlier process counts, however many of them a device makes up.
#[test]
fn t31_clients_that_a_device_makes_up_after_a_restart_leave_room_to_others() {
    const ALL: usize = 8_000_000;
    let hub = registry_of(Settings { all_queues_bytes: ALL, ..Settings::default() }, 2, 0);
    let host = owned_by("host", Realm::Common);
    let mut devices: Vec<_> = (0..50).map(|id| unread(&hub, &host, &id.to_string())).collect();
    let text = format!("\"{}\"", "x".repeat(7_000));
    for (number, device) in devices.iter_mut().enumerate() {
        (1..=64).for_each(|client| drop(device.forward_to(u32::try_from(number * 64 + client).expect("few"), &text)));
    }
    let queued = hub.counts().queued_bytes;
    assert!((ALL / 40..ALL / 16).contains(&queued), "{queued}");
    // Clients without a message are in memory, too.
    let reader = owned_by("another", Realm::Common);
    let mut device = unread(&hub, &reader, "x");
    (9_000..9_064).for_each(|client| drop(device.forward_to(client, "0")));
    let queued = hub.counts().queued_bytes - queued;
    assert!((64 * 1024..64 * 1500).contains(&queued), "{queued}");
}

/// T31: what devices say of themselves is kept, too.
#[test]
fn t31_what_devices_say_of_themselves_leaves_room_to_others() {
    let hub = registry(Settings { all_device_infos_bytes: 1_000_000, ..Settings::default() });
    let register = |options: &SeatOptions, id: &str, bytes: usize| {
        let mut device = Peer::device_with(&hub, options);
        let info = "x".repeat(bytes);
        let next = device.send(&format!(r#"{{"message_type":"register","device_id":"{id}","device_info":"{info}"}}"#));
        (matches!(next, Next::Continue), device)
    };
    let [hog, calm] = ["hog", "calm"].map(|name| owned_by(name, Realm::Common));
    let mut there: Vec<_> = (0..30).map(|number| register(&hog, &format!("hog{number}"), 60_000)).collect();
    there.retain(|(is_there, _)| *is_there);
    assert!((6..=8).contains(&there.len()), "a third: {}", there.len());
    let (_, mut refused) = register(&hog, "hog", 60_000);
    let got = refused.received();
    assert!(got[0].contains(r#""cuttlebone_code":"overloaded""#) && got[1] == "close 1013", "{got:?}");
    assert!(register(&hog, "small", 4_000).0, "a little is always taken");
    assert!(register(&calm, "calm", 60_000).0);
    // It says something else of itself: what is there stays if there is no room for that.
    assert!(!register(&hog, "hog0", 61_000).0);
    assert_eq!(hub.counts().devices, there.len());
    assert!(hub.counts().device_info_bytes >= there.len() * 56_000);
    drop(there);
    assert_eq!((hub.counts().devices, hub.counts().device_info_bytes), (0, 0));
    assert!(register(&hog, "hog0", 61_000).0);
}

/// T31: and what clients are told of it.
#[test]
fn t31_what_a_device_says_of_itself_counts_for_who_is_told() {
    let hub = registry(Settings { all_queues_bytes: 10_000_000, ..Settings::default() });
    let mut device = Peer::device_with(&hub, &owned_by("hog", Realm::Common));
    let info = "x".repeat(60_000);
    device.send(&format!(r#"{{"message_type":"register","device_id":"1","device_info":"{info}"}}"#));
    let connect = |name, resume| {
        let mut client = Peer::client_with(&hub, &owned_by(name, Realm::Common));
        let next = client.send(&format!(r#"{{"message_type":"connect","device_id":"1"{resume}}}"#));
        (matches!(next, Next::Continue), client)
    };
    let there: Vec<_> = (0..40).map(|_| connect("hog", "")).filter(|(is_there, _)| *is_there).collect();
    assert!((13..=17).contains(&there.len()), "1/16: {}", there.len());
    let (_, mut refused) = connect("hog", r#","cuttlebone_resume":true"#);
    let got = refused.received();
    assert!(got.iter().any(|text| text.contains(r#""cuttlebone_code":"overloaded""#)), "{got:?}");
    assert_eq!(got.last().map(String::as_str), Some("close 1013"));
    let (is_there, mut calm) = connect("calm", "");
    assert!(is_there && calm.received()[1].contains(&info));
    drop((there, calm));
    assert!(connect("hog", "").0);
}

#[test]
fn one_who_leaves_while_it_waits_for_room_holds_nobody_up() {
    let device_queue = Bound { frames: 99, bytes: 3_000 };
    for breaks in [false, true] {
        let hub = registry(Settings { device_queue, ..Settings::default() });
        let _device = Peer::registered(&hub, "1"); // it does not read
        let [mut first, mut large, mut small] = [(); 3].map(|()| Peer::attached(&hub));
        let text = |bytes| format!("\"{}\"", "x".repeat(bytes));
        let mut cx = Context::from_waker(Waker::noop());
        assert!(matches!(first.forward(&text(2_000)), Next::Continue));
        assert!(matches!(large.forward(&text(2_500)), Next::Paused));
        assert!(large.seat.poll_room(&mut cx).is_pending());
        assert!(matches!(small.forward(&text(100)), Next::Paused), "it comes later");
        assert!(small.seat.poll_room(&mut cx).is_pending());
        match breaks {
            true => assert!(large.seat.on_broken(large.now).is_none(), "the device knows nothing of it"),
            false => large.seat.on_closed(),
        }
        assert!(small.seat.poll_room(&mut cx).is_ready());
    }
}

#[test]
fn a_device_connection_that_was_taken_over_says_nothing_more() {
    let hub = registry(Settings::default());
    let mut old = Peer::registered(&hub, "1");
    let mut client = Peer::attached(&hub);
    client.forward("0");
    client.received();
    let mut new = Peer::registered(&hub, "1");
    new.received();
    new.forward_to(1, "2");
    old.forward_to(1, "1");
    assert_eq!(client.received(), [r#"{"message_type":"device_msg","payload":2}"#]);
}

#[test]
fn what_a_device_connection_that_was_taken_over_does_is_not_said_to_the_one_that_took_over() {
    let hub = registry(Settings::default());
    let mut old = Peer::registered(&hub, "1");
    let mut new = Peer::registered(&hub, "1");
    new.received();
    assert!(matches!(old.send(r#"{"message_type":"nonsense"}"#), Next::Closing));
    assert!(new.received().is_empty());
    let got = old.received();
    assert!(got[0].contains("cuttlebone_code"), "{got:?}");
    assert_eq!(got[1..], ["close 4001"]);
}

#[test]
fn a_stop_of_a_device_connection_that_was_taken_over_does_not_stop_the_one_that_took_over() {
    let hub = registry(Settings::default());
    let mut old = Peer::registered(&hub, "1");
    let mut new = Peer::registered(&hub, "1");
    let mut client = Peer::attached(&hub);
    new.received();
    assert!(matches!(old.seat.on_shutdown(CloseCode::Restart), Next::Closing));
    assert_eq!(old.received(), ["close 1012"]);
    client.forward("7");
    assert_eq!(new.received(), [r#"{"message_type":"client_msg","client_id":1,"payload":7}"#]);
}

#[test]
fn untold_ghosts_do_not_stop_a_device_from_being_understood_after_a_restart() {
    let before = registry_of(Settings::default(), 1, 0);
    let _device = Peer::registered(&before, "1");
    let after = registry_of(Settings { clients_per_device: 2, ..Settings::default() }, 2, 0);
    let mut device = Peer::registered(&after, "1");
    let _ghosts = [(); 2].map(|()| {
        let mut ghost = Peer::resuming(&after, "true");
        ghost.received();
        ghost.seat.on_broken(ghost.now);
        ghost
    });
    device.received();
    device.forward_to(9, "7");
    let got = device.received();
    assert!(got.is_empty(), "{got:?}");
}

#[test]
fn the_ids_that_were_used_last_are_remembered_longest() {
    // As many old ids as are remembered, and three more clients. The one with 5000 is there when the device comes back
    // changed; then 5000 is drawn again, and must not be given out.
    let ids: Vec<u32> = (1..=1024).chain([5000, 6000, 5000, 7000]).collect();
    let hub = registry_with_ids(&ids);
    let mut device = Peer::registered(&hub, "1");
    for _ in 0..1024 {
        let mut client = Peer::attached(&hub);
        client.forward("0");
        client.seat.on_closed();
        device.received();
    }
    let mut last = Peer::attached(&hub);
    last.forward("0");
    device.received();
    device.seat.on_broken(device.now);
    let mut changed = Peer::registered(&hub, "2");
    assert!(changed.received().iter().any(|text| text.contains("5000")));
    let mut client = Peer::attached(&hub);
    client.forward("0");
    client.seat.on_closed(); // 6000 is remembered and pushes another out
    changed.received();
    let mut client = Peer::attached(&hub);
    client.forward("0");
    let got = changed.received();
    assert!(got.iter().any(|text| text.contains(r#""client_id":7000"#)), "{got:?}");
}

#[test]
fn without_a_wait_a_resuming_client_that_is_back_before_its_device_keeps_its_session() {
    let before = registry_of(Settings::default(), 1, 0);
    let _device = Peer::registered(&before, "1");
    let mut viewer = Peer::resuming(&before, "true");
    let token = token(&viewer.received()[1]);
    let after = registry_of(Settings { client_wait: Duration::ZERO, ..Settings::default() }, 2, 0);
    let mut viewer = Peer::resuming(&after, &format!(r#""{token}","cuttlebone_received":0"#));
    let got = viewer.received();
    assert_eq!(got.len(), 1, "{got:?}");
}

#[test]
fn late_tokens_do_not_flood_a_device_that_is_away() {
    let before = registry_of(Settings { clients_per_device: 100_000, ..Settings::default() }, 1, 0);
    let _device = Peer::registered(&before, "1");
    let tokens: Vec<String> = (0..3000).map(|_| token(&Peer::resuming(&before, "true").received()[1])).collect();
    let after = registry_of(Settings { resume_after_restart: Duration::from_millis(1), ..Settings::default() }, 2, 0);
    let mut device = Peer::registered(&after, "1");
    device.received();
    for token in &tokens {
        let mut client = Peer::client(&after);
        client.now_ms = 10;
        client.send(&format!(r#"{{"message_type":"connect","device_id":"d","cuttlebone_resume":"{token}"}}"#));
    }
    let got = device.received().len();
    assert!(got < 100, "{got} client_disconnected of clients that the device never heard of");
}
