//! `/api/v1/devices/{id}/lease`: having a device for oneself.
//!
//! GET shows the lease to who may know of the device; POST or PUT takes it, or goes on with one's own; DELETE gives it back. An
//! administrator takes over (`?force=true`) and gives back anybody's.

use std::sync::Arc;
use std::time::Duration;

use axum::extract::rejection::QueryRejection;
use axum::extract::{Extension, Query, State};
use axum::response::Response;
use cuttlebone_hub::{Address, Lease, LeaseRefusal, LeaseWish, Leased, Party};
use cuttlebone_proto::DeviceId;
use http::StatusCode;
use serde::{Deserialize, Serialize};

use super::devices::{address, device_not_found, forbidden, may_not_list};
use super::{PathId, json};
use crate::app::App;
use crate::audit::{Entry, Event, Outcome};
use crate::caller::Caller;
use crate::clock;
use crate::link::Link;
use crate::logged;
use crate::problem::{self, problem};
use crate::server::leases;
use crate::settings::SHORTEST_LEASE;

/// What may stand in the query.
#[derive(Debug, Deserialize)]
pub(crate) struct Asked {
    ttl_ms: Option<u64>,
    #[serde(default)]
    force: bool,
}

#[derive(Serialize)]
struct Shown<'a> {
    device_id: &'a str,
    holder: &'a str,
    until_ms: u64,
    /// Whether it is the asker's own.
    yours: bool,
}

pub(crate) async fn show(
    State(app): State<Arc<App>>,
    Extension(link): Extension<Arc<Link>>,
    Extension(caller): Extension<Caller>,
    PathId(id): PathId,
) -> Response {
    if !caller.may_list() {
        return may_not_list(&app, &link, &caller);
    }
    let Some(address) = address(&caller, &id).filter(|address| caller.may_see(address)) else {
        return device_not_found(&id);
    };
    match app.registry.lease_of(&address) {
        Some(lease) => shown(&caller, &address, &lease),
        None => not_leased(&app, &address),
    }
}

pub(crate) async fn take(
    State(app): State<Arc<App>>,
    Extension(link): Extension<Arc<Link>>,
    Extension(caller): Extension<Caller>,
    PathId(id): PathId,
    asked: Result<Query<Asked>, QueryRejection>,
) -> Response {
    let Ok(Query(asked)) = asked else { return bad_query() };
    let address = match controlled(&app, &caller, &id) {
        Ok(address) => address,
        Err(reason) => return reason.response(&app, (&link, &caller), &id),
    };
    let Some(party) = caller.party() else { return needs_token(&app, &link, &caller) };
    if !may_lease_again(&app, &caller, &address) {
        return too_often(&app, told(&link, &caller, &address).what("take"));
    }
    if asked.force && !caller.is_admin() {
        return forbidden(&app, &link, &caller, "Only an administrator takes a device from somebody else");
    }
    let settings = &app.settings.leases;
    let ttl = asked.ttl_ms.map_or(settings.default, Duration::from_millis);
    if !(SHORTEST_LEASE..=settings.max).contains(&ttl) {
        let text = format!("ttl_ms is from {} to {}", SHORTEST_LEASE.as_millis(), settings.max.as_millis());
        return problem(StatusCode::BAD_REQUEST, "invalid_ttl", &text);
    }
    let name = caller.name().unwrap_or_default();
    let wish = LeaseWish { party: &party, name: caller.shown_name().unwrap_or_default(), ttl, force: asked.force };
    let (mut turn, now) = (app.lease_holders.in_turn(), clock::now().into_std());
    let leased = match turn.room_for(&address, &caller, link.peer.ip()) {
        Some(room) => app.registry.lease(&address, &wish, now, clock::unix_ms()).map(|leased| (leased, room)),
        None => Err(no_room(&app, &address, &party, asked.force)),
    };
    match leased {
        Ok((Leased { lease, before }, room)) => {
            turn.note(&address, &caller, room);
            let (over, before) = before.map_or((None, None), |before| {
                if before.until <= now { (Some(before), None) } else { (None, Some(before)) }
            });
            if let Some(over) = &over {
                leases::note_end(&app, &address, over, "over");
            }
            let before = before.as_ref().map(|before| &*before.identity);
            let what = match before {
                None => "take",
                Some(before) if *before == *lease.identity => "renew",
                Some(_) => "take_over",
            };
            let whom = before.filter(|_| what == "take_over");
            app.audit.note(&told(&link, &caller, &address).outcome(Outcome::Ok).what(what).whom(whom));
            tracing::info!(who = name, device_id = logged::cut(&id), until_ms = lease.until_ms, what, "leased");
            shown(&caller, &address, &lease)
        }
        Err(refusal) => {
            let (response, word) = refuse(&app, &id, &refusal);
            app.audit.note(&told(&link, &caller, &address).refused(word).what("take"));
            response
        }
    }
}

