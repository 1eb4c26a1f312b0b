//! The whole device: [`Viewers`] on one side, the connection to the signaling server on the other.

use cuttlebone_client::{Backoff, ClientId, DeviceEvent, DeviceEvents, DeviceHandle, DeviceOptions, Endpoint, device};
use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

use crate::options::{InvalidMedia, Media};
use crate::payload::ToViewer;
use crate::viewers::Viewers;

/// What a demo device is told.
#[derive(Debug, Clone)]
pub struct Options {
    /// The signaling server.
    pub endpoint: Endpoint,
    /// The id it registers, and shows in the picture.
    pub device_id: String,
    /// The picture, and where it goes.
    pub media: Media,
    /// The pauses between attempts to reach the server.
    pub backoff: Backoff,
}

impl Options {
    /// A device with the default picture, for viewers on this machine.
    #[must_use]
    pub fn new(endpoint: Endpoint, device_id: &str) -> Self {
        Self { endpoint, device_id: device_id.to_owned(), media: Media::default(), backoff: Backoff::default() }
    }
}

/// Why a demo device can't run, or no longer.
#[derive(Debug, thiserror::Error)]
pub enum DeviceError {
    /// The settings make no sense.
    #[error(transparent)]
    Media(#[from] InvalidMedia),
    /// The device's description could not be written.
    #[error("device_info: {0}")]
    Info(#[from] serde_json::Error),
    /// The server was not reached in as many attempts as [`Options::backoff`] allows, or does not accept our token.
    #[error("the server was given up: {0}")]
    GivenUp(String),
}

/// A device that shows a test picture.
#[derive(Debug)]
pub struct DemoDevice {
    options: Options,
}

impl DemoDevice {
    /// Does nothing yet.
    #[must_use]
    pub fn new(options: Options) -> Self {
        Self { options }
    }

    /// Registers, and serves viewers until `cancel`; then leaves the server properly. A lost connection to the server
    /// is made again, and viewers keep their picture meanwhile.
    ///
    /// # Errors
    /// [`DeviceError`].
    pub async fn run(self, cancel: CancellationToken) -> Result<(), DeviceError> {
        let Options { endpoint, device_id, media, backoff } = self.options;
        let tracker = TaskTracker::new();
        // Cancelled when this future is dropped too, so that no session outlives it.
        let stop = cancel.child_token();
        let end_sessions = stop.clone().drop_guard();
        let device_info = media.device_info()?;
        let (viewers, messages) = Viewers::new(&device_id, media, tracker.clone(), stop.clone())?;
        let registration =
            DeviceOptions { backoff, tasks: tracker.clone(), ..DeviceOptions::new(endpoint, &device_id, device_info) };
        let (handle, events) = device(registration);
        let posting = post(handle.clone(), messages);
        tracker.spawn(async move { stop.run_until_cancelled(posting).await });
        let result = serve(device_id, viewers, events, &cancel).await;
        drop(end_sessions);
        handle.close().await;
        tracker.close();
        tracker.wait().await;
        result
    }
}

/// Sends on what sessions say. Apart from [`serve`], so that a slow server keeps no viewer's message from its session.
async fn post(handle: DeviceHandle, mut messages: mpsc::Receiver<(ClientId, ToViewer)>) {
    while let Some((client, message)) = messages.recv().await {
        if let Err(error) = handle.forward(client, &message).await {
            tracing::debug!(%client, %error, "a message to a viewer was not sent");
        }
    }
}

async fn serve(
    device_id: String,
    mut viewers: Viewers,
    mut events: DeviceEvents,
    cancel: &CancellationToken,
) -> Result<(), DeviceError> {
    let mut reason = String::new();
    while let Some(Some(event)) = cancel.run_until_cancelled(events.next()).await {
        match event {
            DeviceEvent::Registered { .. } => tracing::info!(device = %device_id, "registered"),
            // Viewers have the servers from the server itself, and this device gathers no candidates with them.
            DeviceEvent::Config { .. } => {}
            DeviceEvent::ClientMessage { client_id, payload } => viewers.on_message(client_id, &payload).await,
            DeviceEvent::ClientDisconnected { client_id } => viewers.on_disconnected(client_id),
            DeviceEvent::ServerError { text, .. } => {
                tracing::warn!(device = %device_id, text = format!("{text:.500}"), "the server objects");
            }
            DeviceEvent::Lost { reason: lost, retry_in } => {
                // What is wrong with a certificate may be as long as the certificate, and what a server objects as a message.
                let why = format!("{lost:.500}");
                let retry_ms = retry_in.map(|pause| u64::try_from(pause.as_millis()).unwrap_or(u64::MAX));
                tracing::warn!(device = %device_id, reason = why, retry_ms, "the server is lost");
                reason = lost;
            }
        }
    }
    if cancel.is_cancelled() { Ok(()) } else { Err(DeviceError::GivenUp(reason)) }
}
