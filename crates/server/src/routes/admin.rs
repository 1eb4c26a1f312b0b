//! What an administrator does, in its tenant: closes the connection of a device, and shuts somebody out.

use std::sync::Arc;

use axum::extract::rejection::QueryRejection;
use axum::extract::{Extension, Query, State};
use axum::response::Response;
use cuttlebone_access::Revoked;
use cuttlebone_proto::Reject;
use http::StatusCode;
use serde::Deserialize;

use super::PathId;
use super::devices::device_not_found;
use super::leases::controlled;
use crate::app::App;
use crate::audit::{Entry, Event, Outcome};
use crate::caller::Caller;
use crate::link::Link;
use crate::logged;
use crate::problem::{self, problem};

/// The longest identity that there can be, in bytes, and more.
const IDENTITY_BYTES: usize = 600;

/// Who is meant.
#[derive(Debug, Deserialize)]
pub(crate) struct Whom {
    identity: String,
}

/// `DELETE /api/v1/devices/{id}/connection`: closes the device's connection. It is gone for good, and may register again.
pub(crate) async fn close_device(
    State(app): State<Arc<App>>,
    Extension(link): Extension<Arc<Link>>,
    Extension(caller): Extension<Caller>,
    PathId(id): PathId,
) -> Response {
    if !caller.is_admin() {
        return not_admin(&app, &told(&link, &caller, "close_device"));
    }
    match controlled(&app, &caller, &id) {
        Ok(address) if app.registry.close(&address, Reject::ClosedByAdmin) => {
            let done = told(&link, &caller, "close_device").outcome(Outcome::Ok);
            app.audit.note(&done.device(Some(&address.device_id)));
            tracing::info!(who = caller.name(), device_id = logged::cut(&id), "device closed by an administrator");
            super::no_content()
        }
        Ok(_) => device_not_found(&id),
        Err(reason) => reason.response(&app, (&link, &caller), &id),
    }
}

/// `DELETE /api/v1/sessions?identity=token:NAME`: closes all that it has, and lets it in no more until this process ends. Whether
/// there is such a one, nobody is told: an administrator of one tenant could ask for those of another.
pub(crate) async fn shut_out(
    State(app): State<Arc<App>>,
    Extension(link): Extension<Arc<Link>>,
    Extension(caller): Extension<Caller>,
    whom: Result<Query<Whom>, QueryRejection>,
) -> Response {
    if !caller.is_admin() {
        return not_admin(&app, &told(&link, &caller, "shut_out"));
    }
    let bad_query = |text| problem(StatusCode::BAD_REQUEST, "invalid_query", text);
    let Some(Query(Whom { identity })) = whom.ok().filter(|whom| (1..=IDENTITY_BYTES).contains(&whom.identity.len()))
    else {
        return bad_query("Say who: ?identity=token:NAME, or jwt:ISSUER%23SUBJECT");
    };
    if identity.starts_with("jti:") {
        return bad_query("One token of somebody is shut out by a line in access.revoked_file");
    }
    let identity = Revoked::spelled(identity);
    let Ok(is_news) = app.gate.shut_out(&identity, caller.view()) else {
        app.metrics.refused_with("too_many_shut_out");
        app.audit.note(&told(&link, &caller, "shut_out").refused("too_many_shut_out"));
        return problem::unavailable("too_many_shut_out", "Too many are shut out: use access.revoked_file");
    };
    // Said once: an administrator of one tenant could fill the audit log of all.
    if !is_news {
        return super::no_content();
    }
    app.tell_who_may_come();
    app.audit.note(&told(&link, &caller, "shut_out").outcome(Outcome::Ok).whom(Some(&identity)));
    tracing::info!(who = caller.name(), identity = logged::cut(&identity), "shut out by an administrator");
    super::no_content()
}

fn not_admin(app: &App, told: &Entry<'_>) -> Response {
    app.audit.note(&told.clone().refused("forbidden"));
    app.metrics.refused_with("forbidden");
    problem::forbidden("This is for administrators")
}

/// What the audit log is told of it.
fn told<'a>(link: &Link, caller: &'a Caller, what: &'static str) -> Entry<'a> {
    Entry::new(Event::Admin).who(caller).from(link.peer).what(what)
}
