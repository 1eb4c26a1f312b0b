//! The table of viewers, and what becomes of their messages.
//!
//! 1. One session a client id. `request-offer` opens it, and opens it anew when there is one: the old connection ends.
//! 2. A session that ended is no longer in the way of anything; its entry goes with the next message or viewer.
//! 3. Sessions, and the messages waiting for each, are bounded.

use std::collections::HashMap;
use std::sync::{Arc, Weak};

use cuttlebone_client::ClientId;
use parking_lot::Mutex;
use serde_json::value::RawValue;
use tokio::net::UdpSocket;
use tokio::sync::mpsc;
use tokio_util::sync::{CancellationToken, DropGuard};
use tokio_util::task::TaskTracker;

use crate::camera::Camera;
use crate::options::{InvalidMedia, Media};
use crate::payload::{self, FromViewer, Refusal, ToViewer};
use crate::peer::{Identity, Peer};
use crate::scene::{Scene, Seat, SharedScene};
use crate::session::{Outbox, Session};

/// Messages of one viewer that wait for its session.
const MAILBOX: usize = 64;
/// Messages of all sessions that wait to be sent.
const OUTBOX: usize = 256;

/// The media side of a demo device, for those who bring the signaling: feed it what viewers send, and send on what
/// comes out of the receiver.
#[derive(Debug)]
pub struct Viewers {
    media: Media,
    identity: Identity,
    scene: SharedScene,
    camera: Arc<Camera>,
    sessions: HashMap<ClientId, Entry>,
    outbox: Outbox,
    tracker: TaskTracker,
    cancel: CancellationToken,
}

#[derive(Debug)]
struct Entry {
    mailbox: mpsc::Sender<FromViewer>,
    seat: Weak<Seat>,
    _end_session: DropGuard,
}

impl Viewers {
    /// Starts the camera on `tracker`; it and all sessions end with `cancel`.
    ///
    /// # Errors
    /// Settings that make no sense.
    pub fn new(
        device_id: &str,
        media: Media,
        tracker: TaskTracker,
        cancel: CancellationToken,
    ) -> Result<(Self, mpsc::Receiver<(ClientId, ToViewer)>), InvalidMedia> {
        media.check()?;
        let scene = Arc::new(Mutex::new(Scene::new(device_id, media.width, media.height)));
        let camera = Arc::new(Camera::new(Arc::clone(&scene), &media, tracker.clone()));
        let (running, stop) = (Arc::clone(&camera), cancel.clone());
        tracker.spawn(async move { running.run(stop).await });
        let (outbox, messages) = mpsc::channel(OUTBOX);
        let identity = Identity::generate();
        let viewers = Self { media, identity, scene, camera, sessions: HashMap::new(), outbox, tracker, cancel };
        Ok((viewers, messages))
    }

    /// Takes a payload of a viewer.
    pub async fn on_message(&mut self, client: ClientId, payload: &RawValue) {
        self.sessions.retain(|_, entry| !entry.mailbox.is_closed());
        let done = match payload::parse(payload.get()) {
            Ok(FromViewer::RequestOffer) => self.open(client).await,
            Ok(message) => self.pass(client, message),
            Err(refusal) => Err(refusal),
        };
        if let Err(refusal) = done {
            tracing::debug!(%client, reason = refusal.text(), "message of a viewer refused");
            self.say(client, refusal.into());
        }
    }

    /// Ends the session of a viewer that is gone for good.
    pub fn on_disconnected(&mut self, client: ClientId) {
        self.sessions.remove(&client);
    }

    /// How many sessions there are.
    #[must_use]
    pub fn len(&self) -> usize {
        self.sessions.values().filter(|entry| !entry.mailbox.is_closed()).count()
    }

    /// Whether there is no session.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// How many pictures were encoded so far: none while nobody watches, and one for all who do.
    #[must_use]
    pub fn frames_encoded(&self) -> u64 {
        self.camera.encoded()
    }

    async fn open(&mut self, client: ClientId) -> Result<(), Refusal> {
        let seat = self.sessions.remove(&client).and_then(|old| old.seat.upgrade());
        if self.sessions.len() >= self.media.max_viewers {
            return Err(Refusal::TooManyViewers);
        }
        let socket = UdpSocket::bind((self.media.bind, 0)).await.map_err(|error| self.no_socket(&error))?;
        let local = socket.local_addr().map_err(|error| self.no_socket(&error))?;
        let now = tokio::time::Instant::now().into_std();
        let (peer, messages) = Peer::offer(&self.identity, local, now).map_err(|error| self.no_socket(&error))?;
        for message in messages {
            self.say(client, message);
        }
        self.start(client, peer, socket, seat.unwrap_or_else(|| Arc::new(Seat::take(&self.scene))));
        Ok(())
    }

    fn start(&mut self, client: ClientId, peer: Peer, socket: UdpSocket, seat: Arc<Seat>) {
        let (mailbox, messages) = mpsc::channel(MAILBOX);
        let cancel = self.cancel.child_token();
        let entry = Entry { mailbox, seat: Arc::downgrade(&seat), _end_session: cancel.clone().drop_guard() };
        let (camera, outbox) = (Arc::clone(&self.camera), self.outbox.clone());
        let session = Session { client, peer, socket, mailbox: messages, outbox, camera, seat, cancel };
        self.tracker.spawn(session.run());
        self.sessions.insert(client, entry);
    }

    fn pass(&mut self, client: ClientId, message: FromViewer) -> Result<(), Refusal> {
        // Late candidates and complaints of a viewer without a session are no reason to complain back.
        let silent = matches!(message, FromViewer::Candidate(_) | FromViewer::Error);
        let Some(entry) = self.sessions.get(&client) else {
            return if silent { Ok(()) } else { Err(Refusal::NoSession) };
        };
        if entry.mailbox.try_send(message).is_err() {
            self.sessions.remove(&client);
            return Err(Refusal::TooFast);
        }
        Ok(())
    }

    fn say(&self, client: ClientId, message: ToViewer) {
        if self.outbox.try_send((client, message)).is_err() {
            tracing::warn!(%client, "a message to a viewer was dropped: too many are waiting");
        }
    }

    fn no_socket(&self, error: &dyn std::fmt::Display) -> Refusal {
        tracing::warn!(%error, address = %self.media.bind, "a viewer's connection can't be opened");
        Refusal::NoSocket
    }
}
