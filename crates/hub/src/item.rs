//! What lies in a mailbox.

use cuttlebone_proto::{CloseCode, Reject};
use tokio::sync::oneshot;

/// One entry of a mailbox, in the order it was put there.
#[derive(Debug)]
pub enum Item {
    /// A message to write to the peer.
    Text(String),
    /// Something the owner of the mailbox has to know.
    Notice(Notice),
    /// The last entry: close the connection.
    Close(CloseCode),
}

/// Something that happened elsewhere and concerns the owner of the mailbox.
#[derive(Debug)]
pub enum Notice {
    /// The device that the client waits for has registered.
    DeviceReady,
    /// The client's device is gone for good.
    DeviceGone,
    /// Too many wait, and this client came last: it is let go.
    LetGo,
    /// The peer is refused what it has had so far, and closed with that.
    Refused(Reject),
    /// Somebody else asks for this device's id: ping it, and answer as soon as anything comes from it.
    Probe(oneshot::Sender<()>),
}
