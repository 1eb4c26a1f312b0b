//! Is the server alive, and does it want more work?

use std::sync::Arc;
use std::sync::atomic::Ordering;

use axum::extract::State;
use axum::response::{IntoResponse, Response};
use http::header::CACHE_CONTROL;

use crate::app::App;
use crate::problem;

/// The process answers.
pub(crate) async fn livez() -> Response {
    fine()
}

/// 503 from the moment the server begins to stop, until there is a certificate, and while the keys of an issuer are not there.
pub(crate) async fn readyz(State(app): State<Arc<App>>) -> Response {
    if app.tasks.is_stopping() {
        return problem::unavailable("draining", "The server is stopping");
    }
    if app.lacks_certificate.load(Ordering::Relaxed) {
        return problem::unavailable("no_certificate", "There is no certificate yet");
    }
    match app.gate.jwks.unready() {
        Some(reason) => problem::unavailable("keys_missing", reason),
        None => fine(),
    }
}

fn fine() -> Response {
    ([(CACHE_CONTROL, "no-store")], "ok\n").into_response()
}
