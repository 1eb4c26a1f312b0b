//! A server on a free port and a peer that writes HTTP by hand.

use std::net::SocketAddr;
use std::sync::{Arc, LazyLock};
use std::time::Duration;

use cuttlebone_client::Endpoint;
use cuttlebone_client::raw::{self, RawConn, RawEvent};
use cuttlebone_server::{AuditSink, Server, ServerHandle, Settings, Summary};
use http::HeaderMap;
use jsonschema::Validator;
use parking_lot::Mutex;
use serde_json::Value;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio::sync::oneshot;
use tokio::time::{Instant, interval, timeout};
use tokio_util::sync::CancellationToken;
use tokio_util::task::TaskTracker;

/// Longer than anything here may take.
pub(crate) const PATIENCE: Duration = Duration::from_secs(20);

/// What a line of an audit log may have.
static SCHEMA: LazyLock<Validator> = LazyLock::new(|| {
    let schema = include_str!(concat!(env!("CARGO_MANIFEST_DIR"), "/../../docs/audit.schema.json"));
    jsonschema::validator_for(&serde_json::from_str(schema).expect("JSON")).expect("a schema")
});

/// The audit log of a server, kept.
#[derive(Debug, Default)]
pub(crate) struct AuditLines(Mutex<Vec<String>>);

impl AuditSink for AuditLines {
    fn put(&self, line: String) {
        self.0.lock().push(line);
    }

    fn lost(&self) -> u64 {
        0
    }
}

impl AuditLines {
    pub(crate) fn put_line(&self, line: String) {
        self.put(line);
    }

    /// All lines so far, each as the schema says.
    pub(crate) fn all(&self) -> Vec<Value> {
        self.0.lock().iter().map(|line| checked(line)).collect()
    }
}

fn checked(line: &str) -> Value {
    let is_one = line.is_ascii() && line.find('\n') == Some(line.len() - 1) && line.len() <= 1024;
    assert!(is_one, "no line of at most 1 KiB: {line:?}");
    let value: Value = serde_json::from_str(line).expect("JSON");
    let faults: Vec<String> = SCHEMA.iter_errors(&value).map(|fault| fault.to_string()).collect();
    assert!(faults.is_empty(), "{line}{faults:?}");
    value
}

/// A server that stops when dropped. What it has written to its audit log by then is compared with the schema.
pub(crate) struct Running {
    pub(crate) addr: SocketAddr,
    pub(crate) metrics: SocketAddr,
    pub(crate) fingerprint: Option<String>,
    pub(crate) handle: ServerHandle,
    pub(crate) audit: Arc<AuditLines>,
    cancel: CancellationToken,
    summary: oneshot::Receiver<Summary>,
}

/// The size of [`large_info`], for the bound of a server that is to take it.
pub(crate) const LARGE_INFO: usize = 200_002;

/// A `device_info` that no socket takes at once.
pub(crate) fn large_info() -> String {
    format!("\"{}\"", "x".repeat(LARGE_INFO - 2))
}

impl Running {
    /// With the defaults, on free ports.
    pub(crate) fn start() -> Self {
        Self::with(|_| ())
    }

    pub(crate) fn with(change: impl FnOnce(&mut Settings)) -> Self {
        let any = SocketAddr::from(([127, 0, 0, 1], 0));
        let mut settings = Settings { listen: any, metrics_listen: Some(any), ..Settings::default() };
        let audit = Arc::new(AuditLines::default());
        settings.audit.sink = Some(Arc::clone(&audit) as Arc<dyn AuditSink>);
        change(&mut settings);
        let server = Server::bind(settings).expect("the server listens");
        let (addr, fingerprint) = (server.local_addr(), server.fingerprint().map(str::to_owned));
        let metrics = server.metrics_addr().expect("metrics are on");
        let handle = server.handle();
        let cancel = CancellationToken::new();
        let (done, summary) = oneshot::channel();
        let stop = cancel.clone();
        TaskTracker::new().spawn(async move {
            let _ = done.send(server.run(stop).await);
        });
        Self { addr, metrics, fingerprint, handle, audit, cancel, summary }
    }

    /// Begins to stop.
    pub(crate) fn stop(&self) {
        self.cancel.cancel();
    }

    /// Waits for the end.
    pub(crate) async fn ended(mut self) -> Summary {
        timeout(PATIENCE, &mut self.summary).await.expect("the server ends").expect("without a panic")
    }

    pub(crate) async fn get(&self, path: &str) -> Answer {
        get(self.addr, path).await
    }

    /// A WebSocket to `path`.
    pub(crate) async fn websocket(&self, path: &str) -> RawConn {
        let endpoint = Endpoint::parse(&format!("ws://{}", self.addr)).expect("an address");
        raw::connect(&endpoint, path, &[]).await.expect("upgraded")
    }

