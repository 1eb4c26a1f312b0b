use cuttlebone_ws::{Decoder, Limits};
use proptest::prelude::*;

use crate::frames::{Seen, feed, frame, header};

const SMALL: Limits = Limits { message_bytes: 400, fragments: 5 };

/// Anything a client may write: good frames, odd frames, headers without a payload, noise.
fn piece() -> impl Strategy<Value = Vec<u8>> {
    let opcode = prop_oneof![8 => prop::sample::select(vec![0_u8, 1, 2, 9, 10]), 1 => 0..16_u8];
    let payload = prop_oneof![
        4 => "[a-z€é😀]{0,60}".prop_map(String::into_bytes),
        1 => prop::collection::vec(any::<u8>(), 0..300),
    ];
    prop_oneof![
        12 => (any::<bool>(), opcode, payload).prop_map(|(fin, opcode, payload)| frame(fin, opcode, &payload)),
        1 => (any::<bool>(), any::<u64>()).prop_map(|(fin, len)| header(fin, 1, len)),
        1 => prop::collection::vec(any::<u8>(), 0..20),
    ]
}

fn run(pieces: &[&[u8]], release: bool) -> Vec<Seen> {
    let mut decoder = Decoder::new(SMALL);
    let mut seen = Vec::new();
    for piece in pieces {
        seen.extend(feed(&mut decoder, piece));
        if release {
            decoder.release();
        }
    }
    seen
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(1000))]

    #[test]
    fn any_split_gives_the_same_events(
        pieces in prop::collection::vec(piece(), 0..20),
        cuts in prop::collection::vec(any::<prop::sample::Index>(), 0..30),
        release: bool,
    ) {
        let stream = pieces.concat();
        let whole = run(&[&stream], false);
        let mut cuts: Vec<usize> = cuts.iter().map(|cut| cut.index(stream.len() + 1)).collect();
        cuts.extend([0, stream.len()]);
        cuts.sort_unstable();
        let split: Vec<&[u8]> = cuts.windows(2).map(|pair| &stream[pair[0]..pair[1]]).collect();
        prop_assert_eq!(&run(&split, release), &whole);
        let bytes: Vec<&[u8]> = stream.chunks(1).collect();
        prop_assert_eq!(&run(&bytes, release), &whole);
    }
}
