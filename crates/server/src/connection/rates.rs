//! A peer that the transport does not read for a while.

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
        let waits_for_others = self.conn.waits_for_others();
        self.clocks.waits_for_others(waits_for_others);
        if waits_for_others || pause.is_some() {
            // It was asked before whether it is there, and its answer can't be heard now.
            self.seat.on_alive();
        }
    }
}
