//! A WebSocket peer that writes its frames by hand, good ones and others.

use std::time::Duration;

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::time::{Instant, timeout};

use crate::support::{PATIENCE, Peer, Running};

pub(crate) const CONTINUATION: u8 = 0x00;
pub(crate) const TEXT: u8 = 0x81;
pub(crate) const TEXT_BEGINS: u8 = 0x01;
pub(crate) const BINARY: u8 = 0x82;
pub(crate) const CLOSE: u8 = 0x88;
pub(crate) const PING: u8 = 0x89;
pub(crate) const PONG: u8 = 0x8a;

/// A masked frame. The key is zero, so the payload is seen as it is.
pub(crate) fn frame(first: u8, payload: &[u8]) -> Vec<u8> {
    let mut bytes = header(first, payload.len() as u64);
    bytes.extend(payload);
    bytes
}

/// The header of a masked frame of any length.
pub(crate) fn header(first: u8, length: u64) -> Vec<u8> {
    let mut bytes = vec![first];
    match length {
        0..=125 => bytes.push(0x80 | length as u8),
        126..=0xffff => {
            bytes.push(0x80 | 126);
            bytes.extend((length as u16).to_be_bytes());
        }
        _ => {
            bytes.push(0x80 | 127);
            bytes.extend(length.to_be_bytes());
        }
    }
    bytes.extend([0; 4]);
    bytes
}

/// What the server sent.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Sent {
    Text(String),
    Ping,
    Pong(Vec<u8>),
    Close(u16),
    /// The connection ended.
    End,
}

/// A raw WebSocket peer.
pub(crate) struct RawWs {
    pub(crate) peer: Peer,
    bytes: Vec<u8>,
}

impl RawWs {
    /// Upgraded, with nothing said.
    pub(crate) async fn open(server: &Running, path: &str) -> Self {
        Self::over(Peer::connect(server.addr).await, path).await
    }

    pub(crate) async fn over(mut peer: Peer, path: &str) -> Self {
        let request = format!(
            "GET {path} HTTP/1.1\r\nhost: localhost\r\nupgrade: websocket\r\nconnection: upgrade\r\n\
             sec-websocket-version: 13\r\nsec-websocket-key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n"
        );
        peer.send(&request).await;
        assert_eq!(peer.head().await.status, 101);
        Self { peer, bytes: Vec::new() }
    }

    /// A device that is registered.
    pub(crate) async fn device(server: &Running, id: &str) -> Self {
        let mut device = Self::open(server, "/register_device").await;
        device.text(&format!(r#"{{"message_type":"register","device_id":"{id}"}}"#)).await;
        device.expect_type("config").await;
        device
    }

    /// A client that is attached to a device.
    pub(crate) async fn client(server: &Running, id: &str) -> Self {
        let mut client = Self::open(server, "/connect_client").await;
        client.text(&format!(r#"{{"message_type":"connect","device_id":"{id}"}}"#)).await;
        client.expect_type("config").await;
        client.expect_type("device_info").await;
        client
    }

    pub(crate) async fn text(&mut self, text: &str) {
        self.send(&frame(TEXT, text.as_bytes())).await;
    }

    pub(crate) async fn send(&mut self, bytes: &[u8]) {
        self.peer.socket.write_all(bytes).await.expect("sent");
    }

    /// Sends as much of `bytes` as the server takes until it hangs up; what it says stays to be read.
    pub(crate) async fn flood(&mut self, bytes: &[u8]) {
        let _ = timeout(PATIENCE, self.peer.socket.write_all(bytes)).await;
    }

    /// The next frame.
    pub(crate) async fn next(&mut self) -> Sent {
        loop {
            if let Some((sent, length)) = read(&self.bytes) {
                self.bytes.drain(..length);
                return sent;
            }
            let read = timeout(PATIENCE, self.peer.socket.read_buf(&mut self.bytes)).await.expect("something in time");
            if read.unwrap_or_default() == 0 {
                return Sent::End;
            }
        }
    }

    /// The next text.
    pub(crate) async fn next_text(&mut self) -> String {
        loop {
            match self.next().await {
                Sent::Text(text) => return text,
                Sent::Ping | Sent::Pong(_) => {}
                other => panic!("{other:?} instead of a text"),
            }
        }
    }

    pub(crate) async fn expect_type(&mut self, message_type: &str) -> String {
        let text = self.next_text().await;
        assert!(text.contains(&format!(r#""message_type":"{message_type}""#)), "{text}");
        text
    }

    /// An error with this word, a close with this code, and the end within two seconds. Pongs and messages may come before.
    pub(crate) async fn expect_refused(&mut self, word: &str, code: u16) {
        let mut error = String::new();
        loop {
            match self.next().await {
                Sent::Text(text) => error = text,
                Sent::Close(told) => break assert_eq!(told, code, "{error}"),
                Sent::Ping | Sent::Pong(_) => {}
                Sent::End => panic!("no close after {error}"),
            }
        }
        let parsed: serde_json::Value = serde_json::from_str(&error).expect("JSON");
        let object = parsed.as_object().expect("an object");
        assert_eq!((object["cuttlebone_code"].as_str(), object.len()), (Some(word), 2), "{error}");
        self.expect_end().await;
    }

    /// A close with this code and no error before, and the end.
    pub(crate) async fn expect_close(&mut self, code: u16) {
        loop {
            match self.next().await {
                Sent::Close(told) => break assert_eq!(told, code),
                Sent::Ping | Sent::Pong(_) => {}
                other => panic!("{other:?} instead of a close"),
            }
        }
        self.expect_end().await;
    }

    async fn expect_end(&mut self) {
        let begun = Instant::now();
        assert_eq!(self.next().await, Sent::End);
        assert!(begun.elapsed() < Duration::from_secs(2), "{:?}", begun.elapsed());
    }
}

/// The first frame in `bytes` and its length, if it is whole. The server sends no fragments.
fn read(bytes: &[u8]) -> Option<(Sent, usize)> {
    let (&[first, second], rest) = bytes.split_first_chunk::<2>()?;
    let (length, rest) = match second {
        126 => rest.split_first_chunk::<2>().map(|(length, rest)| (u16::from_be_bytes(*length).into(), rest))?,
        127 => rest.split_first_chunk::<8>().map(|(length, rest)| (u64::from_be_bytes(*length), rest))?,
        short => (u64::from(short), rest),
    };
    let length = usize::try_from(length).ok()?;
    let payload = rest.get(..length)?;
    let sent = match first {
        0x81 => Sent::Text(String::from_utf8(payload.to_vec()).expect("UTF-8")),
        0x88 => Sent::Close(payload.first_chunk::<2>().map_or(1005, |code| u16::from_be_bytes(*code))),
        0x89 => Sent::Ping,
        0x8a => Sent::Pong(payload.to_vec()),
        other => panic!("a frame that begins with {other:#x}"),
    };
    Some((sent, bytes.len() - rest.len() + length))
}
