//! A seat is one session in the hub: the machine, its mailbox and the handle of its peer.
//!
//! The contract: feed one input, carry out the [`Next`] it gives, feed the next. Whoever drives a seat (a socket task, a
//! simulator) also takes entries out of [`Seat::inbox`] and writes them to the peer; an [`Item::Notice`] among them is
//! an input. Dropping a seat is leaving at once and for good.

mod client;
mod device;

use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Instant;

use cuttlebone_proto::limits::DEVICE_ID_BYTES;
use cuttlebone_proto::{CloseCode, DeviceId, Reject};

use crate::config::WriteConfig;
use crate::item::Notice;
use crate::mailbox::Inbox;
use crate::party::{Address, Owner, Party};
use crate::registry::Registry;
use crate::request::{Answer, Request};

pub use client::ClientSeat;
pub use device::DeviceSeat;

/// What the driver of a seat does next.
#[derive(Debug)]
pub enum Next {
    /// Read on.
    Continue,
    /// Feed nothing of what the peer sends ([`Seat::on_text`], [`Seat::on_violation`], [`Seat::on_closed`]) until
    /// [`Seat::poll_room`] is ready. A break is fed at once.
    Paused,
    /// Answer the request and feed the answer to [`Seat::on_answer`]; read nothing from the peer before.
    Await(Request),
    /// Ping the peer: somebody wants to know whether it lives.
    Ping,
    /// Write what the mailbox holds, the close at its end. Read on until the peer has closed too.
    Draining,
    /// Read no more. Write what the mailbox holds, the close at its end, and go.
    Closing,
}

/// A device's seat or a client's.
#[derive(Debug)]
pub enum Seat {
    /// A client's.
    Client(Box<ClientSeat>),
    /// A device's.
    Device(Box<DeviceSeat>),
}

/// What a seat needs to know of its connection and of the bounds of a message.
#[derive(Debug, Clone)]
pub struct SeatOptions {
    /// How deep a value may nest.
    pub depth: usize,
    /// How many bytes a device may describe itself in.
    pub device_info_bytes: usize,
    /// How long the first message may take.
    pub first_message: std::time::Duration,
    /// Whether the peer, a device, reads at most 65,536 bytes at once.
    pub small_reader: bool,
    /// Who the peer is, if that is known.
    pub party: Option<Arc<Party>>,
    /// Whose its queues are; of nobody in particular, they count in all that is held alone.
    pub owner: Option<Owner>,
}

macro_rules! both {
    ($seat:expr, $inner:ident => $call:expr) => {
        match $seat {
            Seat::Client($inner) => $call,
            Seat::Device($inner) => $call,
        }
    };
}

impl Seat {
    /// A seat for a client that has just connected.
    #[must_use]
    pub fn client(registry: &Registry, options: &SeatOptions, now: Instant) -> Self {
        Self::Client(Box::new(ClientSeat::new(registry, options, now)))
    }

    /// A seat for a device that has just connected.
    #[must_use]
    pub fn device(registry: &Registry, options: &SeatOptions, now: Instant) -> Self {
        Self::Device(Box::new(DeviceSeat::new(registry, options, now)))
    }

    /// A message came.
    pub fn on_text(&mut self, text: &str, now: Instant) -> Next {
        both!(self, seat => seat.on_text(text, now))
    }

    /// The transport refused what came.
    pub fn on_violation(&mut self, reject: Reject, now: Instant) -> Next {
        match self {
            Self::Client(seat) => seat.on_violation(reject),
            Self::Device(seat) => seat.on_violation(reject, now),
        }
    }

    /// What the peer came with is not good any more: it is told so and closed. It may come back with something better, and
    /// go on with its session as after a broken connection.
    pub fn on_expired(&mut self, now: Instant) -> Next {
        match self {
            Self::Client(seat) => seat.on_expired(),
            Self::Device(seat) => seat.on_violation(Reject::CredentialExpired, now),
        }
    }

    /// Anything at all came from the peer. Cheap, for every frame.
    pub fn on_alive(&mut self) {
        if let Self::Device(seat) = self {
            seat.on_alive();
        }
    }

    /// So many bytes are held by what came out of the mailbox, and by replies, and is not written yet. Cheap, for every write.
    pub fn on_unwritten(&mut self, bytes: usize) {
        both!(self, seat => seat.on_unwritten(bytes));
    }

    /// The answer to [`Next::Await`].
    pub fn on_answer(&mut self, answer: Answer, now: Instant) -> Next {
        both!(self, seat => seat.on_answer(answer, now))
    }

    /// What a `config` says has changed, or is soon not good any more: sends it again to a peer that was sent one. Gives whether
    /// it was.
    pub fn renew_config(&mut self, config: &WriteConfig<'_>) -> bool {
        both!(self, seat => seat.renew_config(config))
    }

