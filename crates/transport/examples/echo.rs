//! A server that sends back what it gets, for the conformance tests of the WebSocket codec.
//!
//! `echo LISTEN [MESSAGE_BYTES]`, for example `echo 127.0.0.1:0 67108864`. It prints the address it listens on.

use std::convert::Infallible;
use std::error::Error;
use std::net::SocketAddr;

use cuttlebone_proto::CloseCode;
use cuttlebone_transport::ws::{Limits, Settings, WsConn};
use cuttlebone_transport::{Conn, ConnExt, Incoming, Listener, Outgoing, Stream, Violation, handshake};
use hyper::body::Incoming as Body;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper::upgrade::OnUpgrade;
use hyper::{Request, Response};
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio_util::task::TaskTracker;

const DEFAULT_MESSAGE_BYTES: usize = 64 * 1024 * 1024;

#[tokio::main]
async fn main() -> Result<(), Box<dyn Error>> {
    let mut arguments = std::env::args().skip(1);
    let address: SocketAddr = arguments.next().as_deref().unwrap_or("127.0.0.1:9001").parse()?;
    let message_bytes = arguments.next().map_or(Ok(DEFAULT_MESSAGE_BYTES), |text| text.parse())?;
    let settings = Settings {
        // The suite cuts 4 MiB into fragments of 64 bytes.
        limits: Limits { message_bytes, fragments: 1 << 20 },
        ..Settings::default()
    };
    let listener = Listener::bind(address, None)?;
    let tracker = TaskTracker::new();
    println!("{}", listener.local_addr()?);
    loop {
        let stream = listener.accept().await?.handshake().await?;
        tracker.spawn(serve(stream, settings, tracker.clone()));
    }
}

/// Answers upgrade requests on one connection.
async fn serve(stream: Stream, settings: Settings, tracker: TaskTracker) {
    let service = service_fn(|request| {
        let response = upgrade(request, settings, &tracker);
        async { Ok::<_, Infallible>(response) }
    });
    let connection =
        http1::Builder::new().timer(TokioTimer::new()).serve_connection(TokioIo::new(stream), service).with_upgrades();
    if let Err(error) = connection.await {
        eprintln!("{error}");
    }
}

fn upgrade(mut request: Request<Body>, settings: Settings, tracker: &TaskTracker) -> Response<String> {
    let accepted = match handshake::accept(request.method(), request.version(), request.headers()) {
        Ok(accepted) => accepted,
        Err(refusal) => return refusal.response::<String>().map(|_| refusal.to_string()),
    };
    tracker.spawn(echo(hyper::upgrade::on(&mut request), settings));
    accepted.response()
}

async fn echo(upgrade: OnUpgrade, settings: Settings) {
    let Ok(io) = upgrade.await else {
        return;
    };
    let mut conn = WsConn::new(TokioIo::new(io), settings);
    loop {
        let sent = match conn.next().await {
            Incoming::Text => {
                conn.queue(Outgoing::Text(conn.text().to_owned()));
                conn.flush().await
            }
            Incoming::Binary => {
                let payload = conn.binary().to_owned();
                conn.queue_binary(&payload);
                conn.flush().await
            }
            Incoming::Ping | Incoming::Pong { .. } => conn.flush().await,
            Incoming::Violation(violation) => {
                conn.queue(Outgoing::Close { code: close(violation), reason: "" });
                conn.shutdown().await
            }
            Incoming::Closed(_) => conn.shutdown().await,
            Incoming::Broken => return,
        };
        if sent.is_err() {
            return;
        }
    }
}

/// The code of the close frame that answers a violation.
const fn close(violation: Violation) -> CloseCode {
    match violation {
        Violation::NotUtf8 => CloseCode::NotUtf8,
        Violation::TooLarge => CloseCode::TooLarge,
        Violation::TooManyFragments | Violation::ControlFlood => CloseCode::Policy,
        Violation::Protocol => CloseCode::Protocol,
        Violation::RateExceeded => CloseCode::RateLimited,
    }
}
