//! The server side of RFC 6455 without I/O: bytes in, events out, every bound a parameter.
//!
//! The crate exists for four things that the published libraries do not offer together: an error text
//! can still be sent after a violation (1007, 1009) and before the close; a message has a bound on its
//! *fragments* and not only on its bytes; a flood of pings costs no memory; and an idle connection holds
//! no buffer at all.
//!
//! # Use
//!
//! 1. [`handshake::accept`] looks at the upgrade request and says what to answer.
//! 2. [`Decoder::decode`] is fed whatever the socket gave. It takes as much as it needs for one
//!    [`Event`] and says how much that was; feed it the rest next.
//! 3. [`encode`] appends frames to an output buffer. [`PendingPong`] holds the one answer that is owed to
//!    the latest ping.
//!
//! ```
//! use cuttlebone_ws::{Decoder, Event, Limits, encode};
//!
//! let mut decoder = Decoder::new(Limits { message_bytes: 1024, fragments: 16 });
//! // "Hello", masked, as in RFC 6455 section 5.7, in two pieces.
//! let decoded = decoder.decode(&mut [0x81, 0x85, 0x37, 0xfa]);
//! assert_eq!((decoded.consumed, decoded.event), (4, None));
//! let decoded = decoder.decode(&mut [0x21, 0x3d, 0x7f, 0x9f, 0x4d, 0x51, 0x58]);
//! assert_eq!((decoded.consumed, decoded.event), (7, Some(Event::Text)));
//! assert_eq!(decoder.text(), "Hello");
//!
//! let mut out = Vec::new();
//! encode::text(&mut out, decoder.text());
//! assert_eq!(out, b"\x81\x05Hello");
//! ```
//!
//! # Invariants
//!
//! 1. Nothing is allocated for a frame before its payload arrives: the length in a header is only
//!    compared with the bounds.
//! 2. What is held is at most one message (bounded by [`Limits`]) and one control payload (125 bytes). Their
//!    buffers, one each for text, binary and control payloads, stay for the next until [`Decoder::release`].
//! 3. The events do not depend on how the stream was cut into pieces.
//! 4. After [`Event::Close`] or [`Event::Violation`] there is no further event.
//! 5. Text is valid UTF-8, and a fault is reported with the first byte that no continuation could mend,
//!    even in the middle of a frame.
//!
//! Extensions are never negotiated, so every reserved bit is a violation.
//!
//! # Tests
//!
//! The Autobahn suite runs against the server that is built on this crate. With the feature `fuzzing` there is a
//! module `fuzz`, whose one function compares the codec with two independent ones on any bytes; a fuzz target
//! and the ordinary tests call it.

mod close;
mod decoder;
pub mod encode;
#[cfg(any(test, feature = "fuzzing"))]
pub mod fuzz;
pub mod handshake;
mod header;
mod mask;
mod pong;
mod utf8;

pub use decoder::{Decoded, Decoder, Event, Limits, SMALL, Violation};
pub use pong::PendingPong;
