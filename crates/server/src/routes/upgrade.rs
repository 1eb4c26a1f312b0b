//! `/register_device` and `/connect_client`: from a request to a connection task.
//!
//! Invariant: when the 101 goes out, the connection has its place, its task and its wave, so a peer that is quick with its
//! first message races nothing.

use std::sync::Arc;

use axum::body::Body;
use axum::extract::{Request, State};
use axum::response::Response;
use cuttlebone_proto::limits::SMALL_READER_SUBPROTOCOLS;
use cuttlebone_transport::handshake;
use cuttlebone_transport::ws::{self, WsConn};
use http::HeaderMap;
use http::header::SEC_WEBSOCKET_PROTOCOL;
use hyper::upgrade::{OnUpgrade, Upgraded};
use hyper_util::rt::TokioIo;
use tokio::time::timeout_at;

use crate::app::App;
use crate::connection;
use crate::context::{ConnectionContext, Role};
use crate::link::Link;
use crate::metrics::{Refusal, Timeout};
use crate::problem;

/// A device.
pub(crate) async fn register_device(State(app): State<Arc<App>>, request: Request) -> Response {
    upgrade(&app, Role::Device, request)
}

/// A client.
pub(crate) async fn connect_client(State(app): State<Arc<App>>, request: Request) -> Response {
    upgrade(&app, Role::Client, request)
}

fn upgrade(app: &Arc<App>, role: Role, mut request: Request) -> Response {
    let accepted = match handshake::accept(request.method(), request.version(), request.headers()) {
        Ok(accepted) => accepted,
        Err(refusal) => return refuse(app, refusal),
    };
    if app.tasks.is_stopping() {
        app.metrics.refused(Refusal::Draining);
        return problem::unavailable("draining", "The server is stopping");
    }
    let Some(link) = request.extensions().get::<Arc<Link>>().cloned() else {
        tracing::error!("a request came without its socket");
        return problem::problem(http::StatusCode::INTERNAL_SERVER_ERROR, "internal_error", "Internal error");
    };
    let context = context(app, &link, role, offers_small_reader(request.headers()));
    let socket = hyper::upgrade::on(&mut request);
    app.tasks.spawn(connect(socket, link, role, context));
    accepted.response::<Body>()
}

fn context(app: &App, link: &Link, role: Role, small_reader: bool) -> ConnectionContext {
    ConnectionContext {
        registry: Arc::clone(&app.registry),
        settings: Arc::clone(&app.settings),
        metrics: Arc::clone(&app.metrics),
        cancel: app.waves.join(),
        all_told: app.waves.all_told(),
        peer: link.peer,
        small_reader,
        away: Arc::clone(&app.away),
        permit: link.permit.clone(),
        counted: app.metrics.connection(role.peer()),
    }
}

/// Waits for the socket and runs the connection on it.
async fn connect(socket: OnUpgrade, link: Arc<Link>, role: Role, context: ConnectionContext) {
    match timeout_at(link.deadline, socket).await {
        Ok(Ok(socket)) => {
            link.set_upgraded();
            drop(link);
            // Boxed by itself, so that the wait above does not keep its size.
            Box::pin(run(socket, role, context)).await;
        }
        Ok(Err(error)) => tracing::debug!(%error, "the peer left during the upgrade"),
        Err(_) => context.metrics.timed_out(Timeout::Handshake),
    }
}

async fn run(socket: Upgraded, role: Role, context: ConnectionContext) {
    let messages = context.settings.messages;
    let limits = ws::Limits { message_bytes: messages.limits.message_bytes, fragments: messages.max_fragments };
    let conn = WsConn::new(TokioIo::new(socket), ws::Settings { limits, ..ws::Settings::default() });
    connection::run(conn, role, context).await;
}

fn refuse(app: &App, refusal: handshake::Refusal) -> Response {
    app.metrics.refused_with(label(refusal));
    let mut response = refusal.response::<Body>();
    let body = problem::problem(refusal.status(), label(refusal), &refusal.to_string());
    let (parts, body) = body.into_parts();
    *response.body_mut() = body;
    response.headers_mut().extend(parts.headers);
    response
}

const fn label(refusal: handshake::Refusal) -> &'static str {
    match refusal {
        handshake::Refusal::Method => "method_not_allowed",
        handshake::Refusal::HttpVersion => "handshake_http_version",
        handshake::Refusal::NotUpgrade => "handshake_not_upgrade",
        handshake::Refusal::Version => "handshake_version",
        handshake::Refusal::Key => "handshake_key",
    }
}

fn offers_small_reader(headers: &HeaderMap) -> bool {
    headers
        .get_all(SEC_WEBSOCKET_PROTOCOL)
        .iter()
        .filter_map(|value| value.to_str().ok())
        .flat_map(|value| value.split(','))
        .any(|offered| SMALL_READER_SUBPROTOCOLS.contains(&offered.trim()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use http::HeaderValue;

    #[test]
    fn small_readers_are_known_by_any_subprotocol_they_offer() {
        let offered = |values: &[&'static str]| {
            let mut headers = HeaderMap::new();
            for value in values {
                headers.append(SEC_WEBSOCKET_PROTOCOL, HeaderValue::from_static(value));
            }
            offers_small_reader(&headers)
        };
        assert!(
            offered(&["webrtc-operator"]) && offered(&["x, cf-webrtc-device"]) && offered(&["x", "webrtc-operator"])
        );
        assert!(!offered(&[]) && !offered(&["x"]) && !offered(&["webrtc-operator2"]));
    }
}
