//! `GET /api/v1/whoami`: who the server takes the asker for.

use axum::extract::Extension;
use axum::response::Response;
use cuttlebone_access::Role;
use serde::Serialize;

use super::json;
use crate::caller::Caller;

#[derive(Serialize)]
struct Who<'a> {
    /// Missing where anybody is served and nothing was presented.
    #[serde(skip_serializing_if = "Option::is_none")]
    name: Option<&'a str>,
    /// Who it is, where it has signed in at the provider: two there may have one name.
    #[serde(skip_serializing_if = "Option::is_none")]
    identity: Option<&'a str>,
    /// `*` for an operator, whose are all.
    #[serde(skip_serializing_if = "Option::is_none")]
    tenant: Option<&'a str>,
    roles: Vec<&'static str>,
    /// Seconds since 1970.
    #[serde(skip_serializing_if = "Option::is_none")]
    expires_at: Option<u64>,
}

pub(crate) async fn whoami(Extension(caller): Extension<Caller>) -> Response {
    let roles = caller.principal().map(|principal| principal.roles()).unwrap_or_default();
    let session = caller.principal().filter(|principal| principal.is_session());
    let who = Who {
        name: caller.shown_name(),
        identity: session.map(|principal| principal.identity()),
        tenant: caller.tenant().or_else(|| caller.is_operator().then_some("*")),
        roles: roles.iter().map(Role::name).collect(),
        expires_at: caller.expires_at(),
    };
    json(serde_json::to_string(&who).unwrap_or_default())
}
