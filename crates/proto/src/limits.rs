//! Bounds that the protocol names, and their defaults.

/// The longest device id, in bytes. Source: protocol.md 2.2.
pub const DEVICE_ID_BYTES: usize = 256;
/// The default bound of one message, in bytes. Source: protocol.md 2.1.
pub const MESSAGE_BYTES: usize = 256 * 1024;
/// The default bound of nesting of a payload or `device_info`, in levels. Source: protocol.md 2.1.
pub const NESTING: usize = 64;
/// What a device on one of the older subprotocols reads at once, in bytes. Source: protocol.md 2.1, 3.6.
pub const SMALL_READER_BYTES: usize = 65_536;
/// The subprotocols whose devices read at most [`SMALL_READER_BYTES`] at once.
pub const SMALL_READER_SUBPROTOCOLS: [&str; 2] = ["webrtc-operator", "cf-webrtc-device"];
/// The longest resume token that is looked at, in bytes; ours are shorter.
pub const RESUME_TOKEN_BYTES: usize = 256;
/// How much of an unknown `message_type` an error repeats, in characters. Source: protocol.md 2.1.
pub const ECHOED_CHARS: usize = 64;

/// The bounds of one message.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Limits {
    /// The longest message, in bytes.
    pub message_bytes: usize,
    /// How deep the value of any top-level key may nest, in levels: `[]` has one, `7` has none.
    pub depth: usize,
}

impl Default for Limits {
    fn default() -> Self {
        Self { message_bytes: MESSAGE_BYTES, depth: NESTING }
    }
}