    /// A device that is registered.
    pub(crate) async fn device(&self, id: &str, info: &str) -> RawConn {
        let mut device = self.websocket("/register_device").await;
        let id = serde_json::to_string(id).expect("text");
        let register = format!(r#"{{"message_type":"register","device_id":{id},"device_info":{info}}}"#);
        device.send_text(register).await.expect("sent");
        expect_type(&mut device, "config").await;
        device
    }

    /// A client that is attached to a device.
    pub(crate) async fn client(&self, device_id: &str) -> RawConn {
        let mut client = self.websocket("/connect_client").await;
        let connect = format!(r#"{{"message_type":"connect","device_id":"{device_id}"}}"#);
        client.send_text(connect).await.expect("sent");
        expect_type(&mut client, "config").await;
        expect_type(&mut client, "device_info").await;
        client
    }

    /// The value of one line of `/metrics`; 0 if it is not there.
    pub(crate) async fn metric(&self, series: &str) -> u64 {
        value(&get(self.metrics, "/metrics").await.text(), series)
    }

    /// Waits until a line of the audit log is of this event and has these fields.
    pub(crate) async fn until_audited(&self, event: &str, fields: &[(&str, Value)]) -> Value {
        let begun = Instant::now();
        let mut tick = interval(Duration::from_millis(10));
        loop {
            let has = |line: &Value| fields.iter().all(|(field, value)| line[field] == *value);
            let lines = self.audit.all();
            if let Some(found) = lines.iter().find(|line| line["event"] == event && has(line)) {
                return found.clone();
            }
            assert!(begun.elapsed() < PATIENCE, "no {event} with {fields:?} in {lines:#?}");
            tick.tick().await;
        }
    }

    /// Waits until a metric has a value.
    pub(crate) async fn until_metric(&self, series: &str, wanted: impl Fn(u64) -> bool) {
        let begun = Instant::now();
        let mut tick = interval(Duration::from_millis(10));
        while !wanted(self.metric(series).await) {
            assert!(begun.elapsed() < PATIENCE, "{series} never got there");
            tick.tick().await;
        }
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        self.cancel.cancel();
        if !std::thread::panicking() {
            self.audit.all();
        }
    }
}

pub(crate) fn value(page: &str, series: &str) -> u64 {
    page.lines().find_map(|line| line.strip_prefix(series)?.trim().parse().ok()).unwrap_or_default()
}

/// The next text message must be of this type.
pub(crate) async fn expect_type(conn: &mut RawConn, message_type: &str) -> String {
    loop {
        match timeout(PATIENCE, conn.next()).await.expect("a message in time") {
            Some(RawEvent::Text(text)) => {
                assert!(text.contains(&format!(r#""message_type":"{message_type}""#)), "{text}");
                return text;
            }
            Some(RawEvent::Ping | RawEvent::Pong) => {}
            other => panic!("{other:?} instead of {message_type}"),
        }
    }
}

/// A response.
#[derive(Debug)]
pub(crate) struct Answer {
    pub(crate) status: u16,
    pub(crate) headers: HeaderMap,
    pub(crate) body: Vec<u8>,
}

impl Answer {
    pub(crate) fn text(&self) -> String {
        String::from_utf8(self.body.clone()).expect("text")
    }

    pub(crate) fn header(&self, name: &str) -> &str {
        self.headers.get(name).map(|value| value.to_str().expect("text")).unwrap_or_default()
    }
}

pub(crate) async fn get(addr: SocketAddr, path: &str) -> Answer {
    request(addr, &format!("GET {path} HTTP/1.1\r\nhost: {addr}\r\nconnection: close\r\n\r\n")).await
}

/// Sends a request as it is and reads one response.
pub(crate) async fn request(addr: SocketAddr, text: &str) -> Answer {
    let mut peer = Peer::connect(addr).await;
    peer.send(text).await;
    peer.answer().await
}

/// One TCP connection.
pub(crate) struct Peer {
    pub(crate) socket: TcpStream,
    unread: Vec<u8>,
}

impl Peer {
    pub(crate) async fn connect(addr: SocketAddr) -> Self {
        Self::from(TcpStream::connect(addr).await.expect("accepted"))
    }

    pub(crate) fn from(socket: TcpStream) -> Self {
        Self { socket, unread: Vec::new() }
    }

    pub(crate) async fn send(&mut self, text: &str) {
        self.socket.write_all(text.as_bytes()).await.expect("sent");
    }

    /// The next response, as long as its `content-length` says.
    pub(crate) async fn answer(&mut self) -> Answer {
        let mut answer = self.head().await;
        let length: usize = answer.header("content-length").parse().unwrap_or_default();
        while self.unread.len() < length {
            assert!(self.read().await > 0, "the response is cut: {answer:?}");
        }
        answer.body = self.unread.drain(..length).collect();
        answer
    }

    /// The head of the next response only.
    pub(crate) async fn head(&mut self) -> Answer {
        let head = self.until("\r\n\r\n").await;
        let mut lines = head.trim_end().split("\r\n");
        let status = lines.next().and_then(|line| line.split(' ').nth(1)?.parse().ok()).expect("a status line");
        let mut headers = HeaderMap::new();
        for line in lines {
            let (name, value) = line.split_once(": ").expect("a header");
            let name: http::HeaderName = name.parse().expect("a name");
            headers.append(name, value.parse().expect("a value"));
        }
        Answer { status, headers, body: Vec::new() }
    }

    /// What comes up to the end of `mark`.
    pub(crate) async fn until(&mut self, mark: &str) -> String {
        loop {
            let found = self.unread.windows(mark.len()).position(|window| window == mark.as_bytes());
            if let Some(start) = found {
                let taken: Vec<u8> = self.unread.drain(..start + mark.len()).collect();
                return String::from_utf8_lossy(&taken).into_owned();
            }
            let read = self.read().await;
            assert!(read > 0, "ended before {mark:?}: {}", String::from_utf8_lossy(&self.unread));
        }
    }

    /// True if the server closes, or resets, without another byte.
    pub(crate) async fn is_closed(&mut self) -> bool {
        self.unread.is_empty() && self.read().await == 0
    }

    /// Reads until the server closes, and says how much came.
    pub(crate) async fn drain(&mut self) -> usize {
        let mut all = self.unread.len();
        loop {
            let read = self.read().await;
            if read == 0 {
                return all;
            }
            all += read;
            self.unread.clear();
        }
    }

    async fn read(&mut self) -> usize {
        let read = timeout(PATIENCE, self.socket.read_buf(&mut self.unread)).await.expect("something in time");
        read.unwrap_or_default()
    }
}
