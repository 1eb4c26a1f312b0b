//! A peer that sends more than its rate is read later.

use std::time::Duration;

use cuttlebone_proto::CloseCode;
use cuttlebone_transport::ws::{DataRates, Settings, WsConn};
use cuttlebone_transport::{Conn, ConnExt, Incoming, Metered, Outgoing, Rate, Violation};
use futures_util::FutureExt;
use tokio::io::{AsyncReadExt, AsyncWriteExt, DuplexStream};
use tokio::time::{Instant, sleep_until};

use crate::peer::{PING, SETTINGS, TEXT, frame};

const MESSAGES: DataRates = DataRates { messages: Rate { per_second: 10, burst: 20 }, ..DataRates::OFF };

fn pair(data: DataRates, bytes: usize) -> (WsConn<DuplexStream>, DuplexStream) {
    let (ours, theirs) = tokio::io::duplex(bytes);
    (WsConn::new(ours, Settings { data, ..SETTINGS }), theirs)
}

/// The next thing that comes, however long the peer is held back before.
async fn next(conn: &mut WsConn<DuplexStream>) -> Incoming {
    loop {
        match (conn.next().now_or_never(), conn.pause()) {
            (Some(incoming), _) => return incoming,
            (None, Some(pause)) => sleep_until(pause.until).await,
            (None, None) => return conn.next().await,
        }
    }
}

#[tokio::test(start_paused = true)]
async fn messages_over_the_burst_come_at_the_rate_and_none_is_lost() {
    let (mut conn, mut peer) = pair(MESSAGES, 1 << 20);
    let begun = Instant::now();
    let stream: Vec<u8> = (0..50).flat_map(|i| frame(TEXT, format!("message {i}").as_bytes())).collect();
    peer.write_all(&stream).await.unwrap();
    for i in 0..50_u32 {
        assert_eq!(next(&mut conn).await, Incoming::Text);
        assert_eq!(conn.text(), format!("message {i}"));
        assert_eq!(begun.elapsed().as_millis(), u128::from(100 * i.saturating_sub(19)), "message {i}");
    }
    assert_eq!(conn.pause().map(|pause| pause.by), Some(Metered::Messages));
}

#[tokio::test(start_paused = true)]
async fn bytes_are_counted_as_they_are_read_even_within_one_message() {
    let bytes = Rate { per_second: 10_000, burst: 20_000 };
    let (mut conn, mut peer) = pair(DataRates { bytes, ..DataRates::OFF }, 1 << 20);
    peer.write_all(&frame(0x01, &[b'x'; 60_000])).await.unwrap();
    peer.write_all(&frame(0x80, &[b'x'; 60_000])).await.unwrap();
    let begun = Instant::now();
    assert_eq!(conn.next().now_or_never(), None);
    let pause = conn.pause().expect("held back within the message");
    assert_eq!(pause.by, Metered::Bytes);
    assert!(conn.assembling());
    assert_eq!(next(&mut conn).await, Incoming::Text);
    assert_eq!(conn.text().len(), 120_000);
    // All but the burst and the last read have been waited for.
    let waited = begun.elapsed().as_secs_f64();
    assert!((6.0..=10.1).contains(&waited), "{waited}");
}

#[tokio::test(start_paused = true)]
async fn frames_count_whatever_they_are_and_however_empty() {
    let frames = Rate { per_second: 100, burst: 50 };
    for (kind, each) in [("continuations", frame(0x00, b"")), ("texts", frame(TEXT, b""))] {
        let (mut conn, mut peer) = pair(DataRates { frames, ..DataRates::OFF }, 1 << 20);
        if kind == "continuations" {
            peer.write_all(&frame(0x01, b"")).await.unwrap();
        }
        peer.write_all(&each.repeat(200)).await.unwrap();
        let mut messages = 0;
        while conn.next().now_or_never().is_some() {
            messages += 1;
        }
        let pause = conn.pause().expect(kind);
        assert_eq!(pause.by, Metered::Frames, "{kind}");
        assert!(messages <= 50, "{messages} {kind}");
    }
}

#[tokio::test(start_paused = true)]
async fn pause_names_the_rate_that_asks_for_the_longest_wait() {
    let data = DataRates { frames: Rate { per_second: 1, burst: 1 }, ..MESSAGES };
    let (mut conn, mut peer) = pair(data, 1 << 20);
    peer.write_all(&frame(TEXT, b"x").repeat(2)).await.unwrap();
    assert_eq!(conn.next().await, Incoming::Text);
    let pause = conn.pause().expect("held back");
    assert_eq!((pause.by, pause.until - Instant::now()), (Metered::Frames, Duration::from_secs(1)));
    let slow = Rate { per_second: 1, burst: 1 };
    let data = DataRates { messages: slow, frames: Rate { per_second: 10, burst: 1 }, ..DataRates::OFF };
    let (mut conn, mut peer) = pair(data, 1 << 20);
    peer.write_all(&frame(TEXT, b"x").repeat(2)).await.unwrap();
    assert_eq!(conn.next().await, Incoming::Text);
    let pause = conn.pause().expect("held back");
    assert_eq!((pause.by, pause.until - Instant::now()), (Metered::Messages, Duration::from_secs(1)));
}

