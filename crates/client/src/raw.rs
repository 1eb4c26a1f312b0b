//! One WebSocket to a server, without meaning and without reconnect.
//!
//! Owns the handshake (TCP, TLS, upgrade) and the framing. The roles of this crate sit on it, load generators and tests
//! use it directly.
//!
//! ```no_run
//! # async fn example() -> Result<(), Box<dyn std::error::Error>> {
//! use cuttlebone_client::{Endpoint, raw};
//!
//! let endpoint = Endpoint::parse("ws://127.0.0.1:8080")?;
//! let mut conn = raw::connect(&endpoint, "/connect_client", &[]).await?;
//! conn.send_text(r#"{"message_type":"connect","device_id":"cvd-1"}"#).await?;
//! println!("{:?}", conn.next().await);
//! # Ok(())
//! # }
//! ```

use std::io;
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;

use futures_util::{Sink, SinkExt, Stream as _, future::poll_fn};
use http::header::{AUTHORIZATION, SEC_WEBSOCKET_PROTOCOL};
use http::{HeaderName, HeaderValue};
use thiserror::Error;
use tokio_websockets::{ClientBuilder, CloseCode, Config, Limits, Message, WebSocketStream, upgrade};

use crate::credential::NoToken;
use crate::endpoint::Endpoint;

mod read_on;
mod stream;

use read_on::ReadOn;
pub use stream::Stream;

/// Bytes that may be queued before [`RawConn::send_text`] writes.
const FLUSH_THRESHOLD: usize = 64 * 1024;
/// Pings that are read while their answers can't be written: a server that reads nothing would have us keep them all.
const MOST_PONGS: usize = 512;
const NO_STATUS: u16 = 1005;
const REASON_BYTES: usize = 123;

/// Why there is no connection.
#[derive(Debug, Error)]
pub enum ConnectError {
    /// The server can't be reached, or hung up.
    #[error("cannot connect: {0}")]
    Io(#[from] io::Error),
    /// The host is not a name that a certificate can carry.
    #[error("not a name for TLS: {0}")]
    Name(String),
    /// The path or a subprotocol has characters that HTTP does not allow. The caller's fault.
    #[error("not allowed in an HTTP request: {0}")]
    Request(String),
    /// The provider of tokens had none.
    #[error("no token: {0}")]
    Token(NoToken),
    /// The server does not accept our token, or we showed none and it wants one (401).
    #[error("the server wants a valid token (401)")]
    Unauthenticated,
    /// The server knows who we are, and that we may not do this (403).
    #[error("the server does not allow this (403)")]
    Forbidden,
    /// The server answered the upgrade with something else; the text says with what.
    #[error("no WebSocket there: {0}")]
    Upgrade(String),
}

/// What came from the peer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum RawEvent {
    /// A whole text message.
    Text(String),
    /// A whole binary message, which the protocol knows no use for.
    Binary(Vec<u8>),
    /// A ping; the pong is on its way.
    Ping,
    /// A pong.
    Pong,
    /// The close frame: code and reason. The answer is on its way; [`RawConn::next`] gives `None` from here on.
    Close(Option<u16>, String),
}

/// An open WebSocket. Dropping it cuts the connection without a close frame.
#[derive(Debug)]
pub struct RawConn {
    ws: WebSocketStream<ReadOn<Stream>>,
    subprotocol: Option<String>,
    dirty: bool,
    /// Answers to pings that may not be written yet.
    pongs: usize,
    failure: Option<String>,
    is_violation: bool,
}

/// The header that shows the server who we are, for those who write the request themselves; `None` if the endpoint has no
/// credential. A provider is asked for a token. The value is marked as sensitive.
///
/// # Errors
/// [`ConnectError::Token`].
pub async fn authorization(endpoint: &Endpoint) -> Result<Option<(HeaderName, HeaderValue)>, ConnectError> {
    let Some(credential) = endpoint.credential() else { return Ok(None) };
    let value = credential.authorization().await.map_err(ConnectError::Token)?;
    Ok(Some((AUTHORIZATION, value)))
}

