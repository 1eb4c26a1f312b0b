use std::time::Duration;

use cuttlebone_client::Endpoint;
use cuttlebone_client::raw::{self, ConnectError, RawEvent};

use tokio::io::AsyncWriteExt as _;
use tokio::net::TcpListener;
use tokio::time::timeout;

use crate::fake::FakeServer;

const PATIENCE: Duration = Duration::from_secs(10);

#[tokio::test]
async fn texts_and_the_close_are_passed_on_as_they_are() {
    let server = FakeServer::start().await;
    let endpoint = server.endpoint();
    let (conn, mut peer) = tokio::join!(raw::connect(&endpoint, "/x", &[]), server.accept());
    let mut conn = conn.unwrap();
    assert_eq!(peer.path, "/pre/x");
    conn.send_text("caf\u{e9}").await.unwrap();
    assert_eq!(peer.text().await, "caf\u{e9}");
    peer.send("answer").await;
    assert_eq!(conn.next().await, Some(RawEvent::Text("answer".into())));
    peer.send_close(4001).await;
    let closed = RawEvent::Close(Some(4001), "why".into());
    assert_eq!(conn.next().await, Some(closed));
    assert_eq!(conn.next().await, None);
    assert_eq!(conn.failure(), None);
}

#[tokio::test]
async fn close_waits_for_the_answer() {
    let server = FakeServer::start().await;
    let endpoint = server.endpoint();
    let (conn, mut peer) = tokio::join!(raw::connect(&endpoint, "/x", &[]), server.accept());
    let reason = "\u{e9}".repeat(100);
    let (closed, code) = tokio::join!(conn.unwrap().close(4003, &reason, PATIENCE), async {
        let code = peer.close_code().await;
        assert!(peer.next().await.is_none());
        code
    });
    closed.unwrap();
    assert_eq!(code, Some(4003));
}

#[tokio::test]
async fn a_cut_connection_ends_without_a_close() {
    let server = FakeServer::start().await;
    let endpoint = server.endpoint();
    let (conn, peer) = tokio::join!(raw::connect(&endpoint, "/x", &[]), server.accept());
    drop(peer);
    assert_eq!(conn.unwrap().next().await, None);
}

#[tokio::test]
async fn a_message_over_the_bound_ends_the_connection() {
    let server = FakeServer::start().await;
    let endpoint = server.endpoint().with_max_message(10);
    let (conn, mut peer) = tokio::join!(raw::connect(&endpoint, "/x", &[]), server.accept());
    let mut conn = conn.unwrap();
    peer.send("0123456789").await;
    peer.send("0123456789a").await;
    assert!(conn.next().await.is_some());
    assert_eq!(conn.next().await, None);
    assert!(conn.failure().is_some());
}

/// Each ping would leave an answer behind that has nowhere to go.
#[tokio::test]
async fn server_that_pings_and_reads_nothing_is_read_no_further() {
    let server = FakeServer::start().await;
    let endpoint = server.endpoint();
    let (conn, mut peer) = tokio::join!(raw::connect(&endpoint, "/x", &[]), server.accept());
    let mut conn = conn.unwrap();
    let reading = async {
        let mut read = 0_usize;
        while timeout(Duration::from_secs(2), conn.next()).await.is_ok_and(|event| event == Some(RawEvent::Ping)) {
            read += 1;
            assert!(read < 2_000_000, "it goes on and on");
        }
        read
    };
    let pinging = peer.ping_until_stuck(Duration::from_secs(2));
    let (read, sent) = tokio::join!(reading, timeout(Duration::from_secs(60), pinging));
    let sent = sent.expect("it was stuck");
    assert!(read > 512 && sent > read, "{read} of {sent}");
    // The server reads again, and all is as it was.
    let rest = async { while peer.saw_pong().await {} };
    let (event, _) = tokio::join!(conn.next(), timeout(Duration::from_secs(1), rest));
    assert_eq!(event, Some(RawEvent::Ping));
}

#[tokio::test]
async fn head_of_an_answer_without_end_is_not_read_on() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let endpoint = Endpoint::parse(&format!("ws://{}", listener.local_addr().unwrap())).unwrap();
    let endless = async {
        let (mut socket, _) = listener.accept().await.unwrap();
        let mut sent = 0;
        let mut piece = &b"HTTP/1.1 101 Switching Protocols\r\nx: "[..];
        while socket.write_all(piece).await.is_ok() {
            piece = &[b'a'; 4096];
            sent += piece.len();
            assert!(sent < 64 << 20, "it is read on and on");
        }
    };
    let (conn, ()) = tokio::join!(raw::connect(&endpoint, "/x", &[]), endless);
    let error = conn.unwrap_err();
    assert!(error.to_string().contains("longer than 65536 bytes"), "{error}");
}

#[tokio::test]
async fn what_can_not_be_a_request_is_refused_before_connecting() {
    let endpoint = Endpoint::parse("ws://127.0.0.1:1").unwrap();
    for (path, protocols) in [("/a b", &[][..]), ("/x", &["a\nb"][..])] {
        let error = raw::connect(&endpoint, path, protocols).await.unwrap_err();
        assert!(matches!(error, ConnectError::Request(_)), "{error}");
    }
}
