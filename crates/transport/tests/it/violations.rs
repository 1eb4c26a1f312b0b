use cuttlebone_proto::CloseCode;
use cuttlebone_transport::{Conn, ConnExt, Incoming, Outgoing, Violation};
use futures_util::StreamExt;
use tokio::io::AsyncWriteExt;

use crate::peer::{TEXT, client, frame, raw_pair};

/// Streams that break a rule each, with the code that answers it.
fn cases() -> Vec<(Vec<u8>, Violation, CloseCode)> {
    let mut unmasked = frame(TEXT, b"x");
    unmasked[1] &= 0x7f;
    let huge = [vec![TEXT, 0xff], (1_u64 << 62).to_be_bytes().into(), vec![0; 4]].concat();
    let mut fragments = frame(0x01, b"x");
    fragments.extend(frame(0x00, b"x").repeat(256));
    vec![
        (frame(TEXT, b"\xff\xfe"), Violation::NotUtf8, CloseCode::NotUtf8),
        (huge, Violation::TooLarge, CloseCode::TooLarge),
        (fragments, Violation::TooManyFragments, CloseCode::Policy),
        (unmasked, Violation::Protocol, CloseCode::Protocol),
        (frame(0x83, b""), Violation::Protocol, CloseCode::Protocol),
        (frame(0xc1, b"compressed"), Violation::Protocol, CloseCode::Protocol),
    ]
}

#[tokio::test]
async fn error_text_goes_out_before_the_close() {
    for (stream, violation, code) in cases() {
        let (mut conn, mut io) = raw_pair(1 << 20);
        io.write_all(&stream).await.unwrap();
        assert_eq!(conn.next().await, Incoming::Violation(violation));
        conn.queue(Outgoing::Text("the reason".to_owned()));
        conn.queue(Outgoing::Close { code, reason: "short" });
        conn.queue(Outgoing::Text("not any more".to_owned()));
        conn.shutdown().await.unwrap();
        let mut peer = client(io);
        assert_eq!(peer.next().await.unwrap().unwrap().as_text(), Some("the reason"));
        let close = peer.next().await.unwrap().unwrap();
        assert_eq!(close.as_close().map(|(code, reason)| (u16::from(code), reason)), Some((code.value(), "short")));
        assert!(peer.next().await.is_none(), "nothing after the close");
    }
}

#[tokio::test]
async fn what_follows_is_discarded_until_the_peer_hangs_up() {
    for (stream, violation, _) in cases() {
        let (mut conn, mut io) = raw_pair(1000);
        let noise = frame(TEXT, b"good, but too late").repeat(1000);
        let sending = async {
            io.write_all(&stream).await.unwrap();
            io.write_all(&noise).await.unwrap();
            drop(io);
        };
        let receiving = async {
            assert_eq!(conn.next().await, Incoming::Violation(violation));
            assert!(!conn.assembling());
            assert_eq!(conn.next().await, Incoming::Broken);
        };
        tokio::join!(sending, receiving);
        assert_eq!(conn.heap_bytes(), 0);
    }
}

#[tokio::test]
async fn close_codes_are_sent_as_they_are() {
    for (code, expected) in [(CloseCode::TakenOver, 4001), (CloseCode::Protocol, 1002)] {
        let (mut conn, io) = raw_pair(1000);
        conn.queue(Outgoing::Close { code, reason: "" });
        conn.flush().await.unwrap();
        let close = client(io).next().await.unwrap().unwrap();
        assert_eq!(close.as_close().map(|(code, _)| u16::from(code)), Some(expected));
    }
}
