//! A server that does nothing by itself: the test says what it reads and writes.

use std::pin::Pin;
use std::time::Duration;

use cuttlebone_client::{Backoff, ClientOptions, DeviceOptions, Endpoint};
use futures_util::{SinkExt, StreamExt};
use serde_json::value::RawValue;
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::net::TcpListener;
use tokio::time::timeout;
use tokio_websockets::{CloseCode, Message, ServerBuilder, WebSocketStream};

pub(crate) const CONFIG: &str = r#"{"message_type":"config","ice_servers":[{"urls":["stun:s.example"]}]}"#;
pub(crate) const DEVICE_INFO: &str = r#"{"message_type":"device_info","device_info":{ "a":1, "a":1e999 }}"#;

/// `device_info` with a token, and with the number of forwards taken if it is known.
pub(crate) fn session(token: &str, taken: Option<usize>) -> String {
    let taken = taken.map_or(String::new(), |taken| format!(r#","cuttlebone_received":{taken}"#));
    format!(r#"{{"message_type":"device_info","device_info":{{}},"cuttlebone_resume":"{token}"{taken}}}"#)
}

/// The last message before a planned restart.
pub(crate) fn draining(taken: usize) -> String {
    format!(r#"{{"message_type":"cuttlebone_draining","cuttlebone_received":{taken}}}"#)
}

/// What the device says.
pub(crate) fn device_msg(payload: usize) -> String {
    format!(r#"{{"message_type":"device_msg","payload":{payload}}}"#)
}

trait Bytes: AsyncRead + AsyncWrite + Send {}
impl<T: AsyncRead + AsyncWrite + Send> Bytes for T {}

pub(crate) struct FakeServer {
    listener: TcpListener,
    tls: Option<tokio_rustls::TlsAcceptor>,
}

pub(crate) struct Peer {
    pub(crate) path: String,
    /// The credential that was shown.
    pub(crate) authorization: Option<String>,
    ws: WebSocketStream<Pin<Box<dyn Bytes>>>,
}

impl FakeServer {
    pub(crate) async fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        Self { listener, tls: None }
    }

    pub(crate) fn with_tls(mut self, config: rustls::ServerConfig) -> Self {
        self.tls = Some(std::sync::Arc::new(config).into());
        self
    }

    pub(crate) fn address(&self) -> String {
        self.listener.local_addr().unwrap().to_string()
    }

    pub(crate) fn endpoint(&self) -> Endpoint {
        Endpoint::parse(&format!("ws://{}/pre", self.address())).unwrap()
    }

    pub(crate) fn device(&self) -> DeviceOptions {
        let info = RawValue::from_string("{ \"x\": 1.0 }".into()).unwrap();
        DeviceOptions { backoff: quick(), ..DeviceOptions::new(self.endpoint(), "dev", info) }
    }

    pub(crate) fn client(&self) -> ClientOptions {
        ClientOptions { backoff: quick(), ..ClientOptions::new(self.endpoint(), "dev") }
    }

    /// Takes the next connection and hangs up before any HTTP.
    pub(crate) async fn refuse(&self) {
        drop(self.listener.accept().await.unwrap());
    }

    /// Takes the next connection and answers its request with this status instead of a WebSocket; the head of the request.
    pub(crate) async fn deny(&self, status: u16) -> String {
        let (mut tcp, _) = self.listener.accept().await.unwrap();
        let mut head = Vec::new();
        while !head.ends_with(b"\r\n\r\n") {
            head.push(tcp.read_u8().await.unwrap());
        }
        let body = format!(r#"{{"status":{status},"code":"in words"}}"#);
        let answer = format!(
            "HTTP/1.1 {status} No\r\nContent-Type: application/problem+json\r\nContent-Length: {}\r\n\
             Connection: close\r\n\r\n{body}",
            body.len()
        );
        tcp.write_all(answer.as_bytes()).await.unwrap();
        String::from_utf8(head).unwrap()
    }

    /// Takes the next connection as a WebSocket; `None` if a handshake fails.
    pub(crate) async fn try_accept(&self) -> Option<Peer> {
        let (tcp, _) = self.listener.accept().await.unwrap();
        tcp.set_nodelay(true).unwrap();
        let stream: Pin<Box<dyn Bytes>> = match &self.tls {
            Some(tls) => Box::pin(tls.accept(tcp).await.ok()?),
            None => Box::pin(tcp),
        };
        let (request, ws) = ServerBuilder::new().accept(stream).await.ok()?;
        let path = request.uri().path().to_owned();
        let authorization = request.headers().get("authorization").map(|value| value.to_str().unwrap().to_owned());
        Some(Peer { path, authorization, ws })
    }

    pub(crate) async fn accept(&self) -> Peer {
        self.try_accept().await.unwrap()
    }

    /// Takes the next connection, reads its greeting and answers it.
    pub(crate) async fn greet(&self, answers: &[&str]) -> Peer {
        let mut peer = self.accept().await;
        peer.text().await;
        for answer in answers {
            peer.send(answer).await;
        }
        peer
    }
}

impl Peer {
    pub(crate) async fn send(&mut self, text: &str) {
        assert!(self.try_send(text).await, "the connection broke");
    }

    /// Sends many with few packets, so that they all fit into the other socket's buffer.
    pub(crate) async fn send_all(&mut self, texts: impl IntoIterator<Item = String>) {
        for text in texts {
            self.ws.feed(Message::text(text)).await.unwrap();
        }
        self.ws.flush().await.unwrap();
    }

    /// Whether it could be sent.
    pub(crate) async fn try_send(&mut self, text: &str) -> bool {
        self.ws.send(Message::text(text.to_owned())).await.is_ok()
    }

    pub(crate) async fn send_close(&mut self, code: u16) {
        assert!(self.try_close(code).await, "the connection broke");
    }

    /// Whether a close frame could be sent.
    pub(crate) async fn try_close(&mut self, code: u16) -> bool {
        let code = CloseCode::try_from(code).unwrap();
        self.ws.send(Message::close(Some(code), "why")).await.is_ok()
    }

    /// Sends pings and reads nothing, until there is no room for them for so long; how many there were.
    pub(crate) async fn ping_until_stuck(&mut self, patience: Duration) -> usize {
        let mut sent = 0;
        while timeout(patience, self.ws.send(Message::ping(vec![b'x'; 125]))).await.is_ok_and(|sent| sent.is_ok()) {
            sent += 1;
        }
        sent
    }

    /// The next message that is not a ping.
    pub(crate) async fn next(&mut self) -> Option<Message> {
        loop {
            let message = self.ws.next().await?.ok()?;
            if !message.is_ping() {
                return Some(message);
            }
        }
    }

    pub(crate) async fn text(&mut self) -> String {
        let message = self.next().await.expect("a message");
        message.as_text().expect("a text").to_owned()
    }

    /// Whether the next message is a ping. It is answered with whatever is done next.
    pub(crate) async fn saw_ping(&mut self) -> bool {
        matches!(self.ws.next().await, Some(Ok(message)) if message.is_ping())
    }

    /// Whether the next message is the answer to a ping.
    pub(crate) async fn saw_pong(&mut self) -> bool {
        matches!(self.ws.next().await, Some(Ok(message)) if message.is_pong())
    }

    pub(crate) async fn close_code(&mut self) -> Option<u16> {
        let message = self.next().await?;
        message.as_close().map(|(code, _)| code.into())
    }
}

/// Short pauses, and no session too short to start them anew.
pub(crate) fn quick() -> Backoff {
    Backoff { first: Duration::from_millis(8), cap: Duration::from_millis(32), stable: Duration::ZERO, attempts: None }
}
