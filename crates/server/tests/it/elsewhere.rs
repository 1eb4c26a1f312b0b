//! Another server, with a certificate of an authority of its own, that answers as a test tells it to.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::time::Duration;

use cuttlebone_server::FetchSettings;
use parking_lot::Mutex;
use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, IsCa, KeyPair};
use rustls::ServerConfig;
use rustls::crypto::ring;
use rustls::pki_types::PrivateKeyDer;
use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::Notify;
use tokio::time::{interval, timeout};
use tokio_rustls::TlsAcceptor;
use tokio_util::sync::{CancellationToken, DropGuard};
use tokio_util::task::TaskTracker;

use crate::support::PATIENCE;

static NEXT: AtomicU64 = AtomicU64::new(0);

/// The certificate of an authority, in a file that is gone when this is dropped.
pub(crate) struct CaFile(PathBuf);

impl CaFile {
    pub(crate) fn path(&self) -> PathBuf {
        self.0.clone()
    }
}

impl Drop for CaFile {
    fn drop(&mut self) {
        let _ = std::fs::remove_file(&self.0);
    }
}

/// TLS for this machine, by an authority of its own.
pub(crate) fn certified() -> (TlsAcceptor, CaFile) {
    padded(0)
}

/// The same, that sends so many other certificates along which have nothing to do with it.
pub(crate) fn padded(number: usize) -> (TlsAcceptor, CaFile) {
    let mut params = CertificateParams::new([]).expect("no names");
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    let made = || CertifiedIssuer::self_signed(params.clone(), KeyPair::generate().expect("a key")).expect("signs");
    let issuer = made();
    let key = KeyPair::generate().expect("a key");
    let names = ["127.0.0.1".to_owned(), "localhost".to_owned()];
    let certificate = CertificateParams::new(names).expect("names").signed_by(&key, &issuer).expect("signs");
    let chain = [certificate.der().clone()].into_iter().chain((0..number).map(|_| made().der().clone())).collect();
    let key = PrivateKeyDer::try_from(key.serialize_der()).expect("a key");
    let config = ServerConfig::builder_with_provider(Arc::new(ring::default_provider()))
        .with_safe_default_protocol_versions()
        .expect("versions")
        .with_no_client_auth()
        .with_single_cert(chain, key)
        .expect("a pair");
    let name = format!("cuttlebone-elsewhere-{}-{}.pem", std::process::id(), NEXT.fetch_add(1, Ordering::Relaxed));
    let ca_file = std::env::temp_dir().join(name);
    std::fs::write(&ca_file, issuer.pem()).expect("writes");
    (TlsAcceptor::from(Arc::new(config)), CaFile(ca_file))
}

/// What it says.
#[derive(Debug, Clone)]
pub(crate) enum Reply {
    /// This status and body.
    Text(u16, String),
    /// Somewhere else.
    Redirect,
    /// A body without end.
    Endless,
    /// A body of a byte a second.
    Slow,
    /// Nothing, ever.
    Silent,
    /// The connection is closed.
    Gone,
}

/// What it was asked.
#[derive(Debug, Clone)]
pub(crate) struct Asked {
    pub(crate) head: String,
    pub(crate) body: String,
}

/// It runs until it is dropped.
pub(crate) struct Elsewhere {
    pub(crate) address: SocketAddr,
    authority: CaFile,
    shared: Arc<Shared>,
    _stop: DropGuard,
}

struct Shared {
    reply: Mutex<Reply>,
    asked: Mutex<Vec<Asked>>,
    connections: AtomicUsize,
    /// Requests that are being answered.
    open: AtomicUsize,
    most_open: AtomicUsize,
    /// Something was asked.
    news: Notify,
}

impl Elsewhere {
    pub(crate) async fn start(reply: Reply) -> Self {
        let (tls, authority) = certified();
        let shared = Arc::new(Shared {
            reply: Mutex::new(reply),
            asked: Mutex::default(),
            connections: AtomicUsize::new(0),
            open: AtomicUsize::new(0),
            most_open: AtomicUsize::new(0),
            news: Notify::new(),
        });
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("listens");
        let address = listener.local_addr().expect("bound");
        let (stop, tasks) = (CancellationToken::new(), TaskTracker::new());
        let (stopped, spawner, serving) = (stop.clone(), tasks.clone(), Arc::clone(&shared));
        tasks.spawn(stop.clone().run_until_cancelled_owned(async move {
            while let Ok((socket, _)) = listener.accept().await {
                serving.connections.fetch_add(1, Ordering::Relaxed);
                let one = one(socket, tls.clone(), Arc::clone(&serving));
                spawner.spawn(stopped.clone().run_until_cancelled_owned(one));
            }
        }));
        Self { address, authority, shared, _stop: stop.drop_guard() }
    }

