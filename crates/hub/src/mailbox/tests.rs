use std::task::{Context, Poll};

use cuttlebone_proto::Reject;
use tokio::sync::oneshot;

use super::inbox::UNREAD_REPLIES;
use super::*;
use crate::party::{Owner, Realm};

const SMALL: Bound = Bound { frames: 2, bytes: 10 };

fn empty() -> Inbox {
    Inbox::new(SMALL, nobody())
}

fn nobody() -> Arc<Budget> {
    Arc::new(Budget::new(usize::MAX, Weights::EVEN))
}

fn sender(share: Bound) -> Arc<Sender> {
    Sender::new(cuttlebone_proto::ClientId::new(1).expect("valid"), share, nobody())
}

fn push(inbox: &Inbox, text: &str) -> Result<(), PushError> {
    inbox.mailbox().push(text.into(), &nobody())
}

fn supersede(inbox: &Inbox, sender: &Arc<Sender>) -> (SendPermit, u32) {
    inbox.mailbox().supersede(sender, &nobody())
}

fn take(inbox: &Inbox, most: usize) -> Vec<String> {
    let mut items = Vec::new();
    let _ = inbox.poll_receive(&mut Context::from_waker(Waker::noop()), most, &mut items);
    items.into_iter().map(|item| if let Item::Text(text) = item { text } else { format!("{item:?}") }).collect()
}

#[test]
fn r1_own_replies_do_not_overtake_queued_frames() {
    let inbox = empty();
    push(&inbox, "a").expect("room");
    inbox.mailbox().reply("b".into());
    push(&inbox, "c").expect("room");
    assert_eq!(take(&inbox, 2), ["a", "b"]);
    assert_eq!(take(&inbox, 2), ["c"]);
}

#[test]
fn forwards_are_bounded_in_frames_and_bytes() {
    let inbox = empty();
    push(&inbox, "123456").expect("room");
    assert_eq!(push(&inbox, "12345"), Err(PushError::Full("12345".into())));
    push(&inbox, "1234").expect("room");
    assert_eq!(push(&inbox, ""), Err(PushError::Full(String::new())));
    inbox.mailbox().reply("never refused".into());
    take(&inbox, 9);
    push(&inbox, &"x".repeat(100)).expect("one message fits into an empty queue");
}

#[test]
fn room_wakes_who_waits_for_it() {
    let inbox = empty();
    let mut cx = Context::from_waker(Waker::noop());
    push(&inbox, "1234567890").expect("room");
    let (permit, _) = supersede(&inbox, &sender(SMALL));
    assert!(inbox.mailbox().poll_room(&mut cx, 1, &permit).is_pending());
    take(&inbox, 1);
    assert!(inbox.mailbox().poll_room(&mut cx, 1, &permit).is_ready());
    inbox.mailbox().push_from("x".into(), &permit).expect("room");
    assert!(inbox.mailbox().state.lock().room.is_empty());
}

#[test]
fn a_large_message_that_waits_is_not_passed_by_small_ones_for_ever() {
    let inbox = Inbox::new(Bound { frames: 99, bytes: 30 }, nobody());
    let share = Bound { frames: 9, bytes: 30 };
    let [large, small, third] = [(); 3].map(|()| supersede(&inbox, &sender(share)).0);
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
    let inbox = Inbox::new(Bound { frames: 99, bytes: 30 }, nobody());
    let share = Bound { frames: 9, bytes: 30 };
    let former = sender(share);
    let [(large, _), (small, _)] = [&former, &sender(share)].map(|sender| supersede(&inbox, sender));
    inbox.mailbox().push_from("x".repeat(20), &small).expect("room");
    let wakes = Arc::new(Wakes::default());
    let waker = Waker::from(Arc::clone(&wakes));
    for gone in [false, true] {
        let mut noop = Context::from_waker(Waker::noop());
        assert!(inbox.mailbox().poll_room(&mut noop, 25, &large).is_pending());
        assert!(inbox.mailbox().poll_room(&mut Context::from_waker(&waker), 10, &small).is_pending());
        match gone {
            false => inbox.mailbox().stop_waiting(&large),
            true => drop(supersede(&inbox, &former)),
        }
        assert_eq!(wakes.count(), 1 + usize::from(gone));
        assert!(inbox.mailbox().poll_room(&mut noop, 10, &small).is_ready());
        inbox.mailbox().stop_waiting(&small);
    }
    inbox.mailbox().stop_waiting(&large);
    assert!(inbox.mailbox().state.lock().room.is_empty());
}

