//! Below the messages.

use std::time::Duration;

use tokio::time::Instant;

use crate::frames::{BINARY, CLOSE, CONTINUATION, PING, RawWs, Sent, TEXT, TEXT_BEGINS, frame, header};
use crate::support::Running;

const SECOND: Duration = Duration::from_secs(1);

/// A `connect` of exactly `size` bytes.
fn connect_of(size: usize) -> String {
    let mut text = r#"{"message_type":"connect","device_id":"d","x":""}"#.to_owned();
    let fill = "x".repeat(size - text.len());
    text.insert_str(text.len() - 2, &fill);
    text
}

#[tokio::test]
async fn t06_flood_of_pings_is_closed_within_a_second() {
    let server = Running::start();
    let mut client = RawWs::open(&server, "/connect_client").await;
    let flood = frame(PING, &[7; 125]).repeat(100_000);
    let begun = Instant::now();
    client.flood(&flood).await;
    client.expect_refused("too_many_control_frames", 1008).await;
    assert!(begun.elapsed() < SECOND, "{:?}", begun.elapsed());
    assert_eq!(server.metric(r#"cuttlebone_rejects_total{reason="too_many_control_frames"}"#).await, 1);
}

#[tokio::test]
async fn t07_empty_fragments_without_end_are_closed_within_a_second() {
    let server = Running::start();
    let mut client = RawWs::open(&server, "/connect_client").await;
    let flood = [frame(TEXT_BEGINS, b""), frame(CONTINUATION, b"").repeat(10_000)].concat();
    let begun = Instant::now();
    client.flood(&flood).await;
    client.expect_refused("too_many_fragments", 1008).await;
    assert!(begun.elapsed() < SECOND, "{:?}", begun.elapsed());
}

#[tokio::test]
async fn t07_fragment_256_is_the_last_that_is_taken() {
    let server = Running::start();
    let _device = RawWs::device(&server, "d").await;
    for (fragments, is_good) in [(256, true), (257, false)] {
        let mut client = RawWs::open(&server, "/connect_client").await;
        let text = connect_of(fragments);
        let mut stream = Vec::new();
        for (index, byte) in text.bytes().enumerate() {
            let first = if index == 0 { TEXT_BEGINS } else { CONTINUATION };
            let last = if index + 1 == fragments { 0x80 } else { 0 };
            stream.extend(frame(first | last, &[byte]));
        }
        client.send(&stream).await;
        if is_good {
            client.expect_type("config").await;
        } else {
            client.expect_refused("too_many_fragments", 1008).await;
        }
    }
}

#[tokio::test]
async fn t07_fragment_and_then_silence_is_closed_at_the_deadline() {
    let limit = Duration::from_millis(300);
    let server = Running::with(|settings| settings.timeouts.message = limit);
    let mut client = RawWs::open(&server, "/connect_client").await;
    let begun = Instant::now();
    client.send(&frame(TEXT_BEGINS, b"{")).await;
    client.expect_refused("unfinished_message", 1008).await;
    assert!((limit..limit + SECOND / 2).contains(&begun.elapsed()), "{:?}", begun.elapsed());
}

#[tokio::test]
async fn t08_length_is_judged_by_the_header_alone() {
    let server = Running::start();
    for (length, is_good) in [(1 << 62, false), (u64::MAX >> 1, false), (256 * 1024 + 1, false), (256 * 1024, true)] {
        let mut client = RawWs::open(&server, "/connect_client").await;
        client.send(&header(TEXT, length)).await;
        if is_good {
            client.send(connect_of(256 * 1024).as_bytes()).await;
            client.expect_type("config").await;
        } else {
            client.expect_refused("message_too_large", 1009).await;
        }
    }
}

#[tokio::test]
async fn t09_compression_is_neither_negotiated_nor_taken() {
    let server = Running::start();
    let mut client = RawWs::open(&server, "/connect_client").await;
    client.send(&frame(0xc1, b"\x4b\x04\x00")).await;
    client.expect_close(1002).await;
}

#[tokio::test]
async fn t12_text_that_is_not_utf8_is_1007_and_a_byte_order_mark_is_not_json() {
    let server = Running::start();
    let mut client = RawWs::open(&server, "/connect_client").await;
    client.send(&frame(TEXT, b"\xff\xfe")).await;
    client.expect_refused("not_utf8", 1007).await;
    let mut client = RawWs::open(&server, "/connect_client").await;
    client.text("\u{feff}{}").await;
    client.expect_refused("invalid_json", 1008).await;
}

#[tokio::test]
async fn t13_binary_frame_is_an_error_and_a_close() {
    let server = Running::start();
    for path in ["/connect_client", "/register_device"] {
        let mut peer = RawWs::open(&server, path).await;
        peer.send(&frame(BINARY, b"{}")).await;
        peer.expect_refused("binary_message", 1003).await;
    }
}

#[tokio::test]
async fn t14_broken_frames_are_1002_each() {
    let server = Running::start();
    let mut unmasked = frame(TEXT, b"x");
    unmasked[1] &= 0x7f;
    let cases = [
        ("unmasked", unmasked),
        ("opcode 3", frame(0x83, b"")),
        ("opcode 11", frame(0x8b, b"")),
        ("close of one byte", frame(CLOSE, b"x")),
        ("close 1005", frame(CLOSE, &1005_u16.to_be_bytes())),
        ("ping of 126 bytes", frame(PING, &[0; 126])),
        ("fragmented ping", frame(PING & 0x7f, b"")),
        ("continuation of nothing", frame(CONTINUATION, b"")),
    ];
    for (index, (what, bytes)) in (1..).zip(cases) {
        let mut client = RawWs::open(&server, "/connect_client").await;
        client.send(&bytes).await;
        assert_eq!(client.next().await, Sent::Close(1002), "{what}");
        assert_eq!(client.next().await, Sent::End, "{what}");
        assert_eq!(server.metric(r#"cuttlebone_rejects_total{reason="framing"}"#).await, index, "{what}");
    }
}
