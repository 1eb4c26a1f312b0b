//! What a peer came with may expire, or be taken back, while it is here.
//!
//! It is looked at with each ping, and when who may come has changed: no timer of its own, for every idle connection would
//! have one.

use cuttlebone_transport::Conn;

use super::Connection;
use super::stage::Stage;
use crate::audit::Outcome;
use crate::clock;

impl<C: Conn> Connection<C> {
    /// Closes a peer that may not be here any more.
    pub(super) fn look_at_credential(&mut self) {
        if self.stage == Stage::Open && !self.context.app.gate.is_still_good(&self.context.caller) {
            if let Some(trail) = &mut self.trail {
                let is_over = self.context.caller.is_over(clock::unix_ms() / 1000);
                trail.credential_over(if is_over { Outcome::Expired } else { Outcome::Revoked });
            }
            tracing::info!(peer = %self.context.peer, who = self.context.caller.name(), "credential expired or revoked");
            let next = self.seat.on_expired(clock::now().into_std());
            self.go_on(next);
        }
    }
}
