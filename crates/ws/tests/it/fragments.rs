use cuttlebone_ws::{Decoder, Event, Limits, Violation};

use crate::frames::{BINARY, CONTINUATION, PING, TEXT, events, feed, frame, limited};

#[test]
fn fragments_are_put_together_around_control_frames() {
    let stream = [
        frame(false, TEXT, "gr\u{fc}".as_bytes()),
        frame(true, PING, b"p1"),
        frame(false, CONTINUATION, b"\xc3"),
        frame(true, PING, b"p2"),
        frame(true, CONTINUATION, b"\x9f e"),
    ]
    .concat();
    let seen = feed(&mut Decoder::new(Limits::default()), &stream);
    let expected =
        [(Event::Ping, b"p1".to_vec()), (Event::Ping, b"p2".to_vec()), (Event::Text, "gr\u{fc}\u{df} e".into())];
    assert_eq!(seen, expected);
}

#[test]
fn order_of_fragments_is_checked() {
    let protocol = [Event::Violation(Violation::Protocol)];
    assert_eq!(events(&frame(true, CONTINUATION, b"x")), protocol);
    assert_eq!(events(&[frame(false, TEXT, b"a"), frame(true, TEXT, b"b")].concat()), protocol);
    assert_eq!(events(&[frame(false, BINARY, b"a"), frame(false, TEXT, b"b")].concat()), protocol);
    assert_eq!(events(&frame(false, PING, b"")), protocol);
    let twice = [frame(false, TEXT, b"a"), frame(true, CONTINUATION, b"b"), frame(true, CONTINUATION, b"c")];
    assert_eq!(events(&twice.concat()), [Event::Text, protocol[0]]);
}

#[test]
fn number_of_fragments_is_bounded() {
    let fragments = |count: usize| {
        let mut stream = frame(false, TEXT, b"x");
        for i in 2..=count {
            stream.extend(frame(i == count, CONTINUATION, b"x"));
        }
        stream
    };
    assert_eq!(feed(&mut limited(1000, 256), &fragments(256)), [(Event::Text, vec![b'x'; 256])]);
    let seen = feed(&mut limited(1000, 256), &fragments(257));
    assert_eq!(seen, [(Event::Violation(Violation::TooManyFragments), vec![])]);
}

#[test]
fn empty_fragments_count() {
    let mut decoder = limited(1000, 256);
    assert_eq!(feed(&mut decoder, &frame(false, TEXT, b"")), []);
    let mut taken = 1;
    while feed(&mut decoder, &frame(false, CONTINUATION, b"")).is_empty() {
        taken += 1;
        assert!(taken <= 256);
    }
    assert_eq!((taken, decoder.is_finished()), (256, true));
}

#[test]
fn count_begins_anew_with_each_message() {
    let message = [frame(false, TEXT, b"a"), frame(true, CONTINUATION, b"b")].concat();
    assert_eq!(feed(&mut limited(2, 2), &message.repeat(3)).len(), 3);
}

#[test]
fn frames_of_every_kind_are_counted_however_the_stream_is_cut() {
    let stream = [
        frame(false, TEXT, b"a"),
        frame(false, CONTINUATION, b""),
        frame(true, PING, b"p"),
        frame(true, CONTINUATION, b""),
        frame(true, BINARY, b"b"),
    ]
    .concat();
    let mut whole = Decoder::new(Limits::default());
    feed(&mut whole, &stream);
    let mut cut = Decoder::new(Limits::default());
    stream.iter().for_each(|byte| drop(feed(&mut cut, &[*byte])));
    assert_eq!((whole.frames(), cut.frames()), (5, 5));
}
