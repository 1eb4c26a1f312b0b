use std::time::Duration;

use cuttlebone_transport::ws::{Limits, Settings, WsConn};
use cuttlebone_transport::{Conn, ConnExt, Incoming, Outgoing, Rate, Violation};
use futures_util::FutureExt;
use tokio::io::{AsyncReadExt, AsyncWriteExt};

use crate::peer::{PING, PONG, SETTINGS, TEXT, frame, raw_pair};

#[tokio::test(start_paused = true)]
async fn control_frames_beyond_the_budget_are_a_violation() {
    for first in [PING, PONG] {
        let (mut conn, mut peer) = raw_pair(1 << 20);
        peer.write_all(&frame(first, &[7; 125]).repeat(51)).await.unwrap();
        for _ in 0..50 {
            assert!(matches!(conn.next().await, Incoming::Ping | Incoming::Pong { .. }));
        }
        assert_eq!(conn.next().await, Incoming::Violation(Violation::ControlFlood));
        assert_eq!(conn.next().now_or_never(), None);
    }
}

/// Others can have us ask a peer whether it is there, as often as they like: who registers its id.
#[tokio::test(start_paused = true)]
async fn answer_to_a_ping_of_ours_is_of_no_budget() {
    let (mut conn, mut peer) = raw_pair(1 << 20);
    let mut sent = [0; 2];
    for _ in 0..1000 {
        conn.queue(Outgoing::Ping { mark: None });
        conn.flush().await.unwrap();
        peer.read_exact(&mut sent).await.unwrap();
        peer.write_all(&frame(PONG, b"")).await.unwrap();
        assert_eq!(conn.next().await, Incoming::Pong { mark: None });
    }
    peer.write_all(&frame(PONG, b"").repeat(51)).await.unwrap();
    for _ in 0..50 {
        assert_eq!(conn.next().await, Incoming::Pong { mark: None });
    }
    assert_eq!(conn.next().await, Incoming::Violation(Violation::ControlFlood));
}

#[tokio::test(start_paused = true)]
async fn control_frames_within_the_budget_go_on_for_ever() {
    let (mut conn, mut peer) = raw_pair(1 << 20);
    for _ in 0..1000 {
        tokio::time::advance(Duration::from_millis(100)).await;
        peer.write_all(&frame(PING, b"x")).await.unwrap();
        assert_eq!(conn.next().await, Incoming::Ping);
        conn.flush().await.unwrap();
    }
}

#[tokio::test]
async fn pings_of_a_peer_that_does_not_read_cost_no_memory() {
    let (ours, mut peer) = tokio::io::duplex(64);
    let control = Rate { per_second: 1_000_000, burst: 1_000_000 };
    let mut conn = WsConn::new(ours, Settings { control, ..SETTINGS });
    let flood = async {
        for _ in 0..20_000 {
            peer.write_all(&frame(PING, &[7; 125])).await.unwrap();
        }
    };
    let serve = async {
        for _ in 0..20_000 {
            assert_eq!(conn.next().await, Incoming::Ping);
            let _ = conn.flush().now_or_never();
            conn.queue(Outgoing::Ping { mark: None });
            assert!(conn.queued_bytes() <= 2 * 127 + 2, "{}", conn.queued_bytes());
        }
    };
    tokio::join!(flood, serve);
    conn.settle();
    assert!(conn.heap_bytes() < 1024, "{}", conn.heap_bytes());
}

/// Who is owed a shorter answer than before has read nothing for that.
#[tokio::test]
async fn pings_of_changing_lengths_do_not_look_as_if_their_answers_were_read() {
    let (mut conn, mut peer) = raw_pair(300);
    let mut most = 0;
    for round in 0..40 {
        peer.write_all(&frame(PING, &vec![7; if round % 2 == 0 { 125 } else { 0 }])).await.unwrap();
        // A new budget of the runtime: without one, nothing is read.
        tokio::task::yield_now().await;
        assert_eq!(conn.next().await, Incoming::Ping);
        let is_stuck = conn.flush().now_or_never().is_none();
        assert!(is_stuck || round < 8, "the pipe is full");
        if is_stuck {
            assert!(conn.queued_bytes() >= most, "{} after {most}", conn.queued_bytes());
            most = conn.queued_bytes();
        }
    }
}

