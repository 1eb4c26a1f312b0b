//! The task of one viewer: a UDP socket, the viewer's messages, and the frames of the camera, around a [`Peer`].

use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Instant;

use cuttlebone_client::ClientId;
use tokio::net::UdpSocket;
use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;

use crate::camera::{Camera, Frame, Frames};
use crate::payload::{FromViewer, ToViewer};
use crate::peer::Peer;
use crate::scene::Seat;

/// Larger than any datagram that WebRTC sends; the rest of a longer one is cut off, and it is then ignored.
const DATAGRAM_BYTES: usize = 2048;

/// Where messages to viewers go. When it is full, the session that can't speak ends.
pub(crate) type Outbox = mpsc::Sender<(ClientId, ToViewer)>;

/// Everything a session needs.
#[derive(Debug)]
pub(crate) struct Session {
    pub(crate) client: ClientId,
    pub(crate) peer: Peer,
    pub(crate) socket: UdpSocket,
    pub(crate) mailbox: mpsc::Receiver<FromViewer>,
    pub(crate) outbox: Outbox,
    pub(crate) camera: Arc<Camera>,
    pub(crate) seat: Arc<Seat>,
    pub(crate) cancel: CancellationToken,
}

enum Wake {
    Cancelled,
    Message(FromViewer),
    Datagram(io::Result<(usize, SocketAddr)>),
    Frame(Frame),
    Timeout,
}

impl Session {
    /// Runs until the viewer is gone, or `cancel`.
    pub(crate) async fn run(mut self) {
        let mut datagram = vec![0; DATAGRAM_BYTES];
        let mut frames = None;
        while !self.peer.is_over() {
            let wake = self.next(&mut datagram, &mut frames).await;
            if !self.handle(wake, &datagram) {
                break;
            }
            for event in self.peer.take_inputs() {
                self.seat.apply(&event);
            }
            self.transmit().await;
            self.follow_camera(&mut frames);
        }
        tracing::info!(client = %self.client, "viewer gone");
    }

    /// The branches are tried in random order: neither a flood of datagrams nor of messages starves the others.
    async fn next(&mut self, datagram: &mut [u8], frames: &mut Option<Frames>) -> Wake {
        let wake = tokio::time::Instant::from_std(self.peer.wake());
        tokio::select! {
            () = self.cancel.cancelled() => Wake::Cancelled,
            message = self.mailbox.recv() => message.map_or(Wake::Cancelled, Wake::Message),
            received = self.socket.recv_from(datagram) => Wake::Datagram(received),
            frame = next_frame(frames) => Wake::Frame(frame),
            () = tokio::time::sleep_until(wake) => Wake::Timeout,
        }
    }

    /// Gives `false` at the end of the session.
    fn handle(&mut self, wake: Wake, datagram: &[u8]) -> bool {
        let now = now();
        match wake {
            Wake::Cancelled => return false,
            Wake::Message(message) => return self.on_message(message, now),
            Wake::Datagram(Ok((length, source))) => self.peer.on_datagram(source, &datagram[..length], now),
            // Some systems report here that an earlier datagram did not arrive. Time will tell whether any does.
            Wake::Datagram(Err(error)) if error.kind() == io::ErrorKind::ConnectionReset => {}
            Wake::Datagram(Err(error)) => {
                tracing::warn!(client = %self.client, %error, "the socket of a viewer failed");
                return false;
            }
            Wake::Frame(frame) => self.peer.on_frame(frame.vp8, frame.captured, now),
            Wake::Timeout => self.peer.on_timeout(now),
        }
        true
    }

    fn on_message(&mut self, message: FromViewer, now: Instant) -> bool {
        let reply = self.peer.on_message(message, now).unwrap_or_else(|refusal| Some(refusal.into()));
        let Some(reply) = reply else { return true };
        let sent = self.outbox.try_send((self.client, reply)).is_ok();
        if !sent {
            tracing::warn!(client = %self.client, "too many messages to viewers are waiting");
        }
        sent
    }

    async fn transmit(&mut self) {
        for transmit in self.peer.take_transmits() {
            if let Err(error) = self.socket.send_to(&transmit.contents, transmit.destination).await {
                // An address out of reach is one of several to try.
                tracing::trace!(client = %self.client, %error, "a datagram was not sent");
            }
        }
    }

    fn follow_camera(&self, frames: &mut Option<Frames>) {
        match (self.peer.wants_frames(), frames.is_some()) {
            (true, false) => {
                tracing::info!(client = %self.client, "viewer connected");
                *frames = Some(self.camera.watch());
            }
            (false, true) => *frames = None,
            _ => {}
        }
    }
}

/// The next frame; never, while not watching. Cancel safe.
async fn next_frame(frames: &mut Option<Frames>) -> Frame {
    while let Some(watched) = frames {
        if watched.changed().await.is_err() {
            break;
        }
        let frame = watched.borrow_and_update().clone();
        if let Some(frame) = frame {
            return frame;
        }
    }
    std::future::pending().await
}

fn now() -> Instant {
    tokio::time::Instant::now().into_std()
}
