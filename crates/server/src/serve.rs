//! HTTP on one accepted socket, until it is upgraded or closed.
//!
//! Invariants: 1. nothing is waited for without a bound: TLS and the first request by one deadline, later requests by the
//! time between them, a response that is not read by [`StallGuard`]; 2. no request body is read; 3. no socket is served more
//! requests than its rate, and those over it wait; 4. behind a proxy, a request has a place of the address that it is from as
//! long as its response is on the way, and the rate is of that address.

use std::convert::Infallible;
use std::io;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use axum::Router;
use axum::body::{Body, Bytes};
use axum::response::Response;
use cuttlebone_transport::Accepted;
use http::header::{CONNECTION, STRICT_TRANSPORT_SECURITY};
use http::{HeaderMap, HeaderValue, Request, StatusCode};
use hyper::body::{Body as _, Frame, Incoming, SizeHint};
use hyper::server::conn::http1;
use hyper::service::{Service as _, service_fn};
use hyper_util::rt::{TokioIo, TokioTimer};
use hyper_util::service::TowerToHyperService;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::pin;
use tokio::time::{sleep, sleep_until, timeout, timeout_at};
use tokio_util::sync::CancellationToken;

use crate::app::App;
use crate::audit::{Entry, Event};
use crate::clock;
use crate::library_answers::Completed;
use crate::link::Link;
use crate::metrics::{Metrics, Paused, Peer, Refusal, Timeout};
use crate::settings::Settings;
use crate::stall::{Patience, StallGuard};
use crate::{accept, headers, host, logged, problem};

/// How long whoever was accepted and not answered yet, when the server stops, may take for each step up to its first answer.
const LAST_REQUEST: Duration = Duration::from_secs(1);

/// What is served on a socket, and until when.
pub(crate) struct Plan {
    /// The other end is a listed proxy: what it says of others is believed.
    pub(crate) is_proxy: bool,
    pub(crate) router: Router,
    pub(crate) app: Arc<App>,
    /// What a browser is told of TLS, with each answer.
    pub(crate) hsts: Option<HeaderValue>,
    /// Fires when the request under way is the last.
    pub(crate) stopping: CancellationToken,
}

/// Serves one socket.
pub(crate) async fn serve(accepted: Accepted, link: Arc<Link>, plan: Plan) {
    let metrics = Arc::clone(&plan.app.metrics);
    let _counted = metrics.connection(Peer::Http);
    let stopping = plan.stopping.clone();
    let Some((accepted, link, plan)) = Box::pin(known(accepted, link, plan)).await else { return };
    let handshake = timeout_at(link.deadline, accepted.handshake());
    let Some(handshake) = unless_stopped(&stopping, handshake).await else { return };
    match handshake {
        Ok(Ok(socket)) => {
            if socket.is_tls() {
                link.set_shown(socket.peer_certificates());
            }
            // Boxed by itself, so that the handshake above does not keep its size.
            Box::pin(serve_http(socket, link, plan)).await;
        }
        Ok(Err(error)) => {
            tracing::debug!(peer = %link.peer, error = logged::cut(&error.to_string()), "no TLS came about");
        }
        Err(_) => metrics.timed_out(Timeout::Handshake),
    }
}

/// The outcome of `work`, or nothing if it is not there soon after the server stops.
async fn unless_stopped<T>(stopping: &CancellationToken, work: impl Future<Output = T>) -> Option<T> {
    let late = async {
        stopping.cancelled().await;
        sleep(LAST_REQUEST).await;
    };
    tokio::select! {
        biased;
        done = work => Some(done),
        () = late => None,
    }
}

