//! `/register_device` and `/connect_client`: from a request to a connection task.
//!
//! Invariant: when the 101 goes out, the connection has its place, its task and its wave, so a peer that is quick with its
//! first message races nothing.

use std::sync::Arc;
use std::time::Duration;

use axum::body::Body;
use axum::extract::{Request, State};
use axum::response::Response;
use cuttlebone_access::Denied;
use cuttlebone_proto::limits::SMALL_READER_SUBPROTOCOLS;
use cuttlebone_transport::handshake;
use cuttlebone_transport::ws::{self, WsConn};
use http::HeaderMap;
use http::header::SEC_WEBSOCKET_PROTOCOL;
use hyper::upgrade::OnUpgrade;
use hyper_util::rt::TokioIo;
use tokio::time::{Instant, timeout_at};

use crate::app::App;
use crate::audit::{Entry, Event};
use crate::caller::Caller;
use crate::clock;
use crate::connection::{self, Connection};
use crate::context::{ConnectionContext, Role};
use crate::gate::{self, Unrecognised};
use crate::link::Link;
use crate::memory::Assembling;
use crate::metrics::{Refusal, Timeout};
use crate::origin::{self, Scheme};
use crate::problem;
use crate::settings::Settings;

/// A device.
pub(crate) async fn register_device(State(app): State<Arc<App>>, request: Request) -> Response {
    upgrade(&app, Role::Device, request).await
}

/// A client.
pub(crate) async fn connect_client(State(app): State<Arc<App>>, request: Request) -> Response {
    upgrade(&app, Role::Client, request).await
}

async fn upgrade(app: &Arc<App>, role: Role, mut request: Request) -> Response {
    let accepted = match handshake::accept(request.method(), request.version(), request.headers()) {
        Ok(accepted) => accepted,
        Err(refusal) => return refuse(app, refusal),
    };
    let Some(link) = request.extensions().get::<Arc<Link>>().cloned() else {
        tracing::error!("a request came without its socket");
        return problem::problem(http::StatusCode::INTERNAL_SERVER_ERROR, "internal_error", "Internal error");
    };
    let scheme = if role == Role::Client { link.scheme } else { Scheme::Any };
    let refusal = Entry::new(Event::Refusal).from(link.peer).role(role);
    if !origin::is_allowed(request.headers(), &app.settings.allowed_origins, scheme) {
        app.metrics.refused_with("origin_not_allowed");
        app.audit.note(&refusal.refused("origin_not_allowed"));
        return problem::origin_not_allowed();
    }
    if let Err(reason) = link.begin_connection() {
        app.metrics.refused(reason);
        app.audit.note(&refusal.refused(reason.word()));
        return problem::refused(reason);
    }
    let caller = match gate::recognise(app, Some(&link), (request.headers(), request.uri()), true).await {
        Ok(caller) => caller,
        Err(reason) => return gate::unauthenticated(app, Some(&link), reason).await,
    };
    let Ok(caller) = caller.clone().in_tenant(request.uri().query()) else {
        app.metrics.refused_with("forbidden");
        app.audit.note(&refusal.refused("forbidden").who(&caller));
        return problem::other_tenant();
    };
    if !may(&caller, role) {
        app.metrics.refused_with("forbidden");
        app.audit.note(&refusal.refused("forbidden").who(&caller));
        return problem::forbidden(match role {
            Role::Device => "This token is none of a device",
            Role::Client => "This token is none of a client",
        });
    }
    if app.tasks.is_stopping() {
        app.metrics.refused(Refusal::Draining);
        app.audit.note(&refusal.refused(Refusal::Draining.word()).who(&caller));
        return problem::unavailable("draining", "The server is stopping");
    }
    let context = context(app, &link, role, caller, offers_small_reader(request.headers()));
    // From here on it hears when who may come has changed. What changed before, it has not heard.
    if !app.gate.is_still_good(&context.caller) {
        drop(context);
        return gate::unauthenticated(app, Some(&link), Unrecognised::Denied(Denied::Revoked)).await;
    }
    if let Err(reason) = count(app, &link, role, &context.caller) {
        app.metrics.refused(reason);
        app.audit.note(&refusal.refused(reason.word()).who(&context.caller));
        return problem::too_many("Too many connections with this token");
    }
    let socket = hyper::upgrade::on(&mut request);
    // Of its own: the socket may be kept from an earlier request, and its first deadline over.
    let deadline = clock::now() + app.settings.timeouts.handshake;
    app.tasks.spawn(connect(socket, link, deadline, context));
    accepted.response::<Body>()
}

fn may(caller: &Caller, role: Role) -> bool {
    match role {
        Role::Device => caller.is_device(),
        Role::Client => caller.is_client(),
    }
}

/// Who is known has a place as who it is, and not as one of its address.
fn count(app: &Arc<App>, link: &Link, role: Role, caller: &Caller) -> Result<(), Refusal> {
    if let Some(principal) = caller.principal() {
        link.permit.count_as(app.quotas.try_take(principal, role)?);
    }
    Ok(())
}

