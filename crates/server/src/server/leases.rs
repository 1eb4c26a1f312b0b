//! The end of leases: because their time is over, or because their holder may not come any more.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use cuttlebone_access::Principal;
use parking_lot::Mutex;
use tokio::time::interval;

use crate::app::App;
use crate::audit::{Entry, Event, Outcome};
use crate::clock;

/// How often it is looked.
const EVERY: Duration = Duration::from_secs(1);

/// Who has leases, by identity, as they were recognised last. As many as have leases, and those who had until a moment ago.
#[derive(Debug, Default)]
pub(crate) struct Holders(Mutex<HashMap<Box<str>, Arc<Principal>>>);

impl Holders {
    /// One takes a device for itself.
    pub(crate) fn note(&self, principal: &Arc<Principal>) {
        self.0.lock().insert(principal.identity().into(), Arc::clone(principal));
    }

    /// Those of whom `is_gone` is true, who are forgotten.
    fn take(&self, mut is_gone: impl FnMut(&Principal) -> bool) -> Vec<Arc<Principal>> {
        self.0.lock().extract_if(|_, principal| is_gone(principal)).map(|(_, principal)| principal).collect()
    }
}

/// Ends leases whose time is over, and those of who was taken back, until the server has stopped. A holder whose token has only
/// expired comes back with another.
pub(crate) async fn run(app: &App) {
    let mut tick = interval(EVERY);
    while app.tasks.abort.run_until_cancelled(tick.tick()).await.is_some() {
        for (address, lease) in app.registry.end_leases(clock::now().into_std()) {
            let entry = Entry::new(Event::Lease).outcome(Outcome::Expired).what("over");
            app.audit.note(&entry.device(Some(&address.device_id)).whom(Some(&lease.identity)));
        }
        for holder in app.lease_holders.take(|principal| app.gate.is_taken_back(principal)) {
            for address in app.registry.release_all(holder.identity()) {
                let entry = Entry::new(Event::Lease).outcome(Outcome::Expired).what("taken_back");
                app.audit.note(&entry.device(Some(&address.device_id)).whom(Some(holder.identity())));
            }
        }
        app.lease_holders.take(|principal| !app.registry.has_lease(principal.identity()));
    }
}
