//! What both handles share: the way into the connection's task.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use thiserror::Error;
use tokio::sync::{OwnedSemaphorePermit, Semaphore, TryAcquireError, mpsc};
use tokio_util::sync::{CancellationToken, DropGuard};

/// Messages that may wait to be written; more than that wait in `forward`.
pub(crate) const COMMANDS: usize = 256;
/// Their bytes, all together. A message of more than that waits alone.
const COMMAND_BYTES: u32 = 1 << 20;

/// Why a message was not taken.
#[derive(Debug, Error)]
pub enum SendError {
    /// The connection was closed by us, or given up.
    #[error("the connection is closed")]
    Closed,
    /// There is no session (only told by a client's handle): it is over, or the next one has begun and its
    /// [`ClientEvent::DeviceInfo`](crate::ClientEvent::DeviceInfo) was not read yet.
    #[error("not connected to the device at the moment")]
    NotConnected,
    /// The queue is full (only told by `try_forward`).
    #[error("too many messages wait to be sent")]
    Full,
    /// The payload can't be written as JSON. The caller's fault.
    #[error("payload: {0}")]
    Payload(#[from] serde_json::Error),
}

/// What a handle asks to be written.
#[derive(Debug)]
pub(crate) struct Message {
    pub(crate) text: String,
    /// The session it is meant for; `None` if any will do.
    pub(crate) session: Option<u64>,
}

/// One message to be written, and the room that it takes until then.
#[derive(Debug)]
pub(crate) struct Command {
    pub(crate) message: Message,
    _room: OwnedSemaphorePermit,
}

/// The sending half of a connection. The connection ends when all of these are dropped, and the events too.
#[derive(Clone, Debug)]
pub(crate) struct Sender {
    pub(crate) commands: mpsc::Sender<Command>,
    pub(crate) shared: Arc<Shared>,
    pub(crate) alive: Arc<DropGuard>,
}

/// What the handles and the task both see.
#[derive(Debug)]
pub(crate) struct Shared {
    /// Asks the task to close.
    pub(crate) closing: CancellationToken,
    /// Cancelled when the task has ended.
    pub(crate) done: CancellationToken,
    /// The number of the session that is up or may be resumed, 0 if there is none.
    pub(crate) session: AtomicU64,
    /// The number of the session that the application was told of last.
    pub(crate) told: AtomicU64,
    /// The bytes that may still be queued. The end of the queue gives back what it holds, so that who waits for room goes on,
    /// and finds the queue closed.
    pub(crate) room: Arc<Semaphore>,
}

impl Default for Shared {
    fn default() -> Self {
        Self {
            closing: CancellationToken::new(),
            done: CancellationToken::new(),
            session: AtomicU64::new(0),
            told: AtomicU64::new(0),
            room: Arc::new(Semaphore::new(COMMAND_BYTES as usize)),
        }
    }
}

impl Message {
    fn takes(&self) -> u32 {
        u32::try_from(self.text.len()).unwrap_or(COMMAND_BYTES).min(COMMAND_BYTES)
    }
}

impl Sender {
    /// To be held by the events: the connection ends when the last of these is dropped.
    pub(crate) fn keep_alive(&self) -> Arc<DropGuard> {
        Arc::clone(&self.alive)
    }

    /// The session that a message is meant for: the one that the application knows of, if it is not over.
    pub(crate) fn session(&self) -> Result<u64, SendError> {
        let told = self.shared.told.load(Ordering::Acquire);
        match self.shared.session.load(Ordering::Acquire) {
            0 if self.commands.is_closed() => Err(SendError::Closed),
            session if session == 0 || session != told => Err(SendError::NotConnected),
            session => Ok(session),
        }
    }

    pub(crate) async fn send(&self, message: Message) -> Result<(), SendError> {
        let room = Arc::clone(&self.shared.room).acquire_many_owned(message.takes()).await;
        let command = Command { message, _room: room.map_err(|_| SendError::Closed)? };
        self.commands.send(command).await.map_err(|_| SendError::Closed)
    }

    pub(crate) fn try_send(&self, message: Message) -> Result<(), SendError> {
        let room =
            Arc::clone(&self.shared.room).try_acquire_many_owned(message.takes()).map_err(|error| match error {
                TryAcquireError::NoPermits => SendError::Full,
                TryAcquireError::Closed => SendError::Closed,
            })?;
        self.commands.try_send(Command { message, _room: room }).map_err(|error| match error {
            mpsc::error::TrySendError::Full(_) => SendError::Full,
            mpsc::error::TrySendError::Closed(_) => SendError::Closed,
        })
    }

    pub(crate) async fn close(&self) {
        self.shared.closing.cancel();
        self.shared.done.cancelled().await;
    }
}
