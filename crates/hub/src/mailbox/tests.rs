use std::task::{Context, Poll};

use cuttlebone_proto::Reject;
use tokio::sync::oneshot;

use super::inbox::UNREAD_REPLIES;
use super::*;

const SMALL: Bound = Bound { frames: 2, bytes: 10 };

fn empty() -> Inbox {
    Inbox::new(SMALL, Arc::new(Budget::new(usize::MAX)))
}

fn sender(share: Bound) -> Arc<Sender> {
    Sender::new(cuttlebone_proto::ClientId::new(1).expect("valid"), share)
}

fn take(inbox: &Inbox, most: usize) -> Vec<String> {
    let mut items = Vec::new();
    let _ = inbox.poll_receive(&mut Context::from_waker(Waker::noop()), most, &mut items);
    items.into_iter().map(|item| if let Item::Text(text) = item { text } else { format!("{item:?}") }).collect()
}

#[test]
fn r1_own_replies_do_not_overtake_queued_frames() {
    let inbox = empty();
    inbox.mailbox().push("a".into()).expect("room");
    inbox.mailbox().reply("b".into());
    inbox.mailbox().push("c".into()).expect("room");
    assert_eq!(take(&inbox, 2), ["a", "b"]);
    assert_eq!(take(&inbox, 2), ["c"]);
}

#[test]
fn forwards_are_bounded_in_frames_and_bytes() {
    let inbox = empty();
    inbox.mailbox().push("123456".into()).expect("room");
    assert_eq!(inbox.mailbox().push("12345".into()), Err(PushError::Full("12345".into())));
    inbox.mailbox().push("1234".into()).expect("room");
    assert_eq!(inbox.mailbox().push(String::new()), Err(PushError::Full(String::new())));
    inbox.mailbox().reply("never refused".into());
    take(&inbox, 9);
    inbox.mailbox().push("x".repeat(100)).expect("one message fits into an empty queue");
}

#[test]
fn room_wakes_who_waits_for_it() {
    let inbox = empty();
    let mut cx = Context::from_waker(Waker::noop());
    inbox.mailbox().push("1234567890".into()).expect("room");
    let (permit, _) = inbox.mailbox().supersede(&sender(SMALL));
    assert!(inbox.mailbox().poll_room(&mut cx, 1, &permit).is_pending());
    take(&inbox, 1);
    assert!(inbox.mailbox().poll_room(&mut cx, 1, &permit).is_ready());
    inbox.mailbox().push_from("x".into(), &permit).expect("room");
    assert!(inbox.mailbox().state.lock().room.is_empty());
}

#[test]
fn a_large_message_that_waits_is_not_passed_by_small_ones_for_ever() {
    let inbox = Inbox::new(Bound { frames: 99, bytes: 30 }, Arc::new(Budget::new(usize::MAX)));
    let share = Bound { frames: 9, bytes: 30 };
    let [large, small, third] = [(); 3].map(|()| inbox.mailbox().supersede(&sender(share)).0);
    let push = |text: &str, permit| inbox.mailbox().push_from(text.into(), permit);
    let mut cx = Context::from_waker(Waker::noop());
    (0..3).for_each(|_| push("1234567890", &small).expect("room"));
    assert!(inbox.mailbox().poll_room(&mut cx, 25, &large).is_pending());
    take(&inbox, 1);
    assert_eq!(push("x", &small), Err(PushError::Full("x".into())), "there is room, but not for both");
    assert!(inbox.mailbox().poll_room(&mut cx, 1, &small).is_pending());
    take(&inbox, 2);
    assert_eq!(push("12345", &third), Err(PushError::Full("12345".into())), "nor for all three");
    push("1234", &third).expect("room for all");
    push("x", &small).expect("room for all");
    push(&"x".repeat(25), &large).expect("its turn");
}

