//! What a fuzzer runs: any bytes, judged by this codec and by two independent ones.
//!
//! The references are [tokio-websockets](https://docs.rs/tokio-websockets) and
//! [tungstenite](https://docs.rs/tungstenite). All three get the same bytes, and must give the same messages and the
//! same verdict. Where a reference is known to differ, a function named after the difference says when it is
//! excused; everything else is a panic.
//!
//! The bodies are ordinary functions, so that they compile, and run on generated streams, with the tests.

mod case;
mod frames;
#[cfg(test)]
mod streams;
mod tokio_websockets;
mod tungstenite;

use case::{Case, Outcome, Received, Side, Verdict};

use crate::encode;

/// Payload bytes of a message, for all three: small enough that a fuzzer reaches it.
const MESSAGE_BYTES: usize = 600;

/// Decodes `data` whole, in pieces, and with both references, and panics if they disagree.
///
/// With an odd first byte the rest is a stream as it is, else it is made into frames that are mostly
/// right, so that random input gets beyond the first header.
///
/// # Panics
/// On any difference but those that the modules of the references name, and if the bound on the decoder's
/// memory does not hold.
pub fn against_references(data: &[u8]) {
    let Some((kind, data)) = data.split_first() else {
        return;
    };
    let stream = if kind % 2 == 1 { data.to_vec() } else { frames::framed(data) };
    judge(&stream, usize::from(kind / 2) % 17 + 1);
}

/// Panics if the three disagree on `stream`; otherwise tells the known differences that it shows.
fn judge(stream: &[u8], step: usize) -> Vec<&'static str> {
    let case = Case::new(stream.to_vec());
    for step in [step, usize::MAX] {
        assert_eq!(case::decode(stream, step).0, case.ours, "pieces of {step} bytes");
    }
    echo(&case.ours);
    let mut known = tokio_websockets::compare(&case);
    known.extend(tungstenite::compare(case));
    known
}

/// Sends everything back, as a server does: both references, as clients, read what was sent.
fn echo(ours: &Outcome) {
    let mut out = Vec::new();
    for received in &ours.received {
        match received {
            Received::Text(payload) => encode::text(&mut out, &String::from_utf8_lossy(payload)),
            Received::Binary(payload) => encode::binary(&mut out, payload),
            Received::Ping(payload) => encode::ping(&mut out, payload),
            Received::Pong(payload) => encode::pong(&mut out, payload),
        }
    }
    let mut sent = Outcome { received: ours.received.clone(), verdict: Verdict::Open };
    if let Verdict::Close(code) = ours.verdict {
        encode::close(&mut out, code, "bye");
        sent.verdict = ours.verdict;
    }
    assert_eq!(tokio_websockets::read(&out, Side::Client), sent, "tokio-websockets reads what was encoded");
    let theirs = tungstenite::read(&out, Side::Client);
    assert!(theirs == sent || tungstenite::knows_no_code_1014(&sent, &theirs), "sent {sent:?}, tungstenite {theirs:?}");
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use proptest::prelude::*;
    use proptest::strategy::ValueTree as _;
    use proptest::test_runner::TestRunner;

    use super::*;

    /// Kind, length and a payload of that length, mostly text: what `framed` takes.
    fn frame() -> impl Strategy<Value = Vec<u8>> {
        let payload = prop_oneof![
            3 => "[a-zé€😀]{0,40}".prop_map(String::into_bytes),
            1 => proptest::collection::vec(any::<u8>(), 0..60),
            1 => Just(vec![0x03, 0xe8]),
        ];
        (any::<u8>(), payload, prop_oneof![5 => Just(0_usize), 1 => 0..4_usize]).prop_map(|(kind, mut payload, cut)| {
            payload.truncate(payload.len().saturating_sub(cut));
            let mut bytes = vec![kind, payload.len() as u8];
            bytes.extend(payload);
            bytes
        })
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(2000))]

        #[test]
        fn agrees_on_random_bytes(data: Vec<u8>) {
            against_references(&data);
        }

        #[test]
        fn agrees_on_random_frames(step in 0..128_u8, frames in proptest::collection::vec(frame(), 0..30)) {
            let mut data = vec![step * 2];
            data.extend(frames.concat());
            against_references(&data);
        }

        #[test]
        fn agrees_on_conversations_with_faults(step in 1..40_usize, stream in streams::stream()) {
            judge(&stream, step);
        }
    }

    #[test]
    fn agrees_on_the_seeds_of_the_fuzzer() {
        let seeds = concat!(env!("CARGO_MANIFEST_DIR"), "/../../fuzz/seeds/ws_codec");
        let mut seen = 0;
        for seed in std::fs::read_dir(seeds).unwrap() {
            against_references(&std::fs::read(seed.unwrap().path()).unwrap());
            seen += 1;
        }
        assert!(seen >= 32, "{seen} seeds");
    }

    /// The same 3000 streams each time: they show every verdict and every known difference.
    #[test]
    fn generated_streams_reach_every_verdict_and_difference() {
        let mut runner = TestRunner::deterministic();
        let (mut verdicts, mut known) = (BTreeMap::new(), BTreeMap::new());
        for case in 0..3000_usize {
            let stream = streams::stream().new_tree(&mut runner).unwrap().current();
            let verdict = format!("{:?}", case::decode(&stream, usize::MAX).0.verdict);
            *verdicts.entry(verdict.split('(').take(2).collect::<Vec<_>>().join("(")).or_insert(0) += 1;
            for name in judge(&stream, case % 17 + 1) {
                *known.entry(name).or_insert(0) += 1;
            }
        }
        for verdict in ["Open", "Close(Some", "Close(None)"] {
            assert!(verdicts.get(verdict) >= Some(&50), "{verdict}: {verdicts:?}");
        }
        for violation in ["NotUtf8", "TooLarge", "Protocol"] {
            assert!(verdicts.get(&*format!("Violation({violation})")) >= Some(&50), "{violation}: {verdicts:?}");
        }
        for name in tokio_websockets::KNOWN.iter().chain(tungstenite::KNOWN) {
            assert!(known.get(name) >= Some(&3), "{name}: {known:?}");
        }
    }
}
