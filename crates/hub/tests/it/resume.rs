//! Clients that come back to their session, and a server that stops: protocol.md 2.6.

use std::time::Duration;

use cuttlebone_hub::{Bound, Next, Registry, Settings};
use cuttlebone_proto::CloseCode;

use crate::peer::{Peer, registry, registry_of, token};

const CONFIG: &str = r#"{"message_type":"config","ice_servers":[]}"#;
const REFUSED: [&str; 3] =
    [CONFIG, r#"{"error":"Session cannot be resumed","cuttlebone_code":"cannot_resume"}"#, "close 1008"];

/// What a client knows of its session.
struct Session {
    client: Peer,
    token: String,
}

fn begin(hub: &Registry) -> Session {
    let mut client = Peer::resuming(hub, "true");
    let texts = client.received();
    Session { client, token: token(&texts[1]) }
}

fn resume(hub: &Registry, token: &str, received: u32) -> Peer {
    Peer::resuming(hub, &format!(r#""{token}","cuttlebone_received":{received}"#))
}

/// A `device_info` without its token, which is another each time.
fn told(device_info: &str) -> String {
    device_info.replace(&token(device_info), "T")
}

fn message(payload: u32) -> String {
    format!(r#"{{"message_type":"device_msg","payload":{payload}}}"#)
}

fn info(received: Option<u32>) -> String {
    let received = received.map(|received| format!(r#","cuttlebone_received":{received}"#)).unwrap_or_default();
    format!(r#"{{"message_type":"device_info","device_info":1,"cuttlebone_resume":"T"{received}}}"#)
}

#[test]
fn a_client_that_did_not_ask_gets_no_token() {
    let hub = registry(Settings::default());
    let _device = Peer::registered(&hub, "1");
    for resume in ["false", "null", "0", "{}"] {
        let texts = Peer::resuming(&hub, resume).received();
        assert_eq!(texts, [CONFIG, r#"{"message_type":"device_info","device_info":1}"#], "{resume}");
    }
}

#[test]
fn a_client_that_waits_gets_its_token_when_the_device_is_there() {
    let hub = registry(Settings::default());
    let mut client = Peer::resuming(&hub, "true");
    assert_eq!(client.received(), [CONFIG]);
    let _device = Peer::registered(&hub, "1");
    assert_eq!(told(&client.received()[0]), info(None));
}

#[test]
fn a_broken_client_goes_on_with_its_id_and_nothing_is_lost_or_doubled() {
    let hub = registry(Settings::default());
    let mut device = Peer::registered(&hub, "1");
    let Session { mut client, token: first } = begin(&hub);
    client.forward("1");
    device.received();
    for payload in ["10", "11", "12"] {
        device.forward_to(1, payload);
    }
    assert_eq!(client.received().len(), 3);
    assert!(client.seat.on_broken(client.now).is_some());
    device.forward_to(1, "13");
    // It has had one of the three that were written.
    let mut again = resume(&hub, &first, 1);
    let texts = again.received();
    assert_eq!(told(&texts[1]), info(Some(1)));
    assert_eq!(texts[2..], [message(11), message(12), message(13)]);
    again.forward("2");
    drop(client);
    assert_eq!(device.received(), [r#"{"message_type":"client_msg","client_id":1,"payload":2}"#]);
    device.forward_to(1, "14");
    assert_eq!(again.received(), [message(14)]);
    // Once more, with the newest token; and the device has noticed nothing.
    again.seat.on_broken(again.now);
    let mut third = resume(&hub, &token(&texts[1]), 5);
    assert_eq!(told(&third.received()[1]), info(Some(2)));
    assert!(device.received().is_empty());
}

#[test]
fn a_client_that_is_back_before_the_server_has_noticed_takes_its_session_over() {
    let hub = registry(Settings::default());
    let mut device = Peer::registered(&hub, "1");
    let Session { mut client, token } = begin(&hub);
    client.forward("1");
    let mut again = resume(&hub, &token, 0);
    client.forward("2");
    assert!(matches!(client.send("not json"), Next::Closing), "harms nobody but the old connection");
    assert_eq!(told(&again.received()[1]), info(Some(1)));
    assert_eq!(client.received(), ["close 4001"]);
    assert!(client.seat.on_broken(client.now).is_none());
    drop(client);
    assert_eq!(device.received().len(), 2, "config and one message, no client_disconnected");
    assert_eq!(hub.list()[0].viewers, 1);
    device.forward_to(1, "5");
    assert_eq!(again.received(), [message(5)]);
}

#[test]
fn a_message_that_waited_for_room_is_not_taken() {
    let hub = registry(Settings { client_share: Bound { frames: 1, bytes: 10_000 }, ..Settings::default() });
    let mut device = Peer::registered(&hub, "1");
    let Session { mut client, token } = begin(&hub);
    client.forward("1");
    assert!(matches!(client.forward("2"), Next::Paused));
    client.seat.on_broken(client.now);
    let mut again = resume(&hub, &token, 0);
    assert_eq!(told(&again.received()[1]), info(Some(1)));
    device.received();
    again.forward("2");
    assert_eq!(device.received(), [r#"{"message_type":"client_msg","client_id":1,"payload":2}"#]);
}

#[test]
fn where_the_bound_was_passed_the_client_is_told_by_the_missing_count() {
    let hub = registry(Settings { resume_kept: Bound { frames: 2, bytes: 10_000 }, ..Settings::default() });
    let mut device = Peer::registered(&hub, "1");
    let Session { mut client, token } = begin(&hub);
    client.forward("1");
    for payload in ["10", "11", "12"] {
        device.forward_to(1, payload);
    }
    client.received();
    client.seat.on_broken(client.now);
    device.forward_to(1, "13");
    let mut again = resume(&hub, &token, 0);
    let texts = again.received();
    assert_eq!(told(&texts[1]), info(None));
    assert_eq!(texts[2..], [message(13)], "what was never written is not lost");
    // Both count from 0 again.
    again.forward("2");
    again.seat.on_broken(again.now);
    let texts = resume(&hub, &crate::resume::token(&texts[1]), 1).received();
    assert_eq!(told(&texts[1]), info(Some(1)));
    assert_eq!(texts.len(), 2);
}

#[test]
fn a_session_is_over_after_a_clean_close_an_error_or_the_grace_period() {
    let hub = registry(Settings::default());
    let mut device = Peer::registered(&hub, "1");
    let Session { mut client, token } = begin(&hub);
    client.seat.on_closed();
    assert_eq!(resume(&hub, &token, 0).received(), REFUSED);
    let Session { mut client, token } = begin(&hub);
    client.send("not json");
    assert_eq!(resume(&hub, &token, 0).received(), REFUSED);
    let Session { mut client, token } = begin(&hub);
    client.forward("1");
    client.seat.on_broken(client.now);
    drop(client);
    assert_eq!(resume(&hub, &token, 0).received(), REFUSED);
    assert_eq!(device.received().len(), 3, "config, the message, client_disconnected once");
}

#[test]
fn no_other_token_will_do() {
    let hub = registry(Settings::default());
    let _device = Peer::registered(&hub, "1");
    let Session { token, .. } = begin(&hub);
    for wrong in ["", "x", &token[2..], &token.replace(|digit: char| digit.is_ascii_digit(), "0")] {
        assert_eq!(resume(&hub, wrong, 0).received(), REFUSED, "{wrong}");
    }
    // One that has expired is good for a session that is here, for it can have no newer one, and for no other.
    let expiring = || Settings { resume_ttl: Duration::ZERO, ..Settings::default() };
    let (before, after) = (registry_of(expiring(), 1, 0), registry_of(expiring(), 2, 0));
    let (_old, _new) = (Peer::registered(&before, "1"), Peer::registered(&after, "1"));
    let Session { client: _client, token } = begin(&before);
    assert_eq!(told(&resume(&before, &token, 0).received()[1]), info(Some(0)));
    assert_eq!(resume(&after, &token, 0).received(), REFUSED);
}

#[test]
fn a_device_that_comes_back_changed_has_other_sessions() {
    let hub = registry(Settings::default());
    let mut device = Peer::registered(&hub, "1");
    let Session { mut client, token } = begin(&hub);
    client.seat.on_broken(client.now);
    device.seat.on_broken(device.now);
    let _again = Peer::registered(&hub, "2");
    assert_eq!(resume(&hub, &token, 0).received(), REFUSED);
}

#[test]
fn a_client_and_its_device_may_both_be_away() {
    let hub = registry(Settings::default());
    let mut device = Peer::registered(&hub, "1");
    let Session { mut client, token } = begin(&hub);
    client.forward("1");
    device.received();
    client.seat.on_broken(client.now);
    device.seat.on_broken(device.now);
    let mut again = resume(&hub, &token, 0);
    assert_eq!(told(&again.received()[1]), info(Some(1)));
    again.forward("2");
    let mut device = Peer::registered(&hub, "1");
    assert_eq!(device.received(), [CONFIG, r#"{"message_type":"client_msg","client_id":1,"payload":2}"#]);
}

#[test]
fn clients_that_are_back_count_again() {
    let hub = registry(Settings { clients_per_device: 1, ..Settings::default() });
    let _device = Peer::registered(&hub, "1");
    let Session { mut client, token } = begin(&hub);
    client.seat.on_broken(client.now);
    let Session { client: second, .. } = begin(&hub);
    assert!(resume(&hub, &token, 0).received()[1].contains("too_many_clients"));
    drop(second);
    assert_eq!(told(&resume(&hub, &token, 0).received()[1]), info(Some(0)));
}

#[test]
fn after_a_crash_a_client_keeps_its_id_and_knows_that_something_may_be_lost() {
    let settings = || Settings { waiting_per_device: 1, clients_per_device: 3, ..Settings::default() };
    let before = registry_of(settings(), 1, 0);
    let _device = Peer::registered(&before, "1");
    let (_, first, second) = (begin(&before), begin(&before), begin(&before));
    let after = registry_of(settings(), 2, 0);
    // They are back before the device is, more of them than may wait otherwise.
    let mut clients = [resume(&after, &first.token, 3), resume(&after, &second.token, 0)];
    assert_eq!(clients[0].received(), [CONFIG]);
    let mut device = Peer::registered(&after, "1");
    for client in &mut clients {
        assert_eq!(told(client.received().last().expect("device_info")), info(None));
    }
    clients[0].forward("1");
    assert_eq!(device.received()[1], r#"{"message_type":"client_msg","client_id":2,"payload":1}"#);
    // The device knew the other one from before the crash.
    clients[1].seat.on_closed();
    assert_eq!(device.received(), [r#"{"message_type":"client_disconnected","client_id":3}"#]);
}

#[test]
fn long_after_a_crash_the_session_is_over_and_the_device_is_told_once() {
    let before = registry_of(Settings::default(), 1, 0);
    let _device = Peer::registered(&before, "1");
    let session = begin(&before);
    let late = registry_of(Settings { resume_after_restart: Duration::from_millis(1), ..Settings::default() }, 2, 0);
    let mut device = Peer::registered(&late, "1");
    device.received();
    for _ in 0..2 {
        assert_eq!(resume_at(&late, &session.token, 1).received(), REFUSED);
    }
    assert_eq!(device.received(), [r#"{"message_type":"client_disconnected","client_id":1}"#]);
}

fn resume_at(hub: &Registry, token: &str, now_ms: u64) -> Peer {
    let mut client = Peer::client(hub);
    client.now_ms = now_ms;
    client.send(&format!(
        r#"{{"message_type":"connect","device_id":"d","cuttlebone_resume":"{token}","cuttlebone_received":0}}"#
    ));
    client
}

#[test]
fn a_stop_loses_nothing_on_its_way_and_says_how_much_was_taken() {
    let hub = registry(Settings::default());
    let mut device = Peer::registered(&hub, "1");
    let mut resuming = begin(&hub).client;
    let mut plain = Peer::attached(&hub);
    plain.received();
    resuming.forward("1");
    plain.forward("2");
    hub.stop();
    assert!(matches!(device.seat.on_shutdown(CloseCode::Restart), Next::Draining));
    assert!(matches!(resuming.seat.on_shutdown(CloseCode::Restart), Next::Continue));
    assert!(matches!(plain.seat.on_shutdown(CloseCode::Restart), Next::Continue));
    // Too late to be taken.
    resuming.forward("3");
    assert_eq!(
        device.received()[1..],
        [
            r#"{"message_type":"client_msg","client_id":1,"payload":1}"#,
            r#"{"message_type":"client_msg","client_id":2,"payload":2}"#,
            "close 1012"
        ]
    );
    // It had sent this before it read the close.
    device.forward_to(1, "8");
    device.forward_to(2, "9");
    assert_eq!(resuming.received(), [message(8)]);
    device.seat.on_closed();
    let draining = r#"{"message_type":"cuttlebone_draining","cuttlebone_received":1}"#;
    assert_eq!(resuming.received(), [draining, "close 1012"]);
    assert_eq!(plain.received(), [message(9), "close 1012".into()]);
}

#[test]
fn a_client_that_leaves_while_the_server_stops_is_reported_before_the_close() {
    let hub = registry(Settings::default());
    let mut device = Peer::registered(&hub, "1");
    let mut clients = [Peer::attached(&hub), Peer::attached(&hub)];
    device.received();
    clients.iter_mut().for_each(|client| assert!(matches!(client.forward("7"), Next::Continue)));
    hub.stop();
    device.seat.on_shutdown(CloseCode::Restart);
    clients[0].seat.on_closed();
    let mut got = device.received();
    got.drain(..2);
    assert_eq!(got, [r#"{"message_type":"client_disconnected","client_id":1}"#, "close 1012"]);
    clients[1].seat.on_closed();
    assert!(device.received().is_empty(), "nothing comes after the close");
}

#[test]
fn what_a_device_that_is_away_never_got_was_not_taken() {
    let hub = registry(Settings::default());
    let mut device = Peer::registered(&hub, "1");
    let mut client = begin(&hub).client;
    client.forward("1");
    device.received();
    device.seat.on_broken(device.now);
    client.forward("2");
    hub.stop();
    client.seat.on_shutdown(CloseCode::Restart);
    device.seat.on_shutdown_away(CloseCode::Restart);
    drop(device);
    let draining = r#"{"message_type":"cuttlebone_draining","cuttlebone_received":1}"#;
    assert_eq!(client.received(), [draining, "close 1012"]);
}

#[test]
fn nobody_comes_while_the_server_stops() {
    let hub = registry(Settings::default());
    let _device = Peer::registered(&hub, "1");
    let mut waiting = Peer::client(&hub);
    waiting.send(r#"{"message_type":"connect","device_id":"other"}"#);
    hub.stop();
    assert!(matches!(waiting.seat.on_shutdown(CloseCode::Restart), Next::Closing));
    assert_eq!(waiting.received(), [CONFIG, "close 1012"]);
    assert_eq!(Peer::attached(&hub).received(), [CONFIG, "close 1012"]);
    assert_eq!(Peer::registered(&hub, "1").received(), ["close 1012"]);
}

#[test]
fn the_late_end_of_a_connection_harms_not_the_one_that_took_its_session_over() {
    let hub = registry(Settings::default());
    let mut device = Peer::registered(&hub, "1");
    let Session { mut client, token } = begin(&hub);
    let mut again = resume(&hub, &token, 0);
    assert!(client.seat.on_broken(client.now).is_none());
    drop(client);
    device.forward_to(1, "5");
    assert_eq!(again.received()[2..], [message(5)]);
}

#[test]
fn what_a_device_sends_to_a_client_of_before_the_restart_waits_for_it() {
    let before = registry_of(Settings::default(), 1, 0);
    let _device = Peer::registered(&before, "1");
    let session = begin(&before);
    let after = registry_of(Settings::default(), 2, 0);
    let mut device = Peer::registered(&after, "1");
    device.forward_to(1, "7");
    assert_eq!(device.received().len(), 1, "config, and no client_disconnected");
    let mut client = resume(&after, &session.token, 9);
    let texts = client.received();
    assert_eq!(told(&texts[1]), info(None));
    assert_eq!(texts[2..], [message(7)]);
    device.seat.on_timer(device.seat.deadline().expect("somebody was expected"));
    assert!(device.received().is_empty(), "it came in time");
}

#[test]
fn a_client_of_before_the_restart_that_does_not_come_is_gone_after_the_grace_period() {
    let settings = Settings { clients_per_device: 2, ..Settings::default() };
    let after = registry_of(settings, 2, 0);
    let mut device = Peer::registered(&after, "1");
    for id in [5, 6, 7] {
        device.forward_to(id, "1");
    }
    let gone = |id: u32| format!(r#"{{"message_type":"client_disconnected","client_id":{id}}}"#);
    assert_eq!(device.received()[1..], [gone(7)], "no more are expected than there may be");
    let until = device.seat.deadline().expect("a time");
    assert_eq!(until - device.now, Settings::default().client_grace);
    device.seat.on_timer(until);
    assert_eq!(device.received(), [gone(5), gone(6)]);
    assert_eq!(device.seat.deadline(), None);
    assert_eq!(after.list()[0].viewers, 0);
}

#[test]
fn a_client_that_is_one_more_than_are_expected_does_not_come_back_after_its_device_heard_so() {
    let before = registry_of(Settings::default(), 1, 0);
    let _device = Peer::registered(&before, "1");
    let sessions = [begin(&before), begin(&before)];
    let after = registry_of(Settings { clients_per_device: 1, ..Settings::default() }, 2, 0);
    let mut device = Peer::registered(&after, "1");
    device.forward_to(1, "7");
    device.forward_to(2, "7");
    assert_eq!(device.received()[1..], [r#"{"message_type":"client_disconnected","client_id":2}"#]);
    assert_eq!(resume(&after, &sessions[1].token, 0).received(), REFUSED);
    let mut expected = resume(&after, &sessions[0].token, 0);
    assert_eq!(expected.received().last(), Some(&message(7)));
    assert!(device.received().is_empty(), "it was told once");
}

#[test]
fn long_after_a_start_nobody_is_expected() {
    let after = registry_of(Settings { resume_after_restart: Duration::ZERO, ..Settings::default() }, 2, 0);
    let mut device = Peer::registered(&after, "1");
    device.forward_to(5, "1");
    assert_eq!(device.received()[1..], [r#"{"message_type":"client_disconnected","client_id":5}"#]);
}

#[test]
fn a_client_whose_first_answer_after_a_restart_was_lost_gets_everything_with_the_second() {
    let before = registry_of(Settings::default(), 1, 0);
    let _device = Peer::registered(&before, "1");
    let session = begin(&before);
    let after = registry_of(Settings::default(), 2, 0);
    let mut device = Peer::registered(&after, "1");
    let mut lost = resume(&after, &session.token, 9);
    device.forward_to(1, "7");
    assert_eq!(lost.received().len(), 3, "written, and never read");
    lost.seat.on_broken(lost.now);
    device.forward_to(1, "8");
    let mut again = resume(&after, &session.token, 9);
    let texts = again.received();
    assert_eq!(told(&texts[1]), info(None));
    assert_eq!(texts[2..], [message(7), message(8)]);
    // From here on it counts with the server.
    again.seat.on_broken(again.now);
    let texts = resume(&after, &token(&texts[1]), 1).received();
    assert_eq!(told(&texts[1]), info(Some(0)));
    assert_eq!(texts[2..], [message(8)]);
}
