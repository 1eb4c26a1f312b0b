//! The end of leases: because their time is over, or because their holder may not come any more.

use std::collections::HashMap;
use std::time::Duration;

use cuttlebone_hub::{Address, Lease};
use parking_lot::{Mutex, MutexGuard};
use tokio::task::yield_now;
use tokio::time::interval;

use crate::app::App;
use crate::audit::{Entry, Event, Outcome};
use crate::caller::Caller;
use crate::clock;
use crate::gate::Seen;

/// How often it is looked.
const EVERY: Duration = Duration::from_secs(1);
/// How long at once, before others have their turn: to look at a certificate can take some milliseconds.
const AT_ONCE: Duration = Duration::from_millis(1);

/// Who took or renewed each lease last, as it was recognised then: of two who have one identity, the credential of one may be
/// taken back and that of the other not. As many as there are leases, and were a moment ago.
#[derive(Debug, Default)]
pub(crate) struct Holders(Mutex<HashMap<Address, Holder>>);

/// One who holds a lease.
#[derive(Debug)]
struct Holder {
    caller: Caller,
    seen: Seen,
}

impl Holder {
    fn identity(&self) -> Option<&str> {
        self.caller.principal().map(|principal| principal.identity())
    }
}

/// As long as it is held, no lease is taken, given back or ended: what is noted of one stands in the order in which it came.
pub(crate) struct InTurn<'a>(MutexGuard<'a, HashMap<Address, Holder>>);

impl Holders {
    /// To be held while a lease changes, and while that is noted.
    pub(crate) fn in_turn(&self) -> InTurn<'_> {
        InTurn(self.0.lock())
    }
}

impl InTurn<'_> {
    /// Notes who it was.
    pub(crate) fn note(&mut self, address: &Address, caller: &Caller) {
        let holder = Holder { caller: caller.clone(), seen: Seen::at(clock::unix_ms() / 1000) };
        self.0.insert(address.clone(), holder);
    }

    /// Forgets those of whom `is_gone` is true.
    fn forget(&mut self, mut is_gone: impl FnMut(&Address, &Holder) -> bool) {
        self.0.retain(|address, holder| !is_gone(address, holder));
    }

    fn addresses(&self) -> Vec<Address> {
        self.0.keys().cloned().collect()
    }

    /// The holder of a lease, who is forgotten, if `is_gone` is true of it.
    fn take_if(&mut self, address: &Address, is_gone: impl FnOnce(&mut Holder) -> bool) -> Option<Holder> {
        if is_gone(self.0.get_mut(address)?) { self.0.remove(address) } else { None }
    }
}

/// Ends leases whose time is over, and those of who was taken back, until the server has stopped. A holder whose token has only
/// expired comes back with another.
pub(crate) async fn run(app: &App) {
    let mut tick = interval(EVERY);
    while app.tasks.abort.run_until_cancelled(tick.tick()).await.is_some() {
        end(app).await;
    }
}

async fn end(app: &App) {
    let addresses = {
        let mut turn = app.lease_holders.in_turn();
        for (address, lease) in app.registry.end_leases(clock::now().into_std()) {
            note_end(app, &address, &lease, "over");
        }
        turn.forget(|address, holder| {
            app.registry.lease_of(address).is_none_or(|lease| holder.identity() != Some(&*lease.identity))
        });
        turn.addresses()
    };
    let mut addresses = addresses.into_iter();
    while addresses.len() > 0 {
        end_some(app, &mut addresses);
        yield_now().await;
    }
}

/// Looks at holders for a moment.
fn end_some(app: &App, addresses: &mut impl Iterator<Item = Address>) {
    let (mut turn, begun) = (app.lease_holders.in_turn(), clock::now());
    for address in addresses {
        end_if_taken_back(app, &mut turn, &address);
        if clock::now() > begun + AT_ONCE {
            break;
        }
    }
}

fn end_if_taken_back(app: &App, turn: &mut InTurn<'_>, address: &Address) {
    let is_gone = |holder: &mut Holder| app.gate.is_taken_back(&holder.caller, &mut holder.seen);
    let Some(holder) = turn.take_if(address, is_gone) else { return };
    let Some(identity) = holder.identity() else { return };
    if let Ok(lease) = app.registry.release(address, Some(identity)) {
        note_end(app, address, &lease, "taken_back");
    }
}

/// The audit log is told that a lease has ended by itself.
pub(crate) fn note_end(app: &App, address: &Address, lease: &Lease, what: &'static str) {
    let entry = Entry::new(Event::Lease).outcome(Outcome::Expired).what(what);
    let entry = entry.device(Some(&address.device_id)).of_tenant(address.realm.tenant());
    app.audit.note(&entry.whom(Some(&lease.identity)));
}
