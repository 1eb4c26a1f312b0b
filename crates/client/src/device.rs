//! The device role.

use std::sync::Arc;
use std::time::Duration;

use cuttlebone_proto::{ClientId, IceServer};
use serde::Serialize;
use serde_json::value::RawValue;
use tokio::sync::mpsc;
use tokio_util::sync::DropGuard;
use tokio_util::task::TaskTracker;

use crate::backoff::Backoff;
use crate::driver::{self, Link, Loss, Role, Step};
use crate::endpoint::Endpoint;
use crate::handle::{Message, SendError, Sender};
use crate::message::{self, ServerMessage};

/// What a device registers as, and how it keeps its connection.
#[derive(Clone, Debug)]
pub struct DeviceOptions {
    /// The server.
    pub endpoint: Endpoint,
    /// The name that clients ask for.
    pub device_id: String,
    /// What every client is told about the device, byte for byte. Keep it the same: clients survive a lost connection
    /// only if it is registered again with the same bytes.
    pub device_info: Box<RawValue>,
    /// The pauses between attempts.
    pub backoff: Backoff,
    /// How long to connect, and then how long to wait for the server's answer (10 s).
    pub patience: Duration,
    /// After this much silence a ping is sent (20 s); after half as much again the connection counts as lost.
    pub keep_alive: Duration,
    /// Where the connection's task runs.
    pub tasks: TaskTracker,
}

impl DeviceOptions {
    /// The defaults, on a tracker of its own.
    pub fn new(endpoint: Endpoint, device_id: &str, device_info: Box<RawValue>) -> Self {
        Self {
            endpoint,
            device_id: device_id.to_owned(),
            device_info,
            backoff: Backoff::default(),
            patience: Duration::from_secs(10),
            keep_alive: Duration::from_secs(20),
            tasks: TaskTracker::new(),
        }
    }
}

/// What happens to a device.
#[derive(Debug)]
pub enum DeviceEvent {
    /// The server has taken the registration: the first, or one after [`DeviceEvent::Lost`].
    Registered {
        /// For the PeerConnections to come.
        ice_servers: Vec<IceServer>,
    },
    /// New ICE servers, for later PeerConnections.
    Config {
        /// For the PeerConnections to come.
        ice_servers: Vec<IceServer>,
    },
    /// A client sent something. The first of an id means a new client.
    ClientMessage {
        /// Whom to answer.
        client_id: ClientId,
        /// As the client sent it, byte for byte.
        payload: Box<RawValue>,
    },
    /// This client is gone for good; its id does not come again.
    ClientDisconnected {
        /// Who was it.
        client_id: ClientId,
    },
    /// The server says what it does not like. It mostly closes the connection too, and [`DeviceEvent::Lost`] follows.
    /// So do a server that lets us not in (`unauthenticated`, `forbidden`) and a token that has expired or was revoked
    /// (`credential_expired`): see [`Credential`](crate::Credential).
    ServerError {
        /// In words, such as `Device id already taken: cvd-1`.
        text: String,
        /// The stable word for programs, if the server gives one.
        code: Option<String>,
    },
    /// The connection broke, or an attempt failed. Clients and their ids may live on until the next registration.
    Lost {
        /// In words.
        reason: String,
        /// When it is tried again; `None`: never, and no event follows.
        retry_in: Option<Duration>,
    },
}

/// Sends for a device. Clones share the connection.
#[derive(Clone, Debug)]
pub struct DeviceHandle {
    sender: Sender,
}

/// What happens to a device, in order.
#[derive(Debug)]
pub struct DeviceEvents {
    events: mpsc::Receiver<DeviceEvent>,
    _alive: Arc<DropGuard>,
}

