//! Peers that do too much, and what the others notice.

use std::time::Duration;

use cuttlebone_server::{LimitSettings, MemorySettings, Rate};
use futures_util::future::join_all;
use tokio::net::{TcpSocket, TcpStream};
use tokio::time::{Instant, timeout};

use crate::frames::{PONG, RawWs, Sent, TEXT, frame};
use crate::support::{PATIENCE, Peer, Running};

const TO_DEVICE: &str = r#"{"message_type":"forward","payload":1}"#;

#[tokio::test]
async fn t05_device_hears_of_a_client_that_went_dark() {
    let server = Running::with(|settings| {
        settings.timeouts.ping = Duration::from_millis(200);
        settings.timeouts.idle = Duration::from_millis(500);
        settings.hub.client_grace = Duration::from_millis(300);
    });
    let mut device = RawWs::device(&server, "d").await;
    let mut client = RawWs::client(&server, "d").await;
    client.text(TO_DEVICE).await;
    device.expect_type("client_msg").await;
    let begun = Instant::now();
    // The client stays connected, and neither answers nor closes.
    loop {
        match device.next().await {
            Sent::Ping => device.send(&frame(PONG, b"")).await,
            Sent::Text(text) => break assert!(text.contains("client_disconnected"), "{text}"),
            other => panic!("{other:?}"),
        }
        assert!(begun.elapsed() < PATIENCE, "never told");
    }
    let took = begun.elapsed();
    assert!(took >= Duration::from_millis(750) && took < Duration::from_secs(3), "{took:?}");
    server.until_metric(r#"cuttlebone_connections{role="client"}"#, |open| open == 0).await;
    assert_eq!(server.metric(r#"cuttlebone_timeouts_total{which="idle"}"#).await, 1);
}

#[tokio::test]
async fn t31_pair_that_does_twenty_times_too_much_costs_another_pair_nothing() {
    let server = Running::start();
    let _greedy_device = RawWs::device(&server, "greedy").await;
    let mut greedy = RawWs::client(&server, "greedy").await;
    let mut device = RawWs::device(&server, "calm").await;
    let mut calm = RawWs::client(&server, "calm").await;
    // A thousand a second, twenty times its rate, for as long as this lasts.
    let flood = async {
        let mut pace = tokio::time::interval(Duration::from_millis(100));
        loop {
            pace.tick().await;
            greedy.flood(&frame(TEXT, TO_DEVICE.as_bytes()).repeat(100)).await;
        }
    };
    let work = async {
        let mut took = Vec::new();
        let mut pace = tokio::time::interval(Duration::from_millis(5));
        for n in 0..100 {
            pace.tick().await;
            let sent = Instant::now();
            calm.text(&format!(r#"{{"message_type":"forward","payload":{n}}}"#)).await;
            assert!(device.expect_type("client_msg").await.ends_with(&format!(r#""payload":{n}}}"#)));
            took.push(sent.elapsed());
        }
        took
    };
    let mut took = tokio::select! {
        took = work => took,
        () = flood => unreachable!("it never ends"),
    };
    took.sort_unstable();
    assert!(took[50] < Duration::from_millis(50), "half of them took longer than {:?}", took[50]);
    assert!(server.metric(r#"cuttlebone_rate_pauses_total{bucket="messages"}"#).await > 0);
}

/// Whoever reads nothing leaves room in the queues to others: 1/32 of it, and what is free, is the most of another's
/// messages.
#[tokio::test]
async fn t31_what_one_address_leaves_unread_is_a_little_of_all_queues() {
    const ALL: u64 = 43 << 20;
    let server = Running::with(|settings| {
        settings.limits = LimitSettings::OFF;
        settings.memory = MemorySettings { limit: Some(ALL * 100), queues_percent: 1, ..MemorySettings::default() };
    });
    let mut device = RawWs::device(&server, "d").await;
    let mut unread = Vec::new();
    for _ in 0..40 {
        let mut client = RawWs::client(&server, "d").await;
        client.text(TO_DEVICE).await;
        // Of some it hears that they were too slow.
        let told = loop {
            match device.next().await {
                Sent::Text(text) if text.contains("client_msg") => break text,
                Sent::Text(text) => assert!(text.contains("client_disconnected"), "{text}"),
                other => assert_eq!(other, Sent::Ping),
            }
        };
        let id = told.split("\"client_id\":").nth(1).and_then(|rest| rest.split(',').next()).expect("of whom");
        let payload = "x".repeat(45_000);
        let text = format!(r#"{{"message_type":"forward","client_id":{id},"payload":"{payload}"}}"#);
        device.send(&frame(TEXT, text.as_bytes()).repeat(24)).await;
        unread.push(client);
    }
    server.until_metric("cuttlebone_queued_bytes", |bytes| bytes > ALL / 100).await;
    let queued = server.metric("cuttlebone_queued_bytes").await;
    assert!(queued < ALL / 16, "{queued} of {ALL}");
}

/// T31: however many are greeted at the same moment, each is asked for with what the others have not read.
#[tokio::test]
async fn t31_who_comes_all_at_once_is_greeted_with_no_more_than_there_is_room_for() {
    const ALL: u64 = 43 << 20;
    const CLIENTS: u64 = 120;
    let server = Running::with(|settings| {
        settings.limits = LimitSettings::OFF;
        settings.connections.send_buffer = 4096;
        settings.memory = MemorySettings { limit: Some(ALL * 100), queues_percent: 1, ..MemorySettings::default() };
    });
    let mut device = RawWs::open(&server, "/register_device").await;
    let info = "x".repeat(65_500);
    device.text(&format!(r#"{{"message_type":"register","device_id":"d","device_info":"{info}"}}"#)).await;
    device.expect_type("config").await;
    let mut clients = Vec::new();
    for _ in 0..CLIENTS {
        let socket = TcpSocket::new_v4().expect("a socket");
        socket.set_recv_buffer_size(4096).expect("set");
        let socket = socket.connect(server.addr).await.expect("accepted");
        clients.push(RawWs::over(Peer::from(socket), "/connect_client").await);
    }
    let connects = clients.iter_mut().map(|client| client.text(r#"{"message_type":"connect","device_id":"d"}"#));
    join_all(connects).await;
    server.until_metric(r#"cuttlebone_rejects_total{reason="overloaded"}"#, |refused| refused > 0).await;
    let queued = server.metric("cuttlebone_queued_bytes").await;
    let free = CLIENTS * 16 * 1024;
    assert!((ALL / 20..ALL / 16 + free).contains(&queued), "{queued} of {ALL}");
}

/// T31: a connection that was closed as too slow holds what it was being written until it is gone.
#[tokio::test]
async fn t31_what_is_being_written_counts_until_the_connection_is_gone() {
    let server = Running::with(|settings| {
        settings.limits = LimitSettings::OFF;
        settings.timeouts.write = Duration::from_secs(2);
    });
    let mut device = RawWs::device(&server, "d").await;
    let mut client = RawWs::client(&server, "d").await;
    client.text(TO_DEVICE).await;
    let told = device.expect_type("client_msg").await;
    let id = told.split("\"client_id\":").nth(1).and_then(|rest| rest.split(',').next()).expect("of whom");
    let text = format!(r#"{{"message_type":"forward","client_id":{id},"payload":"{}"}}"#, "x".repeat(45_000));
    while server.metric("cuttlebone_queue_evictions_total").await == 0 {
        device.send(&frame(TEXT, text.as_bytes()).repeat(24)).await;
    }
    // Its queue was given up with that.
    let queued = server.metric("cuttlebone_queued_bytes").await;
    assert!(queued > 4_000, "{queued}");
    server.until_metric("cuttlebone_queued_bytes", |bytes| bytes == 0).await;
    drop(client);
}

#[tokio::test]
async fn t33_registering_and_leaving_again_and_again_is_throttled_and_leaves_nothing() {
    let rate = Rate { per_second: 20, burst: 100 };
    let server = Running::with(|settings| settings.connections.rate_per_address = rate);
    let mut refused = 0;
    let begun = Instant::now();
    for index in 0..1000 {
        let mut peer = Peer::connect(server.addr).await;
        peer.send(&format!(
            "GET /register_device HTTP/1.1\r\nhost: localhost\r\nupgrade: websocket\r\nconnection: upgrade\r\n\
             sec-websocket-version: 13\r\nsec-websocket-key: dGhlIHNhbXBsZSBub25jZQ==\r\nx: {index}\r\n\r\n"
        ))
        .await;
        if peer.head().await.status != 101 {
            refused += 1;
            continue;
        }
        let register = format!(r#"{{"message_type":"register","device_id":"d{index}"}}"#);
        let close = frame(0x88, &1000_u16.to_be_bytes());
        let bytes = [frame(TEXT, register.as_bytes()), close].concat();
        tokio::io::AsyncWriteExt::write_all(&mut peer.socket, &bytes).await.expect("sent");
        peer.drain().await;
    }
    let allowed = 100 + 20 * (begun.elapsed().as_secs() + 1);
    assert!(1000 - refused <= allowed, "{refused} were refused");
    server.until_metric("cuttlebone_devices", |devices| devices == 0).await;
    assert_eq!(server.metric("cuttlebone_waiting_clients").await, 0);
    assert_eq!(server.metric(r#"cuttlebone_refused_connections_total{reason="address_rate"}"#).await, refused);
}

#[tokio::test]
async fn t34_seventeenth_that_waits_is_refused_and_the_others_when_their_time_is_over() {
    let wait = Duration::from_millis(500);
    let server = Running::with(|settings| settings.hub.client_wait = wait);
    let mut waiting = Vec::new();
    let begun = Instant::now();
    for index in 0..17 {
        let mut client = RawWs::open(&server, "/connect_client").await;
        client.text(r#"{"message_type":"connect","device_id":"absent"}"#).await;
        client.expect_type("config").await;
        if index < 16 {
            waiting.push(client);
        } else {
            client.expect_refused("too_many_waiting", 1013).await;
        }
    }
    for mut client in waiting {
        client.expect_refused("device_not_found", 1008).await;
    }
    assert!(begun.elapsed() >= wait);
    assert_eq!(server.metric("cuttlebone_waiting_clients").await, 0);
}

#[tokio::test]
async fn t55_an_ipv4_address_is_the_same_by_either_kind_of_socket() {
    let any = "[::]:0".parse().expect("an address");
    let server = Running::with(|settings| {
        settings.listen = any;
        settings.connections.per_address = Some(2);
    });
    let port = server.addr.port();
    // Both reach the server as ::ffff:127.0.0.1; the one of IPv6 does not.
    let mut held = Vec::new();
    for _ in 0..2 {
        held.push(TcpStream::connect(("127.0.0.1", port)).await.expect("accepted"));
    }
    server.until_metric(r#"cuttlebone_connections{role="http"}"#, |open| open >= 2).await;
    let mapped = TcpSocket::new_v6().expect("a socket");
    let mapped = mapped.connect(format!("[::ffff:127.0.0.1]:{port}").parse().expect("one")).await.expect("accepted");
    assert_eq!(Peer::from(mapped).answer().await.status, 429);
    let mut other = Peer::from(TcpStream::connect(("::1", port)).await.expect("accepted"));
    other.send("GET /livez HTTP/1.1\r\nhost: localhost\r\n\r\n").await;
    assert_eq!(timeout(PATIENCE, other.answer()).await.expect("in time").status, 200);
}
