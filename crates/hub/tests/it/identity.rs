//! Peers that were recognised: whose a device id is, where it is, and what becomes of one whose credential is over.

use std::sync::Arc;

use cuttlebone_hub::{
    Address, Answer, Holder, Next, Party, Realm, Registry, Request, Resolution, SeatOptions, Settings,
};
use cuttlebone_proto::CloseCode;

use crate::peer::{OPTIONS, Peer, config, registry, token};

const CONFIG: &str = r#"{"message_type":"config","ice_servers":[]}"#;
const TAKEN: &str = r#"{"error":"Device id already taken: d","cuttlebone_code":"device_id_taken"}"#;
const EXPIRED: &str = r#"{"error":"Credential expired or revoked","cuttlebone_code":"credential_expired"}"#;

fn options(identity: &str, realm: Realm) -> SeatOptions {
    SeatOptions { party: Some(Arc::new(Party { identity: identity.into(), realm, prefix: None })), ..OPTIONS }
}

fn tenant(name: &str) -> Realm {
    Realm::Tenant(name.into())
}

fn device(hub: &Registry, identity: &str) -> Peer {
    let mut device = Peer::device_with(hub, &options(identity, Realm::Common));
    device.register("1");
    device
}

fn client(hub: &Registry, identity: &str, resume: &str) -> Peer {
    let mut client = Peer::client_with(hub, &options(identity, Realm::Common));
    client.send(&format!(r#"{{"message_type":"connect","device_id":"d","cuttlebone_resume":{resume}}}"#));
    client
}

/// One who asks for the id, and what the registry says at once.
fn ask(hub: &Registry, options: &SeatOptions) -> (Peer, Resolution) {
    let mut asker = Peer::device_with(hub, options);
    let register = r#"{"message_type":"register","device_id":"d","device_info":1}"#;
    let Next::Await(request) = asker.seat.on_text(register, asker.now) else { panic!("a registration asks") };
    (asker, hub.resolve(request, &config, 0))
}

/// For the audit log: who came to an id says how.
#[test]
fn registration_says_who_held_the_id_before() {
    let hub = registry(Settings::default());
    let mut held = Vec::new();
    for before in [Holder::Nobody, Holder::Here, Holder::Away] {
        if before == Holder::Away {
            let peer: &mut Peer = held.last_mut().expect("two came");
            let now = peer.now;
            assert!(peer.seat.on_broken(now).is_some(), "it may come back");
        }
        let (mut peer, resolution) = ask(&hub, &options("a", Realm::Common));
        let Resolution::Answer(Answer::Registered(registration)) = resolution else { panic!("it is its own") };
        assert_eq!(registration.before(), before);
        let now = peer.now;
        peer.seat.on_answer(Answer::Registered(registration), now);
        held.push(peer);
    }
}

/// T19, and protocol.md 2.4.
#[test]
fn same_identity_takes_its_device_over_at_once_and_the_clients_stay() {
    let hub = registry(Settings::default());
    let mut first = device(&hub, "a");
    let mut viewer = Peer::attached(&hub);
    viewer.forward("1");
    let (mut second, resolution) = ask(&hub, &options("a", Realm::Common));
    let Resolution::Answer(answer) = resolution else { panic!("nobody is asked whether the holder lives") };
    second.seat.on_answer(answer, second.now);
    assert_eq!(first.received().last().map(String::as_str), Some("close 4001"));
    assert_eq!(
        second.received().last().map(String::as_str),
        Some(r#"{"message_type":"client_msg","client_id":1,"payload":1}"#)
    );
    second.forward_to(1, "2");
    assert_eq!(viewer.received().last().map(String::as_str), Some(r#"{"message_type":"device_msg","payload":2}"#));
}

/// T18 and T19.
#[test]
fn another_identity_is_refused_at_once_also_while_the_device_is_away() {
    let hub = registry(Settings::default());
    let mut owner = device(&hub, "a");
    for _ in 0..2 {
        for rival in [options("b", Realm::Common), OPTIONS] {
            assert!(matches!(ask(&hub, &rival).1, Resolution::Answer(_)), "nobody is asked");
            let mut rival = Peer::device_with(&hub, &rival);
            rival.register("1");
            assert_eq!(rival.received(), [TAKEN, "close 1008"]);
        }
        owner.seat.on_broken(owner.now);
    }
    let mut again = device(&hub, "a");
    assert_eq!(again.received(), [CONFIG]);
}

#[test]
fn holder_that_nobody_knows_gives_way_to_one_who_is_known_and_owns_the_id_from_then_on() {
    let hub = registry(Settings::default());
    let mut unknown = Peer::registered(&hub, "1");
    let mut viewer = Peer::attached(&hub);
    let _owner = device(&hub, "a");
    assert_eq!(unknown.received().last().map(String::as_str), Some("close 4001"));
    let gone = viewer.received();
    assert!(gone.iter().any(|text| text.contains("Device disconnected")), "another owner is another device: {gone:?}");
    let mut rival = device(&hub, "b");
    assert_eq!(rival.received(), [TAKEN, "close 1008"]);
}

/// T22 between tenants.
#[test]
fn one_id_in_two_realms_is_two_devices() {
    let hub = registry(Settings::default());
    let pair = |name: &str| {
        let mut device = Peer::device_with(&hub, &options("host", tenant(name)));
        device.register(&format!("{name:?}"));
        let mut viewer = Peer::client_with(&hub, &options("viewer", tenant(name)));
        viewer.send(r#"{"message_type":"connect","device_id":"d"}"#);
        (device, viewer)
    };
    let (mut one, mut of_one) = pair("one");
    let (mut two, mut of_two) = pair("two");
    assert_eq!(of_one.received()[1], r#"{"message_type":"device_info","device_info":"one"}"#);
    assert_eq!(of_two.received()[1], r#"{"message_type":"device_info","device_info":"two"}"#);
    of_one.forward("1");
    assert_eq!((one.received().len(), two.received().len()), (2, 1));
    let mut nobody = Peer::attached(&hub);
    assert_eq!(nobody.received(), [CONFIG], "waits: there is no such device in common");
    let listed: Vec<Address> = hub.list().into_iter().map(|device| device.address).collect();
    assert_eq!(listed.iter().map(|address| &address.realm).collect::<Vec<_>>(), [&tenant("one"), &tenant("two")]);
    assert!(listed.iter().all(|address| hub.find(address).is_some()));
    drop((one, two, of_one, of_two, nobody));
    assert_eq!(hub.table_len(), 0);
}

/// T21: who may not reach a device can't tell it from one that is absent.
#[test]
fn forbidden_device_is_as_one_that_is_absent() {
    let hub = registry(Settings::default());
    let _device = device(&hub, "a");
    let told = |id: &str, hidden: bool| {
        let mut client = Peer::client_with(&hub, &options("c", Realm::Common));
        let text = format!(r#"{{"message_type":"connect","device_id":"{id}"}}"#);
        let Next::Await(Request::Attach(mut request)) = client.seat.on_text(&text, client.now) else {
            panic!("it asks")
        };
        if hidden {
            request.hide(true);
        }
        let Resolution::Answer(answer) = hub.resolve(Request::Attach(request), &config, 0) else { panic!("an answer") };
        client.seat.on_answer(answer, client.now);
        let deadline = client.seat.deadline().expect("it waits");
        let mut texts = client.received();
        client.seat.on_timer(deadline);
        texts.extend(client.received());
        (deadline - client.now, texts.join(" ").replace(&format!("'{id}'"), "ID"))
    };
    assert_eq!(told("d", true), told("absent", false));
}

#[test]
fn session_is_resumed_by_the_identity_that_began_it_and_by_no_other() {
    let hub = registry(Settings::default());
    let _device = device(&hub, "a");
    let mut viewer = client(&hub, "c", "true");
    let resume = format!("\"{}\",\"cuttlebone_received\":0", token(&viewer.received()[1]));
    viewer.seat.on_broken(viewer.now);
    for mut thief in [client(&hub, "x", &resume), Peer::resuming(&hub, &resume)] {
        assert_eq!(thief.received().last().map(String::as_str), Some("close 1008"));
    }
    assert!(client(&hub, "c", &resume).received()[1].contains("cuttlebone_received"));
}

/// T20 and T40.
#[test]
fn expired_client_that_can_resume_goes_on_with_its_session_and_any_other_is_gone() {
    let hub = registry(Settings::default());
    let mut device = device(&hub, "a");
    let mut lasting = client(&hub, "c", "true");
    let resume = format!("\"{}\",\"cuttlebone_received\":0", token(&lasting.received()[1]));
    let mut plain = client(&hub, "c", "null");
    plain.received();
    for viewer in [&mut lasting, &mut plain] {
        viewer.forward("1");
    }
    device.received();
    for viewer in [&mut lasting, &mut plain] {
        viewer.seat.on_expired(viewer.now);
        assert_eq!(viewer.received(), [EXPIRED, "close 4003"]);
    }
    assert_eq!(device.received(), [r#"{"message_type":"client_disconnected","client_id":2}"#]);
    assert!(lasting.seat.on_broken(lasting.now).is_some(), "its seat is kept");
    device.forward_to(1, "2");
    let mut again = client(&hub, "c", &resume);
    assert_eq!(again.received().last().map(String::as_str), Some(r#"{"message_type":"device_msg","payload":2}"#));
    let mut cx = std::task::Context::from_waker(std::task::Waker::noop());
    assert!(lasting.seat.poll_superseded(&mut cx).is_ready());
    drop(lasting);
    assert!(device.received().is_empty(), "it noticed nothing");
    again.forward("3");
    assert_eq!(device.received(), [r#"{"message_type":"client_msg","client_id":1,"payload":3}"#]);
}

#[test]
fn expired_client_that_waits_is_never_attached_although_its_device_has_just_come() {
    let hub = registry(Settings::default());
    let mut waiting = client(&hub, "c", "null");
    waiting.received();
    let _device = device(&hub, "a");
    let mut events = hub.subscribe();
    waiting.seat.on_expired(waiting.now);
    assert_eq!(waiting.received(), [EXPIRED, "close 4003"]);
    assert!(events.try_recv().is_err(), "nobody came to the device");
}

#[test]
fn expired_device_may_come_back_to_its_clients() {
    let hub = registry(Settings::default());
    let mut first = device(&hub, "a");
    let mut viewer = Peer::attached(&hub);
    viewer.forward("1");
    first.received();
    first.seat.on_expired(first.now);
    assert_eq!(first.received(), [EXPIRED, "close 4003"]);
    assert!(first.seat.on_broken(first.now).is_some());
    viewer.forward("2");
    let mut again = device(&hub, "a");
    assert_eq!(again.received()[1], r#"{"message_type":"client_msg","client_id":1,"payload":2}"#);
    assert_eq!(CloseCode::Expired.value(), 4003);
}

fn prefixed(hub: &Registry, identity: &str, prefix: &str) -> Peer {
    let party = Party { identity: identity.into(), realm: Realm::Common, prefix: Some(prefix.into()) };
    Peer::device_with(hub, &SeatOptions { party: Some(Arc::new(party)), ..OPTIONS })
}

#[test]
fn device_with_a_prefix_is_found_by_its_whole_id_and_never_learns_of_it() {
    let hub = registry(Settings::default());
    let mut first = prefixed(&hub, "a", "lab7/");
    first.register("1");
    let mut other = prefixed(&hub, "b", "lab8/");
    other.register("2");
    let listed: Vec<String> = hub.list().iter().map(|device| device.address.device_id.as_str().to_owned()).collect();
    assert_eq!(listed, ["lab7/d", "lab8/d"]);
    assert_eq!(first.seat.device_id().map(|id| id.as_str()), Some("lab7/d"));
    let mut viewer = Peer::client(&hub);
    viewer.send(r#"{"message_type":"connect","device_id":"lab7/d","cuttlebone_resume":true}"#);
    let resume = token(&viewer.received()[1]);
    viewer.forward("1");
    // It comes back to its clients, and its old connection is told the id as it knows it.
    let mut again = prefixed(&hub, "a", "lab7/");
    again.register("1");
    let told = first.received();
    let taken = r#"{"error":"Device id taken over by a new registration: d","cuttlebone_code":"taken_over"}"#;
    assert_eq!(told[told.len() - 2..], [taken, "close 4001"]);
    again.forward_to(1, "2");
    assert_eq!(viewer.received().last().map(String::as_str), Some(r#"{"message_type":"device_msg","payload":2}"#));
    let mut rival = prefixed(&hub, "x", "lab7/");
    rival.register("1");
    assert_eq!(rival.received(), [TAKEN, "close 1008"]);
    // A session is resumed by the whole id.
    viewer.seat.on_broken(viewer.now);
    let mut back = Peer::client(&hub);
    back.send(&format!(
        r#"{{"message_type":"connect","device_id":"lab7/d","cuttlebone_resume":"{resume}","cuttlebone_received":1}}"#
    ));
    assert!(back.received()[1].contains("cuttlebone_received"));
    again.send(r#"{"message_type":"register","device_id":"e","device_info":1}"#);
    assert!(again.received().iter().any(|text| text.contains("Device already registered: d\"")));
    assert_eq!(Peer::attached(&hub).received(), [CONFIG], "there is no device of the short id");
}

/// Nor does what is refused tell how long the prefix is.
#[test]
fn id_of_a_device_with_a_prefix_is_bounded_however_long_the_prefix_is() {
    let hub = registry(Settings::default());
    let longest = "p".repeat(128);
    for (prefix, length, is_good) in
        [("lab7/", 128, true), ("lab7/", 129, false), (longest.as_str(), 128, true), (longest.as_str(), 129, false)]
    {
        let mut device = prefixed(&hub, "a", prefix);
        let id = "x".repeat(length);
        device.send(&format!(r#"{{"message_type":"register","device_id":"{id}","device_info":1}}"#));
        let told = device.received();
        let refused = r#"{"error":"Invalid device id","cuttlebone_code":"invalid_device_id"}"#;
        if is_good { assert_eq!(told, [CONFIG]) } else { assert_eq!(told, [refused, "close 1008"]) }
    }
    assert_eq!(hub.table_len(), 0);
}