#[test]
fn one_who_leaves_holds_nobody_up() {
    let inbox = Inbox::new(Bound { frames: 99, bytes: 30 }, Arc::new(Budget::new(usize::MAX)));
    let share = Bound { frames: 9, bytes: 30 };
    let former = sender(share);
    let [(large, _), (small, _)] = [&former, &sender(share)].map(|sender| inbox.mailbox().supersede(sender));
    inbox.mailbox().push_from("x".repeat(20), &small).expect("room");
    let wakes = Arc::new(Wakes::default());
    let waker = Waker::from(Arc::clone(&wakes));
    for gone in [false, true] {
        let mut noop = Context::from_waker(Waker::noop());
        assert!(inbox.mailbox().poll_room(&mut noop, 25, &large).is_pending());
        assert!(inbox.mailbox().poll_room(&mut Context::from_waker(&waker), 10, &small).is_pending());
        match gone {
            false => inbox.mailbox().stop_waiting(&large),
            true => drop(inbox.mailbox().supersede(&former)),
        }
        assert_eq!(wakes.count(), 1 + usize::from(gone));
        assert!(inbox.mailbox().poll_room(&mut noop, 10, &small).is_ready());
        inbox.mailbox().stop_waiting(&small);
    }
    inbox.mailbox().stop_waiting(&large);
    assert!(inbox.mailbox().state.lock().room.is_empty());
}

#[test]
fn what_waits_counts_and_does_not_wait_when_all_hold_too_much() {
    let budget = Arc::new(Budget::new(64 * 1024));
    let inbox = Inbox::new(SMALL, Arc::clone(&budget));
    let (permit, _) = inbox.mailbox().supersede(&sender(SMALL));
    inbox.mailbox().push("1234567890".into()).expect("room");
    assert!(inbox.mailbox().may_wait(100 * 1024));
    assert!(inbox.mailbox().poll_room(&mut Context::from_waker(Waker::noop()), 100 * 1024, &permit).is_pending());
    assert_eq!(budget.used(), 100 * 1024);
    assert!(!inbox.mailbox().may_wait(100 * 1024) && inbox.mailbox().may_wait(16 * 1024));
    inbox.mailbox().stop_waiting(&permit);
    assert_eq!(budget.used(), 0);
}

#[test]
fn r6_sealed_is_drained_to_the_close_and_takes_nothing_more() {
    let inbox = empty();
    inbox.mailbox().push("a".into()).expect("room");
    inbox.mailbox().seal(Some("error".into()), CloseCode::Policy);
    assert_eq!(inbox.mailbox().push("late".into()), Err(PushError::Sealed));
    inbox.mailbox().reply("late".into());
    inbox.mailbox().seal(Some("late".into()), CloseCode::Normal);
    assert_eq!(take(&inbox, 9), ["a", "error", "Close(Policy)"]);
}

#[test]
fn evicted_gives_up_what_is_queued() {
    let inbox = empty();
    inbox.mailbox().push("a".into()).expect("room");
    assert!(inbox.poll_urgent(&mut Context::from_waker(Waker::noop())).is_pending());
    inbox.mailbox().evict("slow".into(), CloseCode::TooSlow);
    let urgent = inbox.poll_urgent(&mut Context::from_waker(Waker::noop()));
    assert!(matches!(urgent, Poll::Ready(Urgent::Cut)));
    assert_eq!(take(&inbox, 9), ["slow", "Close(TooSlow)"]);
}

#[test]
fn a_probe_is_seen_before_what_is_queued_and_while_a_write_is_stuck() {
    let inbox = empty();
    inbox.mailbox().push("a".into()).expect("room");
    inbox.mailbox().urge(Notice::Probe(oneshot::channel().0));
    let urgent = inbox.poll_urgent(&mut Context::from_waker(Waker::noop()));
    assert!(matches!(urgent, Poll::Ready(Urgent::Notice(Notice::Probe(_)))));
    inbox.mailbox().urge(Notice::Probe(oneshot::channel().0));
    assert!(take(&inbox, 1)[0].contains("Probe"));
    assert_eq!(take(&inbox, 9), ["a"]);
}

