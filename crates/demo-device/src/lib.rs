//! A real WebRTC device that shows a moving test picture.
//!
//! It is there to try a signaling server with: it registers like a Cuttlefish device, speaks the same payloads, and
//! streams a picture with a clock, moving bars, its id, and a mark where each viewer last touched.
//!
//! From the inside out: `picture` draws a `scene`; `vp8` encodes it; `camera` does so once for all viewers; `peer` is
//! one viewer's WebRTC connection as a state machine; `session` is its task; `viewers` is the table of them; `device`
//! connects that with the server.
//!
//! What viewers may send is written down in `payload` (signaling) and `input` (data channels).

mod camera;
mod candidate;
mod canvas;
mod clock;
mod crypto;
mod device;
mod font;
mod input;
mod options;
mod payload;
mod peer;
mod picture;
mod scene;
mod session;
mod viewers;
mod vp8;

pub use crypto::crypto_provider;
pub use device::{DemoDevice, DeviceError, Options};
pub use options::{InvalidMedia, Media};
pub use payload::ToViewer;
pub use viewers::Viewers;
pub use vp8::key_frame_size;
