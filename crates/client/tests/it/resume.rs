//! A client's session that goes on over a new connection.

use std::time::Duration;

use cuttlebone_client::{ClientEvent, Resume, SendError, client};

use crate::fake::{CONFIG, FakeServer, device_msg, draining, session};
use crate::line::{Line, NEW, resuming, slow};

#[tokio::test]
async fn broken_connection_is_resumed_with_the_newest_token_and_the_number_of_messages_had() {
    let server = FakeServer::start().await;
    let (_handle, _events) = client(server.client());
    let mut peer = server.accept().await;
    assert_eq!(peer.text().await, NEW);
    for text in [CONFIG, &session("t1", None), &device_msg(1), &device_msg(2)] {
        peer.send(text).await;
    }
    drop(peer);
    let mut peer = server.accept().await;
    assert_eq!(peer.text().await, resuming("t1", 2));
    for text in [CONFIG, &session("t2", Some(0)), &device_msg(3)] {
        peer.send(text).await;
    }
    drop(peer);
    assert_eq!(server.accept().await.text().await, resuming("t2", 3));
}

#[tokio::test]
async fn application_is_told_of_the_loss_and_that_the_session_goes_on() {
    let mut line = Line::open().await;
    line.cut().await;
    let info = r#"{"message_type":"device_info","device_info":{ "b":1e999 },"cuttlebone_resume":"t2","cuttlebone_received":0}"#;
    line.answer(info).await;
    let (_, pause) = line.lost().await;
    assert!(pause <= Duration::from_millis(8), "{pause:?}");
    match line.event().await {
        ClientEvent::Resumed { complete: true, device_info } => assert_eq!(device_info.get(), r#"{ "b":1e999 }"#),
        other => panic!("not resumed: {other:?}"),
    }
    line.forward(1..=1).await;
    line.reads(1..=1).await;
}

#[tokio::test]
async fn what_was_not_taken_is_written_again_and_then_what_waited() {
    let mut line = Line::open().await;
    line.forward(1..=4).await;
    line.reads(1..=3).await;
    line.cut().await;
    line.lost().await;
    line.forward(5..=6).await;
    line.answer(&session("t2", Some(1))).await;
    line.reads(2..=6).await;
    assert!(line.resumed().await);
    // Written again is not taken: it may be asked for once more.
    line.cut().await;
    line.answer(&session("t3", Some(3))).await;
    line.reads(4..=6).await;
}

#[tokio::test]
async fn what_is_forwarded_while_the_connection_is_away_waits_in_a_bounded_queue() {
    let mut line = Line::open().await;
    line.cut().await;
    line.lost().await;
    let mut count = 0;
    let full = loop {
        match line.handle.try_forward(&(count + 1)) {
            Ok(()) => count += 1,
            Err(error) => break error,
        }
    };
    assert!(matches!(full, SendError::Full), "{full:?}");
    assert_eq!(count, 256);
    line.answer(&session("t2", Some(0))).await;
    line.reads(1..=count).await;
    assert!(line.resumed().await);
}

#[tokio::test]
async fn what_waits_is_bounded_in_bytes_too() {
    let mut line = Line::open().await;
    line.cut().await;
    line.lost().await;
    let long = "x".repeat(300 * 1024);
    for n in 1..=4 {
        let tried = line.handle.try_forward(&long);
        assert!(matches!((n, &tried), (..=3, Ok(())) | (4, Err(SendError::Full))), "{n}: {tried:?}");
    }
    // There is room for less.
    line.handle.try_forward(&5).unwrap();
    line.answer(&session("t2", Some(0))).await;
    for _ in 1..=3 {
        assert!(line.peer().text().await.contains(&long));
    }
    line.reads(5..=5).await;
    // What was written makes room.
    line.handle.forward(&long).await.unwrap();
    assert!(line.peer().text().await.contains(&long));
}

#[tokio::test]
async fn message_longer_than_all_that_may_wait_waits_alone() {
    let mut line = Line::open().await;
    line.cut().await;
    line.lost().await;
    let longest = "x".repeat(2 << 20);
    line.handle.try_forward(&longest).unwrap();
    let full = line.handle.try_forward(&0);
    assert!(matches!(full, Err(SendError::Full)), "{full:?}");
    let handle = line.handle.clone();
    let answering = async {
        line.answer(&session("t2", Some(0))).await;
        assert!(line.peer().text().await.contains(&longest));
        line.reads(1..=1).await;
    };
    let (sent, ()) = tokio::join!(handle.forward(&1), answering);
    sent.unwrap();
}

#[tokio::test]
async fn forward_that_waits_for_room_is_told_of_the_close() {
    let mut line = Line::open_with(slow).await;
    line.peer = None;
    line.lost().await;
    let full = "x".repeat(1 << 20);
    line.handle.try_forward(&full).unwrap();
    let handle = line.handle.clone();
    let (waiting, ()) = tokio::join!(handle.forward(&0), line.handle.close());
    assert!(matches!(waiting, Err(SendError::Closed)), "{waiting:?}");
}

#[tokio::test]
async fn messages_that_were_read_and_not_yet_taken_by_the_application_count_and_are_delivered() {
    let mut line = Line::open().await;
    for n in 1..=100 {
        line.peer().send(&device_msg(n)).await;
    }
    assert_eq!(line.cut().await, resuming("t1", 100));
    line.answer(&session("t2", Some(0))).await;
    line.peer().send(&device_msg(101)).await;
    for n in 1..=100 {
        line.message(n).await;
    }
    line.lost().await;
    assert!(line.resumed().await);
    line.message(101).await;
}

#[tokio::test]
async fn messages_that_do_not_fit_into_the_queue_of_events_are_read_before_the_loss_is_told() {
    let mut line = Line::open().await;
    line.peer().send_all((1..=600).map(device_msg)).await;
    line.peer = None;
    for n in 1..=600 {
        line.message(n).await;
    }
    line.lost().await;
    assert_eq!(line.next().await, resuming("t1", 600));
}

#[tokio::test]
async fn without_counts_something_may_be_lost_but_nothing_is_written_twice() {
    let mut line = Line::open().await;
    line.forward(1..=2).await;
    line.reads(1..=2).await;
    line.peer().send(&device_msg(1)).await;
    assert_eq!(line.cut().await, resuming("t1", 1));
    line.message(1).await;
    line.lost().await;
    line.forward(3..=3).await;
    line.answer(&session("t2", None)).await;
    line.reads(3..=3).await;
    assert!(!line.resumed().await);
    // Both count anew.
    line.peer().send(&device_msg(2)).await;
    assert_eq!(line.cut().await, resuming("t2", 1));
    line.answer(&session("t3", Some(0))).await;
    line.reads(3..=3).await;
}

#[tokio::test]
async fn what_is_over_the_bounds_is_not_kept_and_the_application_is_told() {
    for bounds in [Resume { messages: 2, ..Resume::default() }, Resume { bytes: 90, ..Resume::default() }] {
        let mut line = Line::open_with(|options| options.resume = Some(bounds)).await;
        line.forward(1..=4).await;
        line.reads(1..=4).await;
        line.cut().await;
        line.lost().await;
        line.answer(&session("t2", Some(1))).await;
        line.reads(3..=4).await;
        assert!(!line.resumed().await);
        line.cut().await;
        line.lost().await;
        // 1 was taken, 2 is lost: what the server calls the second is 3.
        line.answer(&session("t3", Some(2))).await;
        line.reads(4..=4).await;
        assert!(line.resumed().await);
    }
}

#[tokio::test]
async fn planned_restart_loses_nothing() {
    let mut line = Line::open_with(slow).await;
    line.forward(1..=3).await;
    line.reads(1..=3).await;
    line.peer().send(&device_msg(1)).await;
    line.peer().send(&draining(2)).await;
    assert_eq!(line.close(1012).await, resuming("t1", 1));
    line.message(1).await;
    let (reason, pause) = line.lost().await;
    assert_eq!(reason, "the server closed the connection (1012: why)");
    assert!(pause <= Duration::from_millis(500), "{pause:?}");
    line.forward(4..=4).await;
    line.answer(&session("t2", None)).await;
    line.reads(3..=4).await;
    assert!(line.resumed().await);
    line.peer().send(&device_msg(2)).await;
    assert_eq!(line.close(1012).await, resuming("t2", 1));
    line.answer(&session("t3", Some(1))).await;
    line.reads(4..=4).await;
}

#[tokio::test]
async fn nothing_is_written_to_a_server_that_is_about_to_restart() {
    let mut line = Line::open().await;
    line.peer().send(&draining(0)).await;
    // What comes after the draining tells that it was read.
    line.peer().send(&device_msg(1)).await;
    line.message(1).await;
    line.forward(1..=2).await;
    assert_eq!(line.close(1012).await, resuming("t1", 1));
    line.answer(&session("t2", None)).await;
    line.reads(1..=2).await;
}

#[tokio::test]
async fn planned_restart_after_which_nobody_is_there_for_a_while_still_loses_nothing() {
    let mut line = Line::open().await;
    line.forward(1..=2).await;
    line.reads(1..=2).await;
    line.peer().send(&draining(1)).await;
    line.peer = None;
    line.lost().await;
    for _ in 0..2 {
        line.server.refuse().await;
        line.lost().await;
    }
    assert_eq!(line.next().await, resuming("t1", 0));
    line.answer(&session("t2", None)).await;
    line.reads(2..=2).await;
    assert!(line.resumed().await);
}

#[tokio::test]
async fn planned_restart_after_which_the_first_answer_does_not_arrive_may_lose_and_the_application_is_told() {
    let mut line = Line::open().await;
    line.forward(1..=2).await;
    line.reads(1..=2).await;
    line.peer().send(&draining(1)).await;
    assert_eq!(line.cut().await, resuming("t1", 0));
    line.lost().await;
    line.peer().send(CONFIG).await;
    assert_eq!(line.cut().await, resuming("t1", 0));
    line.lost().await;
    line.answer(&session("t2", None)).await;
    line.reads(2..=2).await;
    assert!(!line.resumed().await);
    // That restart is over.
    line.peer().send(&draining(0)).await;
    assert_eq!(line.close(1012).await, resuming("t2", 0));
    line.lost().await;
    line.answer(&session("t3", None)).await;
    line.reads(2..=2).await;
    assert!(line.resumed().await);
}

#[tokio::test]
async fn word_of_a_restart_is_enough_to_come_back_soon() {
    let mut line = Line::open_with(slow).await;
    line.peer().send(&draining(0)).await;
    assert_eq!(line.cut().await, resuming("t1", 0));
    let (_, pause) = line.lost().await;
    assert!(pause <= Duration::from_millis(500), "{pause:?}");
}

#[tokio::test]
async fn session_is_asked_for_while_the_server_holds_it_however_long_the_pauses_and_however_short_it_lasted() {
    let mut line = Line::open_with(slow).await;
    for n in 2..=20 {
        line.peer = None;
        let (_, pause) = line.lost().await;
        assert!(pause <= Duration::from_secs(2), "{pause:?}");
        tokio::time::pause();
        tokio::time::advance(pause).await;
        tokio::time::resume();
        line.next().await;
        line.answer(&session(&format!("t{n}"), Some(0))).await;
        assert!(line.resumed().await);
    }
}

#[tokio::test]
async fn close_for_a_restart_is_resumed_soon_even_if_nothing_was_said_before() {
    let mut line = Line::open_with(slow).await;
    line.forward(1..=1).await;
    line.reads(1..=1).await;
    assert_eq!(line.close(1012).await, resuming("t1", 0));
    let (_, pause) = line.lost().await;
    assert!(pause <= Duration::from_millis(500), "{pause:?}");
    line.answer(&session("t2", Some(0))).await;
    line.reads(1..=1).await;
    assert!(line.resumed().await);
}
