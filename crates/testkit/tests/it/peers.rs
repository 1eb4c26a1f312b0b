//! The raw peer and the test server themselves.

use std::time::Duration;

use cuttlebone_testkit::{ConnectError, Frame, Opcode, PeerOptions, RawPeer, Received, TestServer, local_settings};
use tokio_util::task::TaskTracker;

const SOON: Duration = Duration::from_secs(10);

#[tokio::test]
async fn a_peer_that_is_reset_is_seen_as_broken_and_its_device_is_free_at_once_when_asked_for() {
    let server = TestServer::start(local_settings()).expect("a free port");
    let tracker = TaskTracker::new();
    let url = server.url().join("/register_device").expect("a url");
    let register = r#"{"message_type":"register","device_id":"reset"}"#;
    for _ in 0..2 {
        let mut device = RawPeer::connect(&url, PeerOptions::default(), &tracker).await.expect("connected");
        device.send_text(register).await.expect("sent");
        assert!(matches!(device.receive(SOON).await, Some(Received::Text(_))));
        device.reset().await;
        assert!(device.send_text("{}").await.is_err());
    }
}

#[tokio::test]
async fn pings_are_answered_and_frames_of_any_kind_can_be_sent() {
    let server = TestServer::start(local_settings()).expect("a free port");
    let url = server.url().join("/connect_client").expect("a url");
    let mut client = RawPeer::connect(&url, PeerOptions::default(), &TaskTracker::new()).await.expect("connected");
    client.send_frame(&Frame::new(Opcode::Ping, b"hi".to_vec())).await.expect("sent");
    assert_eq!(client.receive(SOON).await, Some(Received::Pong(b"hi".to_vec())));
    client.send_frame(&Frame::new(Opcode::Other(5), Vec::new())).await.expect("sent");
    assert_eq!(client.receive(SOON).await, Some(Received::Close(Some(1002))));
    assert_eq!(client.receive(SOON).await, Some(Received::End(None)));
}

#[tokio::test]
async fn a_path_that_is_no_endpoint_is_refused() {
    let server = TestServer::start(local_settings()).expect("a free port");
    let url = server.url().join("/nowhere").expect("a url");
    let refused = RawPeer::connect(&url, PeerOptions::default(), &TaskTracker::new()).await;
    assert!(matches!(refused, Err(ConnectError::Refused(_))), "{refused:?}");
}

#[tokio::test]
async fn a_server_that_is_stopped_closes_its_peers() {
    let server = TestServer::start(local_settings()).expect("a free port");
    let url = server.url().join("/connect_client").expect("a url");
    let mut client = RawPeer::connect(&url, PeerOptions::default(), &TaskTracker::new()).await.expect("connected");
    let (summary, closed) = tokio::join!(server.stop(), client.receive(SOON));
    assert_eq!(closed, Some(Received::Close(Some(1012))));
    assert_eq!(summary.expect("it was running").aborted, 0);
}

#[tokio::test]
async fn a_server_that_is_dropped_is_gone() {
    let server = TestServer::start(local_settings()).expect("a free port");
    let url = server.url().join("/connect_client").expect("a url");
    let mut client = RawPeer::connect(&url, PeerOptions::default(), &TaskTracker::new()).await.expect("connected");
    drop(server);
    assert!(matches!(client.receive(SOON).await, Some(Received::End(_))));
    assert!(RawPeer::connect(&url, PeerOptions::default(), &TaskTracker::new()).await.is_err());
}
