//! The end of leases.

use std::time::Duration;

use tokio::time::interval;

use crate::app::App;
use crate::audit::{Entry, Event, Outcome};
use crate::clock;

/// How often it is looked.
const EVERY: Duration = Duration::from_secs(1);

/// Ends leases whose time is over, until the server has stopped.
pub(super) async fn run(app: &App) {
    let mut tick = interval(EVERY);
    while app.tasks.abort.run_until_cancelled(tick.tick()).await.is_some() {
        for (address, lease) in app.registry.end_leases(clock::now().into_std()) {
            let entry = Entry::new(Event::Lease).outcome(Outcome::Expired).what("over");
            app.audit.note(&entry.device(Some(&address.device_id)).whom(Some(&lease.identity)));
        }
    }
}
