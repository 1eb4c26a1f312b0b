use cuttlebone_ws::{Event, Violation};

use crate::frames::{CLOSE, CONTINUATION, PONG, TEXT, events, frame};

#[test]
fn code_is_told() {
    assert_eq!(events(&frame(true, CLOSE, b"")), [Event::Close(None)]);
    assert_eq!(events(&frame(true, CLOSE, &[0x03, 0xe8])), [Event::Close(Some(1000))]);
    assert_eq!(events(&frame(true, CLOSE, b"\x0f\xa1why \xe2\x82\xac")), [Event::Close(Some(4001))]);
}

#[test]
fn bad_close_is_refused() {
    let protocol = [Event::Violation(Violation::Protocol)];
    assert_eq!(events(&frame(true, CLOSE, &[0x03])), protocol, "half a code");
    assert_eq!(events(&frame(true, CLOSE, &1005_u16.to_be_bytes())), protocol);
    assert_eq!(events(&frame(true, CLOSE, &[0x03; 126])), protocol, "too long");
    assert_eq!(events(&frame(false, CLOSE, b"")), protocol, "fragmented");
    assert_eq!(events(&frame(true, CLOSE, b"\x03\xe8\xff")), [Event::Violation(Violation::NotUtf8)]);
}

#[test]
fn nothing_comes_after_the_end() {
    let text = frame(true, TEXT, b"late");
    assert_eq!(events(&[frame(true, CLOSE, b""), text.clone()].concat()), [Event::Close(None)]);
    let violation = frame(true, CONTINUATION, b"");
    assert_eq!(events(&[violation, text].concat()), [Event::Violation(Violation::Protocol)]);
}

#[test]
fn close_may_come_inside_a_message() {
    let stream = [frame(false, TEXT, b"half"), frame(true, PONG, b"x"), frame(true, CLOSE, b"")].concat();
    assert_eq!(events(&stream), [Event::Pong, Event::Close(None)]);
}
