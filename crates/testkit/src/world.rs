//! What a transcript plays against: a server behind sockets, or the hub in memory.

use std::future::Future;
use std::time::Duration;

use serde::Deserialize;

/// Which endpoint a peer opens.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Role {
    /// `/register_device`.
    Device,
    /// `/connect_client`.
    Client,
}

impl Role {
    /// The path of the endpoint.
    #[must_use]
    pub const fn path(self) -> &'static str {
        match self {
            Self::Device => "/register_device",
            Self::Client => "/connect_client",
        }
    }
}

/// How a peer opens its connection.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Open {
    /// The endpoint.
    pub role: Role,
    /// The subprotocols it offers, in order.
    pub subprotocols: Vec<String>,
    /// The `Sec-WebSocket-Extensions` it offers.
    pub extensions: Option<String>,
    /// Never answers a ping.
    pub silent: bool,
}

/// What a peer puts on the wire.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Sent {
    /// A message in one text frame.
    Text(String),
    /// A text frame whose bytes need not be UTF-8.
    TextBytes(Vec<u8>),
    /// A binary frame.
    Binary(Vec<u8>),
    /// A message in several frames.
    Fragments {
        /// The content of each frame.
        parts: Vec<Vec<u8>>,
        /// The first frame goes on with a message that was begun before.
        continues: bool,
        /// The last frame does not end the message.
        unfinished: bool,
    },
    /// A ping.
    Ping(Vec<u8>),
    /// Bytes, whatever they are.
    Raw(Vec<u8>),
}

/// What a peer receives.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Received {
    /// A text message.
    Text(String),
    /// A binary message, which no server may send.
    Binary(Vec<u8>),
    /// A ping. It has been answered unless the peer is silent.
    Ping(Vec<u8>),
    /// A pong.
    Pong(Vec<u8>),
    /// A close frame, and its code if it had one.
    Close(Option<u16>),
    /// The end of the connection, with the fault that ended it, if it was one.
    End(Option<String>),
}

/// How a peer ends its connection.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Close {
    /// With a close frame.
    Clean(u16),
    /// With a TCP reset.
    Reset,
}

/// Why a step could not be played.
#[derive(Debug, thiserror::Error)]
pub enum WorldError {
    /// The connection was not opened.
    #[error("the connection was not opened: {0}")]
    NotOpened(String),
    /// No peer has this name.
    #[error("no peer is called {0}")]
    UnknownPeer(String),
    /// The connection has ended.
    #[error("the connection of {0} has ended")]
    Ended(String),
    /// The world has no such thing.
    #[error("not possible here: {0}")]
    Unsupported(&'static str),
}

/// A place where named peers talk to one server. The peers are named by the transcript.
pub trait World: Send {
    /// Opens the connection of `peer`; gives the subprotocol that the server chose.
    fn open(&mut self, peer: &str, open: &Open) -> impl Future<Output = Result<Option<String>, WorldError>> + Send;

    /// Sends something.
    fn send(&mut self, peer: &str, sent: Sent) -> impl Future<Output = Result<(), WorldError>> + Send;

    /// The next thing that `peer` receives; `None` if nothing comes within this time.
    fn receive(
        &mut self,
        peer: &str,
        within: Duration,
    ) -> impl Future<Output = Result<Option<Received>, WorldError>> + Send;

    /// Ends the connection of `peer`.
    fn close(&mut self, peer: &str, close: Close) -> impl Future<Output = Result<(), WorldError>> + Send;

    /// Lets time pass.
    fn advance(&mut self, time: Duration) -> impl Future<Output = Result<(), WorldError>> + Send;
}
