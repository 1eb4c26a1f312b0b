//! The client role.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use cuttlebone_proto::IceServer;
use serde::Serialize;
use serde_json::value::RawValue;
use tokio::sync::mpsc;
use tokio_util::sync::DropGuard;
use tokio_util::task::TaskTracker;

use crate::backoff::Backoff;
use crate::driver::{self, EXPIRED, Link, Loss, POLICY, RESTART, Role, Step};
use crate::endpoint::Endpoint;
use crate::handle::{Message, SendError, Sender, Shared};
use crate::message::{self, ServerMessage};
use crate::resume::{Beginning, Memory, Resume};

/// The word of the server for a session that is over.
const CANNOT_RESUME: &str = "cannot_resume";

/// Which device a client asks for, and how it keeps its connection.
#[derive(Clone, Debug)]
pub struct ClientOptions {
    /// The server.
    pub endpoint: Endpoint,
    /// The device.
    pub device_id: String,
    /// What is kept to resume a session whose connection broke. `None`: no session is resumed, each connection is a new
    /// one. A server that can't resume makes no difference to that.
    pub resume: Option<Resume>,
    /// The pauses between attempts.
    pub backoff: Backoff,
    /// How long to connect, and then how long to wait for the server's first word (10 s).
    pub patience: Duration,
    /// After this much silence a ping is sent (20 s); after half as much again the connection counts as lost.
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
            resume: Some(Resume::default()),
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
    /// ICE servers, for PeerConnections to come. The first comes before the device is there; a server that has relays names
    /// them when it is, and names them again before their credentials expire.
    Config {
        /// For the PeerConnections to come.
        ice_servers: Vec<IceServer>,
        /// The server asks its clients to use relays and nothing else, so that no device learns their addresses.
        relay_only: bool,
    },
    /// A new session with the device, which describes itself: the device sees a new client. From here on messages can be
    /// sent. What waited for an older session was dropped.
    DeviceInfo(Box<RawValue>),
    /// The session goes on over a new connection, after [`ClientEvent::Lost`]: the device has noticed nothing. Messages
    /// that waited, or were lost with the connection, have been sent or are on their way.
    Resumed {
        /// Nothing was lost. If it is `false`, messages that were under way may be, in either direction; what is built on
        /// them should be checked, or negotiated again.
        complete: bool,
        /// As the device describes itself now.
        device_info: Box<RawValue>,
    },
    /// The device sent this, byte for byte.
    Message(Box<RawValue>),
    /// The server says what it does not like. It mostly closes the connection too, and [`ClientEvent::Lost`] follows.
    /// So do a server that lets us not in (`unauthenticated`, `forbidden`) and a token that has expired or was revoked
    /// (`credential_expired`): see [`Credential`](crate::Credential).
    ServerError {
        /// In words, such as `Connection failed: Device not found: 'cvd-1'`.
        text: String,
        /// The stable word for programs, if the server gives one.
        code: Option<String>,
    },
    /// The connection has ended, or an attempt failed. If a session may still be resumed, messages can be sent, and wait;
    /// otherwise those that waited are dropped, and [`SendError::NotConnected`] is told. What follows in the end is
    /// [`ClientEvent::Resumed`] or [`ClientEvent::DeviceInfo`].
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
    shared: Arc<Shared>,
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
    let role = ClientRole { device_id: options.device_id, memory: Memory::new(options.resume) };
    let (sender, events) = driver::start(role, link, &options.tasks);
    let events = ClientEvents { events, shared: Arc::clone(&sender.shared), _alive: sender.keep_alive() };
    (ClientHandle { sender }, events)
}

impl ClientHandle {
    /// Sends `payload` to the device; a `RawValue` goes out byte for byte. Waits while too many messages wait already,
    /// or too many bytes (256, 1 MiB), among them those that wait for a session to be resumed. `Ok` means queued, not
    /// received. Cancel safe: the message is queued or it is not.
    ///
    /// A message belongs to the session whose [`ClientEvent::DeviceInfo`] was read last, and is sent in no other.
    ///
    /// # Errors
    /// [`SendError::NotConnected`] before [`ClientEvent::DeviceInfo`] and when the session is over,
    /// [`SendError::Closed`], [`SendError::Payload`].
    pub async fn forward<P>(&self, payload: &P) -> Result<(), SendError>
    where
        P: Serialize + ?Sized + Sync,
    {
        self.sender.send(self.message(payload)?).await
    }

