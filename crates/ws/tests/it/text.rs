use cuttlebone_ws::{Decoder, Event, Limits, Violation};

use crate::frames::{BINARY, CONTINUATION, KEY, TEXT, events, feed, frame, header};

#[test]
fn messages_of_one_stream_come_one_by_one() {
    let stream = [frame(true, TEXT, b"one"), frame(true, BINARY, &[0xff]), frame(true, TEXT, b"")].concat();
    let seen = feed(&mut Decoder::new(Limits::default()), &stream);
    let expected = [(Event::Text, b"one".to_vec()), (Event::Binary, vec![0xff]), (Event::Text, vec![])];
    assert_eq!(seen, expected);
}

#[test]
fn every_length_form_is_read() {
    for len in [0, 1, 125, 126, 127, 65_535, 65_536, 100_000] {
        let text = "x".repeat(len);
        let seen = feed(&mut Decoder::new(Limits::default()), &frame(true, TEXT, text.as_bytes()));
        assert_eq!(seen, [(Event::Text, text.into_bytes())], "{len}");
    }
}

#[test]
fn bad_text_is_refused() {
    for bad in [&b"\xff\xfe"[..], b"ok\xc0\xaf", b"\xed\xa0\x80", b"\xf4\x90\x80\x80", b"cut \xe2\x82"] {
        assert_eq!(events(&frame(true, TEXT, bad)), [Event::Violation(Violation::NotUtf8)], "{bad:x?}");
        assert_eq!(events(&frame(true, BINARY, bad)), [Event::Binary]);
    }
}

#[test]
fn fault_is_seen_in_the_middle_of_a_frame() {
    let mut decoder = Decoder::new(Limits::default());
    let mask = |at: usize, byte: u8| byte ^ KEY[at % 4];
    assert_eq!(feed(&mut decoder, &header(true, TEXT, 1000)), []);
    assert_eq!(feed(&mut decoder, &[mask(0, b'a'), mask(1, 0xf4)]), [], "may become a character");
    let seen = feed(&mut decoder, &[mask(2, 0x90)]);
    assert_eq!(seen, [(Event::Violation(Violation::NotUtf8), vec![])], "997 bytes before the end");
}

#[test]
fn fault_is_seen_in_an_unfinished_message() {
    let stream = [frame(false, TEXT, b"\xce\xba"), frame(false, CONTINUATION, b"\xed\xa0")].concat();
    assert_eq!(events(&stream), [Event::Violation(Violation::NotUtf8)]);
}

#[test]
fn character_cut_off_by_an_empty_last_fragment_is_refused() {
    let stream = [frame(false, TEXT, b"\xe2\x82"), frame(true, CONTINUATION, b"")].concat();
    assert_eq!(events(&stream), [Event::Violation(Violation::NotUtf8)]);
}
