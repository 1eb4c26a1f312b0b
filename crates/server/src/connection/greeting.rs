//! What the peer is told of STUN and TURN servers: when it comes, when that has changed, and before it is not good any more.

use std::sync::Arc;
use std::time::Duration;

use cuttlebone_transport::Conn;
use tokio::time::Instant;

use super::Connection;
use super::stage::Stage;
use crate::app::App;
use crate::clock;
use crate::context::ConnectionContext;
use crate::drain::News;
use crate::greeter::{self, Guest};
use crate::metrics::Renewed;

/// How long it may take until a provider has answered, before those are told who have something that is still good.
const FOR_AN_ANSWER: Duration = Duration::from_secs(5);

/// When the peer is told again, in whole seconds since the start of the server; 0 is not at all. Four bytes, for every idle
/// connection has one.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct Renewal(u32);

impl Renewal {
    fn after(app: &App, time: Duration) -> Self {
        let seconds = (clock::now() + time).saturating_duration_since(app.started).as_secs_f64().ceil();
        // A number of seconds that is too large is further away than any connection lasts.
        Self(if seconds < f64::from(u32::MAX) { seconds as u32 } else { u32::MAX })
    }

    pub(super) fn due(self, app: &App) -> Option<Instant> {
        (self.0 > 0).then(|| app.started + Duration::from_secs(self.0.into()))
    }
}

impl<C: Conn> Connection<C> {
    /// Something has changed for all.
    pub(super) fn on_news(&mut self, news: News) {
        if news.is_access {
            self.look_at_credential();
        }
        if news.is_servers {
            self.renew_config(Renewed::Changed);
        }
    }

    /// When the next of all timers is due.
    pub(super) fn due(&self) -> Instant {
        let due = self.clocks.due(&self.seat);
        let renewal = self.renewal.due(&self.context.app).filter(|_| self.stage == Stage::Open);
        renewal.map_or(due, |renewal| renewal.min(due))
    }

    /// The peer has just been told, and has what it asked for.
    pub(super) fn was_greeted(&mut self) {
        let time = self.context.app.greeter.renew_in(&self.context.guest());
        self.renewal = time.map(|time| Renewal::after(&self.context.app, time)).unwrap_or_default();
    }

    /// Tells the peer again, if it was told before.
    pub(super) fn renew_config(&mut self, why: Renewed) {
        if self.stage != Stage::Open {
            return;
        }
        let ConnectionContext { app, .. } = &self.context;
        let app = Arc::clone(app);
        let is_asked = greeter::ask_providers(&app, &self.context.guest());
        if is_asked && why == Renewed::Expiring {
            self.renewal = Renewal::after(&app, FOR_AN_ANSWER);
            return;
        }
        let guest = self.context.guest();
        if self.seat.renew_config(&|wanted| app.greeter.config(&guest, wanted, &app.metrics)) {
            app.metrics.renewed_config(why);
            self.was_greeted();
        }
    }

    /// Tells it again if that is due.
    pub(super) fn look_at_renewal(&mut self, now: Instant) {
        if self.renewal.due(&self.context.app).is_some_and(|due| due <= now) {
            self.renewal = Renewal::default();
            self.renew_config(Renewed::Expiring);
        }
    }
}

impl ConnectionContext {
    /// The peer, as one who is greeted.
    pub(super) fn guest(&self) -> Guest<'_> {
        Guest { kind: self.role.kind(), caller: &self.caller, peer: self.peer, number: Some(self.goodbye.number()) }
    }
}
