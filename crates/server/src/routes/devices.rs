//! Who is there, and which ICE servers to use.

use std::sync::Arc;

use axum::extract::{Extension, State};
use axum::response::Response;
use cuttlebone_access::Denied;
use cuttlebone_hub::{Address, ConfigFor, DeviceSummary};
use cuttlebone_ice::PeerKind;
use cuttlebone_proto::DeviceId;
use cuttlebone_proto::limits::ECHOED_CHARS;
use http::StatusCode;

use super::{PathId, json};
use crate::app::App;
use crate::audit::{Entry, Event};
use crate::caller::Caller;
use crate::gate::{self, Unrecognised};
use crate::greeter::{self, Guest};
use crate::link::Link;
use crate::listing::TooManyUnread;
use crate::metrics::Refusal;
use crate::problem;

/// `GET /infra_config`: the same as the `config` message. It has credentials for whoever may be a device or a client.
pub(crate) async fn infra_config(
    State(app): State<Arc<App>>,
    Extension(caller): Extension<Caller>,
    Extension(link): Extension<Arc<Link>>,
) -> Response {
    if !caller.has_a_role() {
        return forbidden(&app, &link, &caller, "This account has no role here");
    }
    let is_client = caller.is_client() || !caller.is_device();
    let kind = if is_client { PeerKind::Client } else { PeerKind::Device };
    let guest = Guest { kind, caller: &caller, peer: link.peer, number: None };
    let is_let_in = caller.is_client() || caller.is_device();
    if is_let_in {
        greeter::ask_providers(&app, &guest);
        app.greeter.ready(&guest).await;
        // That may have taken a while.
        if !app.gate.is_still_good(&caller) {
            return gate::unauthenticated(&app, Some(&link), Unrecognised::Denied(Denied::Revoked)).await;
        }
    }
    json(app.greeter.config(&guest, ConfigFor { is_let_in, asks_ice_policy: false }, &app.metrics))
}

/// `GET /devices`: those that the caller may know of.
pub(crate) async fn list(
    State(app): State<Arc<App>>,
    Extension(link): Extension<Arc<Link>>,
    Extension(caller): Extension<Caller>,
) -> Response {
    if !caller.may_list() {
        return may_not_list(&app, &link, &caller);
    }
    let listing = app.listings.seen_by((&caller, link.peer.ip()), &app.registry).await;
    // It may have waited for its turn.
    if !app.gate.is_still_good(&caller) {
        return gate::unauthenticated(&app, Some(&link), Unrecognised::Denied(Denied::Revoked)).await;
    }
    match listing {
        Ok(listing) => json(listing.array()),
        Err(TooManyUnread) => no_room(&app, &link, &caller),
    }
}

fn no_room(app: &App, link: &Link, caller: &Caller) -> Response {
    no_place(app, link, caller, Refusal::ListsFull);
    problem::unavailable("too_many_lists", "Too many lists of devices are not read yet")
}

/// Notes that something shared is full.
pub(super) fn no_place(app: &App, link: &Link, caller: &Caller, reason: Refusal) {
    app.metrics.refused(reason);
    app.audit.note(&Entry::new(Event::Refusal).refused(reason.word()).from(link.peer).who(caller));
}

pub(super) fn may_not_list(app: &App, link: &Link, caller: &Caller) -> Response {
    forbidden(app, link, caller, "This token may not see the devices")
}

pub(super) fn forbidden(app: &App, link: &Link, caller: &Caller, text: &str) -> Response {
    app.metrics.refused_with("forbidden");
    app.audit.note(&Entry::new(Event::Refusal).refused("forbidden").from(link.peer).who(caller));
    problem::forbidden(text)
}

/// `GET /devices/{id}`.
pub(crate) async fn one(
    State(app): State<Arc<App>>,
    Extension(link): Extension<Arc<Link>>,
    Extension(caller): Extension<Caller>,
    PathId(id): PathId,
) -> Response {
    if !caller.may_list() {
        return may_not_list(&app, &link, &caller);
    }
    match find(&app, &caller, &id) {
        Some(device) => match app.listings.one((&caller, link.peer.ip()), &device) {
            Ok(text) => json(text),
            Err(TooManyUnread) => no_room(&app, &link, &caller),
        },
        None => device_not_found(&id),
    }
}

/// Where the device is, if it can be one's id.
pub(super) fn address(caller: &Caller, id: &str) -> Option<Address> {
    Some(Address { device_id: DeviceId::new(id).ok()?, realm: caller.realm() })
}

/// A device that the caller may know of.
fn find(app: &App, caller: &Caller, id: &str) -> Option<DeviceSummary> {
    let address = address(caller, id)?;
    if caller.may_see(&address) { app.registry.find(&address) } else { None }
}

pub(super) fn device_not_found(id: &str) -> Response {
    let shown: String = id.chars().take(ECHOED_CHARS).collect();
    problem::problem(StatusCode::NOT_FOUND, "device_not_found", &format!("Device not found: '{shown}'"))
}