    pub(crate) fn url(&self) -> String {
        format!("https://127.0.0.1:{}/answer", self.address.port())
    }

    /// How a server asks that may ask this one.
    pub(crate) fn fetch(&self) -> FetchSettings {
        FetchSettings { allow_private: true, ca_file: Some(self.authority.path()), ..FetchSettings::default() }
    }

    /// From now on.
    pub(crate) fn reply(&self, reply: Reply) {
        *self.shared.reply.lock() = reply;
    }

    pub(crate) fn asked(&self) -> Vec<Asked> {
        self.shared.asked.lock().clone()
    }

    pub(crate) fn connections(&self) -> usize {
        self.shared.connections.load(Ordering::Relaxed)
    }

    /// The most requests that were being answered at once.
    pub(crate) fn most_open(&self) -> usize {
        self.shared.most_open.load(Ordering::Relaxed)
    }

    /// Waits until it was asked so often in all.
    pub(crate) async fn until_asked(&self, times: usize) {
        let enough = async {
            loop {
                let news = self.shared.news.notified();
                if self.shared.asked.lock().len() >= times {
                    return;
                }
                news.await;
            }
        };
        timeout(PATIENCE, enough).await.expect("asked in time");
    }
}

async fn one(socket: TcpStream, tls: TlsAcceptor, shared: Arc<Shared>) {
    let Ok(mut socket) = tls.accept(socket).await else { return };
    let mut unread = Vec::new();
    while let Some(asked) = request(&mut socket, &mut unread).await {
        shared.asked.lock().push(asked);
        let open = shared.open.fetch_add(1, Ordering::Relaxed) + 1;
        shared.most_open.fetch_max(open, Ordering::Relaxed);
        shared.news.notify_waiters();
        let reply = shared.reply.lock().clone();
        let goes_on = answer(&mut socket, reply).await;
        shared.open.fetch_sub(1, Ordering::Relaxed);
        if !goes_on {
            return;
        }
    }
}

async fn request(socket: &mut (impl AsyncRead + Unpin), unread: &mut Vec<u8>) -> Option<Asked> {
    loop {
        let text = String::from_utf8_lossy(unread).into_owned();
        if let Some((head, body)) = text.split_once("\r\n\r\n") {
            let length =
                head.lines().find_map(|line| line.to_ascii_lowercase().strip_prefix("content-length: ")?.parse().ok());
            if body.len() >= length.unwrap_or(0) {
                unread.clear();
                return Some(Asked { head: head.to_owned(), body: body.to_owned() });
            }
        }
        if !socket.read_buf(unread).await.is_ok_and(|read| read > 0) {
            return None;
        }
    }
}

/// Whether the connection may be used again.
async fn answer(socket: &mut (impl AsyncRead + AsyncWrite + Unpin), reply: Reply) -> bool {
    let head = "HTTP/1.1 200 OK\r\ncontent-type: application/json\r\n";
    match reply {
        Reply::Text(status, body) => {
            let length = body.len();
            let text = format!("HTTP/1.1 {status} Said\r\ncontent-length: {length}\r\n\r\n{body}");
            socket.write_all(text.as_bytes()).await.is_ok() && socket.flush().await.is_ok()
        }
        Reply::Redirect => {
            let text = "HTTP/1.1 302 Found\r\nlocation: https://127.0.0.1:9/\r\ncontent-length: 0\r\n\r\n";
            socket.write_all(text.as_bytes()).await.is_ok() && socket.flush().await.is_ok()
        }
        Reply::Endless => {
            // A gigabyte, if somebody takes it.
            let mut open =
                socket.write_all(format!("{head}content-length: 1073741824\r\n\r\n").as_bytes()).await.is_ok();
            while open {
                open = socket.write_all(&[b' '; 16_384]).await.is_ok();
            }
            false
        }
        Reply::Slow => {
            let mut open = socket.write_all(format!("{head}content-length: 100\r\n\r\n").as_bytes()).await.is_ok();
            let mut tick = interval(Duration::from_secs(1));
            while open {
                tick.tick().await;
                open = socket.write_all(b" ").await.is_ok() && socket.flush().await.is_ok();
            }
            false
        }
        Reply::Silent => {
            let _ = socket.read(&mut [0]).await;
            false
        }
        Reply::Gone => false,
    }
}