#[test]
fn r6_sealed_is_drained_to_the_close_and_takes_nothing_more() {
    let inbox = empty();
    push(&inbox, "a").expect("room");
    inbox.mailbox().seal(Some("error".into()), CloseCode::Policy);
    assert_eq!(push(&inbox, "late"), Err(PushError::Sealed));
    inbox.mailbox().reply("late".into());
    inbox.mailbox().seal(Some("late".into()), CloseCode::Normal);
    assert_eq!(take(&inbox, 9), ["a", "error", "Close(Policy)"]);
}

#[test]
fn evicted_gives_up_what_is_queued() {
    let inbox = empty();
    push(&inbox, "a").expect("room");
    assert!(inbox.poll_urgent(&mut Context::from_waker(Waker::noop())).is_pending());
    inbox.mailbox().evict("slow".into(), CloseCode::TooSlow);
    let urgent = inbox.poll_urgent(&mut Context::from_waker(Waker::noop()));
    assert!(matches!(urgent, Poll::Ready(Urgent::Cut)));
    assert_eq!(take(&inbox, 9), ["slow", "Close(TooSlow)"]);
}

#[test]
fn a_probe_is_seen_before_what_is_queued_and_while_a_write_is_stuck() {
    let inbox = empty();
    push(&inbox, "a").expect("room");
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
    push(&inbox, "a").expect("room");
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
    push(&first, "held").expect("room");
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
    let inbox = Inbox::new(Bound { frames: 9, bytes: 99 }, nobody());
    let share = Bound { frames: 2, bytes: 10 };
    let (greedy, _) = supersede(&inbox, &sender(share));
    let (modest, _) = supersede(&inbox, &sender(share));
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
    let inbox = Inbox::new(Bound { frames: 9, bytes: 30 }, nobody());
    let share = Bound { frames: 1, bytes: 10 };
    let [a, b, wide] = [share, share, Bound { frames: 9, bytes: 99 }].map(|share| supersede(&inbox, &sender(share)).0);
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
    let (former, taken) = supersede(&inbox, &sender);
    assert_eq!(taken, 0);
    inbox.mailbox().set_longest(5);
    inbox.mailbox().push_from("a".into(), &former).expect("room");
    assert_eq!(inbox.mailbox().push_from("123456".into(), &former), Err(PushError::TooLarge));
    let (present, taken) = supersede(&inbox, &sender);
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
    let (permit, _) = supersede(&inbox, &sender);
    inbox.mailbox().push_from("a".into(), &permit).expect("room");
    inbox.mailbox().push_from("b".into(), &permit).expect("room");
    take(&inbox, 1);
    inbox.mailbox().abandon();
    assert_eq!(inbox.mailbox().taken_from(&sender), 1);
}

