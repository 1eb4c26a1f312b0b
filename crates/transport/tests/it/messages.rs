use cuttlebone_transport::{Conn, ConnExt, Incoming, Outgoing};
use futures_util::{FutureExt, SinkExt, StreamExt};
use tokio::io::AsyncWriteExt;
use tokio_websockets::{CloseCode, Message};

use crate::peer::{PONG, TEXT, frame, pair, raw_pair};

#[tokio::test]
async fn texts_go_both_ways() {
    let (mut conn, mut peer) = pair(1 << 20);
    peer.send(Message::text("grüße")).await.unwrap();
    assert_eq!(conn.next().await, Incoming::Text);
    assert_eq!(conn.text(), "grüße");
    conn.queue(Outgoing::Text("answer".to_owned()));
    conn.flush().await.unwrap();
    assert_eq!(peer.next().await.unwrap().unwrap().as_text(), Some("answer"));
}

#[tokio::test]
async fn every_size_arrives_unchanged() {
    let (mut conn, mut peer) = pair(1 << 20);
    for len in [0, 1, 125, 126, 4_000, 16_384, 32_768, 65_535, 65_536, 262_144] {
        let text: String = ('a'..='z').cycle().take(len).collect();
        peer.send(Message::text(text.clone())).await.unwrap();
        assert_eq!(conn.next().await, Incoming::Text, "{len}");
        assert_eq!(conn.text(), text);
        conn.queue(Outgoing::Text(text.clone()));
        conn.flush().await.unwrap();
        assert_eq!(peer.next().await.unwrap().unwrap().as_text(), Some(text.as_str()));
    }
}

#[tokio::test]
async fn many_messages_of_one_read_come_one_by_one() {
    let (mut conn, mut peer) = raw_pair(1 << 20);
    let stream: Vec<u8> = (0..1000).flat_map(|i| frame(TEXT, format!("message {i}").as_bytes())).collect();
    peer.write_all(&stream).await.unwrap();
    for i in 0..1000 {
        assert_eq!(conn.next().await, Incoming::Text);
        assert_eq!(conn.text(), format!("message {i}"));
    }
    assert_eq!(conn.next().now_or_never(), None);
}

#[tokio::test]
async fn cancelled_read_loses_nothing() {
    let (mut conn, mut peer) = raw_pair(1 << 20);
    for byte in frame(TEXT, "€uro".as_bytes()) {
        assert_eq!(conn.next().now_or_never(), None);
        peer.write_all(&[byte]).await.unwrap();
    }
    assert_eq!(conn.next().await, Incoming::Text);
    assert_eq!(conn.text(), "€uro");
}

#[tokio::test]
async fn binary_and_pong_are_told() {
    let (mut conn, mut peer) = pair(1 << 20);
    peer.send(Message::binary(vec![1, 2, 3])).await.unwrap();
    peer.send(Message::pong("x")).await.unwrap();
    assert_eq!(conn.next().await, Incoming::Binary);
    assert_eq!(conn.binary(), [1, 2, 3]);
    assert_eq!(conn.next().await, Incoming::Pong { mark: None });
    assert_eq!(conn.queued_bytes(), 0);
}

#[tokio::test]
async fn ping_is_answered_with_its_payload() {
    let (mut conn, mut peer) = pair(1 << 20);
    peer.send(Message::ping("are you there")).await.unwrap();
    assert_eq!(conn.next().await, Incoming::Ping);
    assert!(conn.queued_bytes() > 0);
    conn.flush().await.unwrap();
    assert_eq!(conn.queued_bytes(), 0);
    let answer = peer.next().await.unwrap().unwrap();
    assert!(answer.is_pong());
    assert_eq!(&answer.as_payload()[..], b"are you there");
}

#[tokio::test]
async fn close_is_answered_with_its_code() {
    for code in [CloseCode::NORMAL_CLOSURE, CloseCode::GOING_AWAY] {
        let (mut conn, mut peer) = pair(1 << 20);
        peer.send(Message::close(Some(code), "bye")).await.unwrap();
        assert_eq!(conn.next().await, Incoming::Closed(Some(code.into())));
        conn.queue(Outgoing::Text("too late".to_owned()));
        conn.shutdown().await.unwrap();
        let answer = peer.next().await.unwrap().unwrap();
        assert_eq!(answer.as_close(), Some((code, "")));
        assert!(peer.next().await.is_none());
    }
}

#[tokio::test]
async fn close_without_a_code_is_answered_without_one() {
    let (mut conn, mut peer) = pair(1 << 20);
    peer.send(Message::close(None, "")).await.unwrap();
    assert_eq!(conn.next().await, Incoming::Closed(None));
    conn.flush().await.unwrap();
    assert_eq!(peer.next().await.unwrap().unwrap().as_close(), Some((CloseCode::NO_STATUS_RECEIVED, "")));
}

#[tokio::test]
async fn end_without_close_is_broken_for_ever() {
    let (mut conn, mut peer) = raw_pair(1 << 20);
    peer.write_all(&frame(TEXT, b"half")[..7]).await.unwrap();
    drop(peer);
    assert_eq!(conn.next().await, Incoming::Broken);
    assert_eq!(conn.next().await, Incoming::Broken);
}

#[tokio::test]
async fn assembling_tells_half_messages_from_none() {
    let (mut conn, mut peer) = raw_pair(1 << 20);
    assert!(!conn.assembling());
    for half in [&frame(TEXT, b"text")[..1], &frame(0x01, b"fragment")] {
        let (mut conn, mut peer) = raw_pair(1 << 20);
        peer.write_all(half).await.unwrap();
        assert_eq!(conn.next().now_or_never(), None);
        assert!(conn.assembling(), "{half:x?}");
    }
    peer.write_all(&frame(PONG, b"")).await.unwrap();
    assert_eq!(conn.next().await, Incoming::Pong { mark: None });
    assert!(!conn.assembling());
}
