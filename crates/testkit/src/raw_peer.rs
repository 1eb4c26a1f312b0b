//! A WebSocket peer that obeys nobody: it sends the bytes it is told to, and breaks when it is told to.
//!
//! One task owns the socket. It answers pings (unless silent) and close frames, and checks that everything the server
//! sends is what RFC 6455 and protocol.md 2.1 ask for: whole, unmasked, without reserved bits.

mod frame;
mod handshake;
mod task;

use std::time::Duration;

use tokio::net::TcpStream;
use tokio::sync::mpsc;
use tokio::time::timeout;
use tokio_util::task::TaskTracker;
use url::Url;

pub use frame::{Frame, FrameError, FrameReader, Opcode};

use crate::world::Received;
use task::{Command, Task};

/// How long opening a connection may take.
const OPENING: Duration = Duration::from_secs(20);
/// What may be received and not yet looked at; then the peer stops reading.
const RECEIVED: usize = 4096;

/// How a peer connects and behaves.
#[derive(Debug, Clone, Default)]
pub struct PeerOptions {
    /// The subprotocols it offers, in order.
    pub subprotocols: Vec<String>,
    /// The `Sec-WebSocket-Extensions` it offers.
    pub extensions: Option<String>,
    /// Further header lines, without line ends.
    pub headers: Vec<String>,
    /// Never answers a ping.
    pub silent: bool,
}

/// Why there is no connection.
#[derive(Debug, thiserror::Error)]
pub enum ConnectError {
    /// Only `ws://HOST:PORT` can be used.
    #[error("{0} is not ws://HOST:PORT")]
    Url(Url),
    /// The network.
    #[error(transparent)]
    Io(#[from] std::io::Error),
    /// The server answered, but not with a good upgrade.
    #[error("the server refused the upgrade: {0}")]
    Refused(String),
    /// No answer in time.
    #[error("no answer in {} s", OPENING.as_secs())]
    TimedOut,
}

/// The connection has ended, so nothing can be sent.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("the connection has ended")]
pub struct PeerEnded;

/// One connection. Dropping it resets the connection.
#[derive(Debug)]
pub struct RawPeer {
    commands: mpsc::Sender<Command>,
    received: mpsc::Receiver<Received>,
    subprotocol: Option<String>,
}

impl RawPeer {
    /// Connects to `url` (`ws://HOST:PORT/PATH`). The task of the connection runs on `tracker`.
    ///
    /// # Errors
    /// No connection, or an answer that is not a good upgrade.
    pub async fn connect(url: &Url, options: PeerOptions, tracker: &TaskTracker) -> Result<Self, ConnectError> {
        let (Some(host), "ws") = (url.host_str(), url.scheme()) else {
            return Err(ConnectError::Url(url.clone()));
        };
        let authority = format!("{host}:{}", url.port_or_known_default().unwrap_or(80));
        let opening = async {
            let mut stream = TcpStream::connect(&authority).await?;
            stream.set_nodelay(true)?;
            let opened = handshake::open(&mut stream, &authority, url.path(), &options).await?;
            Ok::<_, ConnectError>((stream, opened))
        };
        let (stream, opened) = timeout(OPENING, opening).await.map_err(|_| ConnectError::TimedOut)??;
        let (commands, orders) = mpsc::channel(64);
        let (events, received) = mpsc::channel(RECEIVED);
        tracker.spawn(Task::new(stream, &opened.early, orders, events, options.silent).run());
        Ok(Self { commands, received, subprotocol: opened.subprotocol })
    }

    /// The subprotocol that the server chose.
    #[must_use]
    pub fn subprotocol(&self) -> Option<&str> {
        self.subprotocol.as_deref()
    }

    /// Sends a text message in one frame.
    ///
    /// # Errors
    /// [`PeerEnded`].
    pub async fn send_text(&self, text: &str) -> Result<(), PeerEnded> {
        self.send_frame(&Frame::text(text)).await
    }

    /// Sends one frame, whether it makes sense or not.
    ///
    /// # Errors
    /// [`PeerEnded`].
    pub async fn send_frame(&self, frame: &Frame) -> Result<(), PeerEnded> {
        self.send_bytes(frame.masked()).await
    }

    /// Sends bytes.
    ///
    /// # Errors
    /// [`PeerEnded`].
    pub async fn send_bytes(&self, bytes: Vec<u8>) -> Result<(), PeerEnded> {
        self.command(Command::Write(bytes)).await
    }

    /// Stops reading the socket.
    ///
    /// # Errors
    /// [`PeerEnded`].
    pub async fn stop_reading(&self) -> Result<(), PeerEnded> {
        self.command(Command::Read(false)).await
    }

    /// Reads the socket again.
    ///
    /// # Errors
    /// [`PeerEnded`].
    pub async fn go_on_reading(&self) -> Result<(), PeerEnded> {
        self.command(Command::Read(true)).await
    }

    /// Begins a clean close. What the server still sends can be received.
    ///
    /// # Errors
    /// [`PeerEnded`].
    pub async fn close(&self, code: u16) -> Result<(), PeerEnded> {
        self.command(Command::Close(code)).await
    }

    /// Resets the TCP connection, and returns when that is done. What was not yet written is lost.
    pub async fn reset(&mut self) {
        if self.command(Command::Reset).await.is_ok() {
            self.commands.closed().await;
        }
    }

    /// The next thing received; `None` if nothing comes within this time. Cancel safe.
    pub async fn receive(&mut self, within: Duration) -> Option<Received> {
        match timeout(within, self.received.recv()).await {
            Ok(Some(received)) => Some(received),
            Ok(None) => Some(Received::End(None)),
            Err(_) => None,
        }
    }

    async fn command(&self, command: Command) -> Result<(), PeerEnded> {
        self.commands.send(command).await.map_err(|_| PeerEnded)
    }
}
