use std::io;
use std::pin::Pin;
use std::task::{Context, Poll};

use cuttlebone_proto::CloseCode;
use cuttlebone_transport::ws::WsConn;
use cuttlebone_transport::{Conn, ConnExt, Outgoing};
use futures_util::{FutureExt, StreamExt};
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, DuplexStream, ReadBuf};

use crate::peer::{SETTINGS, client, raw_pair};

/// A pipe that counts what is done to it, and that may refuse to flush, as TLS does on a full socket.
struct Counted {
    io: DuplexStream,
    writes: usize,
    flushes: usize,
    stuck: bool,
}

impl AsyncRead for Counted {
    fn poll_read(mut self: Pin<&mut Self>, cx: &mut Context<'_>, buf: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.io).poll_read(cx, buf)
    }
}

impl AsyncWrite for Counted {
    fn poll_write(mut self: Pin<&mut Self>, cx: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        self.writes += 1;
        Pin::new(&mut self.io).poll_write(cx, bytes)
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        if self.stuck {
            return Poll::Pending;
        }
        self.flushes += 1;
        Pin::new(&mut self.io).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.io).poll_shutdown(cx)
    }
}

#[tokio::test]
async fn what_is_queued_leaves_in_one_write() {
    let (io, theirs) = tokio::io::duplex(1 << 20);
    let mut counted = Counted { io, writes: 0, flushes: 0, stuck: false };
    let mut conn = WsConn::new(&mut counted, SETTINGS);
    for i in 0..32 {
        conn.queue(Outgoing::Text(format!("message {i}")));
    }
    conn.queue(Outgoing::Ping { mark: None });
    conn.flush().await.unwrap();
    conn.flush().await.unwrap();
    drop(conn);
    assert_eq!((counted.writes, counted.flushes), (1, 1), "and a second flush does nothing");
    let mut peer = client(theirs);
    for i in 0..32 {
        assert_eq!(peer.next().await.unwrap().unwrap().as_text(), Some(format!("message {i}").as_str()));
    }
    assert!(peer.next().await.unwrap().unwrap().is_ping());
}

#[tokio::test]
async fn order_is_kept_around_large_texts() {
    let (mut conn, io) = raw_pair(1000);
    let texts: Vec<String> = [20_000, 3, 40_000, 16_384, 1].map(|len| "x".repeat(len)).into();
    for text in &texts {
        conn.queue(Outgoing::Text(text.clone()));
    }
    conn.queue(Outgoing::Close { code: CloseCode::Normal, reason: "" });
    assert_eq!(conn.flush().now_or_never().map(|result| result.is_ok()), None, "the pipe is small");
    conn.queue(Outgoing::Text("after the close".to_owned()));
    let mut peer = client(io);
    let reading = async {
        for text in &texts {
            assert_eq!(peer.next().await.unwrap().unwrap().as_text(), Some(text.as_str()));
        }
        assert!(peer.next().await.unwrap().unwrap().is_close());
    };
    let (flushed, ()) = tokio::join!(conn.flush(), reading);
    flushed.unwrap();
    assert_eq!((conn.queued_bytes(), conn.heap_bytes()), (0, 0));
}

#[tokio::test]
async fn queued_bytes_counts_what_is_not_written() {
    let (mut conn, mut peer) = raw_pair(30_000);
    conn.queue(Outgoing::Text("x".repeat(40_000)));
    assert_eq!(conn.queued_bytes(), 40_004);
    assert!(conn.flush().now_or_never().is_none());
    assert_eq!(conn.queued_bytes(), 10_004);
    conn.queue(Outgoing::Text("y".to_owned()));
    assert_eq!(conn.queued_bytes(), 10_007);
    peer.read_exact(&mut [0; 30_000]).await.unwrap();
    conn.flush().await.unwrap();
    assert_eq!(conn.queued_bytes(), 0);
}

#[tokio::test]
async fn large_text_that_leaves_in_pieces_is_whole_and_so_is_the_one_behind_it() {
    let (mut conn, mut peer) = raw_pair(30_000);
    conn.queue(Outgoing::Text("a".repeat(40_000)));
    assert!(conn.flush().now_or_never().is_none(), "more than the pipe takes");
    conn.settle();
    assert!(conn.flush().now_or_never().is_none(), "nothing has been read yet");
    conn.queue(Outgoing::Text("b".repeat(50_000)));
    let mut read = vec![0; 2 * 4 + 40_000 + 50_000];
    let reading = async { peer.read_exact(&mut read).await.unwrap() };
    let (flushed, _) = tokio::join!(conn.flush(), reading);
    flushed.unwrap();
    let (first, second) = read.split_at(4 + 40_000);
    assert!(first[..4] == *b"\x81\x7e\x9c\x40" && first[4..].iter().all(|byte| *byte == b'a'));
    assert!(second[..4] == *b"\x81\x7e\xc3\x50" && second[4..].iter().all(|byte| *byte == b'b'));
    assert_eq!((conn.queued_bytes(), conn.heap_bytes()), (0, 0));
}