/// Hears from a proxy that has to say it whose connection this is. Nothing if it does not, or if that one may not have it. Where it
/// names nobody, what comes may be a client's own words all the same: it counts as the proxy's, and no header says otherwise.
async fn known(mut accepted: Accepted, link: Arc<Link>, mut plan: Plan) -> Option<(Accepted, Arc<Link>, Plan)> {
    let App { settings, metrics, audit, .. } = &*plan.app;
    if !plan.is_proxy || !settings.proxy.protocol {
        return Some((accepted, link, plan));
    }
    let header = timeout_at(link.deadline, accepted.read_proxy_header());
    let names_another = match unless_stopped(&plan.stopping, header).await? {
        Ok(Ok(names_another)) => names_another,
        Ok(Err(error)) => {
            tracing::debug!(peer = %link.peer, %error, "a proxy did not say whose connection it passes on");
            metrics.refused(Refusal::ProxyHeader);
            audit.note(&Entry::new(Event::Refusal).refused(Refusal::ProxyHeader.word()).from(link.peer));
            return None;
        }
        Err(_) => {
            metrics.timed_out(Timeout::Handshake);
            return None;
        }
    };
    let peer = accepted.peer();
    plan.is_proxy = names_another && settings.proxy.trusts(peer.ip());
    let permit = if plan.is_proxy { Ok(link.permit.clone()) } else { link.permit.connection_behind(peer.ip()) };
    match permit {
        Ok(permit) => {
            let link = Arc::new(Link::new(peer, permit, link.deadline, link.scheme));
            Some((accepted, link, plan))
        }
        Err(reason) => {
            metrics.refused(reason);
            audit.note(&Entry::new(Event::Refusal).refused(reason.word()).from(peer));
            if settings.tls.is_none() {
                let _ = timeout(accept::TURNING_AWAY, accept::refuse(accepted, reason)).await;
            }
            None
        }
    }
}

/// HTTP on a socket whose handshake is over.
pub(crate) async fn serve_http(
    socket: impl AsyncRead + AsyncWrite + Unpin + Send + 'static,
    link: Arc<Link>,
    plan: Plan,
) {
    let Plan { app, stopping, .. } = &plan;
    let patience = Patience { write: app.settings.timeouts.write, response: app.settings.timeouts.response };
    let completed = Completed::new(socket, Arc::clone(&link));
    let guard = StallGuard::new(completed, Arc::clone(&link), patience);
    let service = service_fn(|request| respond(request, &link, &plan));
    let connection = builder(&app.settings).serve_connection(TokioIo::new(guard), service).with_upgrades();
    pin!(connection);
    let first_response = sleep_until(link.deadline);
    pin!(first_response);
    let mut leaving = false;
    let mut late = false;
    // Order: a stop is heard before more work is done; a finished response before its deadline.
    let result = loop {
        tokio::select! {
            biased;
            () = stopping.cancelled(), if !leaving => {
                leaving = true;
                if link.has_responded() {
                    connection.as_mut().graceful_shutdown();
                } else {
                    // What it is asked first, it answers, and says that this was the last.
                    first_response.as_mut().reset(link.deadline.min(clock::now() + LAST_REQUEST));
                }
            }
            result = connection.as_mut() => break result,
            () = &mut first_response, if !late => {
                late = true;
                if !link.has_responded() && !link.is_held() {
                    return app.metrics.timed_out(Timeout::Handshake);
                }
            }
        }
    };
    if let Err(error) = result {
        failed(&error, &link, &app.metrics);
    }
}

fn builder(settings: &Settings) -> http1::Builder {
    let mut builder = http1::Builder::new();
    builder
        .timer(TokioTimer::new())
        .header_read_timeout(settings.timeouts.handshake)
        .max_headers(settings.http.max_headers)
        .max_buf_size(settings.http.max_header_bytes);
    builder
}