    /// Like [`ClientHandle::forward`], but never waits.
    ///
    /// # Errors
    /// Also [`SendError::Full`].
    pub fn try_forward<P>(&self, payload: &P) -> Result<(), SendError>
    where
        P: Serialize + ?Sized,
    {
        self.sender.try_send(self.message(payload)?)
    }

    /// Sends what still waits, closes the connection (1000) and returns when it is closed, after at most a few seconds. While
    /// the connection is lost there is nothing to send on, and what waits is dropped.
    pub async fn close(&self) {
        self.sender.close().await;
    }

    fn message<P: Serialize + ?Sized>(&self, payload: &P) -> Result<Message, SendError> {
        let session = self.sender.session()?;
        Ok(Message { text: message::forward(payload)?, session: Some(session) })
    }
}

impl ClientEvents {
    /// The next event; `None` when the connection is closed for good. Cancel safe.
    ///
    /// Read on: while nobody reads, nothing is taken from the server, which in the end hangs up.
    pub async fn next(&mut self) -> Option<ClientEvent> {
        let event = self.events.recv().await;
        if matches!(event, Some(ClientEvent::DeviceInfo(_))) {
            self.shared.told.fetch_add(1, Ordering::Release);
        }
        event
    }
}

struct ClientRole {
    device_id: String,
    memory: Memory,
}

impl ClientRole {
    fn on_device_info(
        &mut self,
        info: Box<RawValue>,
        token: Option<String>,
        taken: Option<u64>,
    ) -> Result<(Step, Option<ClientEvent>), String> {
        Ok(match self.memory.on_device_info(token, taken).map_err(|_| "the server's counts are impossible")? {
            Beginning::New => (Step::Begin, Some(ClientEvent::DeviceInfo(info))),
            Beginning::Resumed { complete } => {
                let again = self.memory.kept().map(str::to_owned).collect();
                (Step::GoOn(again), Some(ClientEvent::Resumed { complete, device_info: info }))
            }
        })
    }
}

impl Role for ClientRole {
    type Event = ClientEvent;
    const PATH: &'static str = "/connect_client";

    fn greeting(&mut self) -> String {
        message::connect(&self.device_id, &self.memory.ask())
    }

    fn on_message(&mut self, message: ServerMessage, is_up: bool) -> Result<(Step, Option<ClientEvent>), String> {
        let event = match message {
            ServerMessage::Config { ice_servers, relay_only } => ClientEvent::Config { ice_servers, relay_only },
            ServerMessage::DeviceInfo { info, token, taken } if !is_up => {
                return self.on_device_info(info, token, taken);
            }
            ServerMessage::DeviceMessage(payload) => {
                self.memory.on_device_message();
                ClientEvent::Message(payload)
            }
            ServerMessage::Draining(taken) => {
                self.memory.on_draining(taken).map_err(|_| "the server's counts are impossible")?;
                return Ok((Step::Drain, None));
            }
            // To a client that asked for a new session it is an error like any other: it would come again at once, for ever.
            ServerMessage::Error { code, .. }
                if !is_up && code.as_deref() == Some(CANNOT_RESUME) && self.memory.is_resumable() =>
            {
                self.memory.on_over();
                return Ok((Step::Refuse("the session cannot be resumed"), None));
            }
            ServerMessage::Error { text, code } => ClientEvent::ServerError { text, code },
            ServerMessage::DeviceInfo { .. }
            | ServerMessage::ClientMessage(..)
            | ServerMessage::ClientDisconnected(_)
            | ServerMessage::Unknown => return Ok((Step::Stay, None)),
        };
        Ok((Step::Stay, Some(event)))
    }

    fn on_forward(&mut self, text: &str) {
        self.memory.on_forward(text);
    }

    /// A broken connection, a restart and a token that is refused leave the session to be resumed, any other close ends it.
    /// So does a refusal to resume it, and a server that breaks the protocol: it would do so again.
    fn on_lost(&mut self, loss: &Loss, was_up: bool) -> bool {
        let is_over = match loss {
            Loss::Broken | Loss::Denied(_) => false,
            Loss::Violation => true,
            Loss::Closed(code) if was_up => !matches!(code, Some(RESTART | EXPIRED)),
            Loss::Closed(code) => *code == Some(POLICY),
        };
        if is_over {
            self.memory.on_over();
        }
        self.memory.is_resumable()
    }

    fn is_resumable(&self) -> bool {
        self.memory.is_resumable()
    }

    fn server_error(text: String, code: Option<String>) -> ClientEvent {
        ClientEvent::ServerError { text, code }
    }

    fn lost(reason: String, retry_in: Option<Duration>) -> ClientEvent {
        ClientEvent::Lost { reason, retry_in }
    }
}