#[test]
fn a_client_that_resumes_gets_what_it_has_not_had_once_and_in_order() {
    let first = Inbox::new(Bound { frames: 9, bytes: 99 }, nobody());
    first.mailbox().keep_history(SMALL);
    first.mailbox().reply("config".into());
    for text in ["a", "b", "c"] {
        push(&first, text).expect("room");
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
    push(&first, "d").expect("room");
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
    let inbox = Inbox::new(Bound { frames: 9, bytes: 99 }, nobody());
    assert_eq!(inbox.mark(), None);
    inbox.mailbox().keep_history(SMALL);
    for text in ["a", "b"] {
        push(&inbox, text).expect("room");
    }
    take(&inbox, 1);
    let marked = |forwards, reports| Some(Mark { forwards, reports });
    assert_eq!(inbox.mark(), marked(1, 0));
    take(&inbox, 1);
    inbox.confirm(Mark { forwards: 1, reports: 0 });
    inbox.confirm(Mark { forwards: 9, reports: 0 });
    let (inbox, _) =
        inbox.mailbox().resume(empty().mailbox(), Had::OfCount(0, Some(1)), |_, _| String::new()).expect("open");
    assert_eq!(inbox.mark(), marked(1, 0), "what is to be sent again has not been sent");
    assert_eq!(take(&inbox, 9), ["", "b"]);
}

#[test]
fn a_report_is_told_again_until_a_ping_that_was_sent_after_it_comes_back() {
    let first = Inbox::new(Bound { frames: 9, bytes: 99 }, nobody());
    first.mailbox().keep_history(Bound { frames: 9, bytes: 99 });
    let resume = || {
        let had = Had::OfCount(0, Some(0));
        first.mailbox().resume(empty().mailbox(), had, |_, _| String::new()).expect("open").0
    };
    let before = first.mark().expect("counted");
    first.mailbox().report("a".into());
    assert_eq!(take(&first, 9), ["a"]);
    let between = first.mark().expect("counted");
    first.mailbox().report("b".into());
    assert_eq!(take(&first, 9), ["b"]);
    first.confirm(before);
    let second = resume();
    assert_eq!(take(&second, 9), ["", "a", "b"], "an older ping says nothing of them");
    second.confirm(between);
    let third = resume();
    assert_eq!(take(&third, 9), ["", "a", "b"], "nor does one of a connection on which they had not been told");
    let mark = third.mark().expect("counted");
    assert_eq!(mark, Mark::from(u64::from(mark)));
    third.confirm(Mark { reports: 99, ..mark });
    third.confirm(mark);
    assert_eq!(take(&resume(), 9), [""]);
}

fn owner(realm: &str, name: &str) -> Owner {
    Owner { realm: Realm::Tenant(realm.into()), name: name.into() }
}

/// 16 KiB of each queue are free.
const FREE: usize = 16 * 1024;
const WIDE: Bound = Bound { frames: 999, bytes: 9_000_000 };

#[test]
fn what_is_queued_counts_for_the_reader_and_there_for_the_writer() {
    let budgets = Budgets::new(1_000_000, Weights::EVEN);
    let [reader, writer] = ["x", "y"].map(|name| budgets.of(Some(&owner("a", name))));
    let device = Inbox::new(WIDE, Arc::clone(&reader));
    let client = Sender::new(cuttlebone_proto::ClientId::new(1).expect("valid"), WIDE, Arc::clone(&reader));
    let (permit, _) = device.mailbox().supersede(&client, &writer);
    let offer = || device.mailbox().push_from("x".repeat(90_000), &permit);
    let is = |used: usize, messages: usize| (messages * 90_000).abs_diff(used) < 1000;
    for messages in 1..=2 {
        offer().expect("room");
        assert!(is(reader.used(), messages));
        assert!(reader.of_writer(&writer).used() == reader.used() && writer.used() == 0);
    }
    for messages in [1, 0] {
        take(&device, 1);
        assert!(is(reader.used(), messages) && is(reader.of_writer(&writer).used(), messages));
    }
    assert_eq!((reader.used(), budgets.held()), (0, 0));
}

/// Others of the same tenant take all that there is room for, or nothing.
fn fill(reader: &Budget, other: &Budget, is_full: bool) {
    other.subtract(other.used());
    while is_full && reader.room() > 0 {
        other.add(reader.room());
    }
}

#[test]
fn what_counted_counts_while_it_is_written_and_what_did_not_if_there_is_room() {
    const LONG: usize = 100_000;
    const TLS: usize = FREE;
    let budgets = Budgets::new(4_000_000, Weights::EVEN);
    let [reader, hog, writer] = ["x", "y", "z"].map(|name| budgets.of(Some(&owner("a", name))));
    let [client, device] = [(); 2].map(|()| Inbox::new(WIDE, Arc::clone(&reader)));
    let sender = Sender::new(cuttlebone_proto::ClientId::new(1).expect("valid"), WIDE, Arc::clone(&reader));
    let (permit, _) = device.mailbox().supersede(&sender, &writer);
    for (inbox, permit) in [(client, None), (device, Some(permit))] {
        let (mailbox, text) = (inbox.mailbox(), "x".repeat(LONG));
        match permit {
            None => mailbox.push(text, &writer),
            Some(permit) => mailbox.push_from(text, &permit),
        }
        .expect("room");
        let mut unwritten = Unwritten::default();
        let mut written = |bytes: usize| {
            unwritten.hold(bytes, &inbox);
            reader.used()
        };
        assert_eq!(take(&inbox, 9).len(), 1);
        fill(&reader, &hog, true);
        let counted = written(LONG + TLS);
        assert!((LONG - FREE - 4096..LONG + 1000).contains(&counted), "it counted before, and TLS did not: {counted}");
        assert_eq!(written(LONG + TLS), counted, "it has moved once");
        fill(&reader, &hog, false);
        assert!(written(LONG + TLS).abs_diff(LONG + TLS - FREE) < 4096, "there is room for TLS");
        assert_eq!(written(0), 0);
    }
}

#[test]
fn a_little_is_free_in_a_mailbox_whoever_sent_it_and_is_still_here() {
    let budgets = Budgets::new(8_000_000, Weights::EVEN);
    let [reader, writer] = ["x", "y"].map(|name| budgets.of(Some(&owner("a", name))));
    let device = Inbox::new(WIDE, Arc::clone(&reader));
    for _ in 0..100 {
        let sender = Sender::new(cuttlebone_proto::ClientId::new(1).expect("valid"), WIDE, Arc::clone(&reader));
        let (permit, _) = device.mailbox().supersede(&sender, &writer);
        device.mailbox().push_from("x".repeat(4_000), &permit).expect("room");
    }
    assert!(reader.used() > 100 * 4_000 - FREE, "{}", reader.used());
    assert_eq!(reader.used(), reader.of_writer(&writer).used());
    assert_eq!(take(&device, 9).len(), 9);
    let mut unwritten = Unwritten::default();
    unwritten.hold(9 * 4_000, &device);
    assert!(reader.used() > 100 * 4_000 - 2 * FREE, "{}", reader.used());
    drop(unwritten);
    while !take(&device, 9).is_empty() {}
    assert_eq!((reader.used(), budgets.held()), (0, 0));
}

#[test]
fn what_was_written_before_is_not_what_counts_now() {
    let budgets = Budgets::new(4_000_000, Weights::EVEN);
    let [reader, hog, writer] = ["x", "y", "z"].map(|name| budgets.of(Some(&owner("a", name))));
    let client = Inbox::new(WIDE, Arc::clone(&reader));
    for bytes in [100_000, 9_000] {
        client.mailbox().push("x".repeat(bytes), &writer).expect("room");
        assert_eq!(take(&client, 9).len(), 1);
    }
    fill(&reader, &hog, true);
    let mut unwritten = Unwritten::default();
    unwritten.hold(9_000 + FREE, &client);
    assert_eq!(reader.used(), 0);
}

#[test]
fn what_the_next_reader_takes_out_does_not_move_to_the_former() {
    let budgets = Budgets::new(4_000_000, Weights::EVEN);
    let [reader, hog, writer] = ["x", "y", "z"].map(|name| budgets.of(Some(&owner("a", name))));
    let former = Inbox::new(WIDE, Arc::clone(&reader));
    let connection = Inbox::new(WIDE, Arc::clone(&reader));
    let (next, _) = former.mailbox().adopt(connection.mailbox(), "config".into(), WIDE, usize::MAX);
    next.mailbox().push("x".repeat(100_000), &writer).expect("room");
    assert_eq!(take(&next, 9).len(), 2);
    fill(&reader, &hog, true);
    let [mut of_former, mut of_next] = [(); 2].map(|()| Unwritten::default());
    of_former.hold(100_000, &former);
    assert_eq!(reader.used(), 0);
    of_next.hold(100_000, &next);
    assert!(reader.used() > 80_000, "{}", reader.used());
}

#[test]
fn a_little_is_free_for_a_client_that_was_expected_once_it_is_here() {
    let budgets = Budgets::new(4_000_000, Weights::EVEN);
    let [reader, hog, writer] = ["x", "y", "z"].map(|name| budgets.of(Some(&owner("a", name))));
    let expected = Inbox::charged(WIDE, Charge::in_full(Arc::clone(&reader)));
    expected.mailbox().keep_history(WIDE);
    let push = || expected.mailbox().push("x".repeat(2_000), &writer);
    push().expect("room");
    fill(&reader, &hog, true);
    assert!(matches!(push(), Err(PushError::Full(_))));
    let connection = Inbox::new(WIDE, Arc::clone(&reader));
    let had = Had::Unknown;
    assert!(expected.mailbox().resume(connection.mailbox(), had, |_, _| "greeting".into()).is_some());
    push().expect("it is free");
    expected.mailbox().abandon();
    fill(&reader, &hog, false);
    drop(expected);
    assert_eq!((reader.used(), budgets.held()), (0, 0));
}

#[test]
fn over_the_bound_a_queue_takes_a_little_and_nothing_large() {
    let budgets = Budgets::new(4_000_000, Weights::EVEN);
    let [reader, writer, other] = ["x", "y", "z"].map(|name| budgets.of(Some(&owner("a", name))));
    let queues: Vec<_> = (0..60).map(|_| Inbox::new(WIDE, Arc::clone(&reader))).collect();
    let offer = |queue: &Inbox, bytes, writer| queue.mailbox().push("x".repeat(bytes), writer).is_ok();
    let taken = queues.iter().filter(|queue| offer(queue, 60_000, &writer)).count();
    assert!((22..=24).contains(&taken), "a quarter: {taken}");
    assert!(
        queues[59].mailbox().queued().frames == 0 && offer(&queues[59], 16_000, &writer),
        "a little is always taken"
    );
    assert!(!offer(&queues[59], 36_000, &writer), "and no more");
    assert!(offer(&queues[58], 60_000, &other), "another writes to the same");
    let calm = Inbox::new(WIDE, Arc::clone(&other));
    assert!(offer(&calm, 100_000, &writer), "the same writes to another");
    drop((queues, calm));
    assert_eq!((budgets.held(), reader.used(), writer.used()), (0, 0, 0));
}

#[test]
fn what_waits_for_room_counts_and_what_there_is_no_room_for_does_not_wait() {
    let budgets = Budgets::new(400_000, Weights::EVEN);
    let [reader, writer] = ["x", "y"].map(|name| budgets.of(Some(&owner("a", name))));
    let device = Inbox::new(Bound { frames: 1, bytes: 200_000 }, Arc::clone(&reader));
    let [first, second] = [1, 2].map(|id| {
        let sender = Sender::new(cuttlebone_proto::ClientId::new(id).expect("valid"), WIDE, Arc::clone(&reader));
        device.mailbox().supersede(&sender, &writer).0
    });
    let mailbox = device.mailbox();
    mailbox.push_from("x".repeat(10), &first).expect("room");
    assert!(mailbox.may_wait(95_000, &second) && !mailbox.may_wait(101_000, &second));
    let mut cx = Context::from_waker(Waker::noop());
    assert!(mailbox.poll_room(&mut cx, 95_000, &second).is_pending());
    assert!((95_000..96_000).contains(&reader.used()), "{}", reader.used());
    assert!(!mailbox.may_wait(30_000, &first) && mailbox.may_wait(95_000, &second), "it is there already");
    take(&device, 1);
    // Others take what there was meanwhile.
    let hog = Inbox::new(WIDE, budgets.of(Some(&owner("b", "hog"))));
    let hogs = (0..99).filter(|_| hog.mailbox().push("x".repeat(9_000), &writer).is_ok()).count();
    assert!(hogs > 3 && !second.sender().may_hold(9_000, &reader));
    mailbox.push_from("x".repeat(95_000), &second).expect("its room was kept");
    assert!(mailbox.state.lock().room.is_empty());
    assert!(mailbox.poll_room(&mut cx, 9_000, &second).is_pending());
    mailbox.stop_waiting(&second);
    mailbox.abandon();
    assert_eq!(reader.used(), 0);
}

#[test]
fn what_is_kept_makes_room_for_what_was_not_sent_yet() {
    let budgets = Budgets::new(600_000, Weights::EVEN);
    let [reader, writer] = ["x", "y"].map(|name| budgets.of(Some(&owner("a", name))));
    let client = Inbox::new(WIDE, Arc::clone(&reader));
    client.mailbox().keep_history(WIDE);
    for _ in 0..30 {
        client.mailbox().push("x".repeat(40_960), &writer).expect("room");
        take(&client, 1);
        take(&client, 1);
        assert!(reader.used() <= 150_000);
    }
    let state = client.mailbox().state.lock();
    let history = state.history.as_ref().expect("it has one");
    assert!((80_000..=170_000).contains(&history.held()), "a quarter of it is kept: {}", history.held());
}

#[test]
fn what_is_to_be_sent_again_counts_once_and_for_whoever_reads_it() {
    let budgets = Budgets::new(10_000_000, Weights::EVEN);
    let [reader, another, writer] = ["x", "y", "z"].map(|name| budgets.of(Some(&owner("a", name))));
    let first = Inbox::new(WIDE, Arc::clone(&reader));
    first.mailbox().keep_history(WIDE);
    (0..2).for_each(|_| first.mailbox().push("x".repeat(40_960), &writer).expect("room"));
    (0..3).for_each(|_| drop(take(&first, 1)));
    let kept = 2 * 40_960 - FREE;
    assert_eq!(reader.used(), kept, "kept");
    let resume = |of: &Arc<Budget>| {
        let connection = Inbox::new(WIDE, Arc::clone(of));
        first.mailbox().resume(connection.mailbox(), Had::OfCount(0, Some(0)), |_, _| String::new()).expect("open").0
    };
    resume(&reader);
    assert_eq!(reader.used(), kept, "kept, and queued again");
    let again = resume(&reader);
    (0..4).for_each(|_| drop(take(&again, 1)));
    assert_eq!(reader.used(), kept);
    // It comes back from elsewhere.
    let again = resume(&another);
    assert_eq!((reader.used(), another.used()), (0, kept));
    again.abandon();
    assert_eq!((another.used(), budgets.held()), (0, 0));
}

#[test]
fn what_senders_have_in_a_mailbox_counts_for_whoever_reads_it() {
    let budgets = Budgets::new(10_000_000, Weights::EVEN);
    let [former, next, writer] = ["x", "y", "z"].map(|name| budgets.of(Some(&owner("a", name))));
    let device = Inbox::new(Bound { frames: 2, bytes: 9_000_000 }, Arc::clone(&former));
    let senders =
        [1, 2].map(|id| Sender::new(cuttlebone_proto::ClientId::new(id).expect("valid"), WIDE, Arc::clone(&former)));
    let [first, waiting] = senders.each_ref().map(|sender| device.mailbox().supersede(sender, &writer).0);
    (0..2).for_each(|_| device.mailbox().push_from("x".repeat(50_000), &first).expect("room"));
    assert!(device.mailbox().poll_room(&mut Context::from_waker(Waker::noop()), 50_000, &waiting).is_pending());
    let had = former.used();
    assert!((150_000..151_000).contains(&had), "{had}");
    let connection = Inbox::new(WIDE, Arc::clone(&next));
    let (inbox, _) = device.mailbox().adopt(connection.mailbox(), "config".into(), WIDE, usize::MAX);
    assert_eq!((former.used(), next.used()), (0, had));
    // And for whoever sends for it.
    let (queued, _) = inbox.mailbox().supersede(&senders[0], &former);
    assert_eq!(next.used(), next.of_writer(&writer).used() + next.of_writer(&former).used());
    assert!(next.of_writer(&former).used() > 80_000);
    drop((queued, waiting));
    inbox.abandon();
    assert_eq!((next.used(), budgets.held()), (0, 0));
}
