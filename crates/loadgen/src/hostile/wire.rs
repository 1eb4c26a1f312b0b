//! Bytes of HTTP and WebSocket, right and wrong, made by hand: no library would send the wrong ones.

use cuttlebone_client::Endpoint;

/// First byte of a frame: the last of its message, and text.
pub(super) const TEXT: u8 = 0x81;
/// Text, and more to come.
pub(super) const TEXT_BEGIN: u8 = 0x01;
/// More of a message, and not the last.
pub(super) const MORE: u8 = 0x00;
pub(super) const BINARY: u8 = 0x82;
pub(super) const CLOSE: u8 = 0x88;
pub(super) const PING: u8 = 0x89;

const MASK: [u8; 4] = [0x12, 0x34, 0x56, 0x78];
const MASKED: u8 = 0x80;

/// The request that asks for a WebSocket.
pub(super) fn upgrade_request(endpoint: &Endpoint, path: &str) -> Vec<u8> {
    let (host, port, prefix) = (endpoint.host(), endpoint.port(), endpoint.prefix());
    format!(
        "GET {prefix}{path} HTTP/1.1\r\nHost: {host}:{port}\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\
         Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Version: 13\r\n\r\n"
    )
    .into_bytes()
}

/// A masked frame.
pub(super) fn frame(first: u8, payload: &[u8]) -> Vec<u8> {
    let mut frame = header(first, payload.len() as u64, MASKED);
    frame.extend_from_slice(&MASK);
    frame.extend(payload.iter().zip(MASK.iter().cycle()).map(|(byte, mask)| byte ^ mask));
    frame
}

/// A frame without the mask that every client must use.
pub(super) fn unmasked(first: u8, payload: &[u8]) -> Vec<u8> {
    let mut frame = header(first, payload.len() as u64, 0);
    frame.extend_from_slice(payload);
    frame
}

/// Only the beginning of a frame that claims to be this long.
pub(super) fn claim(first: u8, length: u64) -> Vec<u8> {
    let mut frame = header(first, length, MASKED);
    frame.extend_from_slice(&MASK);
    frame
}

fn header(first: u8, length: u64, mask: u8) -> Vec<u8> {
    let mut header = vec![first];
    match (u8::try_from(length), u16::try_from(length)) {
        (Ok(short @ 0..=125), _) => header.push(mask | short),
        (_, Ok(middle)) => {
            header.push(mask | 126);
            header.extend(middle.to_be_bytes());
        }
        _ => {
            header.push(mask | 127);
            header.extend(length.to_be_bytes());
        }
    }
    header
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lengths_are_written_in_their_three_forms() {
        assert_eq!(claim(TEXT, 125)[..2], [0x81, 0xfd]);
        assert_eq!(claim(TEXT, 126)[..4], [0x81, 0xfe, 0, 126]);
        assert_eq!(claim(TEXT, 1 << 40)[..10], [0x81, 0xff, 0, 0, 1, 0, 0, 0, 0, 0]);
        assert_eq!(unmasked(PING, b"a"), [0x89, 1, b'a']);
        assert_eq!(frame(PING, b"a"), [0x89, 0x81, 0x12, 0x34, 0x56, 0x78, b'a' ^ 0x12]);
    }
}
