//! Who holds leases: how much memory that may take, and when a lease ends because its time is over, or its holder may not come any
//! more.

use std::collections::HashMap;
use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

use cuttlebone_hub::{Address, Budget, Budgets, Lease, Weights};
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

/// What a lease takes in the tables, beside texts and what is known of its holder.
const EACH: usize = 1024;
/// Leases of those of whom little is known count the same, so that one can be taken over where there is no room.
const STEP: usize = 2048;

/// Who took or renewed each lease last, as it was recognised then: of two who have one identity, the credential of one may be
/// taken back and that of the other not. As many as there are leases, and were a moment ago, and bounded in bytes: a lease stays
/// when its holder and its device have gone.
#[derive(Debug)]
pub(crate) struct Holders {
    of: Mutex<HashMap<Address, Holder>>,
    budgets: Budgets,
}

/// One who holds a lease.
#[derive(Debug)]
struct Holder {
    caller: Caller,
    seen: Seen,
    room: Room,
}

/// Memory for a lease, out of what all may take.
#[derive(Debug)]
pub(crate) struct Room {
    budget: Arc<Budget>,
    bytes: usize,
}

impl Drop for Room {
    fn drop(&mut self) {
        self.budget.subtract(self.bytes);
    }
}

impl Holder {
    fn identity(&self) -> Option<&str> {
        self.caller.principal().map(|principal| principal.identity())
    }
}

/// As long as it is held, no lease is taken, given back or ended: what is noted of one stands in the order in which it came.
pub(crate) struct InTurn<'a> {
    of: MutexGuard<'a, HashMap<Address, Holder>>,
    budgets: &'a Budgets,
}

impl Holders {
    /// With a bound of all, in bytes.
    pub(crate) fn new(max: usize) -> Self {
        Self { of: Mutex::default(), budgets: Budgets::new(max, Weights::EVEN) }
    }

    /// To be held while a lease changes, and while that is noted.
    pub(crate) fn in_turn(&self) -> InTurn<'_> {
        InTurn { of: self.of.lock(), budgets: &self.budgets }
    }

    /// Bytes that all take.
    pub(crate) fn bytes(&self) -> usize {
        self.budgets.of(None).used()
    }
}

impl InTurn<'_> {
    /// Room for a lease of this one, who comes from `from`, in the place of what is there of it.
    pub(crate) fn room_for(&self, address: &Address, caller: &Caller, from: IpAddr) -> Option<Room> {
        let budget = self.budgets.of(Some(&caller.owner(from)));
        let texts = 2 * address.device_id.as_str().len() + caller.shown_name().map_or(0, str::len);
        let identity = caller.principal().map_or(0, |principal| principal.identity().len());
        let bytes = (EACH + texts + identity + caller.bytes()).next_multiple_of(STEP);
        // What is there already, whoever's it is, gives its room back.
        let more = bytes.saturating_sub(self.of.get(address).map_or(0, |holder| holder.room.bytes));
        (more == 0 || budget.has_room(more)).then(|| {
            budget.add(bytes);
            Room { budget, bytes }
        })
    }

    /// Notes who it was.
    pub(crate) fn note(&mut self, address: &Address, caller: &Caller, room: Room) {
        let holder = Holder { caller: caller.clone(), seen: Seen::at(clock::unix_ms() / 1000), room };
        self.of.insert(address.clone(), holder);
    }

    /// The lease was given back.
    pub(crate) fn forget_one(&mut self, address: &Address) {
        self.of.remove(address);
    }

    /// Forgets those of whom `is_gone` is true.
    fn forget(&mut self, mut is_gone: impl FnMut(&Address, &Holder) -> bool) {
        self.of.retain(|address, holder| !is_gone(address, holder));
    }

    fn addresses(&self) -> Vec<Address> {
        self.of.keys().cloned().collect()
    }

    /// The holder of a lease, who is forgotten, if `is_gone` is true of it.
    fn take_if(&mut self, address: &Address, is_gone: impl FnOnce(&mut Holder) -> bool) -> Option<Holder> {
        if is_gone(self.of.get_mut(address)?) { self.of.remove(address) } else { None }
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

#[cfg(test)]
mod tests {
    use super::*;
    use cuttlebone_access::{Access, NewToken, Settings, StaticTokens, Token};
    use cuttlebone_proto::DeviceId;
    use std::net::Ipv4Addr;

    const MAX: usize = 300_000;

    /// Holders of static tokens, of no tenant, and two of one.
    fn callers() -> [Caller; 4] {
        let names = ["ann", "ben", "cid tenant=t", "dan tenant=t"];
        let tokens = [1_u8, 2, 3, 4].map(|number| NewToken::from_random(&[number; 32]));
        let patterns: Vec<String> = (0..64).map(|number| format!("{}{number}/*", "x".repeat(80))).collect();
        let line = |(name, token): (&str, &NewToken)| {
            format!("{} name={name} role=client devices={}\n", token.hash(), patterns.join(","))
        };
        let file: String = names.into_iter().zip(&tokens).map(line).collect();
        let tokens_of_file = StaticTokens::parse(&file).expect("a good file");
        let access = Access::new(Settings { tokens: Some(tokens_of_file), ..Settings::default() });
        tokens.map(|token| {
            let token = Token::new(token.secret()).expect("a token");
            Caller::known(access.authenticate(&token, 1_800_000_000).expect("known"))
        })
    }

    fn address(number: usize) -> Address {
        Address::common(DeviceId::new(&format!("d{number}")).expect("an id"))
    }

    /// How many leases this one gets, of ids from `first` on.
    fn taken(holders: &Holders, caller: &Caller, first: usize) -> usize {
        let mut turn = holders.in_turn();
        let take = |number: &usize| match turn.room_for(&address(*number), caller, Ipv4Addr::LOCALHOST.into()) {
            Some(room) => {
                turn.note(&address(*number), caller, room);
                true
            }
            None => false,
        };
        (first..first + 1000).take_while(take).count()
    }

    #[test]
    fn leases_are_bounded_in_bytes_and_leave_room_to_others() {
        let holders = Holders::new(MAX);
        let [ann, ben, cid, dan] = callers();
        let each = ann.bytes() + EACH;
        assert!(each > 64 * 80, "{each}");
        let of_ann = taken(&holders, &ann, 0);
        assert!((MAX / 4 / each..=MAX / 3 / each).contains(&of_ann), "a third: {of_ann}");
        assert!(taken(&holders, &ben, 1000) > 0 && taken(&holders, &cid, 2000) > 0 && taken(&holders, &dan, 3000) > 0);
        assert!(holders.bytes() <= MAX);
        // Where there is no room a lease is renewed all the same, or taken over; and what has ended gives its room back.
        assert_eq!((taken(&holders, &ann, 5000), taken(&holders, &ann, of_ann - 1)), (0, 1));
        assert_eq!((taken(&holders, &dan, 5000), taken(&holders, &dan, of_ann - 1)), (0, 1));
        let before = holders.bytes();
        holders.in_turn().forget_one(&address(of_ann - 1));
        assert_eq!(before - holders.bytes(), (dan.bytes() + EACH).next_multiple_of(STEP), "given back at once");
        holders.in_turn().forget(|_, _| true);
        assert_eq!((holders.bytes(), taken(&holders, &ann, 5000)), (0, of_ann));
    }
}
