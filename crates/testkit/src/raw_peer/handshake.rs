//! The upgrade, by hand, so that a test can offer anything.

use std::fmt::Write as _;

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;

use super::{ConnectError, PeerOptions};

/// The key of the example in RFC 6455, section 1.3. A peer for tests needs no other.
const KEY: &str = "dGhlIHNhbXBsZSBub25jZQ==";
const ACCEPT: &str = "s3pPLMBiTxaQ9kYGzzhZRbK+xOo=";
const LARGEST_ANSWER: usize = 16 * 1024;

/// An upgraded connection.
pub(super) struct Opened {
    pub(super) subprotocol: Option<String>,
    /// What came right behind the answer.
    pub(super) early: Vec<u8>,
}

pub(super) async fn open(
    stream: &mut TcpStream,
    authority: &str,
    path: &str,
    options: &PeerOptions,
) -> Result<Opened, ConnectError> {
    stream.write_all(request(authority, path, options).as_bytes()).await?;
    let mut answer = Vec::new();
    let end = loop {
        if let Some(at) = answer.windows(4).position(|bytes| bytes == b"\r\n\r\n") {
            break at;
        }
        if answer.len() > LARGEST_ANSWER || stream.read_buf(&mut answer).await? == 0 {
            return Err(refused(&answer));
        }
    };
    let early = answer.split_off(end + 4);
    let head = String::from_utf8_lossy(&answer);
    let subprotocol = check(&head).ok_or_else(|| refused(&answer))?;
    Ok(Opened { subprotocol, early })
}

fn request(authority: &str, path: &str, options: &PeerOptions) -> String {
    let mut request = format!(
        "GET {path} HTTP/1.1\r\nHost: {authority}\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\
         Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: {KEY}\r\n"
    );
    if !options.subprotocols.is_empty() {
        let _ = write!(request, "Sec-WebSocket-Protocol: {}\r\n", options.subprotocols.join(", "));
    }
    if let Some(extensions) = &options.extensions {
        let _ = write!(request, "Sec-WebSocket-Extensions: {extensions}\r\n");
    }
    for header in &options.headers {
        let _ = write!(request, "{header}\r\n");
    }
    request.push_str("\r\n");
    request
}

/// The subprotocol of a good upgrade. An extension is never one: protocol.md 2.1.
fn check(head: &str) -> Option<Option<String>> {
    let (status, headers) = head.split_once("\r\n")?;
    let field = |name: &str| {
        let values = headers.lines().filter_map(|line| line.split_once(':'));
        values.filter(|(key, _)| key.eq_ignore_ascii_case(name)).map(|(_, value)| value.trim()).next()
    };
    let upgraded = status.starts_with("HTTP/1.1 101 ")
        && field("Sec-WebSocket-Accept") == Some(ACCEPT)
        && field("Sec-WebSocket-Extensions").is_none();
    upgraded.then(|| field("Sec-WebSocket-Protocol").map(str::to_owned))
}

fn refused(answer: &[u8]) -> ConnectError {
    ConnectError::Refused(String::from_utf8_lossy(answer).lines().next().unwrap_or_default().to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_good_upgrade_names_the_subprotocol_or_none() {
        let head = |more: &str| format!("HTTP/1.1 101 Switching Protocols\r\nsec-websocket-accept: {ACCEPT}\r\n{more}");
        assert_eq!(check(&head("")), Some(None));
        assert_eq!(check(&head("Sec-WebSocket-Protocol: a\r\n")), Some(Some("a".into())));
        assert_eq!(check(&head("Sec-WebSocket-Extensions: permessage-deflate\r\n")), None);
        assert_eq!(check("HTTP/1.1 404 Not Found\r\n"), None);
        assert_eq!(check("HTTP/1.1 101 Switching Protocols\r\nSec-WebSocket-Accept: x\r\n"), None);
    }
}
