//! Which path is answered by whom.

use std::net::SocketAddr;
use std::sync::Arc;

use axum::Router;
use axum::middleware;
use axum::routing::{delete, get, post};

use crate::app::App;
use crate::routes::{admin, assets, devices, events, health, leases, login, session, upgrade, whoami};
use crate::{gate, host, problem};

/// The routes of the public listener, which listens on `address`. Everything that is none of them is an embedded file, which
/// tells nobody anything, or not there.
pub(crate) fn router(app: &Arc<App>, address: SocketAddr) -> Router {
    let recognised = middleware::from_fn_with_state(Arc::clone(app), gate::require);
    let routes = Router::new()
        .route("/infra_config", get(devices::infra_config))
        .route("/devices", get(devices::list))
        .route("/devices/{id}", get(devices::one))
        .route("/api/v1/devices/events", get(events::stream))
        .route("/api/v1/devices/{id}/connection", delete(admin::close_device))
        .route(
            "/api/v1/devices/{id}/lease",
            get(leases::show).post(leases::take).put(leases::take).delete(leases::give_back),
        )
        .route("/api/v1/sessions", delete(admin::shut_out))
        .route("/api/v1/whoami", get(whoami::whoami))
        .route("/api/v1/session", post(session::begin))
        .route("/readyz", get(health::readyz))
        .route_layer(recognised)
        // These say who may come themselves: before the upgrade, and after what is wrong with the handshake.
        .route("/register_device", get(upgrade::register_device))
        .route("/connect_client", get(upgrade::connect_client))
        .route("/api/v1/session", delete(session::end))
        // Who is to sign in is not recognised yet.
        .route("/api/v1/login", get(login::begin))
        .route("/api/v1/login/callback", get(login::callback))
        .route("/api/v1/login/provider", get(login::provider))
        .route("/api/v1/login/end", get(login::end))
        .route("/livez", get(health::livez))
        .fallback(assets::serve)
        .method_not_allowed_fallback(problem::method_not_allowed)
        .with_state(Arc::clone(app));
    host::guarded(routes, address, &app.settings.allowed_origins, &app.metrics)
}
