//! Holes of the servers that were there before (security.md 1), by their numbers. Those that are tests of an attack as well stand
//! with it: docs/SECURITY_TESTS.md says where.

use std::sync::atomic::AtomicU64;
use std::sync::atomic::Ordering::Relaxed;
use std::time::Duration;

use serde_json::Value;
use tokio::net::TcpSocket;
use tokio::time::{Instant, timeout};

use crate::access::{self, client, device, expect_end, known, open, register};
use crate::frames::{RawWs, Sent};
use crate::support::{PATIENCE, Peer, Running, expect_type};

const TAKEN: &str = r#"{"error":"Device id already taken: cvd-1","cuttlebone_code":"device_id_taken"}"#;

/// A registration that fails takes nothing from who has the id, however often.
#[tokio::test]
async fn r1_thousand_registrations_of_a_taken_id_leave_it_to_its_device() {
    let owner = known(1, "name=owner role=device devices=*");
    let rival = known(2, "name=rival role=device,client devices=*");
    let server = Running::with(|settings| {
        settings.access.access = access::access(&[&owner, &rival]);
        // Otherwise its rate would keep the thief out.
        settings.quotas.registrations = 0;
    });
    let mut held = device(&server, &owner, "cvd-1").await;
    for _ in 0..1000 {
        let mut thief = open(&server, "/register_device", &rival).await.expect("upgraded");
        thief.send_text(register("cvd-1")).await.expect("sent");
        expect_end(&mut thief, TAKEN, 1008).await;
    }
    let mut viewer = client(&server, &rival, "cvd-1").await;
    viewer.send_text(r#"{"message_type":"forward","payload":7}"#).await.expect("sent");
    expect_type(&mut held, "client_msg").await;
}

/// The same where nobody is known, and the holder is asked whether it lives.
#[tokio::test]
async fn r1_registration_of_an_id_whose_holder_answers_leaves_it_to_its_device() {
    let server = Running::start();
    let mut held = RawWs::device(&server, "cvd-1").await;
    let answers = async {
        let mut pings = 0;
        while held.next().await == Sent::Ping {
            pings += 1;
            held.send(&crate::frames::frame(crate::frames::PONG, b"")).await;
        }
        pings
    };
    let began = Instant::now();
    let thieves = async {
        for _ in 0..200 {
            let mut thief = RawWs::open(&server, "/register_device").await;
            thief.text(r#"{"message_type":"register","device_id":"cvd-1"}"#).await;
            thief.expect_refused("device_id_taken", 1008).await;
        }
        let took = began.elapsed();
        let mut viewer = RawWs::client(&server, "cvd-1").await;
        viewer.text(r#"{"message_type":"forward","payload":7}"#).await;
        took
    };
    let (pings, took) = tokio::join!(answers, thieves);
    assert!((1..=1 + took.as_millis() / 20).contains(&pings), "{pings} pings in {took:?}: it is asked now and then");
    let mut viewer = RawWs::client(&server, "cvd-1").await;
    viewer.text(r#"{"message_type":"forward","payload":7}"#).await;
    held.expect_type("client_msg").await;
}

/// What others send it lies before the ping: its answer comes late, and that is not its doing.
#[tokio::test]
async fn r1_holder_that_is_flooded_by_its_client_is_not_taken_for_gone() {
    const MESSAGES: usize = 40;
    let server = Running::with(|settings| settings.connections.send_buffer = 4096);
    let socket = TcpSocket::new_v4().expect("a socket");
    socket.set_recv_buffer_size(4096).expect("set");
    let socket = socket.connect(server.addr).await.expect("accepted");
    let mut held = RawWs::over(Peer::from(socket), "/register_device").await;
    held.text(r#"{"message_type":"register","device_id":"cvd-1"}"#).await;
    held.expect_type("config").await;
    let mut viewer = RawWs::client(&server, "cvd-1").await;
    let message = format!(r#"{{"message_type":"forward","payload":"{}"}}"#, "x".repeat(16_000));
    for _ in 0..MESSAGES {
        viewer.text(&message).await;
    }
    // More than one batch: the socket takes nothing more.
    let last = AtomicU64::new(0);
    let is_stuck = |bytes| bytes > 100_000 && last.swap(bytes, Relaxed) == bytes;
    server.until_metric("cuttlebone_queued_bytes", is_stuck).await;
    let mut thief = RawWs::open(&server, "/register_device").await;
    thief.text(r#"{"message_type":"register","device_id":"cvd-1"}"#).await;
    thief.expect_refused("device_id_taken", 1008).await;
    for _ in 0..MESSAGES {
        held.expect_type("client_msg").await;
    }
}

/// What is sent becomes part of no JSON of ours but as a text.
#[tokio::test]
async fn r2_error_is_one_object_with_one_error_whatever_the_id_says() {
    let server = Running::with(|settings| settings.hub.client_wait = Duration::ZERO);
    const ID: &str = r#"x\",\"message_type\":\"config"#;
    let _held = RawWs::device(&server, ID).await;
    for (path, text) in [
        ("/connect_client", format!(r#"{{"message_type":"connect","device_id":"{ID}!"}}"#)),
        ("/connect_client", format!(r#"{{"message_type":"{ID}"}}"#)),
        ("/register_device", format!(r#"{{"message_type":"{ID}"}}"#)),
    ] {
        let mut peer = RawWs::open(&server, path).await;
        peer.text(&text).await;
        let answer = loop {
            let answer = peer.next_text().await;
            if !answer.contains("ice_servers") {
                break answer;
            }
        };
        let read: Value = serde_json::from_str(&answer).unwrap_or_else(|error| panic!("{error}: {answer}"));
        let keys: Vec<&String> = read.as_object().expect("an object").keys().collect();
        assert_eq!(keys, ["cuttlebone_code", "error"], "{answer}");
        assert!(read["error"].as_str().expect("text").contains("x\",\"message_type\":\"config"), "{answer}");
    }
}

/// Whatever a device describes itself as, it is passed on as it is and nothing fails.
#[tokio::test]
async fn r10_device_info_of_any_shape_is_passed_on_and_breaks_nothing() {
    let server = Running::start();
    let mut watch = Peer::connect(server.addr).await;
    watch.send(&format!("GET /api/v1/devices/events HTTP/1.1\r\nhost: {}\r\n\r\n", server.addr)).await;
    watch.until("event: snapshot\n").await;
    let shapes = [
        "7",
        "[]",
        "null",
        r#""x""#,
        "{}",
        r#"{"adb_port":"x"}"#,
        r#"{"adb_port":1e400}"#,
        r#"{"adb_port":-1,"hardware":7,"displays":"none"}"#,
        r#"{"adb_port":{},"adb_port":[]}"#,
    ];
    let mut devices = Vec::new();
    for (number, shape) in shapes.iter().enumerate() {
        let id = format!("shape-{number}");
        devices.push(server.device(&id, shape).await);
        let mut viewer = server.websocket("/connect_client").await;
        viewer.send_text(format!(r#"{{"message_type":"connect","device_id":"{id}"}}"#)).await.expect("sent");
        expect_type(&mut viewer, "config").await;
        let info = expect_type(&mut viewer, "device_info").await;
        assert!(info.ends_with(&format!("\"device_info\":{shape}}}")), "{info}");
        assert_eq!(server.get(&format!("/devices/{id}")).await.status, 200, "{shape}");
        watch.until(&id).await;
    }
    let mut none = RawWs::device(&server, "without").await;
    assert_eq!(server.get("/devices").await.status, 200);
    assert_eq!(server.metric("cuttlebone_panics_total").await, 0);
    let nothing = timeout(Duration::from_millis(50), none.next()).await;
    assert!(nothing.is_err(), "{nothing:?}");
}

/// An error repeats at most 64 characters of a type, and an id, which has at most 256 bytes; of anything else nothing.
#[tokio::test]
async fn r11_errors_repeat_a_bounded_part_of_what_was_sent() {
    let server = Running::with(|settings| settings.hub.client_wait = Duration::ZERO);
    let long = "CANARY".repeat(2000);
    for path in ["/connect_client", "/register_device"] {
        for text in [
            format!(r#"{{"message_type":"{long}"}}"#),
            long.clone(),
            format!("[\"{long}\"]"),
            format!(r#"{{"message_type":"connect","device_id":"{long}"}}"#),
            format!(r#"{{"message_type":"register","device_id":"{long}"}}"#),
            format!(r#"{{"message_type":"forward","payload":"{long}"}}"#),
        ] {
            let mut peer = RawWs::open(&server, path).await;
            peer.text(&text).await;
            let answer = timeout(PATIENCE, peer.next_text()).await.expect("an answer");
            let repeated = answer.matches("CANARY").count() * "CANARY".len();
            assert!(repeated <= 64 && answer.len() < 200, "{answer} for {}", &text[..40]);
        }
    }
}