    /// An [`Item::Notice`](crate::Item::Notice) came out of the mailbox.
    pub fn on_notice(&mut self, notice: Notice) -> Next {
        match self {
            Self::Client(seat) => seat.on_notice(&notice),
            Self::Device(seat) => seat.on_notice(notice),
        }
    }

    /// [`Inbox::poll_receive`] or [`Inbox::poll_urgent`] said that the peer is to be cut off: it was evicted, or another
    /// connection has taken its device over.
    pub fn on_cut(&mut self, now: Instant) -> Next {
        match self {
            Self::Client(seat) => seat.on_cut(),
            Self::Device(seat) => seat.on_taken_over(now),
        }
    }

    /// [`Seat::deadline`] has passed.
    pub fn on_timer(&mut self, now: Instant) -> Next {
        both!(self, seat => seat.on_timer(now))
    }

    /// An [`Item::Close`](crate::Item::Close) came out of the mailbox: the server closes. A client is gone for good
    /// with that (where the server stops, its device has gone before and is told nothing); a device may still come back.
    pub fn on_closing(&mut self) {
        if let Self::Client(seat) = self {
            seat.on_closing();
        }
    }

    /// The peer closed cleanly: it is gone for good.
    pub fn on_closed(&mut self) {
        both!(self, seat => seat.leave());
    }

    /// The connection broke, or was closed by the server. Gives the time until which the seat is to be kept (it may come
    /// back, or count as there); then, or at once if there is none, drop it.
    pub fn on_broken(&mut self, now: Instant) -> Option<Instant> {
        both!(self, seat => seat.on_broken(now))
    }

    /// The server stops (see [`Registry::stop`], which comes before). A device goes first: what is queued for it is
    /// delivered, and what it has sent is passed on. When its connection has ended its clients go, with all they are to
    /// have. Nobody is told that the other side is gone: both are to come back to the next server.
    pub fn on_shutdown(&mut self, code: CloseCode) -> Next {
        both!(self, seat => seat.on_shutdown(code))
    }

    /// The server stops while the seat is kept for a connection that broke. Drop the seat after that: a device's at once, a
    /// client's when all devices have gone.
    pub fn on_shutdown_away(&mut self, code: CloseCode) {
        match self {
            Self::Client(seat) => seat.forget(),
            Self::Device(seat) => seat.forget(code),
        }
    }

    /// While the seat is kept for a connection that broke: ready when the peer has come back by another connection, or
    /// can't any more. Drop the seat then. Cancel safe.
    pub fn poll_superseded(&self, cx: &mut Context<'_>) -> Poll<()> {
        both!(self, seat => seat.poll_superseded(cx))
    }

    /// When [`Seat::on_timer`] is due, if nothing else comes.
    #[must_use]
    pub fn deadline(&self) -> Option<Instant> {
        both!(self, seat => seat.deadline())
    }

    /// After [`Next::Paused`]: ready when the peer may be read again, or must be closed. Cancel safe.
    pub fn poll_room(&mut self, cx: &mut Context<'_>) -> Poll<Next> {
        match self {
            Self::Client(seat) => seat.poll_room(cx),
            Self::Device(_) => Poll::Ready(Next::Continue),
        }
    }

    /// The reader of what goes to the peer. It may change with every input: ask again.
    #[must_use]
    pub fn inbox(&self) -> &Inbox {
        both!(self, seat => seat.inbox())
    }

    /// The device that the seat registered or is attached to, for logs.
    #[must_use]
    pub fn device_id(&self) -> Option<&DeviceId> {
        both!(self, seat => seat.device_id())
    }
}

/// Sends an error; seals the mailbox if the connection is to be closed with it.
fn refuse(registry: &Registry, inbox: &Inbox, reject: &Reject) -> Next {
    let error = cuttlebone_proto::encode::error(reject);
    registry.shared().observer.rejected(reject);
    match reject.close() {
        Some(code) => {
            inbox.mailbox().seal(Some(error), code);
            Next::Closing
        }
        None => {
            match reject {
                // It counts as taken: who comes back does not send it again.
                Reject::TooLargeForDevice => inbox.mailbox().report(error),
                _ => inbox.mailbox().reply(error),
            }
            Next::Continue
        }
    }
}

/// The whole id of a device that asks for `device_id`; nothing where that is too long for one that has a prefix, however long its
/// prefix is: else the longest that is taken would tell.
fn whole(device_id: DeviceId, party: Option<&Arc<Party>>) -> Option<DeviceId> {
    match party.and_then(|party| party.prefix.as_ref()) {
        None => Some(device_id),
        Some(_) if device_id.as_str().len() > DEVICE_ID_BYTES / 2 => None,
        Some(prefix) => DeviceId::new(&format!("{prefix}{}", device_id.as_str())).ok(),
    }
}

/// Where a device of this id is, for who asks.
fn address(device_id: DeviceId, party: Option<&Arc<Party>>) -> Address {
    Address { device_id, realm: Party::realm_of(party) }
}

/// The text of `device_info` as it is kept.
fn keep(device_info: &str) -> Arc<str> {
    device_info.into()
}
