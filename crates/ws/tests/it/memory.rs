use cuttlebone_ws::{Decoder, Limits};

use crate::frames::{CLOSE, CONTINUATION, PING, TEXT, feed, frame, header, limited};

#[test]
fn idle_decoder_holds_nothing() {
    let mut decoder = Decoder::new(Limits::default());
    let stream = [frame(true, TEXT, &[b'x'; 5000]), frame(true, PING, &[1; 100])].concat();
    assert_eq!(feed(&mut decoder, &stream).len(), 2);
    assert!(decoder.heap_bytes() > 0);
    decoder.release();
    assert_eq!(decoder.heap_bytes(), 0);
}

#[test]
fn release_keeps_what_is_under_way() {
    let mut decoder = Decoder::new(Limits::default());
    let stream = frame(true, TEXT, b"hello");
    feed(&mut decoder, &stream[..8]);
    decoder.release();
    assert_eq!(feed(&mut decoder, &stream[8..])[0].1, b"hello");
    let ping = frame(true, PING, b"hello");
    feed(&mut decoder, &ping[..8]);
    decoder.release();
    assert_eq!(feed(&mut decoder, &ping[8..])[0].1, b"hello");
}

#[test]
fn promises_cost_nothing() {
    let mut decoder = limited(1 << 30, 9);
    feed(&mut decoder, &header(true, TEXT, 1 << 30));
    feed(&mut decoder, &[0; 100]);
    assert!(decoder.heap_bytes() < 300, "{}", decoder.heap_bytes());
}

#[test]
fn at_most_twice_what_came_is_held() {
    let mut decoder = limited(1 << 20, 1000);
    feed(&mut decoder, &frame(false, TEXT, &[b'x'; 1000]));
    for sent in 2..900 {
        feed(&mut decoder, &frame(false, CONTINUATION, &[b'x'; 1000]));
        assert!(decoder.heap_bytes() <= 2000 * sent + 10, "{} of {sent}000", decoder.heap_bytes());
    }
}

#[test]
fn assembling_is_from_the_first_byte_to_the_last() {
    let mut decoder = Decoder::new(Limits::default());
    assert!(!decoder.is_assembling());
    for stream in [frame(true, TEXT, b"text"), frame(true, PING, b"ping")] {
        for byte in &stream[..stream.len() - 1] {
            feed(&mut decoder, &[*byte]);
            assert!(decoder.is_assembling());
        }
        feed(&mut decoder, &stream[stream.len() - 1..]);
        assert!(!decoder.is_assembling());
    }
    feed(&mut decoder, &frame(false, TEXT, b"fragment"));
    assert!(decoder.is_assembling());
    feed(&mut decoder, &frame(true, CLOSE, b""));
    assert!(!decoder.is_assembling());
}

#[test]
fn decoder_itself_is_small() {
    assert!(size_of::<Decoder>() <= 192, "{}", size_of::<Decoder>());
}
