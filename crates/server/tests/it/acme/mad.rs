//! An authority that says what no authority says, for Pebble never does.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

use cuttlebone_server::{AcmeSettings, Settings};
use tokio::io::{AsyncBufReadExt as _, AsyncReadExt as _, AsyncWriteExt as _, BufReader};
use tokio::net::{TcpListener, TcpStream};
use tokio_rustls::TlsAcceptor;
use tokio_util::sync::{CancellationToken, DropGuard};
use tokio_util::task::TaskTracker;

use crate::elsewhere::{CaFile, certified};

/// What is wrong with it.
#[derive(Debug, Clone)]
pub(super) enum Madness {
    /// It issues this.
    Issues(String),
    /// It has to be asked again in so many seconds.
    RetryAfter(&'static str),
}

/// Runs until it is dropped.
pub(super) struct MadAuthority {
    address: SocketAddr,
    ca: CaFile,
    shared: Arc<Shared>,
    _stop: DropGuard,
}

struct Shared {
    madness: Madness,
    orders: AtomicUsize,
    is_finalized: AtomicBool,
}

impl MadAuthority {
    pub(super) async fn start(madness: Madness) -> Self {
        let (tls, ca) = certified();
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("listens");
        let address = listener.local_addr().expect("an address");
        let stop = CancellationToken::new();
        let shared = Arc::new(Shared { madness, orders: AtomicUsize::new(0), is_finalized: AtomicBool::new(false) });
        let (stopped, asked) = (stop.clone(), Arc::clone(&shared));
        let (tracker, each) = (TaskTracker::new(), TaskTracker::new());
        tracker.spawn(stopped.run_until_cancelled_owned(async move {
            while let Ok((socket, _)) = listener.accept().await {
                each.spawn(answer(socket, tls.clone(), address, Arc::clone(&asked)));
            }
        }));
        Self { address, ca, shared, _stop: stop.drop_guard() }
    }

    /// How many certificates were ordered.
    pub(super) fn orders(&self) -> usize {
        self.shared.orders.load(Ordering::Relaxed)
    }

    /// Has a server ask this one.
    pub(super) fn configure(&self, settings: &mut Settings) {
        let acme: &mut AcmeSettings = settings.acme.as_mut().expect("it is set");
        acme.directory_url = format!("https://{}/directory", self.address);
        acme.ca_file = Some(self.ca.path());
    }
}

/// Answers one request. There is nothing to prove: what is ordered is ready.
async fn answer(socket: TcpStream, tls: TlsAcceptor, address: SocketAddr, shared: Arc<Shared>) -> Option<()> {
    let mut socket = BufReader::new(tls.accept(socket).await.ok()?);
    let (mut path, mut length) = (String::new(), 0);
    loop {
        let mut line = String::new();
        socket.read_line(&mut line).await.ok()?;
        let line = line.trim_end().to_ascii_lowercase();
        if path.is_empty() {
            path = line.split(' ').nth(1)?.to_owned();
        } else if let Some(given) = line.strip_prefix("content-length: ") {
            length = given.parse().ok()?;
        } else if line.is_empty() {
            break;
        }
    }
    socket.read_exact(&mut vec![0; length]).await.ok()?;
    let at = |name: &str| format!("https://{address}/{name}");
    let order = |more: &str| format!(r#"{{"authorizations":[],"finalize":"{}",{more}}}"#, at("finalize"));
    let ready = || order(r#""status":"ready""#);
    let valid = order(&format!(r#""status":"valid","certificate":"{}""#, at("certificate")));
    let (status, header, body) = match (&*path, &shared.madness) {
        ("/directory", _) => {
            let names = ["newNonce", "newAccount", "newOrder", "revokeCert", "keyChange"];
            let urls: Vec<_> = names.iter().map(|name| format!(r#""{name}":"{}""#, at(&name.to_lowercase()))).collect();
            (200, String::new(), format!("{{{}}}", urls.join(",")))
        }
        ("/newaccount", _) => (201, format!("location: {}\r\n", at("account")), r#"{"status":"valid"}"#.to_owned()),
        ("/neworder", _) => {
            shared.orders.fetch_add(1, Ordering::Relaxed);
            shared.is_finalized.store(false, Ordering::Relaxed);
            (201, format!("location: {}\r\n", at("order")), ready())
        }
        ("/finalize", Madness::Issues(_)) => {
            shared.is_finalized.store(true, Ordering::Relaxed);
            (200, String::new(), valid)
        }
        ("/order", Madness::Issues(_)) if !shared.is_finalized.load(Ordering::Relaxed) => (200, String::new(), ready()),
        ("/order", Madness::Issues(_)) => (200, String::new(), valid),
        ("/finalize" | "/order", Madness::RetryAfter(seconds)) => {
            (200, format!("retry-after: {seconds}\r\n"), order(r#""status":"processing""#))
        }
        ("/certificate", Madness::Issues(certificate)) => (200, String::new(), certificate.clone()),
        _ => (200, String::new(), String::new()),
    };
    let head = format!(
        "HTTP/1.1 {status} OK\r\nreplay-nonce: n\r\nconnection: close\r\ncontent-length: {}\r\n{header}\r\n",
        body.len()
    );
    socket.write_all((head + &body).as_bytes()).await.ok()?;
    socket.shutdown().await.ok()
}