pub(crate) async fn give_back(
    State(app): State<Arc<App>>,
    Extension(link): Extension<Arc<Link>>,
    Extension(caller): Extension<Caller>,
    PathId(id): PathId,
) -> Response {
    let address = match controlled(&app, &caller, &id) {
        Ok(address) => address,
        Err(reason) => return reason.response(&app, (&link, &caller), &id),
    };
    let Some(party) = caller.party() else { return needs_token(&app, &link, &caller) };
    if !may_lease_again(&app, &caller, &address) {
        return too_often(&app, told(&link, &caller, &address).what("give_back"));
    }
    let holder = Some(&*party.identity).filter(|_| !caller.is_admin());
    let mut turn = app.lease_holders.in_turn();
    match app.registry.release(&address, holder) {
        Ok(lease) => {
            turn.forget_one(&address);
            let whom = Some(&*lease.identity).filter(|holder| **holder != *party.identity);
            app.audit.note(&told(&link, &caller, &address).outcome(Outcome::Ok).what("give_back").whom(whom));
            tracing::info!(
                who = caller.name(),
                device_id = logged::cut(&id),
                holder = &*lease.name,
                "lease given back"
            );
            super::no_content()
        }
        Err(Some(held)) => {
            let (response, word) = refuse(&app, &id, &LeaseRefusal::Held(held));
            app.audit.note(&told(&link, &caller, &address).refused(word).what("give_back"));
            response
        }
        Err(None) => not_leased(&app, &address),
    }
}

/// Why somebody has nothing to do with a device.
#[derive(Debug, Clone, Copy)]
pub(super) enum NotTheirs {
    /// It is absent, or as good as absent.
    Absent,
    /// They may see it, and no more.
    NotControlled,
}

impl NotTheirs {
    pub(super) fn response(self, app: &App, (link, caller): (&Link, &Caller), id: &str) -> Response {
        match self {
            Self::Absent => {
                // Whether it is there or not: who tries ids that are not theirs is told of.
                let device_id = DeviceId::new(id).ok();
                let refusal = Entry::new(Event::Refusal).refused("device_forbidden").device(device_id.as_ref());
                app.audit.note(&refusal.from(link.peer).who(caller));
                device_not_found(id)
            }
            Self::NotControlled => forbidden(app, link, caller, "This token may not control the device"),
        }
    }
}

/// Where the device is, for one who may control it. Who may see it hears that it may not; to anybody else it is absent.
pub(super) fn controlled(app: &App, caller: &Caller, id: &str) -> Result<Address, NotTheirs> {
    let address = address(caller, id).ok_or(NotTheirs::Absent)?;
    if caller.may_connect(&address.device_id) {
        return Ok(address);
    }
    let is_seen = caller.may_see(&address) && app.registry.find(&address).is_some();
    Err(if is_seen { NotTheirs::NotControlled } else { NotTheirs::Absent })
}

fn may_lease_again(app: &App, caller: &Caller, address: &Address) -> bool {
    caller.principal().is_none_or(|principal| app.leasing.try_take(&principal.account(), &address.device_id))
}

/// Why there is no lease where there is no room for one: the device may not be there, or be another's.
fn no_room(app: &App, address: &Address, party: &Party, force: bool) -> LeaseRefusal {
    let held = app.registry.lease_of(address).filter(|held| held.identity != party.identity && !force);
    match held {
        _ if app.registry.find(address).is_none() => LeaseRefusal::Absent,
        Some(held) => LeaseRefusal::Held(held),
        None => LeaseRefusal::TooMany,
    }
}

fn needs_token(app: &App, link: &Link, caller: &Caller) -> Response {
    app.metrics.refused_with("lease_needs_token");
    app.audit.note(&Entry::new(Event::Refusal).refused("lease_needs_token").from(link.peer).who(caller));
    problem(StatusCode::FORBIDDEN, "lease_needs_token", "A lease needs a token, which says who has the device")
}

fn too_often(app: &App, told: Entry<'_>) -> Response {
    app.metrics.refused_with("rate_limited");
    app.audit.note(&told.refused("rate_limited"));
    problem::too_many("Too often: the rate is that of registrations, quotas.registrations_per_minute")
}

fn not_leased(app: &App, address: &Address) -> Response {
    if app.registry.find(address).is_none() {
        return device_not_found(address.device_id.as_str());
    }
    problem(StatusCode::NOT_FOUND, "not_leased", "Nobody has the device for himself")
}

fn bad_query() -> Response {
    problem(StatusCode::BAD_REQUEST, "invalid_query", "ttl_ms is a number, force is true or false")
}

/// What is said, and the word for it.
fn refuse(app: &App, id: &str, refusal: &LeaseRefusal) -> (Response, &'static str) {
    let (status, code, text) = match refusal {
        LeaseRefusal::Absent => return (device_not_found(id), "device_not_found"),
        LeaseRefusal::Held(_) => (StatusCode::CONFLICT, "device_leased", "Another has the device"),
        LeaseRefusal::InUse => (StatusCode::CONFLICT, "device_in_use", "Others are connected to the device"),
        LeaseRefusal::TooManyOfHolder | LeaseRefusal::TooMany => {
            app.metrics.refused_with("too_many_leases");
            (StatusCode::TOO_MANY_REQUESTS, "too_many_leases", "Too many devices are leased")
        }
    };
    (problem(status, code, text), code)
}

/// What the audit log is told of it.
fn told<'a>(link: &Link, caller: &'a Caller, address: &'a Address) -> Entry<'a> {
    Entry::new(Event::Lease).who(caller).from(link.peer).device(Some(&address.device_id))
}

fn shown(caller: &Caller, address: &Address, lease: &Lease) -> Response {
    let yours = caller.principal().is_some_and(|principal| *principal.identity() == *lease.identity);
    let shown = Shown { device_id: address.device_id.as_str(), holder: &lease.name, until_ms: lease.until_ms, yours };
    json(serde_json::to_string(&shown).unwrap_or_default())
}
