//! A client whose message found no room in its device's queue.
//!
//! It is read on, so that its pings have their pongs and its break is seen at once. But its messages keep their order, and
//! what it did after the one that waits (another message, a fault, a close) is done after it: the first such thing is held
//! here, and from then on nothing is read. So a client in a pause costs one message more, and no more than that.

use cuttlebone_hub::Next;
use cuttlebone_transport::{Conn, Incoming};

use super::Connection;
use super::stage::End;
use crate::clock;

impl<C: Conn> Connection<C> {
    /// Holds what came if the seat waits for room and it is to come after that. The transport keeps the text of a message
    /// until it is asked for more, and has queued the answer to a close.
    pub(super) fn has_to_wait(&mut self, incoming: Incoming) -> bool {
        if self.paused.is_none() || matches!(incoming, Incoming::Ping | Incoming::Pong { .. } | Incoming::Broken) {
            return false;
        }
        self.after_room = Some(incoming);
        self.clocks.not_reading();
        true
    }

    /// The seat's message has its place; now for what came after it.
    pub(super) fn on_room(&mut self, next: Next) -> Option<End> {
        self.paused = None;
        // Time in which it was not read was no silence.
        self.clocks.heard(clock::now());
        self.go_on(next);
        self.after_room.take().filter(|_| self.stage.reads()).and_then(|incoming| self.on_incoming(incoming))
    }
}