#[test]
fn a_refusal_is_seen_while_a_write_is_stuck_and_not_by_who_is_being_closed() {
    let inbox = empty();
    let urgent = || inbox.poll_urgent(&mut Context::from_waker(Waker::noop()));
    inbox.mailbox().push("a".into()).expect("room");
    inbox.mailbox().urge(Notice::Refused(Reject::DeviceLeased));
    assert!(matches!(urgent(), Poll::Ready(Urgent::Notice(Notice::Refused(Reject::DeviceLeased)))));
    inbox.mailbox().seal(Some("error".into()), CloseCode::Policy);
    inbox.mailbox().urge(Notice::Refused(Reject::DeviceLeased));
    assert!(urgent().is_pending());
    assert_eq!(take(&inbox, 9), ["a", "error", "Close(Policy)"]);
}

#[test]
fn a_new_reader_is_greeted_before_what_was_held() {
    let first = empty();
    first.mailbox().push("held".into()).expect("room");
    let second = empty();
    second.mailbox().reply("own".into());
    let (second, _) = first.mailbox().adopt(second.mailbox(), "config".into(), SMALL, usize::MAX);
    assert_eq!(take(&second, 9), ["own", "config", "held"]);
    assert!(!first.is_current());
    let mut items = Vec::new();
    let revoked = first.poll_receive(&mut Context::from_waker(Waker::noop()), 1, &mut items);
    assert_eq!(revoked, Poll::Ready(Received::Revoked));
}

#[test]
fn a_peer_that_reads_no_replies_is_not_read() {
    let inbox = empty();
    for _ in 0..UNREAD_REPLIES {
        assert!(!inbox.is_read_blocked());
        inbox.mailbox().reply("x".into());
    }
    assert!(inbox.is_read_blocked());
    take(&inbox, 1);
    assert!(!inbox.is_read_blocked());
}

#[test]
fn one_sender_has_its_share_and_leaves_room_for_others() {
    let inbox = Inbox::new(Bound { frames: 9, bytes: 99 }, Arc::new(Budget::new(usize::MAX)));
    let share = Bound { frames: 2, bytes: 10 };
    let (greedy, _) = inbox.mailbox().supersede(&sender(share));
    let (modest, _) = inbox.mailbox().supersede(&sender(share));
    let push = |text: &str, permit| inbox.mailbox().push_from(text.into(), permit);
    push("longer than the share", &greedy).expect("one message always fits");
    assert_eq!(push("x", &greedy), Err(PushError::Full("x".into())));
    push("y", &modest).expect("room for others");
    let mut cx = Context::from_waker(Waker::noop());
    assert!(inbox.mailbox().poll_room(&mut cx, 1, &greedy).is_pending());
    take(&inbox, 1);
    assert!(inbox.mailbox().poll_room(&mut cx, 1, &greedy).is_ready());
    push("1", &greedy).expect("room again");
    push("2", &greedy).expect("room again");
    assert_eq!(push("3", &greedy), Err(PushError::Full("3".into())));
}

/// Counts how often it is woken.
#[derive(Default)]
struct Wakes(std::sync::atomic::AtomicUsize);

impl std::task::Wake for Wakes {
    fn wake(self: Arc<Self>) {
        self.0.fetch_add(1, std::sync::atomic::Ordering::Relaxed);
    }
}

impl Wakes {
    fn count(&self) -> usize {
        self.0.load(std::sync::atomic::Ordering::Relaxed)
    }
}