/// Registers a device, and again whenever the connection is lost. Must be called on a tokio runtime.
pub fn device(options: DeviceOptions) -> (DeviceHandle, DeviceEvents) {
    let link = Link {
        endpoint: options.endpoint,
        backoff: options.backoff,
        patience: options.patience,
        keep_alive: options.keep_alive,
    };
    let role = DeviceRole { greeting: message::register(&options.device_id, &options.device_info) };
    let (sender, events) = driver::start(role, link, &options.tasks);
    let alive = sender.keep_alive();
    let events = DeviceEvents { events, _alive: alive };
    (DeviceHandle { sender }, events)
}

impl DeviceHandle {
    /// Sends `payload` to a client; a `RawValue` goes out byte for byte. Waits while too many messages wait already,
    /// or too many bytes (256, 1 MiB), among them those from before a lost connection: they are sent after the next
    /// registration. `Ok` means queued, not received. Cancel safe: the message is queued or it is not.
    ///
    /// # Errors
    /// [`SendError::Closed`] and [`SendError::Payload`].
    pub async fn forward<P>(&self, client_id: ClientId, payload: &P) -> Result<(), SendError>
    where
        P: Serialize + ?Sized + Sync,
    {
        self.sender.send(message(client_id, payload)?).await
    }

    /// Like [`DeviceHandle::forward`], but never waits.
    ///
    /// # Errors
    /// Also [`SendError::Full`].
    pub fn try_forward<P>(&self, client_id: ClientId, payload: &P) -> Result<(), SendError>
    where
        P: Serialize + ?Sized,
    {
        self.sender.try_send(message(client_id, payload)?)
    }

    /// Sends what still waits, closes the connection (1000: the device is gone for good) and returns when it is closed,
    /// after at most a few seconds.
    pub async fn close(&self) {
        self.sender.close().await;
    }
}

fn message<P: Serialize + ?Sized>(client_id: ClientId, payload: &P) -> Result<Message, SendError> {
    Ok(Message { text: message::forward_to(client_id, payload)?, session: None })
}

impl DeviceEvents {
    /// The next event; `None` when the connection is closed for good. Cancel safe.
    ///
    /// Read on: while nobody reads, nothing is taken from the server, which in the end hangs up.
    pub async fn next(&mut self) -> Option<DeviceEvent> {
        self.events.recv().await
    }
}

struct DeviceRole {
    greeting: String,
}

impl Role for DeviceRole {
    type Event = DeviceEvent;
    const PATH: &'static str = "/register_device";

    fn greeting(&mut self) -> String {
        self.greeting.clone()
    }

    fn on_message(&mut self, message: ServerMessage, is_up: bool) -> Result<(Step, Option<DeviceEvent>), String> {
        let event = match message {
            ServerMessage::Config { ice_servers, .. } if is_up => DeviceEvent::Config { ice_servers },
            ServerMessage::Config { ice_servers, .. } => {
                return Ok((Step::Begin, Some(DeviceEvent::Registered { ice_servers })));
            }
            ServerMessage::ClientMessage(client_id, payload) => DeviceEvent::ClientMessage { client_id, payload },
            ServerMessage::ClientDisconnected(client_id) => DeviceEvent::ClientDisconnected { client_id },
            ServerMessage::Error { text, code } => DeviceEvent::ServerError { text, code },
            ServerMessage::DeviceInfo { .. }
            | ServerMessage::DeviceMessage(_)
            | ServerMessage::Draining(_)
            | ServerMessage::Unknown => return Ok((Step::Stay, None)),
        };
        Ok((Step::Stay, Some(event)))
    }

    /// What was written to a connection that broke may be lost with it: no server says what it took from a device.
    fn on_forward(&mut self, _text: &str) {}

    /// The clients and their ids outlive the connection, and so do the answers to them.
    fn on_lost(&mut self, _loss: &Loss, _was_up: bool) -> bool {
        true
    }

    fn is_resumable(&self) -> bool {
        false
    }

    fn server_error(text: String, code: Option<String>) -> DeviceEvent {
        DeviceEvent::ServerError { text, code }
    }

    fn lost(reason: String, retry_in: Option<Duration>) -> DeviceEvent {
        DeviceEvent::Lost { reason, retry_in }
    }
}
