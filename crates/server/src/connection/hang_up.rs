//! Ends a connection so that the peer sees the close.

use std::time::Duration;

use cuttlebone_transport::{Conn, ConnExt as _, Incoming};
use tokio::time::timeout_at;

use super::Connection;
use super::stage::End;
use crate::clock;

/// How long a peer that was sent a close may take to close too, or to hang up.
pub(super) const HANG_UP: Duration = Duration::from_secs(1);

impl<C: Conn> Connection<C> {
    /// Our direction first, then what it still sends is thrown away.
    pub(super) async fn hang_up(&mut self, end: &End) {
        if !end.is_orderly() {
            return;
        }
        self.give_way();
        let until = clock::now() + HANG_UP;
        let _ = timeout_at(until, async {
            let _ = self.conn.shutdown().await;
            while self.conn.next().await != Incoming::Broken {}
        })
        .await;
    }
}
