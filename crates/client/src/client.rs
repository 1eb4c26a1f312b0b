//! The client role.

use std::sync::Arc;
use std::time::Duration;

use cuttlebone_proto::IceServer;
use serde::Serialize;
use serde_json::value::RawValue;
use tokio::sync::mpsc;
use tokio_util::sync::DropGuard;
use tokio_util::task::TaskTracker;

use crate::backoff::Backoff;
use crate::driver::{self, Link, Role};
use crate::endpoint::Endpoint;
use crate::handle::{Command, SendError, Sender};
use crate::message::{self, ServerMessage};

/// Which device a client asks for, and how it keeps its connection.
#[derive(Clone, Debug)]
pub struct ClientOptions {
    /// The server.
    pub endpoint: Endpoint,
    /// The device.
    pub device_id: String,
    /// The pauses between attempts.
    pub backoff: Backoff,
    /// How long to connect, and then how long to wait for the server's first word (10 s).
    pub patience: Duration,
    /// After this much silence a ping is sent; after three times as much the connection counts as lost (20 s).
    pub keep_alive: Duration,
    /// Where the connection's task runs.
    pub tasks: TaskTracker,
}

impl ClientOptions {
    /// The defaults, on a tracker of its own.
    pub fn new(endpoint: Endpoint, device_id: &str) -> Self {
        Self {
            endpoint,
            device_id: device_id.to_owned(),
            backoff: Backoff::default(),
            patience: Duration::from_secs(10),
            keep_alive: Duration::from_secs(20),
            tasks: TaskTracker::new(),
        }
    }
}

/// What happens to a client.
#[derive(Debug)]
pub enum ClientEvent {
    /// ICE servers, for PeerConnections to come. The first comes before the device is there.
    Config {
        /// For the PeerConnections to come.
        ice_servers: Vec<IceServer>,
    },
    /// Connected to the device, which describes itself. From here on messages can be sent, and after
    /// [`ClientEvent::Lost`] this is a new session: the device sees a new client.
    DeviceInfo(Box<RawValue>),
    /// The device sent this, byte for byte.
    Message(Box<RawValue>),
    /// The server says what it does not like. It mostly closes the connection too, and [`ClientEvent::Lost`] follows.
    ServerError {
        /// In words, such as `Connection failed: Device not found: 'cvd-1'`.
        text: String,
        /// The stable word for programs, if the server gives one.
        code: Option<String>,
    },
    /// The connection broke, or an attempt failed. Messages that still waited are dropped.
    Lost {
        /// In words.
        reason: String,
        /// When it is tried again; `None`: never, and no event follows.
        retry_in: Option<Duration>,
    },
}

/// Sends for a client. Clones share the connection.
#[derive(Clone, Debug)]
pub struct ClientHandle {
    sender: Sender,
}

/// What happens to a client, in order.
#[derive(Debug)]
pub struct ClientEvents {
    events: mpsc::Receiver<ClientEvent>,
    _alive: Arc<DropGuard>,
}

/// Connects to a device, and again whenever the connection is lost. Must be called on a tokio runtime.
pub fn client(options: ClientOptions) -> (ClientHandle, ClientEvents) {
    let link = Link {
        endpoint: options.endpoint,
        backoff: options.backoff,
        patience: options.patience,
        keep_alive: options.keep_alive,
    };
    let role = ClientRole { greeting: message::connect(&options.device_id) };
    let (sender, events) = driver::start(role, link, &options.tasks);
    let alive = sender.keep_alive();
    let events = ClientEvents { events, _alive: alive };
    (ClientHandle { sender }, events)
}

impl ClientHandle {
    /// Sends `payload` to the device; a `RawValue` goes out byte for byte. Waits while too many messages wait already.
    /// `Ok` means queued, not received. Cancel safe: the message is queued or it is not.
    ///
    /// # Errors
    /// [`SendError::NotConnected`] before [`ClientEvent::DeviceInfo`] and after [`ClientEvent::Lost`],
    /// [`SendError::Closed`], [`SendError::Payload`].
    pub async fn forward<P>(&self, payload: &P) -> Result<(), SendError>
    where
        P: Serialize + ?Sized + Sync,
    {
        self.sender.send(self.command(payload)?).await
    }

    /// Like [`ClientHandle::forward`], but never waits.
    ///
    /// # Errors
    /// Also [`SendError::Full`].
    pub fn try_forward<P>(&self, payload: &P) -> Result<(), SendError>
    where
        P: Serialize + ?Sized,
    {
        self.sender.try_send(self.command(payload)?)
    }

    /// Sends what still waits, closes the connection (1000) and returns when it is closed, after at most a few seconds.
    pub async fn close(&self) {
        self.sender.close().await;
    }

    fn command<P: Serialize + ?Sized>(&self, payload: &P) -> Result<Command, SendError> {
        let session = self.sender.session()?;
        Ok(Command { text: message::forward(payload)?, session: Some(session) })
    }
}

impl ClientEvents {
    /// The next event; `None` when the connection is closed for good. Cancel safe.
    ///
    /// Read on: while nobody reads, nothing is taken from the server, which in the end hangs up.
    pub async fn next(&mut self) -> Option<ClientEvent> {
        self.events.recv().await
    }
}

struct ClientRole {
    greeting: String,
}

impl Role for ClientRole {
    type Event = ClientEvent;
    const PATH: &'static str = "/connect_client";
    /// The next session is a new client to the device, which would not know what an old message is about.
    const KEEPS_QUEUE: bool = false;

    fn greeting(&self) -> String {
        self.greeting.clone()
    }

    fn comes_up_with(message: &ServerMessage) -> bool {
        matches!(message, ServerMessage::DeviceInfo(_))
    }

    fn event(&self, message: ServerMessage, _was_up: bool) -> Option<ClientEvent> {
        Some(match message {
            ServerMessage::Config(ice_servers) => ClientEvent::Config { ice_servers },
            ServerMessage::DeviceInfo(info) => ClientEvent::DeviceInfo(info),
            ServerMessage::DeviceMessage(payload) => ClientEvent::Message(payload),
            ServerMessage::Error { text, code } => ClientEvent::ServerError { text, code },
            ServerMessage::ClientMessage(..) | ServerMessage::ClientDisconnected(_) | ServerMessage::Unknown => {
                return None;
            }
        })
    }

    fn lost(reason: String, retry_in: Option<Duration>) -> ClientEvent {
        ClientEvent::Lost { reason, retry_in }
    }
}