#[test]
fn a_sender_is_woken_when_there_is_room_for_its_message_and_not_before() {
    let inbox = Inbox::new(Bound { frames: 9, bytes: 30 }, Arc::new(Budget::new(usize::MAX)));
    let share = Bound { frames: 1, bytes: 10 };
    let [a, b, wide] =
        [share, share, Bound { frames: 9, bytes: 99 }].map(|share| inbox.mailbox().supersede(&sender(share)).0);
    let push = |text: &str, permit| inbox.mailbox().push_from(text.into(), permit);
    for permit in [&a, &wide, &b] {
        push("1234567890", permit).expect("room");
    }
    let wakes: [Arc<Wakes>; 3] = Default::default();
    for (permit, wakes) in [&a, &b, &wide].into_iter().zip(&wakes) {
        let waker = Waker::from(Arc::clone(wakes));
        // Asked again and again, it waits once.
        for _ in 0..2 {
            assert!(inbox.mailbox().poll_room(&mut Context::from_waker(&waker), 10, permit).is_pending());
        }
    }
    let counts = || wakes.each_ref().map(|wakes| wakes.count());
    take(&inbox, 1);
    assert_eq!(counts(), [1, 0, 0], "there is room for one");
    take(&inbox, 1);
    assert_eq!(counts(), [1, 0, 1], "and for the one that the queue was full for");
    take(&inbox, 1);
    assert_eq!(counts(), [1, 1, 1]);
    [&a, &wide, &b].iter().for_each(|permit| push("1234567890", permit).expect("its turn"));
    assert!(inbox.mailbox().state.lock().room.is_empty());
}

#[test]
fn a_former_connection_of_a_client_sends_nothing_more_and_the_count_is_exact() {
    let inbox = empty();
    let sender = sender(SMALL);
    let (former, taken) = inbox.mailbox().supersede(&sender);
    assert_eq!(taken, 0);
    inbox.mailbox().set_longest(5);
    inbox.mailbox().push_from("a".into(), &former).expect("room");
    assert_eq!(inbox.mailbox().push_from("123456".into(), &former), Err(PushError::TooLarge));
    let (present, taken) = inbox.mailbox().supersede(&sender);
    assert_eq!(taken, 2);
    assert_eq!(inbox.mailbox().push_from("b".into(), &former), Err(PushError::Superseded));
    assert_eq!(inbox.mailbox().push_from("123456".into(), &former), Err(PushError::Superseded));
    inbox.mailbox().push_from("b".into(), &present).expect("room");
    assert_eq!(inbox.mailbox().taken_from(&sender), 3);
}

#[test]
fn what_nobody_will_read_counts_as_not_taken() {
    let inbox = empty();
    let sender = sender(SMALL);
    let (permit, _) = inbox.mailbox().supersede(&sender);
    inbox.mailbox().push_from("a".into(), &permit).expect("room");
    inbox.mailbox().push_from("b".into(), &permit).expect("room");
    take(&inbox, 1);
    inbox.mailbox().abandon();
    assert_eq!(inbox.mailbox().taken_from(&sender), 1);
}

#[test]
fn a_client_that_resumes_gets_what_it_has_not_had_once_and_in_order() {
    let first = Inbox::new(Bound { frames: 9, bytes: 99 }, Arc::new(Budget::new(usize::MAX)));
    first.mailbox().keep_history(SMALL);
    first.mailbox().reply("config".into());
    for text in ["a", "b", "c"] {
        first.mailbox().push(text.into()).expect("room");
    }
    assert_eq!(take(&first, 3), ["config", "a", "b"]);
    first.mailbox().reply("of the old connection".into());
    let connection = empty();
    connection.mailbox().reply("config".into());
    let resume = |had: Option<(u32, u32)>| {
        let had = had.map_or(Had::Unknown, |(received, count)| Had::OfCount(count, Some(received)));
        first.mailbox().resume(connection.mailbox(), had, |whole, count| format!("{whole} {count}"))
    };
    let (second, is_whole) = resume(Some((1, 0))).expect("open");
    assert!(is_whole && !first.is_current());
    assert_eq!(take(&second, 2), ["config", "true 0"]);
    let (third, _) = resume(Some((1, 0))).expect("open");
    assert_eq!(take(&third, 9), ["true 0", "b", "c"]);
    let (fourth, is_whole) = resume(None).expect("open");
    assert!(!is_whole);
    first.mailbox().push("d".into()).expect("room");
    assert_eq!(take(&fourth, 9), ["false 1", "d"]);
    let (fifth, _) = resume(Some((0, 1))).expect("open");
    assert_eq!(take(&fifth, 9), ["true 1", "d"]);
    let (sixth, is_whole) = resume(Some((1, 0))).expect("open");
    assert!(!is_whole, "the number is of an earlier count");
    assert_eq!(take(&sixth, 9), ["false 2"]);
    first.mailbox().seal(None, CloseCode::Policy);
    assert!(resume(Some((1, 2))).is_none());
}

