//! Asking other servers: real ones, with certificates of an authority of their own.

use std::net::SocketAddr;
use std::path::PathBuf;
use std::time::Duration;

use bytes::Bytes;
use cuttlebone_server::{FetchError, FetchSettings, Fetcher};
use http::{Request, Response, StatusCode};
use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};
use tokio_rustls::TlsAcceptor;
use tokio_util::sync::{CancellationToken, DropGuard};
use tokio_util::task::TaskTracker;

use crate::elsewhere::{CaFile, certified, padded};

/// A server that gives every connection one answer, with a certificate of its own authority, until it is dropped.
struct Other {
    address: SocketAddr,
    authority: Option<CaFile>,
    _stop: DropGuard,
}

impl Other {
    async fn with_tls(answer: Answer) -> Self {
        let (tls, authority) = certified();
        Self::listen(answer, Some(tls), Some(authority)).await
    }

    async fn listen(answer: Answer, tls: Option<TlsAcceptor>, authority: Option<CaFile>) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.expect("listens");
        let address = listener.local_addr().expect("bound");
        let (stop, tasks) = (CancellationToken::new(), TaskTracker::new());
        let (stopped, spawner) = (stop.clone(), tasks.clone());
        tasks.spawn(stop.clone().run_until_cancelled_owned(async move {
            while let Ok((socket, _)) = listener.accept().await {
                spawner.spawn(stopped.clone().run_until_cancelled_owned(one(socket, tls.clone(), answer)));
            }
        }));
        Self { address, authority, _stop: stop.drop_guard() }
    }

    fn url(&self, scheme: &str, host: &str) -> String {
        format!("{scheme}://{host}:{}/SECRET-PATH?SECRET-QUERY", self.address.port())
    }

    async fn ask(&self, url: &str) -> Result<Response<Bytes>, FetchError> {
        ask(&self.trusting(), url).await
    }

    /// How somebody asks that may ask this one.
    fn trusting(&self) -> FetchSettings {
        let ca_file = self.authority.as_ref().map(CaFile::path);
        FetchSettings { allow_private: true, ca_file, ..limits() }
    }
}