async fn respond(request: Request<Incoming>, socket: &Arc<Link>, plan: &Plan) -> Result<Response, Infallible> {
    if !plan.is_proxy {
        return answer(request, socket, plan).await;
    }
    match asking(socket, plan, request.headers()) {
        Ok(link) => Ok(answer(request, &link, plan).await?.map(|body| Body::new(Held { body, _link: link }))),
        Err(reason) => {
            plan.app.metrics.refused(reason);
            let address = plan.app.settings.proxy.asker(socket.peer.ip(), request.headers());
            let refusal = Entry::new(Event::Refusal).refused(reason.word()).from((address, 0).into());
            plan.app.audit.note(&refusal);
            let mut response = problem::refused(reason);
            headers::secure(response.headers_mut());
            // Its body, if it has one, is not read.
            response.headers_mut().insert(CONNECTION, HeaderValue::from_static("close"));
            socket.set_responded();
            Ok(response)
        }
    }
}

/// Who asks through a proxy, with a place of its address.
fn asking(socket: &Arc<Link>, plan: &Plan, headers: &HeaderMap) -> Result<Arc<Link>, Refusal> {
    let proxy = &plan.app.settings.proxy;
    let address = proxy.asker(socket.peer.ip(), headers);
    let permit = socket.permit.request_behind(address)?;
    Ok(socket.behind(address, permit, proxy.scheme(headers).unwrap_or(socket.scheme)))
}

async fn answer(request: Request<Incoming>, link: &Arc<Link>, plan: &Plan) -> Result<Response, Infallible> {
    let begun = link.begin_request(plan.app.settings.limits.requests);
    if let Ok(Some(until)) = begun {
        plan.app.metrics.rate_paused(Paused::Requests);
        sleep_until(until).await;
    }
    let (mut parts, body) = request.into_parts();
    let hsts = plan.hsts.as_ref().filter(|_| !host::is_for_localhost(&parts.headers));
    let has_body = !body.is_end_stream();
    // After one that may have a body, line ends are not looked at any more.
    let is_last = has_body || parts.method.as_str().starts_with('P');
    let is_well_formed = host::is_well_formed(&parts);
    let mut response = if let Err(reason) = begun {
        plan.app.metrics.refused(reason);
        problem::refused(reason)
    } else if !is_well_formed {
        problem::bad_host()
    } else if has_body {
        problem::body_not_accepted()
    } else {
        parts.extensions.insert(Arc::clone(link));
        TowerToHyperService::new(plan.router.clone()).call(Request::from_parts(parts, Body::empty())).await?
    };
    headers::secure(response.headers_mut());
    if let Some(hsts) = hsts {
        response.headers_mut().insert(STRICT_TRANSPORT_SECURITY, hsts.clone());
    }
    let is_upgrade = response.status() == StatusCode::SWITCHING_PROTOCOLS;
    if is_last || !is_well_formed || (plan.stopping.is_cancelled() && !is_upgrade) {
        // What was not read can't be told from a next request, and whoever is ambiguous once may be so again. One that stops
        // answers no more.
        response.headers_mut().insert(CONNECTION, HeaderValue::from_static("close"));
    }
    link.set_responded();
    Ok(response)
}

/// A response, and the place of whoever asked for it until all of it is written.
struct Held {
    body: Body,
    _link: Arc<Link>,
}

impl hyper::body::Body for Held {
    type Data = Bytes;
    type Error = axum::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Self::Data>, Self::Error>>> {
        Pin::new(&mut self.body).poll_frame(cx)
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}

/// Counts what a peer was late with; everything else is the peer's business.
fn failed(error: &hyper::Error, link: &Link, metrics: &Metrics) {
    if error.is_timeout() {
        let which = if link.has_responded() { Timeout::NextRequest } else { Timeout::Handshake };
        metrics.timed_out(which);
    } else if is_stall(error) {
        metrics.timed_out(Timeout::Write);
    }
    tracing::debug!(peer = %link.peer, %error, "HTTP ended early");
}

fn is_stall(error: &hyper::Error) -> bool {
    let source = std::error::Error::source(error).and_then(|source| source.downcast_ref::<io::Error>());
    source.is_some_and(|source| source.kind() == io::ErrorKind::TimedOut)
}