/// Connects to `path` (beginning with a slash) below the prefix of `endpoint`, and shows its credential if it has one.
///
/// There is no timeout in here; wrap it in one. Dropping the future gives the attempt up.
///
/// # Errors
/// See [`ConnectError`].
pub async fn connect(endpoint: &Endpoint, path: &str, subprotocols: &[&str]) -> Result<RawConn, ConnectError> {
    let uri = endpoint.uri(path).map_err(|_| ConnectError::Request(path.to_owned()))?;
    let config = Config::default().frame_size(usize::MAX).flush_threshold(FLUSH_THRESHOLD);
    let mut builder = ClientBuilder::from_uri(uri)
        .config(config)
        .limits(Limits::default().max_payload_len(Some(endpoint.max_message())));
    if !subprotocols.is_empty() {
        let offer = subprotocols.join(", ");
        let value = HeaderValue::from_str(&offer).map_err(|_| ConnectError::Request(offer))?;
        builder = builder.add_header(SEC_WEBSOCKET_PROTOCOL, value).map_err(upgrade_error)?;
    }
    // Before the connection, which the server would not leave open for long.
    if let Some((name, value)) = authorization(endpoint).await? {
        builder = builder.add_header(name, value).map_err(upgrade_error)?;
    }
    let stream = ReadOn::new(Stream::open(endpoint).await?);
    let (mut ws, response) = builder.connect_on(stream).await.map_err(upgrade_error)?;
    ws.get_mut().upgraded();
    let subprotocol =
        response.headers().get(SEC_WEBSOCKET_PROTOCOL).and_then(|value| value.to_str().ok()).map(str::to_owned);
    Ok(RawConn { ws, subprotocol, dirty: false, pongs: 0, failure: None, is_violation: false })
}

fn upgrade_error(error: tokio_websockets::Error) -> ConnectError {
    match error {
        tokio_websockets::Error::Io(error) => ConnectError::Io(error),
        tokio_websockets::Error::Upgrade(upgrade::Error::DidNotSwitchProtocols(401)) => ConnectError::Unauthenticated,
        tokio_websockets::Error::Upgrade(upgrade::Error::DidNotSwitchProtocols(403)) => ConnectError::Forbidden,
        other => ConnectError::Upgrade(other.to_string()),
    }
}

impl RawConn {
    /// The subprotocol that the server chose.
    pub fn subprotocol(&self) -> Option<&str> {
        self.subprotocol.as_deref()
    }

    /// Why [`RawConn::next`] gave `None` without a [`RawEvent::Close`], if there is more to say than "end of stream".
    pub fn failure(&self) -> Option<&str> {
        self.failure.as_deref()
    }

    /// Whether [`RawConn::next`] gave `None` because of what the server sent: no WebSocket, or too large a message.
    pub(crate) fn is_violation(&self) -> bool {
        self.is_violation
    }

    /// Whether a write has failed. What the server had sent before can still be read.
    pub(crate) fn is_unwritable(&self) -> bool {
        self.ws.get_ref().write_fault().is_some()
    }

    /// Queues a text message. Nothing is written before [`RawConn::flush`], [`RawConn::next`] or
    /// [`RawConn::poll_flush`]; nothing bounds the queue but the caller.
    ///
    /// # Errors
    /// When the connection is closed.
    pub fn queue_text(&mut self, text: impl Into<String>) -> io::Result<()> {
        self.queue(Message::text(text.into()))
    }

    /// Queues an empty ping, as [`RawConn::queue_text`] does.
    ///
    /// # Errors
    /// When the connection is closed.
    pub fn queue_ping(&mut self) -> io::Result<()> {
        self.queue(Message::ping(""))
    }

    /// Sends a text message and waits until it is written.
    ///
    /// # Errors
    /// When the connection is closed or breaks.
    pub async fn send_text(&mut self, text: impl Into<String>) -> io::Result<()> {
        self.queue_text(text)?;
        self.flush().await
    }

    /// Sends a binary message and waits until it is written.
    ///
    /// # Errors
    /// When the connection is closed or breaks.
    pub async fn send_binary(&mut self, bytes: Vec<u8>) -> io::Result<()> {
        self.queue(Message::binary(bytes))?;
        self.flush().await
    }

