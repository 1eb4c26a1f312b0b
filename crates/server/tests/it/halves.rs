//! Messages that begin and do not end.

use std::time::Duration;

use cuttlebone_server::LimitSettings;

use crate::frames::{RawWs, Sent, TEXT, header};
use crate::support::Running;

const KIB: usize = 1024;
const MIB: usize = 1024 * KIB;
/// The size of each message, and what of it comes at first.
const WHOLE: usize = 250 * KIB;
const HALF: usize = 200 * KIB;
/// More than fit.
const HALVES: usize = 30;
const HELD: &str = "cuttlebone_assembling_bytes";

/// A server on which the unfinished messages of one address may come to 0.6 MiB, of 20 for all, and peers whose messages would
/// come to 7.
async fn with_halves(message: Duration) -> (Running, Vec<RawWs>) {
    let server = Running::with(|settings| {
        settings.limits = LimitSettings::OFF;
        settings.memory.limit = Some(2048 * MIB as u64);
        settings.memory.assembling_percent = 1;
        settings.timeouts.message = message;
    });
    let mut halves = Vec::new();
    let half = [header(TEXT, WHOLE as u64), vec![b'x'; HALF]].concat();
    for _ in 0..HALVES {
        let mut peer = RawWs::open(&server, "/connect_client").await;
        peer.send(&half).await;
        halves.push(peer);
    }
    server.until_metric(HELD, |bytes| bytes > 400 * KIB as u64).await;
    (server, halves)
}

#[tokio::test]
async fn many_half_messages_hold_no_more_than_their_share_of_memory_and_others_go_on() {
    let (server, mut halves) = with_halves(Duration::from_secs(3)).await;
    let mut device = RawWs::device(&server, "d").await;
    let mut client = RawWs::client(&server, "d").await;
    for n in 0..10 {
        client.text(&format!(r#"{{"message_type":"forward","payload":{n}}}"#)).await;
        assert!(device.expect_type("client_msg").await.contains(&format!(r#""payload":{n}"#)));
    }
    let held = server.metric(HELD).await;
    assert!(held < MIB as u64, "{held}");
    // They are cut, and give back what they held.
    halves[HALVES - 1].expect_refused("unfinished_message", 1008).await;
    server.until_metric(HELD, |bytes| bytes == 0).await;
}

#[tokio::test]
async fn message_that_had_to_wait_for_others_goes_on_when_they_are_gone() {
    let (server, mut halves) = with_halves(Duration::from_secs(60)).await;
    let mut last = halves.pop().expect("some");
    last.send(&[b'x'; WHOLE - HALF]).await;
    drop(halves);
    // All of it has come: only now it is no JSON.
    last.expect_refused("invalid_json", 1008).await;
    server.until_metric(HELD, |bytes| bytes == 0).await;
}

/// It is not read, and can't be heard: a registration of its id is no better a moment.
#[tokio::test]
async fn r1_device_whose_message_waits_for_others_is_not_taken_for_gone() {
    let (server, mut halves) = with_halves(Duration::from_secs(60)).await;
    let mut held = RawWs::device(&server, "cvd-1").await;
    held.send(&[header(TEXT, WHOLE as u64), vec![b'x'; HALF]].concat()).await;
    // Whether it has begun when the server asks, or not yet.
    let mut thief = RawWs::open(&server, "/register_device").await;
    thief.text(r#"{"message_type":"register","device_id":"cvd-1"}"#).await;
    thief.expect_refused("device_id_taken", 1008).await;
    // Another, that is asked before its message begins.
    let mut other = RawWs::device(&server, "cvd-2").await;
    let mut thief = RawWs::open(&server, "/register_device").await;
    thief.text(r#"{"message_type":"register","device_id":"cvd-2"}"#).await;
    assert_eq!(other.next().await, Sent::Ping);
    other.send(&[header(TEXT, WHOLE as u64), vec![b'x'; HALF]].concat()).await;
    thief.expect_refused("device_id_taken", 1008).await;
    halves.clear();
    held.send(&[b'x'; WHOLE - HALF]).await;
    // All of it has come: only now it is no JSON.
    held.expect_refused("invalid_json", 1008).await;
}

/// A message whose answer takes a while is not kept for so long.
#[tokio::test]
async fn message_that_waits_for_its_answer_is_freed() {
    let server = Running::with(|settings| settings.hub.probe = Duration::from_secs(60));
    let mut silent = RawWs::device(&server, "d").await;
    let mut asking = RawWs::open(&server, "/register_device").await;
    let padding = "x".repeat(HALF);
    asking.text(&format!(r#"{{"message_type":"register","device_id":"d","cuttlebone_padding":"{padding}"}}"#)).await;
    assert_eq!(silent.next().await, Sent::Ping, "it is asked whether it is there");
    assert_eq!(server.metric(HELD).await, 0);
}
