//! Generated streams: what a client may say, cut into fragments, and then spoiled in a few places.

use proptest::collection::vec;
use proptest::prelude::*;
use proptest::sample::Index;

use super::frames::{length, write};

/// A frame before it is written.
#[derive(Debug, Clone)]
struct Draft {
    first: u8,
    payload: Vec<u8>,
    key: Option<[u8; 4]>,
    length: (u8, Vec<u8>),
}

impl Draft {
    fn new(fin: bool, opcode: u8, payload: Vec<u8>, key: [u8; 4]) -> Self {
        let length = length(payload.len() as u64);
        Self { first: u8::from(fin) << 7 | opcode, payload, key: Some(key), length }
    }

    fn write(&self) -> Vec<u8> {
        write(self.first, &self.payload, self.key, &self.length)
    }
}

/// What can be wrong with a stream. The first four spoil a frame, the others the bytes.
#[derive(Debug, Clone)]
enum Fault {
    FirstByte(Index, u8),
    NoMask(Index),
    LongerLength(Index, Form),
    Moved(Index, Index),
    Flipped(Index, u8),
    Removed(Index),
    CutOff(Index),
}

/// A length in more bytes than it needs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Form {
    In16,
    In64,
    /// 125, the last that fits into the header's second byte.
    JustTooShortFor16,
    /// 65535, the last that fits into 16 bits; the payload stays as it is.
    JustTooShortFor64,
}

/// Some messages, often without a fault.
pub(super) fn stream() -> impl Strategy<Value = Vec<u8>> {
    let faults = prop_oneof![2 => Just(vec![]), 3 => vec(fault(), 1..3)];
    (vec(message(), 1..6), close(), faults).prop_map(|(messages, close, faults)| {
        let mut frames: Vec<Draft> = messages.into_iter().flatten().chain(close).collect();
        faults.iter().for_each(|fault| spoil_frame(&mut frames, fault));
        let mut bytes: Vec<u8> = frames.iter().flat_map(Draft::write).collect();
        faults.iter().for_each(|fault| spoil_bytes(&mut bytes, fault));
        bytes
    })
}

/// One message in fragments, cut anywhere, with control frames before some of them.
fn message() -> impl Strategy<Value = Vec<Draft>> {
    let between = prop_oneof![3 => Just(None), 1 => control().prop_map(Some)];
    (data(), vec((any::<Index>(), between, any::<[u8; 4]>()), 1..5)).prop_map(|((opcode, payload), parts)| {
        let mut ends: Vec<usize> = parts.iter().map(|(end, ..)| end.index(payload.len() + 1)).collect();
        ends.sort_unstable();
        if let Some(last) = ends.last_mut() {
            *last = payload.len();
        }
        let mut frames = Vec::new();
        let mut start = 0;
        for (i, ((_, between, key), end)) in parts.into_iter().zip(&ends).enumerate() {
            frames.extend(between);
            let opcode = if i == 0 { opcode } else { 0 };
            frames.push(Draft::new(i + 1 == ends.len(), opcode, payload[start..*end].to_vec(), key));
            start = *end;
        }
        frames
    })
}

/// A text or not, mostly short, sometimes about as long as is allowed, sometimes no text at all.
fn data() -> impl Strategy<Value = (u8, Vec<u8>)> {
    let payload = prop_oneof![
        20 => "[a-zé€😀]{0,40}".prop_map(String::into_bytes),
        3 => (120..135_usize).prop_map(|len| vec![b'x'; len]),
        4 => (590..620_usize).prop_map(|len| vec![b'y'; len]),
        1 => vec(any::<u8>(), 0..60),
        // A text that ends within a character.
        2 => ("[a-z]{0,5}", 1..4_usize).prop_map(|(text, cut)| [text.as_bytes(), &"😀".as_bytes()[..cut]].concat()),
        1 => vec(any::<u8>(), 590..606),
    ];
    (prop_oneof![3 => Just(1), 1 => Just(2)], payload)
}

fn control() -> impl Strategy<Value = Draft> {
    let payload = prop_oneof![4 => vec(any::<u8>(), 0..20), 1 => vec(any::<u8>(), 123..128)];
    (prop_oneof![Just(9), Just(10)], payload, any::<[u8; 4]>())
        .prop_map(|(opcode, payload, key)| Draft::new(true, opcode, payload, key))
}

/// Sometimes there is a close frame, sometimes a bad one.
fn close() -> impl Strategy<Value = Option<Draft>> {
    let code = prop_oneof![6 => 1000..1016_u16, 1 => any::<u16>()];
    let reason = prop_oneof![3 => Just(b"bye".to_vec()), 1 => Just(vec![]), 1 => Just(vec![0xff])];
    let payload = prop_oneof![
        4 => (code, reason).prop_map(|(code, reason)| [code.to_be_bytes().as_slice(), &reason].concat()),
        2 => Just(vec![]),
        1 => Just(vec![3]),
    ];
    let frame = (payload, any::<[u8; 4]>()).prop_map(|(payload, key)| Draft::new(true, 8, payload, key));
    prop_oneof![Just(None), frame.prop_map(Some)]
}

fn fault() -> impl Strategy<Value = Fault> {
    use Fault::{CutOff, FirstByte, Flipped, LongerLength, Moved, NoMask, Removed};
    let at = any::<Index>;
    let form = proptest::sample::select(vec![Form::In16, Form::In64, Form::JustTooShortFor16, Form::JustTooShortFor64]);
    prop_oneof![
        3 => (at(), any::<u8>()).prop_map(|(frame, bits)| FirstByte(frame, bits)),
        2 => at().prop_map(NoMask),
        2 => (at(), form).prop_map(|(frame, form)| LongerLength(frame, form)),
        2 => (at(), at()).prop_map(|(from, to)| Moved(from, to)),
        3 => (at(), 0..8_u8).prop_map(|(byte, bit)| Flipped(byte, bit)),
        1 => at().prop_map(Removed),
        3 => at().prop_map(CutOff),
    ]
}

fn spoil_frame(frames: &mut Vec<Draft>, fault: &Fault) {
    let count = frames.len();
    match fault {
        Fault::FirstByte(at, bits) => frames[at.index(count)].first ^= bits,
        Fault::NoMask(at) => frames[at.index(count)].key = None,
        Fault::LongerLength(at, form) => {
            let frame = &mut frames[at.index(count)];
            if *form == Form::JustTooShortFor16 {
                frame.payload.resize(125, b'z');
            }
            let len = frame.payload.len() as u64;
            frame.length = match form {
                Form::In16 | Form::JustTooShortFor16 => (126, (len as u16).to_be_bytes().into()),
                Form::In64 => (127, len.to_be_bytes().into()),
                Form::JustTooShortFor64 => (127, 0xffff_u64.to_be_bytes().into()),
            };
        }
        Fault::Moved(from, to) => {
            let frame = frames.remove(from.index(count));
            frames.insert(to.index(count), frame);
        }
        Fault::Flipped(..) | Fault::Removed(_) | Fault::CutOff(_) => {}
    }
}

fn spoil_bytes(bytes: &mut Vec<u8>, fault: &Fault) {
    if bytes.is_empty() {
        return;
    }
    match fault {
        Fault::Flipped(at, bit) => {
            let at = at.index(bytes.len());
            bytes[at] ^= 1 << bit;
        }
        Fault::Removed(at) => drop(bytes.remove(at.index(bytes.len()))),
        Fault::CutOff(at) => bytes.truncate(at.index(bytes.len())),
        Fault::FirstByte(..) | Fault::NoMask(_) | Fault::LongerLength(..) | Fault::Moved(..) => {}
    }
}