#[tokio::test]
async fn connection_that_is_about_to_wait_keeps_what_is_unread_and_unwritten_and_no_more() {
    let (mut conn, mut peer) = raw_pair(1 << 20);
    let messages: Vec<String> = (0..20).map(|number| format!("{number}-{}", "x".repeat(1000))).collect();
    let frames: Vec<u8> = messages.iter().flat_map(|text| frame(TEXT, text.as_bytes())).collect();
    peer.write_all(&frames).await.unwrap();
    for (number, text) in messages.iter().enumerate() {
        assert_eq!((conn.next().await, conn.text()), (Incoming::Text, text.as_str()));
        conn.queue(Outgoing::Text(text.clone()));
        conn.settle();
        assert_eq!(conn.text(), text, "it stays");
        let left = frames.len() / 20 * (19 - number) + conn.queued_bytes() + text.len();
        assert!(conn.heap_bytes() <= 2 * left + 100, "{} of {left} after {number}", conn.heap_bytes());
    }
    conn.flush().await.unwrap();
    let mut echoed = vec![0; 10 * (4 + 1002) + 10 * (4 + 1003)];
    peer.read_exact(&mut echoed).await.unwrap();
    for text in &messages {
        assert!(echoed.windows(text.len()).any(|window| window == text.as_bytes()), "{text}");
    }
}

#[tokio::test]
async fn latest_ping_is_answered() {
    let (mut conn, mut peer) = raw_pair(1 << 20);
    peer.write_all(&[frame(PING, b"1"), frame(PING, b"2"), frame(PING, b"3")].concat()).await.unwrap();
    for _ in 0..3 {
        assert_eq!(conn.next().await, Incoming::Ping);
    }
    conn.flush().await.unwrap();
    drop(conn);
    let mut answer = Vec::new();
    peer.read_to_end(&mut answer).await.unwrap();
    assert_eq!(answer, b"\x8a\x013");
}

#[tokio::test]
async fn waiting_connection_holds_no_buffer() {
    let (mut conn, mut peer) = raw_pair(1 << 20);
    peer.write_all(&frame(TEXT, &[b'x'; 20_000]).repeat(3)).await.unwrap();
    peer.write_all(&frame(PING, b"x")).await.unwrap();
    for _ in 0..3 {
        assert_eq!(conn.next().await, Incoming::Text);
        conn.queue(Outgoing::Text(conn.text().to_owned()));
    }
    assert_eq!(conn.next().await, Incoming::Ping);
    assert!(conn.heap_bytes() > 60_000);
    conn.flush().await.unwrap();
    assert_eq!(conn.next().now_or_never(), None);
    assert_eq!((conn.heap_bytes(), conn.queued_bytes()), (0, 0));
    assert!(size_of_val(&conn) < 512, "{}", size_of_val(&conn));
}

#[tokio::test]
async fn message_in_pieces_holds_little_more_than_itself() {
    let (ours, mut peer) = tokio::io::duplex(1 << 20);
    let limits = Limits { message_bytes: 1 << 20, fragments: 1000 };
    let mut conn = WsConn::new(ours, Settings { limits, ..SETTINGS });
    peer.write_all(&frame(0x01, &[b'x'; 1000])).await.unwrap();
    for sent in 2..500 {
        peer.write_all(&frame(0x00, &[b'x'; 1000])).await.unwrap();
        assert_eq!(conn.next().now_or_never(), None);
        assert!(conn.heap_bytes() <= 2000 * sent + 10);
    }
}