#[tokio::test(start_paused = true)]
async fn peer_that_is_held_back_is_written_to_and_its_pings_are_answered_later() {
    let (mut conn, mut peer) = pair(MESSAGES, 1 << 20);
    peer.write_all(&[frame(TEXT, b"x").repeat(20), frame(PING, b"later")].concat()).await.unwrap();
    for _ in 0..20 {
        assert_eq!(conn.next().await, Incoming::Text);
    }
    assert_eq!(conn.next().now_or_never(), None);
    conn.queue(Outgoing::Text("hello".to_owned()));
    conn.flush().await.unwrap();
    let mut written = [0; 7];
    peer.read_exact(&mut written).await.unwrap();
    assert_eq!(&written, b"\x81\x05hello");
    assert_eq!(next(&mut conn).await, Incoming::Ping);
    conn.flush().await.unwrap();
    peer.read_exact(&mut written).await.unwrap();
    assert_eq!(&written, b"\x8a\x05later");
}

#[tokio::test(start_paused = true)]
async fn what_the_peer_sends_meanwhile_stays_in_the_socket() {
    let (mut conn, mut peer) = pair(MESSAGES, 1000);
    peer.write_all(&frame(TEXT, b"x").repeat(20)).await.unwrap();
    for _ in 0..20 {
        assert_eq!(conn.next().await, Incoming::Text);
    }
    peer.write_all(&[0x81; 1000]).await.unwrap();
    assert_eq!(conn.next().now_or_never(), None);
    assert!(peer.write_all(b"x").now_or_never().is_none(), "the pipe is full: nobody reads");
    assert_eq!(conn.heap_bytes(), 0);
}

#[tokio::test(start_paused = true)]
async fn more_than_the_rate_for_too_long_is_a_violation() {
    let patience = Duration::from_secs(30);
    let (mut conn, mut peer) = pair(DataRates { patience, ..MESSAGES }, 1000);
    let begun = Instant::now();
    let flood = async { while peer.write_all(&frame(TEXT, b"more")).await.is_ok() {} };
    let serve = async {
        let mut messages = 0;
        loop {
            match next(&mut conn).await {
                Incoming::Text => messages += 1,
                Incoming::Violation(violation) => break (messages, violation),
                other => panic!("{other:?}"),
            }
        }
    };
    let (messages, violation) = tokio::select! {
        outcome = serve => outcome,
        () = flood => panic!("the pipe broke"),
    };
    assert_eq!(violation, Violation::RateExceeded);
    assert!((320..=321).contains(&messages), "{messages}");
    assert!(begun.elapsed() >= patience && begun.elapsed() < patience + Duration::from_millis(200));
    assert_eq!(conn.pause(), None, "what follows is thrown away at once");
}

#[tokio::test(start_paused = true)]
async fn peer_that_catches_up_now_and_then_is_only_slowed() {
    let patience = Duration::from_secs(30);
    let (mut conn, mut peer) = pair(DataRates { patience, ..MESSAGES }, 1 << 20);
    for _ in 0..20 {
        // As much as 20 seconds of its rate, at once.
        peer.write_all(&frame(TEXT, b"x").repeat(220)).await.unwrap();
        for _ in 0..220 {
            assert_eq!(next(&mut conn).await, Incoming::Text);
        }
        // One token is there again, no more, and nothing is left to read.
        tokio::time::advance(Duration::from_millis(100)).await;
        assert_eq!(conn.next().now_or_never(), None);
        assert_eq!(conn.pause(), None);
    }
}

#[tokio::test(start_paused = true)]
async fn time_in_which_nobody_wanted_to_read_does_not_count_against_the_peer() {
    let patience = Duration::from_secs(30);
    let (mut conn, mut peer) = pair(DataRates { patience, ..MESSAGES }, 1 << 20);
    peer.write_all(&frame(TEXT, b"x").repeat(400)).await.unwrap();
    for _ in 0..21 {
        assert_eq!(next(&mut conn).await, Incoming::Text);
    }
    tokio::time::advance(patience * 2).await;
    for _ in 0..100 {
        assert_eq!(next(&mut conn).await, Incoming::Text);
    }
}

#[tokio::test(start_paused = true)]
async fn close_that_is_queued_ends_the_pause() {
    let (mut conn, mut peer) = pair(MESSAGES, 1 << 20);
    peer.write_all(&frame(TEXT, b"x").repeat(100)).await.unwrap();
    while conn.next().now_or_never().is_some() {}
    assert!(conn.pause().is_some());
    conn.queue(Outgoing::Close { code: CloseCode::Restart, reason: "" });
    assert_eq!(conn.pause(), None);
    drop(peer);
    for _ in 0..80 {
        assert_eq!(conn.next().await, Incoming::Text);
    }
    assert_eq!(conn.next().await, Incoming::Broken);
}
