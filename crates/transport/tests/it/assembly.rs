//! What the messages of many connections hold together while they come.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use cuttlebone_transport::ws::{Assembly, WsConn};
use cuttlebone_transport::{Conn, ConnExt, Incoming};
use futures_util::FutureExt;
use tokio::io::{AsyncWriteExt, DuplexStream};

use crate::peer::{SETTINGS, TEXT, frame};

const TEXT_BEGINS: u8 = 0x01;
const TEXT_ENDS: u8 = 0x80;
const KIB: usize = 1024;
const LIMIT: usize = 256 * KIB;
const MOST: usize = 2 * LIMIT;

/// One bound for all, beyond which there is room for one.
#[derive(Debug)]
struct Together {
    most: usize,
    taken: AtomicUsize,
}

impl Together {
    fn new(most: usize) -> Arc<Self> {
        Arc::new(Self { most, taken: AtomicUsize::new(0) })
    }

    fn bytes(&self) -> usize {
        self.taken.load(Ordering::Relaxed)
    }
}

impl Assembly for Together {
    fn has_room(&self, bytes: usize) -> bool {
        self.bytes() == 0 || self.bytes() + bytes <= self.most
    }

    fn take(&self, bytes: usize) -> bool {
        let has_room = self.has_room(bytes);
        self.taken.fetch_add(if has_room { bytes } else { 0 }, Ordering::Relaxed);
        has_room
    }

    fn give_back(&self, bytes: usize) {
        self.taken.fetch_sub(bytes, Ordering::Relaxed);
    }
}

fn pair(assembly: &Arc<Together>) -> (WsConn<DuplexStream>, DuplexStream) {
    let (ours, theirs) = tokio::io::duplex(256 * KIB);
    (WsConn::new(ours, SETTINGS).sharing(Arc::<Together>::clone(assembly)), theirs)
}

/// A connection that has been polled after half a message of this size came.
async fn half(assembly: &Arc<Together>, bytes: usize) -> (WsConn<DuplexStream>, DuplexStream) {
    let (mut conn, mut peer) = pair(assembly);
    peer.write_all(&frame(TEXT_BEGINS, &vec![b'x'; bytes])).await.unwrap();
    assert_eq!(conn.next().now_or_never(), None);
    (conn, peer)
}

#[tokio::test]
async fn many_half_messages_do_not_pass_the_bound_and_small_whole_ones_go_on() {
    let assembly = Together::new(MOST);
    let mut halves = Vec::new();
    for _ in 0..20 {
        halves.push(half(&assembly, 60 * KIB).await);
    }
    // Two may come to that; of the others 16 KiB each.
    let waiting = halves.iter().filter(|(conn, _)| conn.waits_for_others()).count();
    assert_eq!((waiting, assembly.bytes()), (18, MOST));
    let heap: usize = halves.iter().map(|(conn, _)| conn.heap_bytes()).sum();
    assert!(heap <= 2 * 64 * KIB + 18 * (16 * KIB + 3), "{heap}");

    let (mut other, mut peer) = pair(&assembly);
    for _ in 0..3 {
        peer.write_all(&frame(TEXT, &vec![b'x'; 15 * KIB])).await.unwrap();
        assert_eq!(other.next().now_or_never(), Some(Incoming::Text));
        assert_eq!(other.text().len(), 15 * KIB);
    }
}

#[tokio::test]
async fn message_goes_on_when_another_is_done_and_nothing_of_it_is_lost() {
    let assembly = Together::new(1);
    let (mut first, mut first_peer) = half(&assembly, 40 * KIB).await;
    let (mut second, mut second_peer) = half(&assembly, 40 * KIB).await;
    for peer in [&mut first_peer, &mut second_peer] {
        peer.write_all(&frame(TEXT_ENDS, b"end")).await.unwrap();
    }
    assert_eq!(second.next().now_or_never(), None);
    assert!(second.waits_for_others());
    assert_eq!(first.next().now_or_never(), Some(Incoming::Text));
    assert_eq!(second.next().now_or_never(), None, "it is complete, and still there, however long it is held");
    assert_eq!(first.text().len(), 40 * KIB + 3);
    assert_eq!(first.next().now_or_never(), None);
    assert_eq!(second.next().now_or_never(), Some(Incoming::Text));
    assert_eq!(second.text().len(), 40 * KIB + 3);
    assert_eq!(second.next().now_or_never(), None);
    assert!(!second.waits_for_others());
    assert_eq!(assembly.bytes(), 0);
}

#[tokio::test]
async fn what_a_message_was_given_is_given_back_however_it_ends() {
    let assembly = Together::new(MOST);
    let (dropped, _peer) = half(&assembly, 20 * KIB).await;
    assert_eq!(assembly.bytes(), LIMIT);
    drop(dropped);
    assert_eq!(assembly.bytes(), 0);
    let (mut faulty, mut peer) = half(&assembly, 20 * KIB).await;
    // A new message in the middle of one.
    peer.write_all(&frame(TEXT, b"x")).await.unwrap();
    assert!(matches!(faulty.next().now_or_never(), Some(Incoming::Violation(_))));
    assert_eq!(assembly.bytes(), 0);
    let (mut discarded, _peer) = half(&assembly, 20 * KIB).await;
    discarded.discard();
    assert_eq!((assembly.bytes(), discarded.heap_bytes()), (0, 0));
}

#[tokio::test]
async fn message_whose_size_is_known_is_given_that_and_no_more() {
    let assembly = Together::new(MOST);
    let (mut conn, mut peer) = pair(&assembly);
    let message = frame(TEXT, &vec![b'x'; 60 * KIB]);
    peer.write_all(&message[..30 * KIB]).await.unwrap();
    assert_eq!(conn.next().now_or_never(), None);
    assert_eq!(assembly.bytes(), 60 * KIB);
}

#[tokio::test]
async fn message_that_was_looked_at_is_freed_when_the_next_is_not_asked_for() {
    let assembly = Together::new(MOST);
    let (mut conn, mut peer) = pair(&assembly);
    let message = frame(TEXT, &vec![b'x'; 60 * KIB]);
    peer.write_all(&[message.as_slice(), &frame(TEXT, b"next")].concat()).await.unwrap();
    assert_eq!(conn.next().now_or_never(), Some(Incoming::Text));
    assert!(assembly.bytes() > 0 && conn.heap_bytes() > 60 * KIB);
    conn.forget_message();
    assert_eq!(assembly.bytes(), 0);
    assert!(conn.heap_bytes() < 100, "{}", conn.heap_bytes());
    assert_eq!(conn.next().now_or_never(), Some(Incoming::Text));
    assert_eq!(conn.text(), "next");
}

#[tokio::test]
async fn room_of_a_large_message_is_not_kept_for_a_small_one_behind_it() {
    let (mut conn, mut peer) = pair(&Together::new(MOST));
    peer.write_all(&[frame(TEXT, &vec![b'x'; 60 * KIB]), frame(TEXT_BEGINS, b"x")].concat()).await.unwrap();
    assert_eq!(conn.next().now_or_never(), Some(Incoming::Text));
    assert_eq!(conn.next().now_or_never(), None);
    assert!(conn.heap_bytes() < 100, "{}", conn.heap_bytes());
}
