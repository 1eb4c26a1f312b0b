//! VP8 key frames.
//!
//! A lossy WebP picture is a VP8 key frame in a container, so a WebP encoder makes them. Key frames alone need no
//! state between frames and no handling of lost ones: any frame can be left out, and any one can be the first.

use webp_rust::LossyEncodingConfig;
use webp_rust::encoder::{EncoderError, encode_lossy_rgba_to_vp8_with_config};

use crate::canvas::Canvas;

/// The bytes before the first partition of a key frame: frame tag, start code, width, height.
const HEADER_BYTES: usize = 10;
const START_CODE: [u8; 3] = [0x9d, 0x01, 0x2a];
/// The upper two bits of a dimension are a hint for scaling.
const DIMENSION: u16 = 0x3fff;

/// Encodes a picture in the quickest way; `quality` is 0 to 100.
pub(crate) fn encode(canvas: &Canvas, quality: u8) -> Result<Vec<u8>, EncoderError> {
    let config = LossyEncodingConfig {
        quality: quality.into(),
        method: 0,
        segments: 1,
        no_alpha: true,
        ..LossyEncodingConfig::default()
    };
    encode_lossy_rgba_to_vp8_with_config(canvas.width(), canvas.height(), canvas.rgba(), &config)
}

/// Width and height, if `frame` begins like a VP8 key frame (RFC 6386, section 9.1).
#[must_use]
pub fn key_frame_size(frame: &[u8]) -> Option<(u16, u16)> {
    let header = frame.get(..HEADER_BYTES)?;
    let is_key_frame = header[0] & 1 == 0;
    let dimension = |at: usize| u16::from_le_bytes([header[at], header[at + 1]]) & DIMENSION;
    (is_key_frame && header[3..6] == START_CODE).then(|| (dimension(6), dimension(8)))
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use webp_rust::decoder::decode_lossy_vp8_to_rgba;

    use super::*;
    use crate::picture;
    use crate::scene::Scene;

    #[test]
    fn a_picture_becomes_a_key_frame_of_its_size() {
        let canvas = picture::draw(&Scene::new("cvd-1", 360, 640), Duration::from_secs(1));
        let frame = encode(&canvas, 50).unwrap();
        assert_eq!(key_frame_size(&frame), Some((360, 640)));
        assert!(frame.len() < 20_000, "{} bytes", frame.len());
    }

    #[test]
    fn a_decoder_gets_the_picture_back() {
        let mut canvas = Canvas::new(100, 60, [0x10, 0x18, 0x20]);
        canvas.disc(50, 30, 14, [255, 0, 255]);
        let decoded = decode_lossy_vp8_to_rgba(&encode(&canvas, 50).unwrap()).unwrap();
        assert_eq!((decoded.width, decoded.height), (100, 60));
        let pixel = |x: usize, y: usize| &decoded.rgba[(y * 100 + x) * 4..][..3];
        assert!(pixel(50, 30)[0] > 180 && pixel(50, 30)[1] < 80 && pixel(50, 30)[2] > 180, "{:?}", pixel(50, 30));
        assert!(pixel(5, 5)[0] < 60 && pixel(5, 5)[2] < 80, "{:?}", pixel(5, 5));
    }

    #[test]
    fn other_bytes_are_no_key_frame() {
        let canvas = Canvas::new(16, 16, [0, 0, 0]);
        let frame = encode(&canvas, 50).unwrap();
        assert_eq!(key_frame_size(&frame), Some((16, 16)));
        assert_eq!(key_frame_size(&frame[..9]), None);
        assert_eq!(key_frame_size(b"RIFF\0\0\0\0WEBPVP8 "), None);
        let mut inter_frame = frame;
        inter_frame[0] |= 1;
        assert_eq!(key_frame_size(&inter_frame), None);
    }
}
