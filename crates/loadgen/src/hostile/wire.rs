//! Bytes of HTTP and WebSocket, right and wrong, made by hand: no library would send the wrong ones.

use cuttlebone_client::Endpoint;
use cuttlebone_client::raw::{self, ConnectError};

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

/// The request that asks for a WebSocket, with the credential of the endpoint if it has one: an attack must be let in.
///
/// # Errors
/// When there is no token.
pub(super) async fn upgrade_request(endpoint: &Endpoint, path: &str) -> Result<Vec<u8>, ConnectError> {
    let (host, port, prefix) = (endpoint.host(), endpoint.port(), endpoint.prefix());
    let mut request = format!(
        "GET {prefix}{path} HTTP/1.1\r\nHost: {host}:{port}\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\
         Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Version: 13\r\n"
    )
    .into_bytes();
    if let Some((name, value)) = raw::authorization(endpoint).await? {
        request.extend([name.as_str().as_bytes(), b": ", value.as_bytes(), b"\r\n"].concat());
    }
    request.extend(b"\r\n");
    Ok(request)
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
    use cuttlebone_client::Token;

    #[tokio::test]
    async fn token_is_a_header_of_the_request_and_without_one_there_is_none() {
        let endpoint = Endpoint::parse("ws://127.0.0.1:1/pre").unwrap();
        let request =
            async |endpoint: &Endpoint| String::from_utf8(upgrade_request(endpoint, "/x").await.unwrap()).unwrap();
        let plain = request(&endpoint).await;
        assert!(plain.starts_with("GET /pre/x HTTP/1.1\r\n") && plain.ends_with(": 13\r\n\r\n"), "{plain}");
        let shown = request(&endpoint.with_credential(Token::new("abc").unwrap())).await;
        assert_eq!(shown, plain.replace("13\r\n\r\n", "13\r\nauthorization: Bearer abc\r\n\r\n"));
    }

    #[test]
    fn lengths_are_written_in_their_three_forms() {
        assert_eq!(claim(TEXT, 125)[..2], [0x81, 0xfd]);
        assert_eq!(claim(TEXT, 126)[..4], [0x81, 0xfe, 0, 126]);
        assert_eq!(claim(TEXT, 1 << 40)[..10], [0x81, 0xff, 0, 0, 1, 0, 0, 0, 0, 0]);
        assert_eq!(unmasked(PING, b"a"), [0x89, 1, b'a']);
        assert_eq!(frame(PING, b"a"), [0x89, 0x81, 0x12, 0x34, 0x56, 0x78, b'a' ^ 0x12]);
    }
}
