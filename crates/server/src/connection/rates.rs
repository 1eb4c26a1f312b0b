//! A peer that the transport does not read for a while, or that does not read.

use cuttlebone_transport::Conn;

use super::Connection;

impl<C: Conn> Connection<C> {
    /// Has the clocks wake the task when a peer that sent more than its rate, or too much of a message at a time when all do,
    /// may be read again.
    pub(super) fn note_pause(&mut self) {
        let pause = self.conn.pause();
        if self.clocks.held_back(pause.map(|pause| pause.until))
            && let Some(pause) = pause
        {
            self.context.app.metrics.rate_paused(pause.by);
        }
        self.clocks.waits_for_others(self.conn.waits_for_others());
    }

    /// Whether the peer can't answer a ping in time because of what it was sent, or because it is not read. Whether it is there will
    /// be seen when a write, or its message, takes too long: until then it is not taken for gone. Once what is queued was tried.
    pub(super) fn is_held_up(&self) -> bool {
        self.conn.queued_bytes() > 0 || self.conn.pause().is_some() || self.conn.waits_for_others()
    }
}
