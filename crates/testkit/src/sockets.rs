//! The world of real servers: every peer is a WebSocket connection.

use std::collections::BTreeMap;
use std::time::Duration;

use tokio_util::task::TaskTracker;
use url::Url;

use crate::raw_peer::{Frame, Opcode, PeerOptions, RawPeer};
use crate::world::{Close, Open, Received, Sent, World, WorldError};

/// How long a server may take to see that a connection was reset. It has no way to tell us.
const RESET_SEEN: Duration = Duration::from_millis(150);

/// Peers of the server at one url.
#[derive(Debug)]
pub struct Sockets {
    url: Url,
    tracker: TaskTracker,
    peers: BTreeMap<String, RawPeer>,
}

impl Sockets {
    /// No peers yet. `url` is `ws://HOST:PORT`, with a path if the endpoints are below one.
    #[must_use]
    pub const fn new(url: Url, tracker: TaskTracker) -> Self {
        Self { url, tracker, peers: BTreeMap::new() }
    }

    fn peer(&mut self, name: &str) -> Result<&mut RawPeer, WorldError> {
        self.peers.get_mut(name).ok_or_else(|| WorldError::UnknownPeer(name.to_owned()))
    }
}

impl World for Sockets {
    async fn open(&mut self, peer: &str, open: &Open) -> Result<Option<String>, WorldError> {
        let mut url = self.url.clone();
        url.set_path(&format!("{}{}", self.url.path().trim_end_matches('/'), open.role.path()));
        let options = PeerOptions {
            subprotocols: open.subprotocols.clone(),
            extensions: open.extensions.clone(),
            headers: Vec::new(),
            silent: open.silent,
        };
        let connecting = RawPeer::connect(&url, options, &self.tracker).await;
        let connected = connecting.map_err(|error| WorldError::NotOpened(error.to_string()))?;
        let subprotocol = connected.subprotocol().map(str::to_owned);
        self.peers.insert(peer.to_owned(), connected);
        Ok(subprotocol)
    }

    async fn send(&mut self, peer: &str, sent: Sent) -> Result<(), WorldError> {
        let bytes = bytes(sent);
        let sending = self.peer(peer)?.send_bytes(bytes).await;
        sending.map_err(|_| WorldError::Ended(peer.to_owned()))
    }

    async fn receive(&mut self, peer: &str, within: Duration) -> Result<Option<Received>, WorldError> {
        Ok(self.peer(peer)?.receive(within).await)
    }

    async fn close(&mut self, peer: &str, close: Close) -> Result<(), WorldError> {
        let connection = self.peer(peer)?;
        match close {
            Close::Clean(code) => connection.close(code).await.map_err(|_| WorldError::Ended(peer.to_owned())),
            Close::Reset => {
                connection.reset().await;
                self.advance(RESET_SEEN).await
            }
        }
    }

    async fn advance(&mut self, time: Duration) -> Result<(), WorldError> {
        tokio::time::sleep(time).await;
        Ok(())
    }
}

fn bytes(sent: Sent) -> Vec<u8> {
    match sent {
        Sent::Text(text) => Frame::text(&text).masked(),
        Sent::TextBytes(bytes) => Frame::new(Opcode::Text, bytes).masked(),
        Sent::Binary(bytes) => Frame::new(Opcode::Binary, bytes).masked(),
        Sent::Ping(bytes) => Frame::new(Opcode::Ping, bytes).masked(),
        Sent::Raw(bytes) => bytes,
        Sent::Fragments { parts, continues, unfinished } => {
            let last = parts.len().saturating_sub(1);
            let frames = parts.into_iter().enumerate().map(|(index, payload)| {
                let opcode = if index == 0 && !continues { Opcode::Text } else { Opcode::Continuation };
                Frame { opcode, fin: index == last && !unfinished, payload }.masked()
            });
            frames.flatten().collect()
        }
    }
}
