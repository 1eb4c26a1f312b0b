//! Which path is answered by whom.

use std::net::SocketAddr;
use std::sync::Arc;

use axum::Router;
use axum::routing::get;

use crate::app::App;
use crate::routes::{assets, devices, events, health, upgrade};
use crate::{host, problem};

/// The routes of the public listener, which listens on `address`. Everything that is none of them is an embedded file or not
/// there.
pub(crate) fn router(app: &Arc<App>, address: SocketAddr) -> Router {
    let routes = Router::new()
        .route("/register_device", get(upgrade::register_device))
        .route("/connect_client", get(upgrade::connect_client))
        .route("/infra_config", get(devices::infra_config))
        .route("/devices", get(devices::list))
        .route("/devices/{id}", get(devices::one))
        .route("/api/v1/devices/events", get(events::stream))
        .route("/livez", get(health::livez))
        .route("/readyz", get(health::readyz))
        .fallback(assets::serve)
        .method_not_allowed_fallback(problem::method_not_allowed)
        .with_state(Arc::clone(app));
    host::guarded(routes, address, &app.settings.allowed_origins, &app.metrics)
}
