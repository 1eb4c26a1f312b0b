//! A peer that the transport holds back.

use cuttlebone_transport::Conn;

use super::Connection;

impl<C: Conn> Connection<'_, C> {
    /// Has the clocks wake the task when a peer that sent more than its rate is read again.
    pub(super) fn note_pause(&mut self) {
        let pause = self.conn.pause();
        if self.clocks.held_back(pause.map(|pause| pause.until))
            && let Some(pause) = pause
        {
            self.metrics.rate_paused(pause.by);
        }
    }
}
