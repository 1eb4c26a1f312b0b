use cuttlebone_ws::{Event, Violation};

use crate::frames::{BINARY, CONTINUATION, PING, TEXT, feed, frame, header, limited};

const TOO_LARGE: Event = Event::Violation(Violation::TooLarge);

#[test]
fn the_limit_itself_is_allowed() {
    assert_eq!(feed(&mut limited(300, 9), &frame(true, TEXT, &[b'x'; 300])).len(), 1);
    assert_eq!(feed(&mut limited(300, 9), &frame(true, TEXT, &[b'x'; 301])), [(TOO_LARGE, vec![])]);
    assert_eq!(feed(&mut limited(300, 9), &frame(true, BINARY, &[b'x'; 301])), [(TOO_LARGE, vec![])]);
}

#[test]
fn header_alone_is_enough_to_refuse() {
    for len in [301, 65_536, 1 << 40, 1 << 62, 1 << 63, u64::MAX] {
        let mut decoder = limited(300, 9);
        let header = header(true, TEXT, len);
        let without_mask = &header[..header.len() - 4];
        assert_eq!(feed(&mut decoder, without_mask), [(TOO_LARGE, vec![])], "{len}");
        assert_eq!(decoder.heap_bytes(), 0);
    }
}

#[test]
fn fragments_count_together() {
    let start = [frame(false, TEXT, &[b'x'; 200]), frame(false, CONTINUATION, &[b'x'; 100])].concat();
    let mut decoder = limited(300, 9);
    assert_eq!(feed(&mut decoder, &start), []);
    assert_eq!(feed(&mut decoder, &header(true, CONTINUATION, 1)), [(TOO_LARGE, vec![])]);
    let mut decoder = limited(300, 9);
    feed(&mut decoder, &start);
    assert_eq!(feed(&mut decoder, &frame(true, CONTINUATION, b"")).len(), 1);
}

#[test]
fn control_frames_have_their_own_limit() {
    let mut decoder = limited(0, 9);
    assert_eq!(feed(&mut decoder, &frame(true, PING, &[7; 125])), [(Event::Ping, vec![7; 125])]);
    let seen = feed(&mut decoder, &frame(true, PING, &[7; 126]));
    assert_eq!(seen, [(Event::Violation(Violation::Protocol), vec![])]);
}
