//! `/api/v1/devices/events`.

use std::collections::BTreeSet;

use serde_json::Value;
use tokio::net::TcpSocket;

use crate::support::{Peer, Running};

const STREAM: &str = "GET /api/v1/devices/events HTTP/1.1\r\nhost: localhost\r\n\r\n";

/// The next event: its name and its data.
async fn event(peer: &mut Peer) -> (String, Value) {
    peer.until("event: ").await;
    let block = peer.until("\n\n").await;
    let (name, data) = block.split_once("\ndata: ").expect("an event");
    (name.to_owned(), serde_json::from_str(data).expect("json"))
}

async fn watch(server: &Running) -> Peer {
    let mut peer = Peer::connect(server.addr).await;
    peer.send(STREAM).await;
    let head = peer.head().await;
    assert_eq!((head.status, head.header("content-type")), (200, "text/event-stream"));
    peer
}

#[tokio::test]
async fn watcher_hears_what_is_there_and_what_changes() {
    let server = Running::start();
    let _first = server.device("first", "1").await;
    let mut watcher = watch(&server).await;
    let (name, list) = event(&mut watcher).await;
    assert_eq!(
        (name.as_str(), &list[0]["device_id"], list.as_array().map(Vec::len)),
        ("snapshot", &"first".into(), Some(1))
    );

    let second = server.device("second", r#"{"adb_port":6521}"#).await;
    let (name, entry) = event(&mut watcher).await;
    assert_eq!(
        (name.as_str(), &entry["device_id"], &entry["adb_port"]),
        ("registered", &"second".into(), &6521.into())
    );

    let client = server.client("second").await;
    assert_eq!(
        event(&mut watcher).await,
        ("viewers".into(), serde_json::json!({"device_id":"second","cuttlebone_viewers":1}))
    );
    client.close(1000, "", crate::support::PATIENCE).await.expect("closed");
    assert_eq!(
        event(&mut watcher).await,
        ("viewers".into(), serde_json::json!({"device_id":"second","cuttlebone_viewers":0}))
    );
    second.close(1000, "", crate::support::PATIENCE).await.expect("closed");
    assert_eq!(event(&mut watcher).await, ("gone".into(), serde_json::json!({"device_id":"second"})));
}

#[tokio::test]
async fn watcher_that_fell_behind_gets_a_fresh_snapshot() {
    const DEVICES: usize = 200;
    let server = Running::with(|settings| {
        settings.hub.event_buffer = 1;
        settings.connections.send_buffer = 4096;
    });
    let socket = TcpSocket::new_v4().expect("a socket");
    socket.set_recv_buffer_size(4096).expect("set");
    let mut watcher = Peer::from(socket.connect(server.addr).await.expect("accepted"));
    watcher.send(STREAM).await;
    assert_eq!(event(&mut watcher).await.0, "snapshot");
    // More than all buffers on the way hold, while it does not read.
    let mut devices = Vec::new();
    for index in 0..DEVICES {
        devices.push(server.device(&format!("{index:03}{}", "x".repeat(250)), "1").await);
    }
    let (mut known, mut snapshots) = (BTreeSet::new(), 0);
    while known.len() < DEVICES {
        let (name, data) = event(&mut watcher).await;
        match (name.as_str(), data) {
            ("snapshot", Value::Array(list)) => {
                snapshots += 1;
                known = list.iter().map(|entry| entry["device_id"].to_string()).collect();
            }
            ("registered", entry) => drop(known.insert(entry["device_id"].to_string())),
            other => panic!("{other:?}"),
        }
    }
    assert!(snapshots > 0, "nothing was missed");
}

#[tokio::test]
async fn streams_are_bounded_and_a_place_is_free_again_when_its_watcher_leaves() {
    let server = Running::with(|settings| settings.http.event_streams = 1);
    let watcher = watch(&server).await;
    let mut refused = Peer::connect(server.addr).await;
    refused.send(STREAM).await;
    let answer = refused.answer().await;
    assert_eq!(answer.status, 503);
    assert!(!answer.header("retry-after").is_empty());
    assert_eq!(server.metric(r#"cuttlebone_refused_connections_total{reason="event_streams_full"}"#).await, 1);
    assert_eq!(server.metric("cuttlebone_event_streams").await, 1);
    drop(watcher);
    server.until_metric("cuttlebone_event_streams", |open| open == 0).await;
    let _watcher = watch(&server).await;
}