#[derive(Clone, Copy)]
enum Answer {
    Text(&'static str),
    /// Bytes without end, and their length is not said.
    Endless,
    /// The head, and then nothing.
    Stalls,
    /// An answer will come: this, for ever.
    Promises(&'static str),
}

async fn one(socket: TcpStream, tls: Option<TlsAcceptor>, answer: Answer) {
    match tls {
        None => speak(socket, answer).await,
        Some(tls) => {
            if let Ok(socket) = tls.accept(socket).await {
                speak(socket, answer).await;
            }
        }
    }
}

async fn speak(mut socket: impl AsyncRead + AsyncWrite + Unpin, answer: Answer) {
    let mut request = [0; 4096];
    let _ = socket.read(&mut request).await;
    let (head, rest): (_, &[u8]) = match answer {
        Answer::Text(text) => (text, b""),
        Answer::Endless => ("HTTP/1.1 200 OK\r\n\r\n", &[b'x'; 1024]),
        Answer::Promises(text) => (text, text.as_bytes()),
        Answer::Stalls => ("HTTP/1.1 200 OK\r\ncontent-length: 5\r\n\r\nhe", b""),
    };
    let mut open = socket.write_all(head.as_bytes()).await.is_ok();
    while open && !rest.is_empty() {
        open = socket.write_all(rest).await.is_ok();
    }
    let _ = socket.flush().await;
    while open {
        open = socket.read(&mut request).await.is_ok_and(|read| read > 0);
    }
}

fn limits() -> FetchSettings {
    FetchSettings { timeout: Duration::from_secs(20), max_bytes: 10_000, ..FetchSettings::default() }
}

async fn ask(settings: &FetchSettings, url: &str) -> Result<Response<Bytes>, FetchError> {
    let fetcher = Fetcher::new(settings)?;
    fetcher.send(Request::get(url).body(Bytes::new()).expect("a request")).await
}

const HELLO: Answer = Answer::Text("HTTP/1.1 200 OK\r\ncontent-length: 5\r\n\r\nhello");

#[tokio::test]
async fn answer_comes_whole_from_who_is_vouched_for() {
    let other = Other::with_tls(HELLO).await;
    let answer = other.ask(&other.url("https", "localhost")).await.expect("answers");
    assert_eq!((answer.status(), &answer.body()[..]), (StatusCode::OK, &b"hello"[..]));
    let unknown = FetchSettings { allow_private: true, ..limits() };
    let error = ask(&unknown, &other.url("https", "127.0.0.1")).await.expect_err("nobody vouches for it");
    assert_eq!(error.label(), "failed", "{error}");
    assert!(error.to_string().contains("UnknownIssuer") && !error.to_string().contains("SECRET"), "{error}");
}

#[tokio::test]
async fn private_addresses_are_asked_only_where_that_is_allowed_also_by_a_name() {
    let other = Other::with_tls(HELLO).await;
    for host in ["127.0.0.1", "localhost", "[::1]", "10.0.0.1", "[::ffff:10.0.0.1]"] {
        let error = ask(&limits(), &other.url("https", host)).await.expect_err(host);
        assert_eq!(error.label(), "refused", "{host}: {error}");
        assert!(!error.to_string().contains("SECRET"), "{error}");
    }
}

#[tokio::test]
async fn redirect_is_an_answer_and_is_not_followed() {
    let text = "HTTP/1.1 302 Found\r\nlocation: https://127.0.0.1:9/\r\ncontent-length: 0\r\n\r\n";
    let other = Other::with_tls(Answer::Text(text)).await;
    let answer = other.ask(&other.url("https", "127.0.0.1")).await.expect("answers");
    assert_eq!(answer.status(), StatusCode::FOUND);
}

#[tokio::test]
async fn answer_without_end_and_one_that_stalls_are_given_up() {
    let other = Other::with_tls(Answer::Endless).await;
    let error = other.ask(&other.url("https", "127.0.0.1")).await.expect_err("too long");
    assert_eq!(error.label(), "too_large", "{error}");
    let other = Other::with_tls(Answer::Stalls).await;
    let fetcher = Fetcher::new(&other.trusting()).expect("a file").with_limits(Duration::from_millis(300), 100);
    let request = Request::get(other.url("https", "127.0.0.1")).body(Bytes::new()).expect("a request");
    let error = fetcher.send(request).await.expect_err("it never ends");
    assert_eq!(error.label(), "timeout", "{error}");
}

/// No bound of a body counts them, and whoever reads them does nothing else meanwhile.
#[tokio::test]
async fn answers_before_the_answer_are_bounded_too() {
    for promise in ["HTTP/1.1 100 Continue\r\n\r\n", "HTTP/1.1 103 Early Hints\r\nlink: </a>\r\n\r\n"] {
        let other = Other::with_tls(Answer::Promises(promise)).await;
        let begun = tokio::time::Instant::now();
        let error = other.ask(&other.url("https", "127.0.0.1")).await.expect_err("they never end");
        assert_eq!(error.label(), "too_large", "{error}");
        assert!(begun.elapsed() < Duration::from_secs(5), "the bound of bytes, and not that of time");
    }
}

/// The library looks for a way through all that a server sends, in every order: of a dozen that could follow each other, for a second.
#[tokio::test]
async fn server_may_send_six_certificates_beside_its_own() {
    for (number, is_asked) in [(6, true), (7, false)] {
        let (tls, authority) = padded(number);
        let other = Other::listen(HELLO, Some(tls), Some(authority)).await;
        let answer = other.ask(&other.url("https", "localhost")).await;
        assert_eq!(answer.is_ok(), is_asked, "{number}: {answer:?}");
    }
}

#[tokio::test]
async fn without_tls_only_this_machine_is_asked() {
    let other = Other::listen(HELLO, None, None).await;
    let allowing = FetchSettings { allow_private: true, ..limits() };
    assert!(ask(&allowing, &other.url("http", "127.0.0.1")).await.is_ok());
    for url in ["http://example.com/", "http://10.0.0.1/", "ftp://127.0.0.1/", "https://a:b@example.com/"] {
        let error = ask(&allowing, url).await.expect_err(url);
        assert_eq!(error.label(), "refused", "{url}: {error}");
        assert!(!error.to_string().contains("a:b"), "{error}");
    }
}

#[test]
fn file_of_certificates_is_read_at_once() {
    let missing = FetchSettings { ca_file: Some(PathBuf::from("/nowhere/ca.pem")), ..limits() };
    let error = Fetcher::new(&missing).expect_err("it is not there");
    assert!(error.to_string().starts_with("fetch.ca_file: /nowhere/ca.pem: "), "{error}");
    let empty = std::env::temp_dir().join(format!("cuttlebone-fetch-empty-{}.pem", std::process::id()));
    std::fs::write(&empty, "no certificate").expect("writes");
    let error = Fetcher::new(&FetchSettings { ca_file: Some(empty.clone()), ..limits() }).expect_err("empty");
    std::fs::remove_file(empty).expect("removes");
    assert!(error.to_string().ends_with("it has no certificate in it"), "{error}");
    let pipe = std::env::temp_dir().join(format!("cuttlebone-fetch-pipe-{}", std::process::id()));
    assert!(std::process::Command::new("mkfifo").arg(&pipe).status().expect("runs").success());
    let error = Fetcher::new(&FetchSettings { ca_file: Some(pipe.clone()), ..limits() }).expect_err("not waited for");
    std::fs::remove_file(pipe).expect("removes");
    assert!(error.to_string().contains("it is no file"), "{error}");
}