#[tokio::test]
async fn large_text_that_was_begun_goes_on_when_it_is_flushed_again() {
    let (mut conn, mut peer) = raw_pair(30_000);
    conn.queue(Outgoing::Text("a".repeat(40_000)));
    assert!(conn.flush().now_or_never().is_none());
    peer.read_exact(&mut [0; 30_000]).await.unwrap();
    conn.flush().await.unwrap();
    peer.read_exact(&mut [0; 10_004]).await.unwrap();
    assert_eq!(conn.queued_bytes(), 0);
}

#[tokio::test]
async fn what_tls_has_taken_counts_until_it_is_flushed() {
    let (io, _theirs) = tokio::io::duplex(1000);
    let mut counted = Counted { io, writes: 0, flushes: 0, stuck: true };
    let mut conn = WsConn::new(&mut counted, SETTINGS);
    conn.queue(Outgoing::Text("hello".to_owned()));
    assert!(conn.flush().now_or_never().is_none());
    assert_eq!(conn.queued_bytes(), 1, "the caller must come back");
    assert_eq!(conn.unwritten_memory(), 16 * 1024, "what TLS may hold");
    drop(conn);
    assert_eq!((counted.writes, counted.flushes), (1, 0));
}

#[tokio::test]
async fn peer_that_never_quite_catches_up_does_not_make_the_buffer_grow() {
    let (mut conn, mut peer) = raw_pair(100);
    conn.queue(Outgoing::Text("x".repeat(1000)));
    for _ in 0..2000 {
        // A new budget of the runtime: without one, nothing is written.
        tokio::task::yield_now().await;
        assert!(conn.flush().now_or_never().is_none());
        peer.read_exact(&mut [0; 100]).await.unwrap();
        conn.queue(Outgoing::Text("x".repeat(98)));
    }
    assert!(conn.queued_bytes() > 0);
    assert!(conn.heap_bytes() < 8192, "{}", conn.heap_bytes());
}

#[tokio::test]
async fn second_ping_and_everything_after_a_close_is_left_out() {
    let (mut conn, mut peer) = raw_pair(1000);
    conn.queue(Outgoing::Ping { mark: None });
    conn.queue(Outgoing::Ping { mark: None });
    conn.queue(Outgoing::Close { code: CloseCode::Restart, reason: "" });
    conn.queue(Outgoing::Close { code: CloseCode::Normal, reason: "" });
    conn.queue(Outgoing::Ping { mark: None });
    conn.shutdown().await.unwrap();
    let mut written = Vec::new();
    peer.read_to_end(&mut written).await.unwrap();
    assert_eq!(written, b"\x89\x00\x88\x02\x03\xf4");
}

#[tokio::test]
async fn write_to_a_peer_that_is_gone_is_an_error() {
    let (mut conn, peer) = raw_pair(1000);
    drop(peer);
    conn.queue(Outgoing::Text("hello".to_owned()));
    assert!(conn.flush().await.is_err());
}

/// A peer that has read all but a little of a long message keeps all of it in memory.
#[tokio::test]
async fn what_is_not_written_holds_the_memory_of_the_whole() {
    let (ours, mut theirs) = tokio::io::duplex(64 * 1024);
    let mut conn = WsConn::new(ours, SETTINGS);
    conn.queue(Outgoing::Text("x".repeat(100_000)));
    assert!(conn.flush().now_or_never().is_none());
    let mut read = vec![0; 30_000];
    theirs.read_exact(&mut read).await.unwrap();
    assert!(conn.flush().now_or_never().is_none());
    assert!(conn.queued_bytes() < 10_000 && (100_000..101_000).contains(&conn.unwritten_memory()));
    theirs.read_exact(&mut read).await.unwrap();
    assert!(conn.flush().now_or_never().is_some());
    assert_eq!((conn.queued_bytes(), conn.unwritten_memory()), (0, 0));
}