fn context(app: &Arc<App>, link: &Link, role: Role, caller: Caller, small_reader: bool) -> ConnectionContext {
    ConnectionContext {
        app: Arc::clone(app),
        peer: link.peer,
        role,
        caller,
        small_reader,
        goodbye: app.waves.join(),
        open: Some((link.permit.clone(), app.metrics.connection(role.peer()))),
    }
}

/// Waits for the socket and runs the connection on it, in a task of its own: that lives for long, and need not have room for
/// the wait.
async fn connect(socket: OnUpgrade, link: Arc<Link>, deadline: Instant, context: ConnectionContext) {
    match timeout_at(deadline, socket).await {
        Ok(Ok(socket)) => {
            link.set_upgraded();
            let app = Arc::clone(&context.app);
            let owner = context.caller.owner(context.peer.ip());
            let assembly = Assembling::of(&app.assembling, &owner);
            let conn = WsConn::new(TokioIo::new(socket), bounds(&app.settings, context.role));
            let conn = conn.sharing(Arc::new(assembly));
            app.tasks.spawn(connection::run(Connection::new(conn, context)));
        }
        Ok(Err(error)) => tracing::debug!(%error, "the peer left during the upgrade"),
        Err(_) => context.app.metrics.timed_out(Timeout::Handshake),
    }
}

/// What a peer of this role may send.
fn bounds(settings: &Settings, role: Role) -> ws::Settings {
    let (messages, limits) = (&settings.messages, &settings.limits);
    // A device is only slowed: closing it would cost all of its clients.
    let (data, patience) = match role {
        Role::Client => (limits.client, limits.patience),
        Role::Device => (limits.device, Duration::ZERO),
    };
    ws::Settings {
        limits: ws::Limits { message_bytes: messages.limits.message_bytes, fragments: messages.max_fragments },
        control: limits.control_frames,
        data: ws::DataRates { messages: data.messages, bytes: data.bytes, frames: data.frames, patience },
    }
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
        .flat_map(|value| value.as_bytes().split(|byte| *byte == b','))
        .any(|offered| SMALL_READER_SUBPROTOCOLS.iter().any(|small| small.as_bytes() == offered.trim_ascii()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use http::HeaderValue;
    use hyper::body::Incoming;
    use hyper::server::conn::http1;
    use hyper::service::service_fn;
    use std::convert::Infallible;
    use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _, DuplexStream, duplex};
    use tokio::time::sleep;
    use tokio_util::task::TaskTracker;

    #[test]
    fn small_readers_are_known_by_any_subprotocol_they_offer() {
        let offered = |values: &[&str]| {
            let mut headers = HeaderMap::new();
            for value in values {
                headers.append(SEC_WEBSOCKET_PROTOCOL, HeaderValue::from_bytes(value.as_bytes()).expect("a value"));
            }
            offers_small_reader(&headers)
        };
        assert!(
            offered(&["webrtc-operator"]) && offered(&["x, cf-webrtc-device"]) && offered(&["x", "webrtc-operator"])
        );
        assert!(offered(&["webrtc-operator, \u{ff}"]) && offered(&["\u{ff},\twebrtc-operator "]));
        assert!(!offered(&[]) && !offered(&["x"]) && !offered(&["webrtc-operator2"]));
    }

    const UPGRADE: &[u8] = b"GET / HTTP/1.1\r\nhost: x\r\nupgrade: websocket\r\nconnection: upgrade\r\n\
        sec-websocket-version: 13\r\nsec-websocket-key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n";

    /// A text frame that is no JSON, masked with zeros.
    const NONSENSE: &[u8] = b"\x81\x81\0\0\0\0x";

    async fn read_until(peer: &mut DuplexStream, mark: &str) {
        let mut bytes = Vec::new();
        while !String::from_utf8_lossy(&bytes).contains(mark) {
            assert!(peer.read_buf(&mut bytes).await.expect("open") > 0, "ended before {mark}");
        }
    }

    #[tokio::test(start_paused = true)]
    async fn upgrade_of_a_kept_socket_has_a_deadline_of_its_own() {
        let app = App::for_test(Settings::default());
        let handshake = app.settings.timeouts.handshake;
        // The time for its first response is over from the start.
        let link = Link::for_test(clock::now());
        let service = service_fn(move |request: Request<Incoming>| {
            let mut request = request.map(|_| Body::empty());
            request.extensions_mut().insert(Arc::clone(&link));
            let app = Arc::clone(&app);
            async move { Ok::<_, Infallible>(upgrade(&app, Role::Client, request).await) }
        });
        // Too small for the 101, which waits until it is read.
        let (mut peer, socket) = duplex(64);
        let serving = http1::Builder::new().serve_connection(TokioIo::new(socket), service).with_upgrades();
        let serving = TaskTracker::new().spawn(serving);
        peer.write_all(UPGRADE).await.expect("sent");
        sleep(handshake / 2).await;
        read_until(&mut peer, "\r\n\r\n").await;
        serving.await.expect("no panic").expect("upgraded");
        peer.write_all(NONSENSE).await.expect("sent");
        read_until(&mut peer, "invalid_json").await;
    }
}
