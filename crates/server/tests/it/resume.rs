//! Sessions that outlive a connection, over real sockets: protocol.md 2.6.

use std::time::Duration;

use cuttlebone_client::raw::{RawConn, RawEvent};
use cuttlebone_server::{ResumeKey, Settings};
use tokio::time::timeout;

use crate::support::{PATIENCE, Running, expect_type};

const KEY: &[u8] = b"a key that both processes know, of 32 bytes and more";

/// A client connection, and the token it was given.
struct Session {
    conn: RawConn,
    token: String,
    /// What the server said it took; `None` where it did not know.
    taken: Option<u64>,
}

async fn connect(server: &Running, resume: &str) -> RawConn {
    let mut conn = server.websocket("/connect_client").await;
    let connect = format!(r#"{{"message_type":"connect","device_id":"d","cuttlebone_resume":{resume}}}"#);
    conn.send_text(connect).await.expect("sent");
    expect_type(&mut conn, "config").await;
    conn
}

async fn greeted(mut conn: RawConn) -> Session {
    let info: serde_json::Value =
        serde_json::from_str(&expect_type(&mut conn, "device_info").await).expect("the server writes JSON");
    let token = info["cuttlebone_resume"].as_str().expect("a token").to_owned();
    Session { conn, token, taken: info["cuttlebone_received"].as_u64() }
}

async fn begin(server: &Running) -> Session {
    greeted(connect(server, "true").await).await
}

async fn resume(server: &Running, token: &str, received: u32) -> Session {
    greeted(connect(server, &format!(r#""{token}","cuttlebone_received":{received}"#)).await).await
}

async fn forward(conn: &mut RawConn, payload: u32) {
    conn.send_text(format!(r#"{{"message_type":"forward","payload":{payload}}}"#)).await.expect("sent");
}

async fn answer(device: &mut RawConn, client_id: u64, payload: u32) {
    let text = format!(r#"{{"message_type":"forward","client_id":{client_id},"payload":{payload}}}"#);
    device.send_text(text).await.expect("sent");
}

/// The next `client_msg`: its client id and payload.
async fn heard(device: &mut RawConn) -> (u64, u64) {
    let text = expect_type(device, "client_msg").await;
    let message: serde_json::Value = serde_json::from_str(&text).expect("the server writes JSON");
    (message["client_id"].as_u64().expect("an id"), message["payload"].as_u64().expect("a number"))
}

async fn payload(client: &mut RawConn) -> u64 {
    let text = expect_type(client, "device_msg").await;
    let message: serde_json::Value = serde_json::from_str(&text).expect("the server writes JSON");
    message["payload"].as_u64().expect("a number")
}

async fn expect_close(conn: &mut RawConn, expected: u16) {
    loop {
        match timeout(PATIENCE, conn.next()).await.expect("closed in time") {
            Some(RawEvent::Close(code, _)) => return assert_eq!(code, Some(expected)),
            Some(RawEvent::Ping | RawEvent::Pong) => {}
            other => panic!("{other:?} instead of a close"),
        }
    }
}

#[tokio::test]
async fn a_cut_connection_goes_on_where_it_was_and_the_device_notices_nothing() {
    let server = Running::start();
    let mut device = server.device("d", "1").await;
    let Session { mut conn, token, taken } = begin(&server).await;
    assert_eq!(taken, None);
    forward(&mut conn, 1).await;
    let (id, first) = heard(&mut device).await;
    assert_eq!(first, 1);
    answer(&mut device, id, 10).await;
    assert_eq!(payload(&mut conn).await, 10);
    answer(&mut device, id, 11).await;
    // Cut, with one message unread.
    drop(conn);
    server.until_metric("cuttlebone_clients", |clients| clients == 0).await;
    answer(&mut device, id, 12).await;
    let Session { mut conn, taken, .. } = resume(&server, &token, 1).await;
    assert_eq!(taken, Some(1));
    assert_eq!([payload(&mut conn).await, payload(&mut conn).await], [11, 12]);
    forward(&mut conn, 2).await;
    assert_eq!(heard(&mut device).await, (id, 2));
    assert_eq!(server.metric(r#"cuttlebone_resumes_total{outcome="complete"}"#).await, 1);
}

#[tokio::test]
async fn a_client_that_is_back_first_closes_its_half_dead_connection() {
    let server = Running::start();
    let mut device = server.device("d", "1").await;
    let Session { conn: mut old, token, .. } = begin(&server).await;
    forward(&mut old, 1).await;
    let (id, _) = heard(&mut device).await;
    let Session { mut conn, .. } = resume(&server, &token, 0).await;
    expect_close(&mut old, 4001).await;
    drop(old);
    forward(&mut conn, 2).await;
    assert_eq!(heard(&mut device).await, (id, 2), "and no client_disconnected before");
    // Nothing is kept for the old connection.
    server.until_metric(r#"cuttlebone_connections{role="client"}"#, |open| open == 1).await;
}

#[tokio::test]
async fn a_session_that_is_over_says_so() {
    let server = Running::with(|settings| settings.hub.client_grace = Duration::ZERO);
    let mut device = server.device("d", "1").await;
    let Session { mut conn, token, .. } = begin(&server).await;
    forward(&mut conn, 1).await;
    heard(&mut device).await;
    drop(conn);
    expect_type(&mut device, "client_disconnected").await;
    let mut conn = connect(&server, &format!("\"{token}\"")).await;
    let Some(RawEvent::Text(error)) = conn.next().await else { panic!("an error") };
    assert_eq!(error, r#"{"error":"Session cannot be resumed","cuttlebone_code":"cannot_resume"}"#);
    expect_close(&mut conn, 1008).await;
}

#[tokio::test]
async fn what_the_client_has_answered_a_ping_after_is_not_kept() {
    let server = Running::with(|settings| settings.timeouts.ping = Duration::from_millis(50));
    let mut device = server.device("d", "1").await;
    let Session { mut conn, token, .. } = begin(&server).await;
    forward(&mut conn, 1).await;
    let (id, _) = heard(&mut device).await;
    answer(&mut device, id, 10).await;
    payload(&mut conn).await;
    // The pong to the second ping has been read when the third comes: pings are a server's own and in order.
    for _ in 0..3 {
        while !matches!(timeout(PATIENCE, conn.next()).await.expect("pinged"), Some(RawEvent::Ping)) {}
        conn.flush().await.expect("the pong is sent");
    }
    drop(conn);
    // It says that it has had nothing: what it has had is gone, so the counts are.
    let Session { taken, .. } = resume(&server, &token, 0).await;
    assert_eq!(taken, None);
}

#[tokio::test]
async fn a_planned_restart_loses_nothing_in_either_direction() {
    let with_key = |settings: &mut Settings| settings.resume_key = ResumeKey::new(KEY);
    let (first, second) = (Running::with(with_key), Running::with(with_key));
    let mut device = first.device("d", "1").await;
    let Session { mut conn, token, .. } = begin(&first).await;
    forward(&mut conn, 1).await;
    let (id, _) = heard(&mut device).await;
    forward(&mut conn, 2).await;
    assert_eq!(heard(&mut device).await, (id, 2));
    first.stop();
    // The device reads the close, but had sent this before; the client hears of it before its own close.
    answer(&mut device, id, 10).await;
    expect_close(&mut device, 1012).await;
    drop(device);
    assert_eq!(payload(&mut conn).await, 10);
    let last = expect_type(&mut conn, "cuttlebone_draining").await;
    assert_eq!(last, r#"{"message_type":"cuttlebone_draining","cuttlebone_received":2}"#);
    expect_close(&mut conn, 1012).await;
    drop(conn);
    assert_eq!(first.ended().await.aborted, 0);
    // The next process: the client first, then its device.
    let mut conn = connect(&second, &format!(r#""{token}","cuttlebone_received":1"#)).await;
    let mut device = second.device("d", "1").await;
    let info = expect_type(&mut conn, "device_info").await;
    assert!(!info.contains("cuttlebone_received"), "{info}");
    forward(&mut conn, 3).await;
    assert_eq!(heard(&mut device).await, (id, 3), "the same client id");
    answer(&mut device, id, 11).await;
    assert_eq!(payload(&mut conn).await, 11);
}

#[tokio::test]
async fn a_device_that_never_answers_the_close_holds_nobody_up_for_long() {
    let server = Running::start();
    let mut device = server.device("d", "1").await;
    let Session { mut conn, .. } = begin(&server).await;
    forward(&mut conn, 1).await;
    heard(&mut device).await;
    server.stop();
    // Nobody reads the device's socket from here on.
    expect_type(&mut conn, "cuttlebone_draining").await;
    expect_close(&mut conn, 1012).await;
    drop(conn);
    let summary = server.ended().await;
    assert_eq!(summary.aborted, 0);
    assert!(summary.took < Duration::from_secs(5), "{summary:?}");
}

#[tokio::test]
async fn a_device_whose_connection_breaks_again_and_again_takes_one_place_of_those_that_are_away() {
    let server = Running::with(|settings| settings.connections.max = 2);
    for _ in 0..4 {
        // Dropped without a close frame: a broken connection.
        drop(server.device("d", "1").await);
        server.until_metric(r#"cuttlebone_connections{role="device"}"#, |open| open == 0).await;
    }
    assert_eq!(server.metric(r#"cuttlebone_refused_connections_total{reason="away_full"}"#).await, 0);
    assert_eq!(server.metric("cuttlebone_devices").await, 1);
}
