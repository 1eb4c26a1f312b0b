//! The end of leases: because their time is over, or because their holder may not come any more.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use cuttlebone_access::Principal;
use cuttlebone_hub::{Address, Lease};
use parking_lot::Mutex;
use tokio::time::interval;

use crate::app::App;
use crate::audit::{Entry, Event, Outcome};
use crate::clock;

/// How often it is looked.
const EVERY: Duration = Duration::from_secs(1);

/// Who took or renewed each lease last, as it was recognised then: of two who have one identity, the credential of one may be
/// taken back and that of the other not. As many as there are leases, and were a moment ago.
#[derive(Debug, Default)]
pub(crate) struct Holders(Mutex<HashMap<Address, Arc<Principal>>>);

impl Holders {
    /// Notes who it was, if `lease` comes about. Nobody takes another meanwhile, so that what is noted is what came last.
    pub(crate) fn note_if<T, E>(
        &self,
        (address, principal): (&Address, Option<&Arc<Principal>>),
        lease: impl FnOnce() -> Result<T, E>,
    ) -> Result<T, E> {
        let mut holders = self.0.lock();
        let taken = lease()?;
        if let Some(principal) = principal {
            holders.insert(address.clone(), Arc::clone(principal));
        }
        Ok(taken)
    }

    /// Those of whom `is_gone` is true, who are forgotten.
    fn take(&self, mut is_gone: impl FnMut(&Address, &Principal) -> bool) -> Vec<(Address, Arc<Principal>)> {
        self.0.lock().extract_if(|address, principal| is_gone(address, principal)).collect()
    }
}

/// Ends leases whose time is over, and those of who was taken back, until the server has stopped. A holder whose token has only
/// expired comes back with another.
pub(crate) async fn run(app: &App) {
    let mut tick = interval(EVERY);
    while app.tasks.abort.run_until_cancelled(tick.tick()).await.is_some() {
        for (address, lease) in app.registry.end_leases(clock::now().into_std()) {
            note(app, &address, &lease, "over");
        }
        for (address, holder) in app.lease_holders.take(|_, principal| app.gate.is_taken_back(principal)) {
            if let Ok(lease) = app.registry.release(&address, Some(holder.identity())) {
                note(app, &address, &lease, "taken_back");
            }
        }
        app.lease_holders.take(|address, principal| {
            app.registry.lease_of(address).is_none_or(|lease| *lease.identity != *principal.identity())
        });
    }
}

fn note(app: &App, address: &Address, lease: &Lease, what: &'static str) {
    let entry = Entry::new(Event::Lease).outcome(Outcome::Expired).what(what);
    let entry = entry.device(Some(&address.device_id)).of_tenant(address.realm.tenant());
    app.audit.note(&entry.whom(Some(&lease.identity)));
}