#[test]
fn what_came_back_with_a_pong_is_not_kept() {
    let inbox = Inbox::new(Bound { frames: 9, bytes: 99 }, Arc::new(Budget::new(usize::MAX)));
    assert_eq!(inbox.mark(), None);
    inbox.mailbox().keep_history(SMALL);
    for text in ["a", "b"] {
        inbox.mailbox().push(text.into()).expect("room");
    }
    take(&inbox, 1);
    assert_eq!(inbox.mark(), Some(1));
    take(&inbox, 1);
    inbox.confirm(1);
    inbox.confirm(9);
    let (inbox, _) =
        inbox.mailbox().resume(empty().mailbox(), Had::OfCount(0, Some(1)), |_, _| String::new()).expect("open");
    assert_eq!(inbox.mark(), Some(1), "what is to be sent again has not been sent");
    assert_eq!(take(&inbox, 9), ["", "b"]);
}

#[test]
fn when_all_hold_too_much_each_may_hold_a_little() {
    let budget = Arc::new(Budget::new(100_000));
    let wide = Bound { frames: 99, bytes: 1_000_000 };
    let (large, small) = (Inbox::new(wide, Arc::clone(&budget)), Inbox::new(wide, Arc::clone(&budget)));
    let text = || "x".repeat(10_000);
    for _ in 0..11 {
        large.mailbox().push(text()).expect("room");
    }
    assert!(budget.used() > 100_000);
    assert!(large.mailbox().push(text()).is_err());
    small.mailbox().push(text()).expect("room");
    assert!(small.mailbox().push(text()).is_err());
    take(&large, 99);
    assert!(small.mailbox().push(text()).is_ok());
    drop((large, small));
    assert_eq!(budget.used(), 0);
}

#[test]
fn what_is_to_be_sent_again_counts_once() {
    let budget = Arc::new(Budget::new(300_000));
    let wide = Bound { frames: 99, bytes: 1_000_000 };
    let first = Inbox::new(wide, Arc::clone(&budget));
    first.mailbox().keep_history(wide);
    (0..2).for_each(|_| first.mailbox().push("x".repeat(40_960)).expect("room"));
    take(&first, 9);
    take(&first, 9);
    assert_eq!(budget.used(), 81_920, "kept");
    let resume = || {
        let connection = Inbox::new(wide, Arc::clone(&budget));
        first.mailbox().resume(connection.mailbox(), Had::OfCount(0, Some(0)), |_, _| String::new()).expect("open").0
    };
    resume();
    assert_eq!(budget.used(), 81_920, "kept, and queued again");
    let again = resume();
    take(&again, 2);
    assert_eq!(budget.used(), 81_920);
    // It comes back from elsewhere.
    let another = Arc::new(Budget::new(usize::MAX));
    let connection = Inbox::new(wide, Arc::clone(&another));
    let had = Had::OfCount(0, Some(0));
    first.mailbox().resume(connection.mailbox(), had, |_, _| String::new()).expect("open");
    assert_eq!((budget.used(), another.used()), (0, 81_920));
    // It is queued, and there is no room to keep it any more.
    let again = resume();
    let large = Inbox::new(wide, Arc::clone(&budget));
    large.mailbox().push("x".repeat(245_760)).expect("room");
    assert_eq!((again.mark(), budget.used()), (Some(0), 245_760 + 81_920));
    (0..2).for_each(|_| drop(take(&again, 9)));
    assert_eq!(budget.used(), 245_760);
    again.abandon();
}