    /// Waits until all that was queued is written. Cancel safe: what was not written stays queued.
    ///
    /// # Errors
    /// When the connection breaks. What the server had sent before can still be read with [`RawConn::next`].
    pub async fn flush(&mut self) -> io::Result<()> {
        poll_fn(|cx| self.poll_flush(cx)).await
    }

    /// What comes next, or `None` after a close frame, at the end of the stream and after an error. Cancel safe. Also
    /// writes what is queued. Nothing more comes while the server leaves the answers to 512 pings unread.
    pub async fn next(&mut self) -> Option<RawEvent> {
        poll_fn(|cx| self.poll_next(cx)).await
    }

    /// Sends a close frame, then reads on until the server has answered with its own, at most `patience` long, and
    /// hangs up. A code that may not be sent is sent as 1000, and the reason is cut at 123 bytes.
    ///
    /// # Errors
    /// When the close frame can't be written.
    pub async fn close(mut self, code: u16, reason: &str, patience: Duration) -> io::Result<()> {
        let code =
            CloseCode::try_from(code).ok().filter(|code| !code.is_reserved()).unwrap_or(CloseCode::NORMAL_CLOSURE);
        let reason = &reason[..reason.floor_char_boundary(REASON_BYTES)];
        self.queue(Message::close(Some(code), reason))?;
        let farewell = async {
            self.flush().await?;
            while self.next().await.is_some() {}
            self.ws.close().await.map_err(io_error)
        };
        match tokio::time::timeout(patience, farewell).await {
            Ok(result) => result,
            Err(_late) => Ok(()),
        }
    }

    /// Whether something is queued and not yet written.
    pub fn is_dirty(&self) -> bool {
        self.dirty
    }

    /// The poll form of [`RawConn::flush`].
    pub fn poll_flush(&mut self, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        let result = std::task::ready!(Pin::new(&mut self.ws).poll_flush(cx));
        self.dirty = false;
        self.pongs = 0;
        Poll::Ready(result.map_err(io_error).and_then(|()| self.written()))
    }

    /// The poll form of [`RawConn::next`].
    pub fn poll_next(&mut self, cx: &mut Context<'_>) -> Poll<Option<RawEvent>> {
        if self.pongs >= MOST_PONGS {
            // Whatever comes of it: one that broke can still be read.
            let _ = std::task::ready!(self.poll_flush(cx));
        }
        let event = match std::task::ready!(Pin::new(&mut self.ws).poll_next(cx)) {
            None => None,
            Some(Ok(message)) => {
                // The library has queued the answer to a ping or a close.
                self.dirty |= message.is_ping() || message.is_close();
                self.pongs += usize::from(message.is_ping());
                Some(event(message))
            }
            Some(Err(error)) => {
                self.is_violation = !matches!(error, tokio_websockets::Error::Io(_));
                self.failure.get_or_insert(error.to_string());
                None
            }
        };
        Poll::Ready(event)
    }

    /// The fault of a write that the stream has kept to itself.
    fn written(&mut self) -> io::Result<()> {
        let Some(fault) = self.ws.get_ref().write_fault() else { return Ok(()) };
        self.failure.get_or_insert_with(|| fault.to_string());
        Err(fault)
    }

    fn queue(&mut self, message: Message) -> io::Result<()> {
        self.written()?;
        Pin::new(&mut self.ws).start_send(message).map_err(io_error)?;
        self.dirty = true;
        Ok(())
    }
}

fn event(message: Message) -> RawEvent {
    if let Some((code, reason)) = message.as_close() {
        let code = Some(u16::from(code)).filter(|code| *code != NO_STATUS);
        return RawEvent::Close(code, reason.to_owned());
    }
    if message.is_ping() {
        return RawEvent::Ping;
    }
    if message.is_pong() {
        return RawEvent::Pong;
    }
    let is_text = message.is_text();
    let bytes = message.into_payload().to_vec();
    if !is_text {
        return RawEvent::Binary(bytes);
    }
    match String::from_utf8(bytes) {
        Ok(text) => RawEvent::Text(text),
        Err(error) => RawEvent::Binary(error.into_bytes()),
    }
}

fn io_error(error: tokio_websockets::Error) -> io::Error {
    match error {
        tokio_websockets::Error::Io(error) => error,
        other => io::Error::other(other),
    }
}
